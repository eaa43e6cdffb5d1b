"""Losses: one number for a batch, and the first delta, where the factor 1/N enters, once and for all.

Here are those that the story of DERIVATION.md tells. `likelihoods` has cross-entropies of other inputs, `piecewise` the
losses made of pieces; what all share (the reductions, targets as labels, class weights) is in `reductions`.
"""

from typing import Any

import numpy as np

from manual.checks import Array, require_unit_interval
from manual.reductions import (
    REDUCTIONS,
    LabelLoss,
    Loss,
    Reduction,
    Weights,
    class_axis,
    class_weights,
    divisor,
    is_label,
    one_hot,
    require_weights,
    spread,
    with_classes,
    without_classes,
)

__all__ = [
    "REDUCTIONS",
    "BCELoss",
    "CrossEntropyLoss",
    "Loss",
    "MSELoss",
    "NLLLoss",
    "Reduction",
    "SquaredError",
    "divisor",
    "one_hot",
]


class SquaredError(Loss):
    """C = factor / divisor * sum over examples n and outputs k of (a_nk - t_nk)^2.            (12)

    By default factor 1/2 and divisor N: the tutorial's cost, C = 1/(2N) sum (a - t)^2.

    Derivation. (a_nk - t_nk)^2 has the derivative 2 (a_nk - t_nk), and no other term holds a_nk:
    dC/da_nk = 2 factor (a_nk - t_nk) / divisor            (253)
    and by default (a_nk - t_nk) / N.            (13)
    """

    def __init__(self, reduction: Reduction = "batchmean", factor: float = 0.5):
        super().__init__(reduction)
        self.factor = float(factor)  # a NumPy scalar would impose its dtype on the loss

    def forward(self, prediction: Array, target: Array) -> Array:
        """Return C, a scalar, for prediction (N, K) and target (N, K), or (N,) integer labels."""
        self.difference = prediction - self.targets(prediction, target)  # (N, K)
        self.scale = self.factor / divisor(self.reduction, prediction.shape)  # (35)
        if self.reduction == "none":
            return self.scale * (self.difference * self.difference)
        flat = self.difference.reshape(-1)
        return self.scale * np.dot(flat, flat)  # (12)  the sum of all squares

    def backward(self, grad_output: Any = 1) -> Array:
        """Return dC/d(prediction) (N, K)."""
        slopes = (2 * self.scale) * self.difference  # (253)
        return self.upstream(grad_output, slopes.shape) * slopes

    def __repr__(self) -> str:
        return f"SquaredError(reduction={self.reduction!r}, factor={self.factor})"


class MSELoss(SquaredError):
    """torch.nn.MSELoss: the squared error without the half, by default divided by N * K.            (12)"""

    def __init__(self, reduction: Reduction = "mean"):
        super().__init__(reduction, factor=1.0)

    __repr__ = Loss.__repr__


class BCELoss(Loss):
    """Binary cross-entropy of K independent yes-or-no outputs a in [0, 1].            (26)

    C = -1/divisor * sum over n, k of  t_nk log a_nk + (1 - t_nk) log(1 - a_nk).

    Derivation. d/da of -t log a is -t/a; of -(1 - t) log(1 - a) it is (1 - t)/(1 - a) (251). On one denominator
    their sum is dC/da = (a - t) / (a (1 - a)) / divisor.            (27)

    A `weight` multiplies its term, and so its derivative; (K,) weighs outputs, (N, 1) examples.

    As in torch, logarithms are cut off at -100 and the denominator at 1e-12: a may be exactly 0 or 1.
    """

    def __init__(self, weight: Weights | None = None, reduction: Reduction = "mean"):
        super().__init__(reduction)
        self.weight = require_weights("weight", weight)

    def forward(self, prediction: Array, target: Array) -> Array:
        """Return C, a scalar, for prediction (N, K) in [0, 1] and target (N, K), or (N,) integer labels."""
        self.a, self.t = prediction, self.targets(prediction, target)
        require_unit_interval("prediction", self.a)
        self.w = spread("weight", self.weight, prediction)
        with np.errstate(divide="ignore"):  # log 0 = -inf, cut off at -100
            log_a = np.maximum(np.log(self.a), -100)
            log_1_minus_a = np.maximum(np.log(1 - self.a), -100)
        return self.reduced(self.w * -(self.t * log_a + (1 - self.t) * log_1_minus_a))  # (26)

    def backward(self, grad_output: Any = 1) -> Array:
        """Return dC/d(prediction) (N, K)."""
        slopes = self.w * ((self.a - self.t) / np.maximum(self.a * (1 - self.a), 1e-12))  # (27)
        return self.handed_down(grad_output, slopes)


