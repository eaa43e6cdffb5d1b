"""Group normalisation: a group of channels of one example gets mean 0 and variance 1."""

import math

import numpy as np

from manual.checks import Array
from manual.normalization import standardize, standardize_backward


class GroupNorm:
    """Y = gamma X_hat + beta, with X_hat standardised over a group of channels of one example.

    Shapes: X (N, C, *), taken as (N, G, K, L): G groups of K = C / G neighbouring channels with L positions each.
    gamma, beta (C,), taken as (G, K). A set is one group of one example, M = K L numbers; its mean, variance and x_hat
    are (90) to (94);

        y_ngkl = gamma_gk x_hat_ngkl + beta_gk.            (114)

    With one group it is LayerNorm over (C, *) with one gamma a channel; with C groups every channel stands alone.

    Derivation. Write g = dC/dY. Scale and shift are those of a channel, so h = gamma g (97), and (104) leads to X.
    All sums that are needed, those of (96) over examples and positions, those of (104) over channels and positions, go
    over the positions. So these come first, one of each for a channel of an example:

        s_ngk = sum_l g_ngkl,    t_ngk = sum_l g_ngkl x_hat_ngkl                                       (118)
        dbeta_gk = sum_n s_ngk,             dgamma_gk = sum_n t_ngk
        mean(h)_ng = 1/M sum_k gamma_gk s_ngk,    mean(h x_hat)_ng = 1/M sum_k gamma_gk t_ngk          (119)
    """

    whole_shape = True

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, bias: bool = True
    ):
        """Start with gamma 1 and beta 0; raise ValueError unless the channels divide evenly among the groups."""
        if num_channels % num_groups:
            raise ValueError(f"num_channels is {num_channels}; wanted a multiple of num_groups, which is {num_groups}.")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = float(eps)
        self.affine = affine
        self.parameters: dict[str, Array] = {"weight": np.ones(num_channels)} if affine else {}
        if affine and bias:
            self.parameters["bias"] = np.zeros(num_channels)
        self.gradients: dict[str, Array] = {}
        self.needs_input_gradient = True

    def forward(self, x: Array) -> Array:
        """Return Y, of the shape of x. Raises ValueError for a shape that does not fit."""
        self.require_shape(x)
        groups, of_group = self.num_groups, self.num_channels // self.num_groups
        shape = (x.shape[0], groups, of_group, math.prod(x.shape[2:]))  # (N, G, K, L)
        sets = x.reshape((x.shape[0] * groups, of_group * shape[3]))  # (N G, K L): one row a set
        centred, inverse_std = standardize(sets, self.eps)  # (90) to (93)
        self.centred, self.inverse_std = centred.reshape(shape), inverse_std.reshape((x.shape[0], groups, 1, 1))
        self.scale = self.inverse_std
        if "weight" in self.parameters:
            self.scale = self.inverse_std * self.by_group(self.parameters["weight"])  # r gamma  (N, G, K, 1)
        y = self.centred * self.scale  # gamma x_hat = c (r gamma)
        if "bias" in self.parameters:
            y += self.by_group(self.parameters["bias"])
        return y.reshape(x.shape)  # (114)

    def backward(self, grad_output: Array) -> Array | None:
        """Fill `gradients`; return dC/dX, of the shape of x, or None where `needs_input_gradient` is off."""
        g, r = grad_output.reshape(self.centred.shape), self.inverse_std[:, :, :, 0]  # (N, G, K, L), (N, G, 1)
        plain = np.einsum("ngkl->ngk", g)  # (118)  (N, G, K)
        along = np.einsum("ngkl,ngkl->ngk", g, self.centred) * r  # (118), with x_hat = c r
        if "bias" in self.parameters:
            self.gradients["bias"] = plain.sum(axis=0).reshape(-1)  # (119)  (C,)
        if "weight" in self.parameters:
            self.gradients["weight"] = along.sum(axis=0).reshape(-1)  # (119)  (C,)
            gamma = self.by_group(self.parameters["weight"])[:, :, 0]  # (G, K)
            plain, along = plain * gamma, along * gamma  # (97)
        if not self.needs_input_gradient:
            return None
        m = g.shape[2] * g.shape[3]
        mean_grad, mean_along = (sums.sum(axis=2, keepdims=True) / m for sums in (plain, along))  # (119)  (N, G, 1)
        shift, along = (r * mean_grad)[..., None], (r * r * mean_along)[..., None]  # (N, G, 1, 1)
        grad = standardize_backward(g * self.scale, self.centred, shift, along)  # r h = (r gamma) g
        return grad.reshape(grad_output.shape)  # (104)

    def by_group(self, parameter: Array) -> Array:
        """Return a parameter (C,) as (G, K, 1), to stand beside (N, G, K, L)."""
        return parameter.reshape((self.num_groups, -1, 1))

    def require_shape(self, x: Array) -> None:
        """Raise ValueError unless x is (N, num_channels, *), with more than one number to a set as torch wants it."""
        name = f"GroupNorm({self.num_groups}, {self.num_channels})"
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ValueError(f"{name} got an input of shape {x.shape}; wanted (N, {self.num_channels}, *).")
        if math.prod(x.shape) == self.num_groups:
            raise ValueError(
                f"Expected more than 1 value per channel when training, got input size {x.shape}: "
                f"the groups of {name} would hold a single value each, which has no variance."
            )

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return `input_shape`, one example's; raise ValueError if it is not of `num_channels` channels."""
        if input_shape is not None and input_shape[:1] != (self.num_channels,):
            raise ValueError(f"wants {self.num_channels} channels")
        return input_shape

    def __repr__(self) -> str:
        bias = ", bias=False" if self.affine and "bias" not in self.parameters else ""
        return f"GroupNorm({self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}{bias})"
