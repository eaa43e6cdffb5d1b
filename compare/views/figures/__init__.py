"""The figures of manual/DERIVATION.md, made from real data.

numbers     what they show: the same networks, drawn from the same seed, as in the page's examples
drawing     how they are drawn: altair to SVG
"""

from compare.views.figures.drawing import write_figures

__all__ = ["write_figures"]
