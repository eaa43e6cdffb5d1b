"""The linear layer: a weighted sum of its inputs for every unit, and the three gradients that follow from it."""

import numpy as np

from manual import initializers
from manual.checks import Array, require_features
from manual.products import product


def rows(x: Array) -> Array:
    """Return all vectors of x (N, ..., features) under each other: (rows, features)."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


class Linear:
    """Z = X W^T + b, for a batch X of N examples.            (11)

    Shapes: X (N, in_features), W (out_features, in_features) as in torch.nn.Linear, b (out_features,),
    Z (N, out_features).

    Derivation. Write delta = dC/dZ for what arrives from above. Component by component (11) is
    z_nj = sum_i w_ji x_ni + b_j, so

        w_ji takes part in z_nj of every example n, with the factor x_ni:
            dC/dw_ji = sum_n delta_nj x_ni  (247)   as a matrix   dW = delta^T X      (15)
        b_j takes part in z_nj of every example n, with the factor 1:
            dC/db_j  = sum_n delta_nj               as a vector   db = sum_n delta_n  (16)
        x_ni takes part in z_nj of every unit j, with the factor w_ji:
            dC/dx_ni = sum_j delta_nj w_ji  (17)    as a matrix   dX = delta W        (18)

    No 1/N appears: it entered once, with the loss (13), and delta carries it.

    An example may be more than one vector, say the T of a sequence: X (N, ..., in_features). Each is transformed by
    itself with the same weights, z_n...j = sum_i w_ji x_n...i + b_j, so it is a row like any other: (11) for all rows
    under each other            (55)
    and the sums of (15) and (16) run over every row.            (56)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, rng: np.random.Generator | None = None):
        """Draw torch's default initial weights from `rng` (fresh entropy if None); a Network may replace them."""
        self.in_features = in_features
        self.out_features = out_features
        self.parameters: dict[str, Array] = initializers.torch_default(in_features, out_features, bias, rng)
        self.gradients: dict[str, Array] = {}
        self.needs_input_gradient = True  # a Network turns it off where nobody would read it

    def forward(self, x: Array) -> Array:
        """Return Z (N, ..., out_features) for x (N, ..., in_features)."""
        require_features(self, x, self.in_features)
        self.x = rows(x)  # (55)
        z = product(self.x, self.parameters["weight"].T)  # (N, in) @ (in, out) = (N, out)
        if "bias" in self.parameters:
            z += self.parameters["bias"]  # (out,) added to each of the N rows
        return z if x.ndim == 2 else z.reshape(*x.shape[:-1], self.out_features)  # (11)

    def backward(self, grad_output: Array) -> Array | None:
        """Fill `gradients`; return dC/dX (N, ..., in_features), or None where `needs_input_gradient` is off."""
        self.gradients.clear()  # the last step's: their memory serves those of this one
        delta = rows(grad_output)  # (56)
        self.gradients["weight"] = product(delta.T, self.x)  # (15)  (out, N) @ (N, in) = (out, in)
        if "bias" in self.parameters:
            self.gradients["bias"] = delta.sum(axis=0)  # (16)  (out,)
        if not self.needs_input_gradient:
            return None
        grad_input = product(delta, self.parameters["weight"])  # (18)  (N, out) @ (out, in) = (N, in)
        return grad_input if grad_output.ndim == 2 else grad_input.reshape(*grad_output.shape[:-1], self.in_features)

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...]:
        """Return the shape of one example's output, given that of its input (None: not known)."""
        if input_shape is None:
            return (self.out_features,)
        if input_shape[-1:] != (self.in_features,):
            raise ValueError(f"wants {self.in_features} inputs")
        return (*input_shape[:-1], self.out_features)

    def __repr__(self) -> str:
        bias = "" if "bias" in self.parameters else ", bias=False"
        return f"Linear({self.in_features}, {self.out_features}{bias})"
