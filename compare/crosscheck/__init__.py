"""One derivation of a user's own, held against autograd on drawn inputs.

    from compare import crosscheck
    crosscheck(MyLayer(), torch.nn.functional.silu, input_shape=("batch", "n"))

subject    the candidate: a layer, a loss, an optimizer, a torch.autograd.Function; how it is run
oracle     the reference: what torch makes of the same inputs in float64, by autograd
drawing    the inputs: Hypothesis draws shapes, flavours and seeds; special values are mixed in
bounds     how far rounding alone may part the two
structure  what must hold whatever the values: shapes, linearity, nothing changed, nothing remembered
specs      what is drawn, from what the user says of it
search     drawing and judging
shrinking  from a failure to the smallest
cause      the witnesses, the named mistake, what can be measured
result     what came of it, and how it is told
check      the function `crosscheck`
plugin     the pytest fixture of that name

The room itself can be called: `compare.crosscheck` is the function's name and the room's.
"""

import sys
from types import ModuleType
from typing import Any


class Room(ModuleType):
    """A room that is called by its one function; neither torch nor NumPy is imported before that."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call `crosscheck`: see compare.crosscheck.check."""
        __tracebackhide__ = True
        from compare.crosscheck.check import crosscheck

        return crosscheck(*args, **options)


sys.modules[__name__].__class__ = Room
