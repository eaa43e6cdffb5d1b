"""Activations: a few roundings an element; what counts is how the error of a intermediate value is passed on."""

import math

import numpy as np

from compare.agreement.rounding.operations import DerivedRounding, LayerOperation
from compare.agreement.rounding.unit import ELEMENTARY, gamma, norm, underflow


class SmoothRounding(DerivedRounding):
    """Carrying, for an elementwise a = f(z) with |f'| <= slope and |f''| <= curvature everywhere.

    ||f(z + e) - f(z)|| <= slope ||e||, and for dz = dy f'(z) the product rule gives
    ||change|| <= max|f'| dg + (max|dy| + dg) curvature dx. Each side adds its own rounding.
    """

    slope: float
    curvature: float

    def forward(self, op: LayerOperation, u: float) -> np.ndarray:
        """Bound the rounding error of a."""
        raise NotImplementedError

    def backward(self, op: LayerOperation, u: float) -> dict[str, np.ndarray]:
        """Bound the rounding error of dz."""
        raise NotImplementedError

    def carry_forward(self, op: LayerOperation, dx: float, u: float) -> float:
        """Slope times the change of the input."""
        return self.slope * dx + 2 * norm(self.forward(op, u))

    def carry_backward(self, op: LayerOperation, dx: float, dg: float, u: float) -> dict[str, float]:
        """The product rule above."""
        carried = self.slope * dg + (float(np.abs(op.dy).max()) + dg) * self.curvature * dx
        return {"input": carried + 2 * norm(self.backward(op, u)["input"])}


class SigmoidRounding(SmoothRounding):
    """a = 1 / (1 + e^-z)."""

    slope = 1 / 4  # at z = 0
    curvature = 1 / (6 * math.sqrt(3))  # the largest |a (1 - a) (1 - 2a)|, at a = 1/2 +- sqrt(3)/6

    def forward(self, op: LayerOperation, u: float) -> np.ndarray:
        """a ((1 - a) 8 u + 3 u).

        An error eps of e = e^-z changes a = 1/(1 + e) by eps e / (1 + e) = eps (1 - a), relatively; the addition and
        the division add u each; the third u covers the products of these small numbers. Where e^-z overflows, a is 0
        instead of a number too small to be normal.
        """
        z, a = op.x, exact_sigmoid(op.x)
        return a * (exact_sigmoid(-z) * ELEMENTARY + 3) * u + underflow(u)

    def backward(self, op: LayerOperation, u: float) -> dict[str, np.ndarray]:
        """|dy| (|1 - 2a| E + E^2 + 4 u a (1 - a) + u a), with E the error of a.

        (a + E)(1 - a - E) = a (1 - a) + E (1 - 2a) - E^2. Rounding 1 - a costs u (1 - a); where a product a - a^2 is
        formed instead, u a^2; two multiplications cost 2 u of the result.
        """
        error, a, rest = self.forward(op, u), exact_sigmoid(op.x), exact_sigmoid(-op.x)
        own = np.abs(1 - 2 * a) * error + error * error + 4 * u * a * rest + u * a * a * rest
        return {"input": np.abs(op.dy) * own}


class TanhRounding(SmoothRounding):
    """a = tanh z."""

    slope = 1.0
    curvature = 4 / (3 * math.sqrt(3))  # the largest |2 a (1 - a^2)|, at a = 1/sqrt(3)

    def forward(self, op: LayerOperation, u: float) -> np.ndarray:
        """8 u |a|: one elementary function."""
        return ELEMENTARY * u * np.abs(np.tanh(op.x))

    def backward(self, op: LayerOperation, u: float) -> dict[str, np.ndarray]:
        """|dy| (2 |a| E + E^2 + u a^2 + 3 u (1 - a^2)), with E the error of a: a square, a difference, a product."""
        error, a = self.forward(op, u), np.tanh(op.x)
        own = 2 * np.abs(a) * error + error * error + u * a * a + 3 * u * (1 - a * a)
        return {"input": np.abs(op.dy) * own}


