"""Positions: what stands where in a sequence is added to what stands there."""

import numpy as np

from manual import initializers
from manual.checks import Array


class Positions:
    """y_nt = x_nt + W_t: every place t of a sequence has a learned row, added to the vector there.            (65)

    Attention treats a sequence as a set; this tells it the order. An addition of ours, not in torch.nn: there it is an
    Embedding of 0, 1, 2, ... added by hand.

    Shapes: x (N, T, features) with T up to `length`; W (length, features); y as x.

    Derivation. y_nt holds x_nt with the factor 1: dC/dx = dC/dy. W_t takes part in y_nt of every example n, with the
    factor 1: dC/dW_t = sum_n dC/dy_nt, and 0 for the places beyond T.            (66)
    """

    whole_shape = True

    def __init__(self, length: int, features: int, rng: np.random.Generator | None = None):
        """Draw W as an Embedding's table, normal of mean 0 and deviation 1, from `rng` (fresh entropy if None)."""
        self.length, self.features = length, features
        rng = rng if rng is not None else np.random.default_rng()
        self.parameters: dict[str, Array] = {"weight": initializers.normal(rng, (length, features))}
        self.gradients: dict[str, Array] = {}
        self.needs_input_gradient = True

    def forward(self, x: Array) -> Array:
        """Return y, of the shape of x (N, T, features)."""
        if x.ndim != 3 or not self.fits(x.shape[1:]):
            raise ValueError(
                f"{self!r} got an input of shape {x.shape}; wanted (N, T, {self.features}) with T up to {self.length}."
            )
        return x + self.parameters["weight"][: x.shape[1]]  # (65)  (T, features) added to each of the N examples

    def backward(self, grad_output: Array) -> Array | None:
        """Fill `gradients`; return dC/dx, which is dC/dy, or None where `needs_input_gradient` is off."""
        gradient = np.zeros_like(grad_output, shape=(self.length, self.features))
        gradient[: grad_output.shape[1]] = grad_output.sum(axis=0)  # (66)
        self.gradients["weight"] = gradient
        return grad_output if self.needs_input_gradient else None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an example may have this shape."""
        return len(shape) == 2 and shape[0] <= self.length and shape[1] == self.features

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return `input_shape`; raise ValueError unless it is (T, features) with T up to `length`."""
        if input_shape is not None and not self.fits(input_shape):
            raise ValueError(f"wants (T, {self.features}) with T up to {self.length}")
        return input_shape

    def __repr__(self) -> str:
        return f"Positions({self.length}, {self.features})"
