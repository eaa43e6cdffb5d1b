"""Softmax and LogSoftmax: a row of numbers becomes probabilities, or their logarithms.

Every output depends on every input of its row, so here the chain rule sums over the row.
"""

import numpy as np

from manual.checks import Array


class Rowwise:
    """What both share: the axis along which a row lies.

    By default the last one. dim=None is torch's implicit choice: the first axis of an input of 0, 1 or 3 dimensions,
    the second of any other.
    """

    def __init__(self, dim: int | None = -1):
        self.dim = dim

    def axis(self, z: Array) -> int:
        """Return the axis of the rows of z."""
        if self.dim is None:
            return 0 if z.ndim in (0, 1, 3) else 1
        return self.dim

    def shifted(self, z: Array) -> Array:
        """Return z less the largest z of its row: every exponential is at most 1, and no ratio of two changes."""
        return z - np.real(z).max(axis=self.axis(z), keepdims=True)

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return `input_shape`."""
        return input_shape

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dim={self.dim})"


class Softmax(Rowwise):
    """p_k = e^z_k / sum_m e^z_m along one axis.            (53)

    Derivation. By the quotient rule dp_m/dz_k = p_m ([m = k] - p_k). The chain rule sums over the row:
    dC/dz_k = sum_m dC/dp_m p_m ([m = k] - p_k) = p_k (dC/dp_k - sum_m dC/dp_m p_m).            (54)
    In words: the mean gradient, weighted by p, is taken off, for a row that moves as a whole changes nothing.
    """

    def forward(self, z: Array) -> Array:
        """Return p, of the shape of z."""
        e = np.exp(self.shifted(z))
        e /= e.sum(axis=self.axis(z), keepdims=True)
        self.p = e  # (53)
        return self.p

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dz for dC/dp."""
        mean = (grad_output * self.p).sum(axis=self.axis(grad_output), keepdims=True)
        grad = grad_output - mean
        grad *= self.p
        return grad  # (54)


class LogSoftmax(Rowwise):
    """y_k = z_k - log sum_m e^z_m along one axis: the logarithms of the softmax p.            (29)

    The largest z of the row is taken off first. That changes nothing (numerator and denominator both lose the factor
    e^max) and keeps every exponential below 1.

    Derivation. dy_m/dz_k = [m = k] - e^z_k / sum_j e^z_j = [m = k] - p_k (252). Every output depends on every input of
    its row, so the chain rule sums over the row: dC/dz_k = sum_m dC/dy_m ([m = k] - p_k) = dC/dy_k - p_k sum_m dC/dy_m.
                                                                                                            (30)
    """

    def forward(self, z: Array) -> Array:
        """Return y, of the shape of z."""
        shifted = self.shifted(z)
        self.e = np.exp(shifted)
        self.total = self.e.sum(axis=self.axis(z), keepdims=True)
        return shifted - np.log(self.total)  # (29)

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dz for dC/dy."""
        share = grad_output.sum(axis=self.axis(grad_output), keepdims=True) / self.total
        return grad_output - self.e * share  # (30), with p = e / total
