"""Losses: one number for a batch, and the first delta, where the factor 1/N enters, once and for all.

Every loss is a sum over examples and outputs, divided as its `reduction` says (35):

    reduction      divided by                        where it is usual
    "sum"          1
    "mean"         N * K, the number of elements     torch.nn.MSELoss(), torch.nn.BCELoss()
                   N for losses of one label a row   torch.nn.CrossEntropyLoss(), torch.nn.NLLLoss()
    "batchmean"    N, the number of examples         the tutorial's cost, most derivations on paper
"""

from typing import Literal

import numpy as np

from manual.checks import Array, is_floating, require_labels, require_shape, require_unit_interval

Reduction = Literal["sum", "mean", "batchmean"]
REDUCTIONS: tuple[Reduction, ...] = ("sum", "mean", "batchmean")


def divisor(reduction: Reduction, shape: tuple[int, ...]) -> int:
    """Return what a sum over elements of `shape` (N first) is divided by.            (35)"""
    n, *outputs = shape
    match reduction:
        case "sum":
            return 1
        case "mean":
            return n * int(np.prod(outputs))
        case "batchmean":
            return n
    raise ValueError(f"reduction is {reduction!r}; wanted one of {', '.join(REDUCTIONS)}.")


def one_hot(labels: Array, like: Array) -> Array:
    """Return the targets of integer `labels` (N,): 1 for the label's output, 0 elsewhere, of shape and dtype of `like`.

    Raises ValueError for a label outside 0..K-1, or if there is not one label a row.
    """
    n, k = like.shape
    require_shape("target", labels, (n,))
    require_labels(labels, k)
    target = np.zeros_like(like)
    target[np.arange(n), labels] = 1
    return target


class Loss:
    """What all losses share: a reduction, and targets that may come as integer labels."""

    def __init__(self, reduction: Reduction = "mean"):
        divisor(reduction, (1,))  # refuses an unknown reduction here, not at the first batch
        self.reduction: Reduction = reduction

    def targets(self, prediction: Array, target: Array) -> Array:
        """Return the target in the prediction's shape (N, K); labels (N,) become one-hot rows, integers its dtype."""
        if prediction.ndim == 2 and target.ndim == 1 and target.dtype.kind in "iu":
            return one_hot(target, like=prediction)
        require_shape("target", target, prediction.shape)
        return target if is_floating(target) else target.astype(prediction.dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(reduction={self.reduction!r})"


class SquaredError(Loss):
    """C = factor / divisor * sum over examples n and outputs k of (a_nk - t_nk)^2.            (12)

    By default factor 1/2 and divisor N: the tutorial's cost, C = 1/(2N) sum (a - t)^2.

    Derivation. (a_nk - t_nk)^2 has the derivative 2 (a_nk - t_nk), and no other term holds a_nk:
    dC/da_nk = 2 factor (a_nk - t_nk) / divisor, by default (a_nk - t_nk) / N.            (13)
    """

    def __init__(self, reduction: Reduction = "batchmean", factor: float = 0.5):
        super().__init__(reduction)
        self.factor = float(factor)  # a NumPy scalar would impose its dtype on the loss

    def forward(self, prediction: Array, target: Array) -> Array:
        """Return C, a scalar, for prediction (N, K) and target (N, K), or (N,) integer labels."""
        self.difference = prediction - self.targets(prediction, target)  # (N, K)
        self.scale = self.factor / divisor(self.reduction, prediction.shape)
        return self.scale * (self.difference * self.difference).sum()  # (12)

    def backward(self) -> Array:
        """Return dC/d(prediction) (N, K)."""
        return (2 * self.scale) * self.difference  # (13)

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

    Derivation. d/da of -t log a is -t/a; of -(1 - t) log(1 - a) it is (1 - t)/(1 - a). On one denominator their sum is
    dC/da = (a - t) / (a (1 - a)) / divisor.            (27)

    As in torch, logarithms are cut off at -100 and the denominator at 1e-12: a may be exactly 0 or 1.
    """

    def forward(self, prediction: Array, target: Array) -> Array:
        """Return C, a scalar, for prediction (N, K) in [0, 1] and target (N, K), or (N,) integer labels."""
        self.a, self.t = prediction, self.targets(prediction, target)
        require_unit_interval("prediction", self.a)
        with np.errstate(divide="ignore"):  # log 0 = -inf, cut off at -100
            log_a = np.maximum(np.log(self.a), -100)
            log_1_minus_a = np.maximum(np.log(1 - self.a), -100)
        total = (self.t * log_a + (1 - self.t) * log_1_minus_a).sum()
        return -total / divisor(self.reduction, prediction.shape)  # (26)

    def backward(self) -> Array:
        """Return dC/d(prediction) (N, K)."""
        slope = (self.a - self.t) / np.maximum(self.a * (1 - self.a), 1e-12)
        return slope / divisor(self.reduction, self.a.shape)  # (27)


class NLLLoss(Loss):
    """Negative log-likelihood: minus the log-probability y that each example gives to its own label.            (31)

    C = -1/divisor * sum over n of y_n,t(n), for log-probabilities y (N, K) and labels t (N,).

    Derivation. C holds one y of each row, with the factor -1/divisor; the others do not occur.            (32)
    """

    def forward(self, log_probabilities: Array, target: Array) -> Array:
        """Return C, a scalar, for log-probabilities (N, K) and integer labels (N,)."""
        require_shape("target", target, log_probabilities.shape[:1])
        require_labels(target, log_probabilities.shape[1])
        self.y, self.rows, self.labels = log_probabilities, np.arange(len(target)), target
        return -self.y[self.rows, self.labels].sum() / divisor(self.reduction, target.shape)  # (31)

    def backward(self) -> Array:
        """Return dC/dy (N, K)."""
        grad = np.zeros_like(self.y)
        grad[self.rows, self.labels] = -1 / divisor(self.reduction, self.labels.shape)  # (32)
        return grad


class CrossEntropyLoss(Loss):
    """Cross-entropy of softmax p against target t, from the logits z: LogSoftmax and NLLLoss in one.            (33)

    C = -1/divisor * sum over n, k of t_nk log p_nk, with p_nk = e^z_nk / sum_m e^z_nm; t is one-hot (from labels), or
    probabilities.

    Derivation. By (32) dC/dlog p_nk = -t_nk / divisor. Put into (30), with sum_k t_nk = 1:
    dC/dz_nk = -t_nk / divisor + p_nk sum_m t_nm / divisor = (p_nk - t_nk) / divisor.            (34)
    The logarithm of the loss undoes the exponential of the softmax; what remains is prediction minus target.
    """

    def forward(self, logits: Array, target: Array) -> Array:
        """Return C, a scalar, for logits (N, K) and integer labels (N,) or probabilities (N, K)."""
        self.t = self.targets(logits, target)
        shifted = logits - np.real(logits).max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # (29)
        self.p = np.exp(log_p)
        return -(self.t * log_p).sum() / divisor(self.reduction, logits.shape[:1])  # (33)

    def backward(self) -> Array:
        """Return dC/d(logits) (N, K)."""
        mass = self.t.sum(axis=1, keepdims=True)  # 1 for labels and for probabilities
        return (self.p * mass - self.t) / divisor(self.reduction, self.p.shape[:1])  # (34)
