"""Losses made of pieces: constant slopes, and what is done where two pieces meet."""

from typing import Any

import numpy as np

from manual.checks import Array, require_labels, require_shape
from manual.reductions import (
    Loss,
    Reduction,
    Weights,
    class_axis,
    class_weights,
    divisor,
    is_label,
    require_weights,
    with_classes,
    without_classes,
)


def distance(difference: Array) -> Array:
    """Return |difference|, its side decided on the real part, so that the complex step can pass."""
    return np.where(np.real(difference) < 0, -difference, difference)


class L1Loss(Loss):
    """C = 1/divisor * sum over n, k of |a_nk - t_nk|: an outlier pulls no harder than the rest.            (189)

    Derivation. |d| has the slope 1 for d > 0 and -1 for d < 0: dC/da = sign(a - t) / divisor. At d = 0 there is none;
    0 is taken, as torch does.            (190)
    """

    def forward(self, prediction: Array, target: Array) -> Array:
        """Return C, a scalar, for prediction (N, K) and target (N, K), or (N,) integer labels."""
        self.difference = prediction - self.targets(prediction, target)  # (N, K)
        return self.reduced(distance(self.difference))  # (189)

    def backward(self, grad_output: Any = 1) -> Array:
        """Return dC/d(prediction) (N, K)."""
        return self.handed_down(grad_output, np.sign(np.real(self.difference)))  # (190)


class HuberLoss(Loss):
    """C = 1/divisor * sum over n, k of h(a_nk - t_nk): a parabola near the target, straight lines further out.

        h(d) = d^2 / 2  where |d| <= delta,   delta (|d| - delta/2)  beyond.            (191)

    Both pieces are one expression: with c = min(|d|, delta), h = c (|d| - c/2). No square of a large d is taken.

    Derivation. The parabola has the slope d, the lines delta and -delta. They meet with equal slopes at |d| = delta, so
    there is no kink, and the slope is d, clipped: dC/da = max(-delta, min(d, delta)) / divisor.            (192)
    """

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0):
        super().__init__(reduction)
        if not delta > 0:
            raise ValueError(f"delta is {delta}; wanted a number above 0.")
        self.delta = float(delta)

    def forward(self, prediction: Array, target: Array) -> Array:
        """Return C, a scalar, for prediction (N, K) and target (N, K), or (N,) integer labels."""
        self.difference = prediction - self.targets(prediction, target)  # (N, K)
        size = distance(self.difference)
        near = np.minimum(size, self.delta)
        return self.reduced(near * (size - near / 2))  # (191)

    def backward(self, grad_output: Any = 1) -> Array:
        """Return dC/d(prediction) (N, K)."""
        return self.handed_down(grad_output, np.maximum(-self.delta, np.minimum(self.difference, self.delta)))  # (192)


class SmoothL1Loss(Loss):
    """C = 1/divisor * sum over n, k of s(a_nk - t_nk): |d| with its kink rounded off.

        s(d) = d^2 / (2 beta)  where |d| < beta,   |d| - beta/2  beyond.            (193)

    That is the Huber loss (191) with delta = beta, divided by beta: the lines have slope 1 whatever beta is. With
    beta = 0 nothing is rounded off: it is the L1Loss.

    Derivation. (192) over beta: dC/da = max(-1, min(d / beta, 1)) / divisor.            (194)
    """

    def __init__(self, reduction: Reduction = "mean", beta: float = 1.0):
        super().__init__(reduction)
        if not beta >= 0:
            raise ValueError(f"beta is {beta}; wanted 0 or a number above it.")
        self.beta = float(beta)

    def forward(self, prediction: Array, target: Array) -> Array:
        """Return C, a scalar, for prediction (N, K) and target (N, K), or (N,) integer labels."""
        self.difference = prediction - self.targets(prediction, target)  # (N, K)
        size = distance(self.difference)
        if self.beta == 0:
            return self.reduced(size)  # (189)
        near = np.minimum(size, self.beta)
        return self.reduced(near / self.beta * (size - near / 2))  # (193)

    def backward(self, grad_output: Any = 1) -> Array:
        """Return dC/d(prediction) (N, K)."""
        if self.beta == 0:
            return self.handed_down(grad_output, np.sign(np.real(self.difference)))  # (190)
        near = np.maximum(-self.beta, np.minimum(self.difference, self.beta))
        return self.handed_down(grad_output, near / self.beta)  # (194)


class MultiMarginLoss(Loss):
    """Multi-class hinge: the score of the right class is to exceed every other by a margin.            (195)

    C = 1/divisor * sum over n of  w_t(n) / K * sum over k other than t(n) of max(0, margin - x_n,t(n) + x_nk)^p,
    for scores x (N, K) and labels t (N,); p is 1 or 2; w are weights of the classes. The divisor counts examples: the
    mean is over N, whatever the weights.

    Derivation. Write m_nk for what stands in the maximum. Where it is positive, x_nk raises the loss by
        s_nk = w_t(n) / K * p m_nk^(p-1),  0 where m_nk <= 0 and for the right class itself,            (196)
    and the score of the right class, which stands in every m_nk with a minus, takes it all back:
        dC/dx_nk = (s_nk - [k = t(n)] sum_m s_nm) / divisor.            (197)
    At m = 0 exactly there is a kink for p = 1; 0 is taken, as torch does. Every row of the gradient sums to 0.
    """

    def __init__(self, p: int = 1, margin: float = 1.0, weight: Weights | None = None, reduction: Reduction = "mean"):
        super().__init__(reduction)
        if p not in (1, 2):
            raise ValueError(f"p is {p}; wanted 1 or 2.")
        self.p, self.margin, self.weight = p, float(margin), require_weights("weight", weight)

    def forward(self, scores: Array, target: Array) -> Array:
        """Return C, a scalar, for scores (N, K) and integer labels (N,), or scores (K,) and one label."""
        if scores.ndim not in (1, 2):
            raise ValueError(f"MultiMarginLoss got scores of shape {scores.shape}; wanted (N, K), one row an example.")
        axis = class_axis(scores)
        require_shape("target", target, without_classes(scores))
        require_labels(target, scores.shape[axis])
        self.own, labels = is_label(target, scores), with_classes(target, scores)  # (N, K), (N, 1)
        m = self.margin + (scores - scores[self.own].reshape(labels.shape))  # (N, K) - (N, 1)
        self.violated = (np.real(m) > 0) & ~self.own
        self.m = np.where(self.violated, m, 0)
        self.scale = class_weights(self.weight, scores)[labels] / scores.shape[axis]  # (N, 1)  w / K
        powers = self.m if self.p == 1 else self.m * self.m
        return self.reduced((self.scale * powers).sum(axis=axis))  # (195)

    def backward(self, grad_output: Any = 1) -> Array:
        """Return dC/d(scores) (N, K)."""
        axis, examples = class_axis(self.m), without_classes(self.m)
        raised = self.scale * (self.violated if self.p == 1 else 2 * self.m)  # (196)
        slopes = raised - self.own * raised.sum(axis=axis, keepdims=True)
        above = self.upstream(grad_output, examples)
        above = above if np.ndim(above) == 0 else with_classes(above, self.m)  # (N, 1)
        return above * (slopes / divisor(self.reduction, examples))  # (197)
