"""Running error analysis: a formula of `manual`, run on numbers that carry their errors, yields its own rounding bound.

Operation by operation it is known how far rounding may have moved each number (Higham, Accuracy and Stability of
Numerical Algorithms, section 3.3; Wilkinson 1986):

    x + y    ex + ey                            + u |x + y|
    x * y    |x| ey + |y| ex + ex ey            + u |x y|
    x / y    (ex + |x/y| ey) / (|y| - ey)       + u |x / y|
    f(x)     how far f moves over x +- ex       + 8 u |f| for exp, log, tanh; u |f| for the square root
    sum      sum of e                           + gamma_{n-1} sum |x|, in whatever order
    A B      |A| eB + eA |B| + eA eB            + gamma_n |A| |B|

bounded      the array type, and how NumPy's operations find their rules
    elementary, sums, arrays    the rules
analysis     a whole layer, loss or update run on such numbers
"""

from compare.agreement.rounding.running import arrays, elementary, sums  # noqa: F401 - they declare the rules
from compare.agreement.rounding.running.analysis import (
    RunningLoss,
    RunningRounding,
    RunningUpdate,
    layer_errors,
    loss_errors,
    update_errors,
)
from compare.agreement.rounding.running.bounded import Bounded

__all__ = [
    "Bounded",
    "RunningLoss",
    "RunningRounding",
    "RunningUpdate",
    "layer_errors",
    "loss_errors",
    "update_errors",
]
