"""Normalisation along the last dimensions of an example: LayerNorm, and RMSNorm, which takes no mean off.

No example looks at another, so training and evaluation are the same.
"""

import math

import numpy as np

from manual.checks import Array
from manual.normalization import standardize, standardize_backward


def as_shape(normalized_shape: int | tuple[int, ...] | list[int]) -> tuple[int, ...]:
    """Return the normalised dimensions as a tuple: 4 means (4,)."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape:
        raise ValueError("normalized_shape is empty; wanted the sizes of the last dimensions, such as 64 or (3, 8, 8).")
    return shape


class LastDimensions:
    """What LayerNorm and RMSNorm share: the last dimensions of X form the sets, as rows (R, M)."""

    normalized_shape: tuple[int, ...]

    whole_shape = True

    def rows(self, x: Array) -> Array:
        """Return x (*, *normalized_shape) as (R, M): one row a set, M its numbers."""
        kept = x.ndim - len(self.normalized_shape)
        if kept < 0 or x.shape[kept:] != self.normalized_shape:
            wanted = ", ".join(("*", *map(str, self.normalized_shape)))
            name, shape = type(self).__name__, self.normalized_shape
            raise ValueError(f"{name}({shape}) got an input of shape {x.shape}; wanted ({wanted}).")
        return x.reshape((math.prod(x.shape[:kept]), math.prod(self.normalized_shape)))

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return `input_shape`, one example's; raise ValueError if its last sizes are not `normalized_shape`."""
        shape = self.normalized_shape
        if input_shape is not None and input_shape[-len(shape) :] != shape:
            raise ValueError(f"wants the last dimensions to be {shape}")
        return input_shape


