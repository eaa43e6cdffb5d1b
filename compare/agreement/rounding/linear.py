"""Linear: sums of products, the classical case (Higham, chapter 3)."""

import math

import numpy as np

from compare.agreement.rounding.operations import LayerOperation
from compare.agreement.rounding.unit import gamma, norm


class LinearRounding:
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
        weight, dy, n = op.parameters["weight"], np.abs(op.dy), len(op.x)
        bounds = {
            "input": gamma(weight.shape[0], u) * (dy @ np.abs(weight)),
            "weight": gamma(n, u) * (dy.T @ np.abs(op.x)),
        }
        if "bias" in op.parameters:
            bounds["bias"] = gamma(max(n - 1, 1), u) * dy.sum(axis=0)
        return bounds

    def carry_forward(self, op: LayerOperation, dx: float) -> float:
        """||dX W^T|| <= ||dX|| ||W|| in the Frobenius norm; the weights are the same on both sides."""
        return dx * norm(op.parameters["weight"])

    def carry_backward(self, op: LayerOperation, dx: float, dg: float) -> dict[str, float]:
        """The product rule: d(dY^T X) = dg^T X + dY^T dX + dg^T dX, and likewise the others."""
        changes = {
            "input": dg * norm(op.parameters["weight"]),
            "weight": dg * norm(op.x) + norm(op.dy) * dx + dg * dx,
        }
        if "bias" in op.parameters:
            changes["bias"] = math.sqrt(len(op.x)) * dg  # a sum of N rows: Cauchy and Schwarz
        return changes
