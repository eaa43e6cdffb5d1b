"""One weight through the chain rule, with the numbers of a real image.

    from compare import explain
    explain("article", weight="linear1.weight[23,272]")

selection    which weight is meant: a parameter's name and an index
moment       a network at a step of its training, with one image gone through it and back, on both sides
slopes       the derivative of one layer's outputs by one number that goes into it
rules        what that derivative is called: its formula, its equation, and the line of manual that computes it
chain        the links from a weight to the cost, and the factors whose product is its gradient
update       what a step changes, predicted by the gradient and as it is
course       a training recorded step by step for one image: what the page to explore in is made of
explanation  all of that together: the function `explain`

The room itself can be called: `compare.explain` is the function's name and the room's.
"""

import sys
from types import ModuleType
from typing import Any


class Room(ModuleType):
    """A room that is called by its one function; neither torch nor NumPy is imported before that."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call `explain`: see compare.explain.explanation."""
        from compare.explain.explanation import explain

        return explain(*args, **options)


sys.modules[__name__].__class__ = Room
