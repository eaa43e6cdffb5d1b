"""Flatten: the same numbers in another shape."""

import math

from manual.checks import Array


class Flatten:
    """The axes from start_dim to end_dim become one; the last of them runs fastest.            (57)

    For an image of C channels, H rows and W columns: y_n,(c H + h) W + w = x_nchw.

    Derivation. Every y is one x, with the factor 1, so every dC/dx is one dC/dy: the same reshaping back.      (58)
    """

    whole_shape = True

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Array) -> Array:
        """Return y, a view of x where its memory allows it."""
        self.shape = x.shape
        return x.reshape(self.flattened(x.shape, self.start_dim, self.end_dim))  # (57)

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dx, of the shape of x."""
        return grad_output.reshape(self.shape)  # (58)

    def flattened(self, shape: tuple[int, ...], start_dim: int, end_dim: int) -> tuple[int, ...]:
        """Return `shape` with the axes from start_dim to end_dim as one; raise ValueError where it has no such axes."""
        dimensions = max(len(shape), 1)  # a single number counts as one axis, as in torch
        first, last = (dim + dimensions if dim < 0 else dim for dim in (start_dim, end_dim))
        if not 0 <= first <= last < dimensions:
            raise ValueError(
                f"{self!r} got an input of shape {shape}; wanted at least the axes {start_dim} to {end_dim}, in order."
            )
        return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return the shape of one example's output; None where the batch itself is flattened."""
        if input_shape is None or self.start_dim == 0:
            return None
        try:
            return self.flattened((1, *input_shape), self.start_dim, self.end_dim)[1:]
        except ValueError:
            raise ValueError(f"wants the axes {self.start_dim} to {self.end_dim} of a batch") from None

    def __repr__(self) -> str:
        return f"Flatten(start_dim={self.start_dim}, end_dim={self.end_dim})"
