"""The first delta of BCEWithLogitsLoss, which torch takes by another formula than manual does."""

import numpy as np

from compare.agreement.rounding.activations import exact_sigmoid
from compare.agreement.rounding.operations import LossOperation
from compare.agreement.rounding.running.analysis import target_of
from compare.agreement.rounding.unit import ELEMENTARY, gamma


def of_torch(op: LossOperation, u: float) -> np.ndarray | float:
    """Bound the rounding error of torch's first delta where it may be larger than manual's; 0 where it may not.

    manual's (185), w ((1 - t) a - v t (1 - a)), takes no difference of near numbers. torch has w (m a - v t) with
    m = 1 - t + v t, a difference of near numbers for a sure and right yes, t = 1 and a near 1: its error is one of a,
    not one of 1 - a. m errs by 4 u, a by a ((1 - a) 8 u + 3 u) as a Sigmoid does, their product by u, v t by 2 u; the
    difference, the weight and the divisor add gamma_4 of the result.
    """
    if op.kind != "BCEWithLogitsLoss":
        return 0.0
    loss = op.loss()
    loss.forward(op.prediction, target_of(op))
    a, rest = exact_sigmoid(op.prediction), exact_sigmoid(-op.prediction)
    whole = (loss.yes + loss.no) * a
    error = whole * (rest * ELEMENTARY + 8) * u + 2 * u * loss.yes + gamma(4, u) * np.abs(whole - loss.yes)
    return loss.handed_down(1, loss.w * error)
