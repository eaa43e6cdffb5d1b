"""Equations as MathML, made while the site is built: a page needs no script and no network."""

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

TAG = re.compile(r"\\tag\{([A-Z]?\d+)\}")
BAR = re.compile(r"<mo[^>]*>(&#x0007C;|&#x02016;)</mo>")  # | and ||, around what they measure


def mathml(latex: str, display: str = "inline") -> str:
    """Return LaTeX as MathML, without the space of a binary operator beside the bars of an absolute value."""
    return BAR.sub(r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', convert(latex, display=display))


def visit_math(translator: Any, node: nodes.math) -> None:
    """Write an equation that stands within a line."""
    translator.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def visit_displaymath(translator: Any, node: nodes.math_block) -> None:
    """Write an equation that stands by itself, with its number, which other pages can link to, beside it."""
    latex = node.astext()
    tag = TAG.search(latex)
    formula = mathml(TAG.sub("", latex).strip(), "block")
    if tag is None:
        translator.body.append(f'<div class="equation"><div class="formula">{formula}</div></div>\n')
    else:
        number = f'<a class="number" href="#equation-{tag[1]}">({tag[1]})</a>'
        translator.body.append(
            f'<div class="equation" id="equation-{tag[1]}"><div class="formula">{formula}</div>{number}</div>\n'
        )
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", inline_renderers=(visit_math, None), block_renderers=(visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
