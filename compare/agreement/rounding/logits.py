"""BCEWithLogitsLoss, which torch computes by other formulas than manual does, with differences of near numbers."""

import numpy as np

from compare.agreement.rounding.activations import exact_sigmoid
from compare.agreement.rounding.operations import LossOperation
from compare.agreement.rounding.running.analysis import target_of
from compare.agreement.rounding.unit import ELEMENTARY, gamma


def of_torch(op: LossOperation, u: float) -> dict[str, np.ndarray]:
    """Bound the rounding errors of torch's loss, "value", and first delta, "gradient", where manual's may be smaller.

    They are 0 for every other loss. With y = t v what a yes counts for, and m = 1 - t + y:

    value       manual's (184) adds numbers of one sign. torch has w ((1 - t) z - m log a), of near numbers for a sure
                and right no: (1 - t) z errs by 2 u, m by 4 u, log a = min(z, 0) - log(1 + e^-|z|) by 8 u of both terms,
                the product and the difference by u each. What the sum of the terms adds is in manual's bound.
    gradient    manual's (185), w ((1 - t) a - y (1 - a)), takes no difference of near numbers. torch has w (m a - y),
                of near numbers for a sure and right yes: its error is one of a, not one of 1 - a. m errs by 4 u, a by
                a ((1 - a) 8 u + 3 u) as a Sigmoid does, their product by u, y by 2 u; the difference, the weight and
                the divisor add gamma_4 of the result.
    """
    if op.kind != "BCEWithLogitsLoss":
        return {"value": np.zeros(()), "gradient": np.zeros(())}
    z, loss = op.prediction, op.loss()
    loss.forward(z, target_of(op))
    mass, a, rest = loss.yes + loss.no, exact_sigmoid(z), exact_sigmoid(-z)
    error = mass * a * (rest * ELEMENTARY + 8) * u + 2 * u * loss.yes + gamma(4, u) * np.abs(mass * a - loss.yes)
    size = loss.no * np.abs(z) + mass * (np.maximum(-z, 0) + np.log1p(np.exp(-np.abs(z))))
    value = loss.w * size * (ELEMENTARY + 6) * u
    return {"value": np.asarray(loss.reduced(value)), "gradient": loss.handed_down(1, loss.w * error)}