class LayerNorm(LastDimensions):
    """Y = W X_hat + b, with X_hat standardised over the last dimensions of every example.

    Shapes: X (*, *normalized_shape), taken as (R, M); W and b of shape normalized_shape, taken as (M,). The mean,
    variance and x_hat of a row are (90) to (94); every place of the row has its own w and b:

        y_rm = w_m x_hat_rm + b_m.            (111)

    Derivation. Write g = dC/dY. w_m and b_m act in every row, at one place:

        dW_m = sum_r g_rm x_hat_rm,    db_m = sum_r g_rm                          (112)
        h_rm = dC/dx_hat_rm = w_m g_rm                                            (113)

    and (104) leads from h to X. Here w does not come out of the means: it is not the same over the set.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...] | list[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ):
        """Start with W 1 and b 0. Without `elementwise_affine` there is neither."""
        self.normalized_shape = as_shape(normalized_shape)
        self.eps = float(eps)
        self.elementwise_affine = elementwise_affine
        self.parameters: dict[str, Array] = {"weight": np.ones(self.normalized_shape)} if elementwise_affine else {}
        if elementwise_affine and bias:
            self.parameters["bias"] = np.zeros(self.normalized_shape)
        self.gradients: dict[str, Array] = {}
        self.needs_input_gradient = True

    def forward(self, x: Array) -> Array:
        """Return Y, of the shape of x."""
        self.centred, self.inverse_std = standardize(self.rows(x), self.eps)  # (90) to (93)  (R, M), (R, 1)
        self.scale = self.inverse_std
        if "weight" in self.parameters:
            self.scale = np.einsum("r,m->rm", self.inverse_std[:, 0], self.parameters["weight"].reshape(-1))
        y = self.centred * self.scale  # w x_hat = c (r w)  (R, M)
        if "bias" in self.parameters:
            y += self.parameters["bias"].reshape(-1)
        return y.reshape(x.shape)  # (111)

    def backward(self, grad_output: Array) -> Array | None:
        """Fill `gradients`; return dC/dX, of the shape of x, or None where `needs_input_gradient` is off."""
        g, r = grad_output.reshape(self.centred.shape), self.inverse_std  # (R, M), (R, 1)
        sets, m = g.shape
        products = g * self.centred  # (R, M): summed over the rows dW, over the places mean(h x_hat)
        w = np.ones_like(g, shape=(m,))
        if "weight" in self.parameters:
            self.gradients["weight"] = (r[:, 0] @ products).reshape(self.normalized_shape)  # (112), with x_hat = c r
            w = self.parameters["weight"].reshape(-1)  # (M,)
        if "bias" in self.parameters:
            over_rows = np.ones_like(g, shape=(sets,))  # a sum as a product with ones: see row_means
            self.gradients["bias"] = (over_rows @ g).reshape(self.normalized_shape)  # (112)
        if not self.needs_input_gradient:
            return None
        mean_grad, mean_along = (g @ w)[:, None] / m, r * (products @ w)[:, None] / m  # mean(h), mean(h x_hat)  (R, 1)
        grad = standardize_backward(g * self.scale, self.centred, r * mean_grad, r * r * mean_along)  # r h = (r w) g
        return grad.reshape(grad_output.shape)  # (104)

    def __repr__(self) -> str:
        affine = self.elementwise_affine
        bias = ", bias=False" if affine and "bias" not in self.parameters else ""
        return f"LayerNorm({self.normalized_shape}, eps={self.eps}, elementwise_affine={affine}{bias})"


class RMSNorm(LastDimensions):
    """Y = W X_hat, with X_hat = X over its root mean square along the last dimensions. No mean is taken off.

    Shapes: X (*, *normalized_shape), taken as (R, M); W of shape normalized_shape, taken as (M,). For a row:

        r = 1 / sqrt(1/M sum_i x_i^2 + eps)                                       (115)
        x_hat_i = x_i r,    y_i = w_i x_hat_i                                     (116)

    Derivation. With h = dC/dx_hat = w g as in (113), x_i reaches the cost directly, with the factor r, and through r:

        dr = sum_i h_i x_i,    dr/dx_i = -1/2 r^3 2/M x_i = -r^2 x_hat_i / M
        dx_i = h_i r - x_hat_i r^2 / M sum_j h_j x_j = r (h_i - x_hat_i mean(h x_hat))             (117)

    It is (103): the step through the mean is not there, so neither is its term.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...] | list[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
    ):
        """Start with W 1. An `eps` of None is the distance from 1 to the next number of the input's dtype."""
        self.normalized_shape = as_shape(normalized_shape)
        self.eps = None if eps is None else float(eps)
        self.elementwise_affine = elementwise_affine
        self.parameters: dict[str, Array] = {"weight": np.ones(self.normalized_shape)} if elementwise_affine else {}
        self.gradients: dict[str, Array] = {}
        self.needs_input_gradient = True

    def forward(self, x: Array) -> Array:
        """Return Y, of the shape of x."""
        rows = self.rows(x)
        eps = float(np.finfo(x.dtype).eps) if self.eps is None else self.eps
        mean_square = np.einsum("rm,rm->r", rows, rows)[:, None] / rows.shape[1]  # (R, 1)
        self.inverse_rms = 1 / np.sqrt(mean_square + eps)  # (115)
        self.x_hat = y = rows * self.inverse_rms  # (R, M)
        if "weight" in self.parameters:
            y = y * self.parameters["weight"].reshape(-1)
        return y.reshape(x.shape)  # (116)

    def backward(self, grad_output: Array) -> Array | None:
        """Fill `gradients`; return dC/dX, of the shape of x, or None where `needs_input_gradient` is off."""
        h = g = grad_output.reshape(self.x_hat.shape)  # (R, M)
        sets, m = g.shape
        products = g * self.x_hat  # (R, M)
        w = np.ones_like(g, shape=(m,))
        if "weight" in self.parameters:
            over_rows = np.ones_like(g, shape=(sets,))
            self.gradients["weight"] = (over_rows @ products).reshape(self.normalized_shape)  # (112)
            w = self.parameters["weight"].reshape(-1)
            h = g * w  # (113)
        if not self.needs_input_gradient:
            return None
        along = (products @ w)[:, None] / m  # mean(h x_hat)  (R, 1)
        grad = self.x_hat * -along  # (R, M), the sum of (117) gathered in place
        grad += h
        grad *= self.inverse_rms
        return grad.reshape(grad_output.shape)  # (117)

    def __repr__(self) -> str:
        return f"RMSNorm({self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine})"
