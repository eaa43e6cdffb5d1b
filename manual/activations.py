"""Activations: functions of one number, applied to every element, and LogSoftmax, applied to every row.

The derivative of an elementwise function multiplies elementwise: dC/dz = dC/da * da/dz, and nothing is summed.
"""

import numpy as np

from manual.checks import Array


class Elementwise:
    """What all elementwise activations share: the shape passes through unchanged."""

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return `input_shape`."""
        return input_shape

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Sigmoid(Elementwise):
    """a = 1 / (1 + e^-z), the logistic function.            (2)

    Derivation. With e = e^-z, a = (1 + e)^-1, so da/dz = -(1 + e)^-2 * (-e) = e / (1 + e)^2.
    Since 1 - a = e / (1 + e), this is a (1 - a): the derivative needs the output alone.            (6)
    """

    def forward(self, z: Array) -> Array:
        """Return a, of the shape of z."""
        with np.errstate(over="ignore"):  # e^-z = inf for very negative z, and 1 / inf = 0 is what is wanted
            self.a = 1 / (1 + np.exp(-z))  # (2)
        return self.a

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dz for dC/da."""
        return grad_output * (self.a * (1 - self.a))  # (14)


class Tanh(Elementwise):
    """a = tanh z = (e^z - e^-z) / (e^z + e^-z).

    Derivation. The quotient rule gives da/dz = 1 - ((e^z - e^-z) / (e^z + e^-z))^2 = 1 - a^2.            (23)
    """

    def forward(self, z: Array) -> Array:
        """Return a, of the shape of z."""
        self.a = np.tanh(z)
        return self.a

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dz for dC/da."""
        return grad_output * (1 - self.a * self.a)  # (23)


class ReLU(Elementwise):
    """a = max(0, z).            (24)

    Derivation. a = z where z > 0, with derivative 1; a = 0 where z < 0, with derivative 0. At the kink z = 0 there is
    none; 0 is taken there, as torch does.            (25)
    """

    def forward(self, z: Array) -> Array:
        """Return a, of the shape of z. A NaN stays a NaN."""
        self.off = np.real(z) <= 0  # the side is decided on the real part, so that the complex step can pass
        return np.where(self.off, 0, z)  # (24)

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dz for dC/da."""
        return np.where(self.off, 0, grad_output)  # (25)


class LogSoftmax:
    """y_k = z_k - log sum_m e^z_m along one axis: the logarithms of the softmax p.            (29)

    The largest z of the row is taken off first. That changes nothing (numerator and denominator both lose the factor
    e^max) and keeps every exponential below 1.

    Derivation. dy_m/dz_k = [m = k] - e^z_k / sum_j e^z_j = [m = k] - p_k. Every output depends on every input of its
    row, so the chain rule sums over the row: dC/dz_k = sum_m dC/dy_m ([m = k] - p_k) = dC/dy_k - p_k sum_m dC/dy_m.
                                                                                                            (30)
    """

    def __init__(self, dim: int = -1):
        self.dim = dim

    def forward(self, z: Array) -> Array:
        """Return y, of the shape of z."""
        shifted = z - np.real(z).max(axis=self.dim, keepdims=True)
        self.y = shifted - np.log(np.exp(shifted).sum(axis=self.dim, keepdims=True))  # (29)
        return self.y

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dz for dC/dy."""
        p = np.exp(self.y)
        return grad_output - p * grad_output.sum(axis=self.dim, keepdims=True)  # (30)

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return `input_shape`."""
        return input_shape

    def __repr__(self) -> str:
        return f"LogSoftmax(dim={self.dim})"
