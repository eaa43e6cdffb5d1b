"""How far two correct learning rates of one schedule may differ: a closed form, and torch's recursion.

torch makes each rate from the one before. Every step of the recursion adds a few roundings relative to the base rate:
of the cosine, eta_t = base (1 + cos theta_t) / 2 errs at step s by 4 u eta_t / (1 + cos theta_s) <= 2 u base, since the
cosine falls. So after t updates the rates differ by at most gamma_{8 (t + 1)} base, in float64.
"""

import numpy as np

from compare.agreement.operations import MICRO, preparation
from compare.agreement.rounding.unit import gamma, unit_roundoff
from compare.agreement.trace import Trace
from compare.experiment.description import Experiment


def rate_error(experiment: Experiment, state_before: Trace, rate: np.ndarray) -> float:
    """Return by how much the learning rates of the two sides may differ at a step, in the network's dtype."""
    updates = int(state_before.get(MICRO, 0)) // preparation(experiment)["accumulate"]
    base = experiment.optimizer.lr
    own = 2 * unit_roundoff(experiment.training.dtype) * abs(float(rate))  # both are rounded to it
    return 2 * gamma(8 * (updates + 1), unit_roundoff(np.float64)) * base + own
