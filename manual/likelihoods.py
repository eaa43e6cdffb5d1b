"""Cross-entropies of other inputs: of logits of yes-or-no questions, and of one distribution against another."""

from typing import Any

import numpy as np

from manual.checks import Array
from manual.reductions import Loss, Reduction, Weights, require_weights, spread


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy of K yes-or-no questions, from the logits z: Sigmoid and BCELoss in one.            (184)

    C = 1/divisor * sum over n, k of  t_nk v log(1 + e^-z_nk) + (1 - t_nk) log(1 + e^z_nk).

    v is `pos_weight`, what a yes counts for, by default 1; `weight` multiplies the whole term; both (K,), or any shape
    that can be repeated to (N, K).

    Derivation. With a = 1/(1 + e^-z) (2), -log a = log(1 + e^-z) and -log(1 - a) = log(1 + e^z): (26) without a. Of the
    first, d/dz = -e^-z / (1 + e^-z) = -(1 - a); of the second a:
        dC/dz = ((1 - t) a - t v (1 - a)) / divisor,            (185)
    for v = 1 (a - t) / divisor, as the chain of (27) and (6) in (28), without its quotient 0/0 for a sure output.

    Neither exponential may overflow, and 1 - a may not be taken from a number near 1. With e = e^-|z|, at most 1,
        log(1 + e^z) = max(z, 0) + log(1 + e),   a = 1/(1 + e) for z > 0, e/(1 + e) else.            (186)
    """

    def __init__(self, weight: Weights | None = None, reduction: Reduction = "mean", pos_weight: Weights | None = None):
        super().__init__(reduction)
        self.weight, self.pos_weight = require_weights("weight", weight), require_weights("pos_weight", pos_weight)

    def forward(self, logits: Array, target: Array) -> Array:
        """Return C, a scalar, for logits (N, K) and target (N, K) in [0, 1], or (N,) integer labels."""
        t = self.targets(logits, target)
        self.w = spread("weight", self.weight, logits)
        self.yes, self.no = t * spread("pos_weight", self.pos_weight, logits), 1 - t  # what each answer counts for
        self.positive = np.real(logits) > 0
        self.e = np.exp(np.where(self.positive, -logits, logits))  # e^-|z|, (N, K)
        common = np.log1p(self.e)
        cost_of_yes = np.where(self.positive, 0, -logits) + common  # (186)  log(1 + e^-z)
        cost_of_no = np.where(self.positive, logits, 0) + common  # (186)  log(1 + e^z)
        return self.reduced(self.w * (self.yes * cost_of_yes + self.no * cost_of_no))  # (184)

    def backward(self, grad_output: Any = 1) -> Array:
        """Return dC/d(logits) (N, K)."""
        near, far = 1 / (1 + self.e), self.e / (1 + self.e)  # of |z| and of -|z|
        a, rest = np.where(self.positive, near, far), np.where(self.positive, far, near)  # (186)  a and 1 - a
        return self.handed_down(grad_output, self.w * (self.no * a - self.yes * rest))  # (185)


class KLDivLoss(Loss):
    """Kullback-Leibler divergence of the target t from a prediction given as log-probabilities y.            (187)

    C = 1/divisor * sum over n, k of t_nk (log t_nk - y_nk),  0 where t_nk = 0, the limit of t log t.

    With `log_target` the target is log t. Mind the default, torch's "mean", which divides by N * K: the divergence, an
    average over examples of sums over classes, is "batchmean".

    Derivation. y occurs only in -t y: dC/dy = -t / divisor.            (188)
    """

    def __init__(self, reduction: Reduction = "mean", log_target: bool = False):
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, log_probabilities: Array, target: Array) -> Array:
        """Return C, a scalar, for log-probabilities (N, K) and probabilities (N, K) or their logarithms."""
        given = self.targets(log_probabilities, target)
        if self.log_target:
            self.t, log_t = np.exp(given), given
        else:
            self.t, log_t = given, np.log(np.where(given == 0, 1, given))
        return self.reduced(self.t * (log_t - log_probabilities))  # (187)

    def backward(self, grad_output: Any = 1) -> Array:
        """Return dC/d(log-probabilities) (N, K)."""
        return self.handed_down(grad_output, -self.t)  # (188)
