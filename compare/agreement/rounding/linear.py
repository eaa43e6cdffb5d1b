"""Linear: sums of products, the classical case (Higham, chapter 3)."""

import math

import numpy as np

from compare.agreement.rounding.operations import DerivedRounding, LayerOperation
from compare.agreement.rounding.unit import gamma, norm


class LinearRounding(DerivedRounding):
    """Y = X W^T + b and its three gradients.

    A sum of n products computed in any order, with or without fused multiply-add, is sum x_i w_i (1 + e_i) with
    |e_i| <= gamma_n: each term takes part in one product and at most n - 1 additions (Higham, section 3.1). So the
    error is at most gamma_n sum |x_i| |w_i|.
    """

    def forward(self, op: LayerOperation, u: float) -> np.ndarray:
        """gamma_{n+1} (|X| |W|^T + |b|): n products and the addition of the bias."""
        weight = op.parameters["weight"]
        magnitude = np.abs(op.x) @ np.abs(weight).T
        if "bias" in op.parameters:
            magnitude += np.abs(op.parameters["bias"])
        return gamma(weight.shape[1] + 1, u) * magnitude

    def backward(self, op: LayerOperation, u: float) -> dict[str, np.ndarray]:
        """dX: gamma_out |dY| |W|.   dW: gamma_N |dY|^T |X|.   db: gamma_{N-1} sum_n |dY|."""
        weight, dy = op.parameters["weight"], np.abs(op.dy)
        rows, x_rows = dy.reshape(-1, weight.shape[0]), np.abs(op.x).reshape(-1, weight.shape[1])
        n = len(rows)  # examples, or all their positions
        bounds = {
            "input": gamma(weight.shape[0], u) * (dy @ np.abs(weight)),
            "weight": gamma(n, u) * (rows.T @ x_rows),
        }
        if "bias" in op.parameters:
            bounds["bias"] = gamma(max(n - 1, 1), u) * rows.sum(axis=0)
        return bounds

    def carry_forward(self, op: LayerOperation, dx: float, u: float) -> float:
        """||dX W^T|| <= ||dX|| ||W|| in the Frobenius norm; the weights are the same on both sides.

        Likewise || |X| |W|^T || <= ||X|| ||W||, which bounds the rounding of `forward` without computing it.
        """
        weight = norm(op.parameters["weight"])
        size = norm(op.x) * weight + math.sqrt(rows_of(op.x)) * norm(op.parameters.get("bias", 0.0))
        return dx * weight + 2 * gamma(op.x.shape[-1] + 1, u) * size

    def carry_backward(self, op: LayerOperation, dx: float, dg: float, u: float) -> dict[str, float]:
        """The product rule: d(dY^T X) = dg^T X + dY^T dX + dg^T dX, and likewise the others; rounding as above."""
        n, weight, x, dy = rows_of(op.x), norm(op.parameters["weight"]), norm(op.x), norm(op.dy)
        changes = {
            "input": dg * weight + 2 * gamma(op.dy.shape[-1], u) * dy * weight,
            "weight": dg * (x + dx) + dy * dx + 2 * gamma(n, u) * dy * x,
        }
        if "bias" in op.parameters:  # a sum of N rows: Cauchy and Schwarz
            changes["bias"] = math.sqrt(n) * (dg + 2 * gamma(max(n - 1, 1), u) * dy)
        return changes


def rows_of(x: np.ndarray) -> int:
    """Return the number of rows: examples, or all their positions."""
    return x.size // x.shape[-1]
