"""The linear layer: a weighted sum of its inputs for every unit, and the three gradients that follow from it."""

import numpy as np

from manual import initializers
from manual.checks import Array, require_features


class Linear:
    """Z = X W^T + b, for a batch X of N examples.            (11)

    Shapes: X (N, in_features), W (out_features, in_features) as in torch.nn.Linear, b (out_features,),
    Z (N, out_features).

    Derivation. Write delta = dC/dZ for what arrives from above. Component by component (11) is
    z_nj = sum_i w_ji x_ni + b_j, so

        w_ji takes part in z_nj of every example n, with the factor x_ni:
            dC/dw_ji = sum_n delta_nj x_ni          as a matrix   dW = delta^T X      (15)
        b_j takes part in z_nj of every example n, with the factor 1:
            dC/db_j  = sum_n delta_nj               as a vector   db = sum_n delta_n  (16)
        x_ni takes part in z_nj of every unit j, with the factor w_ji:
            dC/dx_ni = sum_j delta_nj w_ji          as a matrix   dX = delta W        (18)

    No 1/N appears: it entered once, with the loss (13), and delta carries it.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, rng: np.random.Generator | None = None):
        """Draw torch's default initial weights from `rng` (fresh entropy if None); a Network may replace them."""
        self.in_features = in_features
        self.out_features = out_features
        self.parameters: dict[str, Array] = initializers.torch_default(in_features, out_features, bias, rng)
        self.gradients: dict[str, Array] = {}
        self.needs_input_gradient = True  # a Network turns it off where nobody would read it

    def forward(self, x: Array) -> Array:
        """Return Z (N, out_features) for x (N, in_features)."""
        require_features(f"Linear({self.in_features}, {self.out_features})", x, self.in_features)
        self.x = x
        z = x @ self.parameters["weight"].T  # (N, in) @ (in, out) = (N, out)
        if "bias" in self.parameters:
            z += self.parameters["bias"]  # (out,) added to each of the N rows
        return z  # (11)

    def backward(self, grad_output: Array) -> Array | None:
        """Fill `gradients`; return dC/dX (N, in_features), or None where `needs_input_gradient` is off."""
        self.gradients["weight"] = grad_output.T @ self.x  # (15)  (out, N) @ (N, in) = (out, in)
        if "bias" in self.parameters:
            self.gradients["bias"] = grad_output.sum(axis=0)  # (16)  (out,)
        if not self.needs_input_gradient:
            return None
        return grad_output @ self.parameters["weight"]  # (18)  (N, out) @ (out, in) = (N, in)

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...]:
        """Return the shape of one example's output, given that of its input (None: not known)."""
        if input_shape is not None and input_shape != (self.in_features,):
            raise ValueError(f"wants {self.in_features} inputs")
        return (self.out_features,)

    def __repr__(self) -> str:
        bias = "" if "bias" in self.parameters else ", bias=False"
        return f"Linear({self.in_features}, {self.out_features}{bias})"