class ReLURounding(DerivedRounding):
    """a = max(0, z): nothing is rounded. Its derivative jumps at 0."""

    def forward(self, op: LayerOperation, u: float) -> np.ndarray:
        """0: a is z or 0."""
        return np.zeros_like(op.x)

    def backward(self, op: LayerOperation, u: float) -> dict[str, np.ndarray]:
        """0: dz is dy or 0."""
        return {"input": np.zeros_like(op.dy)}

    def carry_forward(self, op: LayerOperation, dx: float, u: float) -> float:
        """The slope is at most 1."""
        return dx

    def carry_backward(self, op: LayerOperation, dx: float, dg: float, u: float) -> dict[str, float]:
        """The slope is at most 1, as long as both are on the same side of the kink: `kinks` sees to the others."""
        return {"input": dg}


class LogSoftmaxRounding(DerivedRounding):
    """y_k = s_k - log S, with s = z - max z along the axis and S = sum e^s."""

    def forward(self, op: LayerOperation, u: float) -> np.ndarray:
        """The bound of `log_softmax_error`."""
        return log_softmax_error(op.x, u, op.arguments.get("dim", -1))

    def backward(self, op: LayerOperation, u: float) -> dict[str, np.ndarray]:
        """dz = dy - p G with G = sum dy and p = e^y.

        p errs by p (E + 8 u) with E the error of y; G by gamma_{K-1} sum |dy|; the product by u; the difference by u of
        its result, at most u (|dy| + p |G|).
        """
        dim, dy = op.arguments.get("dim", -1), op.dy
        p = np.exp(exact_log_softmax(op.x, dim))
        error = log_softmax_error(op.x, u, dim) + (ELEMENTARY + 2) * u
        total, size = np.abs(dy.sum(axis=dim, keepdims=True)), np.abs(dy).sum(axis=dim, keepdims=True)
        return {"input": p * total * error + p * gamma(dy.shape[dim], u) * size + 2 * u * (np.abs(dy) + p * total)}

    def carry_forward(self, op: LayerOperation, dx: float, u: float) -> float:
        """The Jacobian of a row, I - 1 p^T, has the 2-norm at most 1 + |1| |p| <= 1 + sqrt(K)."""
        slope = 1 + math.sqrt(op.x.shape[op.arguments.get("dim", -1)])
        return slope * dx + 2 * norm(self.forward(op, u))

    def carry_backward(self, op: LayerOperation, dx: float, dg: float, u: float) -> dict[str, float]:
        """The product rule on dy - p G; the softmax has slope 1/2, |G| changes by at most sqrt(K) dg."""
        dim = op.arguments.get("dim", -1)
        k = math.sqrt(op.x.shape[dim])
        total = float(np.abs(op.dy.sum(axis=dim)).max())
        return {"input": (1 + k) * dg + (total + k * dg) * dx / 2 + 2 * norm(self.backward(op, u)["input"])}


def exact_sigmoid(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^-z), accurate for z of either sign: e^-|z| never overflows."""
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1 + e)


def exact_log_softmax(z: np.ndarray, dim: int) -> np.ndarray:
    """Return z - log sum e^z along an axis."""
    s = z - z.max(axis=dim, keepdims=True)
    return s - np.log(np.exp(s).sum(axis=dim, keepdims=True))


def log_softmax_error(z: np.ndarray, u: float, dim: int) -> np.ndarray:
    """Bound the rounding error of every element of a computed log-softmax.

    s_k errs by u |s_k|. That changes e^s_j by u |s_j| relatively, the exponential itself by 8 u, and the sum by
    gamma_{K-1}: together S errs relatively, and log S absolutely, by at most sum_j p_j (u |s_j| + 8 u) + gamma_K. The
    logarithm adds 8 u log S, the last subtraction u |y_k|.
    """
    s = z - z.max(axis=dim, keepdims=True)
    e = np.exp(s)
    total = e.sum(axis=dim, keepdims=True)
    y = s - np.log(total)
    relative = (e / total * np.abs(s)).sum(axis=dim, keepdims=True) * u + ELEMENTARY * u + gamma(z.shape[dim], u)
    return u * np.abs(s) + 1.01 * relative + ELEMENTARY * u * np.log(total) + 2 * u * np.abs(y)
