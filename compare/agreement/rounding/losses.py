"""Losses: a sum over the batch, and the first delta."""

import math

import numpy as np

from compare.agreement.rounding.activations import exact_log_softmax, log_softmax_error
from compare.agreement.rounding.operations import LossOperation, LossRule
from compare.agreement.rounding.unit import ELEMENTARY, gamma, norm


class SquaredErrorRounding:
    """C = scale * sum d^2 with d = a - t and scale = factor / divisor."""

    def scale(self, op: LossOperation) -> float:
        """Return factor / divisor of this loss (MSELoss: factor 1)."""
        squared = op.kind == "SquaredError"
        factor = op.arguments.get("factor", 0.5) if squared else 1.0
        return factor / op.divisor("batchmean" if squared else "mean")

    def forward(self, op: LossOperation, u: float) -> float:
        """gamma_{n+5} C: d has one rounding, so d^2 three; n - 1 additions; the scale two, its product one.

        All terms are positive, so that the relative errors bound that of the sum.
        """
        d = op.prediction - op.target
        return gamma(d.size + 5, u) * self.scale(op) * float((d * d).sum())

    def backward(self, op: LossOperation, u: float) -> np.ndarray:
        """gamma_5 |2 scale d|: d one rounding, the scale at most three, the product one."""
        return gamma(5, u) * 2 * self.scale(op) * np.abs(op.prediction - op.target)

    def carry(self, op: LossOperation, dx: float, u: float) -> tuple[float, float]:
        """C(a + e) - C(a) = scale (2 d.e + e.e); the gradient is linear in a."""
        scale = self.scale(op)
        return rounded(self, op, u, scale * (2 * norm(op.prediction - op.target) + dx) * dx, 2 * scale * dx)


class CrossEntropyRounding:
    """C = -1/divisor sum t log p from logits z, with p the softmax of z."""

    def forward(self, op: LossOperation, u: float) -> float:
        """Each log p errs as the log-softmax does; the products and the sum of N K terms by gamma_{NK+2}."""
        error = (op.target * log_softmax_error(op.prediction, u, 1)).sum()
        size = np.abs(op.target * exact_log_softmax(op.prediction, 1)).sum()
        return float(error + gamma(op.target.size + 2, u) * size) / op.divisor(per_example=True)

    def backward(self, op: LossOperation, u: float) -> np.ndarray:
        """(p m - t) / divisor with m = sum_k t_k: p errs by p (E + 8 u), m by gamma_K; then three roundings."""
        p, mass = np.exp(exact_log_softmax(op.prediction, 1)), op.target.sum(axis=1, keepdims=True)
        relative = log_softmax_error(op.prediction, u, 1) + (ELEMENTARY + 3) * u + gamma(op.target.shape[1], u)
        return (p * mass * relative + 3 * u * np.abs(p * mass - op.target)) / op.divisor(per_example=True)

    def carry(self, op: LossOperation, dx: float, u: float) -> tuple[float, float]:
        """The softmax has slope 1/2 in the 2-norm, so the gradient has m/(2 divisor), and C follows from it."""
        p, mass = np.exp(exact_log_softmax(op.prediction, 1)), op.target.sum(axis=1, keepdims=True)
        gradient, bend = norm(p * mass - op.target), float(mass.max()) * dx / 2
        divisor = op.divisor(per_example=True)
        return rounded(self, op, u, (gradient + bend) * dx / divisor, bend / divisor)


class NLLRounding:
    """C = -1/divisor sum over n of y_n,t(n)."""

    def forward(self, op: LossOperation, u: float) -> float:
        """gamma_{N+1} sum |y| / divisor: N - 1 additions, a division."""
        chosen = op.prediction[np.arange(len(op.target)), op.target]
        return gamma(len(chosen) + 1, u) * float(np.abs(chosen).sum()) / op.divisor(per_example=True)

    def backward(self, op: LossOperation, u: float) -> np.ndarray:
        """2 u / divisor at the labels: one division."""
        bound = np.zeros_like(op.prediction)
        bound[np.arange(len(op.target)), op.target] = 2 * u / op.divisor(per_example=True)
        return bound

    def carry(self, op: LossOperation, dx: float, u: float) -> tuple[float, float]:
        """C is linear in N of the y's; its gradient is constant."""
        return rounded(self, op, u, math.sqrt(len(op.target)) * dx / op.divisor(per_example=True), 0.0)


class BCERounding:
    """C = -1/divisor sum of t log a + (1 - t) log(1 - a), with torch's limits: log at -100, denominator at 1e-12."""

    def forward(self, op: LossOperation, u: float) -> float:
        """log a errs by 8 u |log a|; 1 - a by u relatively, so log(1 - a) by u + 8 u |log(1 - a)|; then the sum."""
        log_a, log_rest = self.logarithms(op.prediction)
        own = op.target * ELEMENTARY * np.abs(log_a) + (1 - op.target) * (1 + ELEMENTARY * np.abs(log_rest))
        size = np.abs(op.target * log_a) + np.abs((1 - op.target) * log_rest)
        return float((1.01 * u * own + gamma(op.target.size + 4, u) * size).sum()) / op.divisor()

    def backward(self, op: LossOperation, u: float) -> np.ndarray:
        """gamma_6 |g|: a - t, 1 - a, their product and two quotients."""
        return gamma(6, u) * np.abs(self.gradient(op))

    def carry(self, op: LossOperation, dx: float, u: float) -> tuple[float, float]:
        """The second derivative t/a^2 + (1 - t)/(1 - a)^2 grows fourfold at most while dx is under half of a and 1 - a.

        Nearer to 0 or 1 no finite bound holds.
        """
        a, t = op.prediction, op.target
        if dx > 0.5 * float(np.minimum(a, 1 - a).min()):
            return math.inf, math.inf
        bend = 4 * float((t / (a * a) + (1 - t) / ((1 - a) * (1 - a))).max()) * dx / op.divisor()
        return rounded(self, op, u, (norm(self.gradient(op)) + bend) * dx, bend)

    def logarithms(self, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log a and log(1 - a), cut off at -100."""
        with np.errstate(divide="ignore"):
            return np.maximum(np.log(a), -100), np.maximum(np.log1p(-a), -100)

    def gradient(self, op: LossOperation) -> np.ndarray:
        """Return dC/da."""
        a = op.prediction
        return (a - op.target) / np.maximum(a * (1 - a), 1e-12) / op.divisor()


def rounded(rule: LossRule, op: LossOperation, u: float, value: float, gradient: float) -> tuple[float, float]:
    """Return carried differences of loss and gradient with the rounding that each of the two sides adds."""
    return value + 2 * rule.forward(op, u), gradient + 2 * norm(rule.backward(op, u))