class NLLLoss(LabelLoss):
    """Negative log-likelihood: minus the log-probability y that each example gives to its own label.            (31)

    C = -1/divisor * sum over n of w_n y_n,t(n), for log-probabilities y (N, K) and labels t (N,); w_n is 1 unless the
    classes have weights, 0 where the label is to be ignored; for the mean the divisor is the sum of the w_n (181).

    Derivation. C holds one y of each row, with the factor -w_n/divisor; the others do not occur.            (32)
    """

    def forward(self, log_probabilities: Array, target: Array) -> Array:
        """Return C, a scalar, for log-probabilities (N, K) and integer labels (N,), or as LabelLoss says."""
        self.y, axis = log_probabilities, class_axis(log_probabilities)
        self.kept, labels, self.w = self.read_labels(self.y, target)  # (N,) each
        self.own = with_classes(labels, self.y)  # (N, 1), where in its row each label is
        chosen = np.take_along_axis(self.y, self.own, axis).reshape(labels.shape)  # (N,)
        self.divisor = self.divisor_of(self.w, self.y)
        return self.reduced(-(self.w * np.where(self.kept, chosen, 0)), self.divisor)  # (31)

    def backward(self, grad_output: Any = 1) -> Array:
        """Return dC/dy (N, K)."""
        with np.errstate(invalid="ignore"):  # 0 / 0 where every label is ignored
            slopes = np.where(self.kept, -self.w / self.divisor, 0)  # (N,)
        slopes = self.upstream(grad_output, slopes.shape) * slopes
        grad = np.zeros_like(self.y)
        np.put_along_axis(grad, self.own, slopes.reshape(self.own.shape), class_axis(self.y))  # (32)
        return grad


class CrossEntropyLoss(LabelLoss):
    """Cross-entropy of softmax p against target t, from the logits z: LogSoftmax and NLLLoss in one.            (33)

    C = -1/divisor * sum over n, k of t_nk log p_nk, with p_nk = e^z_nk / sum_m e^z_nm; t is one-hot (from labels), or
    probabilities.

    Derivation. By (32) dC/dlog p_nk = -t_nk / divisor. Put into (30), with sum_k t_nk = 1:
    dC/dz_nk = -t_nk / divisor + p_nk sum_m t_nm / divisor = (p_nk - t_nk) / divisor.            (34)
    The logarithm of the loss undoes the exponential of the softmax; what remains is prediction minus target.

    Label smoothing s moves the target towards the even distribution, and weights multiply each class's term; both only
    make another target of t,
        q_nk = w_k ((1 - s) t_nk + s / K),  a row of zeros where the label is to be ignored,            (182)
    which no longer sums to 1 but to some mass m_n = sum_k q_nk. So in (34) the p keep that factor:
        dC/dz_nk = (m_n p_nk - q_nk) / divisor.            (183)
    The mean's divisor is (181) for labels, whatever the smoothing; for probabilities it is N, whatever the weights.
    """

    def __init__(
        self,
        weight: Weights | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
    ):
        super().__init__(weight, ignore_index, reduction)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing is {label_smoothing}; wanted a number from 0 to 1.")
        self.label_smoothing = float(label_smoothing)

    def forward(self, logits: Array, target: Array) -> Array:
        """Return C, a scalar, for logits (N, K) and integer labels (N,) or probabilities (N, K)."""
        axis = class_axis(logits)
        self.q, counted = self.weighted_targets(logits, target)  # (N, K), (N,)
        self.divisor = self.divisor_of(counted, logits)
        shifted = logits - np.real(logits).max(axis=axis, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))  # (29)
        self.p = np.exp(log_p)
        terms = self.q * np.where(self.q == 0, 0, log_p)  # a class that cannot be (log p = -inf) and is not: 0
        return self.reduced(-terms.sum(axis=axis), self.divisor)  # (33)

    def backward(self, grad_output: Any = 1) -> Array:
        """Return dC/d(logits) (N, K)."""
        axis = class_axis(self.p)
        mass = 1 if self.one_hot else self.q.sum(axis=axis, keepdims=True)  # (N, 1)
        with np.errstate(divide="ignore", invalid="ignore"):  # by 0 where every label is ignored
            slopes = np.where(self.kept, (self.p * mass - self.q) / self.divisor, 0)  # (34), (183)
        above = self.upstream(grad_output, without_classes(self.p))
        return slopes * (above if np.ndim(above) == 0 else with_classes(above, self.p))  # (N, K) * (N, 1)

    def weighted_targets(self, logits: Array, target: Array) -> tuple[Array, Array]:
        """Return q (N, K) of (182), and what each example counts for in the mean (N,)."""
        axis, labelled = class_axis(logits), target.ndim == logits.ndim - 1 and target.dtype.kind in "iu"
        self.one_hot = labelled and self.weight is None and not self.label_smoothing
        if labelled:
            kept, labels, counted = self.read_labels(logits, target)
            t = is_label(labels, logits) * np.ones_like(logits, shape=())  # (N, K), of the logits' dtype
            self.kept = with_classes(kept, logits)  # (N, 1)
        else:
            t, self.kept = self.targets(logits, target), np.True_
            counted = np.ones_like(logits, shape=without_classes(logits))
        if self.label_smoothing:
            t = (1 - self.label_smoothing) * t + self.label_smoothing / logits.shape[axis]
        if self.weight is not None:
            along_axis = (-1,) + (1,) * (logits.ndim - 1 - axis)
            t = t * class_weights(self.weight, logits).reshape(along_axis)
        return np.where(self.kept, t, 0), counted  # (182)
