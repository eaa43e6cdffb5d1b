"""Batch normalisation: every channel gets mean 0 and variance 1 over the batch, then a scale and a shift to learn."""

import math

import numpy as np

from manual.checks import Array


class BatchNorm:
    """Y = gamma X_hat + beta, channel by channel, X_hat standardised over all examples and positions of a channel.

    Shapes: X (N, C, *), taken as (N, C, L) with L positions an example (L = 1 for (N, C)); gamma, beta (C,), called
    weight and bias. A channel's set has M = N L numbers. The set's mean, variance and x_hat are (90) to (94);

        y = gamma x_hat + beta.            (95)

    Derivation. Write g = dC/dY. gamma takes part in every y of its channel with the factor x_hat, beta with 1:

        dgamma = sum g x_hat,    dbeta = sum g            over the M numbers of the channel              (96)
        h = dC/dx_hat = gamma g                                                                        (97)

    Put into (104), gamma is the same for the whole set and comes out, and the two means are (96) over M:

        dX = gamma r (g - dbeta / M - x_hat dgamma / M)                                                (106)

    In training the running statistics move towards those of the batch, the variance by its unbiased estimate:

        running_mean <- (1 - momentum) running_mean + momentum mu                                      (107)
        running_var  <- (1 - momentum) running_var + momentum v M / (M - 1)                            (108)

    with momentum = 1 / (number of batches so far) if it is None: then they are plain averages over the batches. (109)
    In evaluation they stand in the place of mu and v. They do not depend on X, so both roads through them are closed:

        dX = gamma r g                                                                                 (110)
    """

    dimensions: tuple[int, ...] = ()  # of the inputs that are accepted
    inputs = ""  # the same in words

    whole_shape = True

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
    ):
        """Start with gamma 1, beta 0, running mean 0 and variance 1. Without `affine` there is no gamma and no beta."""
        self.num_features = num_features
        self.eps = float(eps)
        self.momentum = None if momentum is None else float(momentum)  # a NumPy scalar would impose its dtype
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.parameters: dict[str, Array] = {"weight": np.ones(num_features)} if affine else {}
        if affine and bias:
            self.parameters["bias"] = np.zeros(num_features)
        self.gradients: dict[str, Array] = {}
        self.buffers: dict[str, Array] = {}
        if track_running_stats:
            self.buffers = {
                "running_mean": np.zeros(num_features),
                "running_var": np.ones(num_features),
                "num_batches_tracked": np.array(0),
            }
        self.training = True
        self.needs_input_gradient = True

    def forward(self, x: Array) -> Array:
        """Return Y, of the shape of x; in training, move the running statistics.

        Raises ValueError for a shape that does not fit, and where a batch's variance would be that of one number.
        """
        self.require_shape(x)
        self.of_batch = self.training or not self.buffers  # without running statistics the batch's serve always
        examples, positions = x.shape[0], math.prod(x.shape[2:])  # N, L
        values = x.reshape((examples, self.num_features, positions))  # (N, C, L)
        self.m = examples * positions  # M, the numbers of a channel
        if self.of_batch:
            if self.m == 1:
                raise ValueError(
                    f"Expected more than 1 value per channel when training, got input size {x.shape}: "
                    "a single value has no variance. Give a larger batch, or evaluate with running statistics."
                )
            mean = np.einsum("ncl->c", values) / self.m  # (90)  (C,)
            centred = values - mean[:, None]  # (91)
            variance = np.einsum("ncl,ncl->c", centred, centred) / self.m  # (92)  (C,)
            if self.training and self.buffers:
                self.track(mean, variance)
        else:
            dtype = np.real(x).dtype
            centred = values - converted(self.buffers["running_mean"], dtype)[:, None]
            variance = converted(self.buffers["running_var"], dtype)
        self.centred, self.inverse_std = centred, 1 / np.sqrt(variance + self.eps)  # (93)  (N, C, L), (C,)
        self.scale = self.inverse_std  # (C,)
        if "weight" in self.parameters:
            self.scale = self.inverse_std * self.parameters["weight"]  # r gamma
        y = centred * self.scale[:, None]  # gamma x_hat = c (r gamma)
        if "bias" in self.parameters:
            y += self.parameters["bias"][:, None]
        return y.reshape(x.shape)  # (95)

    def track(self, mean: Array, variance: Array) -> None:
        """Move the running statistics towards the batch's mean (C,) and variance (C,)."""
        old = self.buffers
        batches = old["num_batches_tracked"] + 1
        momentum = 1 / int(batches) if self.momentum is None else self.momentum  # (109)
        mean, unbiased = np.real(mean), np.real(variance) * (self.m / (self.m - 1))  # numbers, in a complex step too
        running_mean, running_var = (converted(old[key], mean.dtype) for key in ("running_mean", "running_var"))
        self.buffers["running_mean"] = (1 - momentum) * running_mean + momentum * mean  # (107)
        self.buffers["running_var"] = (1 - momentum) * running_var + momentum * unbiased  # (108)
        self.buffers["num_batches_tracked"] = np.asarray(batches)

    def backward(self, grad_output: Array) -> Array | None:
        """Fill `gradients`; return dC/dX, of the shape of x, or None where `needs_input_gradient` is off."""
        g, r = grad_output.reshape(self.centred.shape), self.inverse_std  # (N, C, L), (C,)
        grad_weight = np.einsum("ncl,ncl->c", g, self.centred) * r  # (96), with x_hat = c r  (C,)
        grad_bias = np.einsum("ncl->c", g)  # (96)  (C,)
        if "weight" in self.parameters:
            self.gradients["weight"] = grad_weight
        if "bias" in self.parameters:
            self.gradients["bias"] = grad_bias
        if not self.needs_input_gradient:
            return None
        scale = self.scale[:, None]  # gamma r  (C, 1)
        if not self.of_batch:
            return (g * scale).reshape(grad_output.shape)  # (110)
        grad = self.centred * (r * grad_weight / -self.m)[:, None]  # the sum of (106), gathered in place
        grad -= (grad_bias / self.m)[:, None]
        grad += g
        grad *= scale
        return grad.reshape(grad_output.shape)  # (106)

    def require_shape(self, x: Array) -> None:
        """Raise ValueError unless x is (N, C, *) with as many dimensions as the layer takes."""
        if x.ndim not in self.dimensions or x.shape[1] != self.num_features:
            name, wanted = type(self).__name__, self.inputs.replace("C", str(self.num_features))
            raise ValueError(f"{name}({self.num_features}) got an input of shape {x.shape}; wanted {wanted}.")

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return `input_shape`, one example's; raise ValueError if it is not of `num_features` channels."""
        if input_shape is not None and (
            len(input_shape) + 1 not in self.dimensions or input_shape[0] != self.num_features
        ):
            raise ValueError(f"wants {self.num_features} channels, a batch of shape {self.inputs}")
        return input_shape

    def __repr__(self) -> str:
        bias = ", bias=False" if self.affine and "bias" not in self.parameters else ""
        return (
            f"{type(self).__name__}({self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}{bias})"
        )


class BatchNorm1d(BatchNorm):
    """Batch normalisation of features (N, C) or of sequences (N, C, L)."""

    dimensions = (2, 3)
    inputs = "(N, C) or (N, C, L)"


class BatchNorm2d(BatchNorm):
    """Batch normalisation of images (N, C, H, W)."""

    dimensions = (4,)
    inputs = "(N, C, H, W)"


def converted(buffer: Array, dtype: np.dtype) -> Array:
    """Return the buffer in the dtype of the tensors that it meets: it must not impose its own on them."""
    return buffer if buffer.dtype == dtype else buffer.astype(dtype)
