"""Where the initial weights come from. Every initializer draws from a numpy.random.Generator given to it.

An initializer is a function of (rng, shape) that returns an array; for a weight of shape (out, in), fan_in is the
number of inputs of a unit and fan_out the number of units that an input feeds.
"""

import math

import numpy as np

from manual.checks import Array

Shape = tuple[int, ...]


def fans(shape: Shape) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight of `shape` (out, in, *kernel)."""
    if len(shape) < 2:
        raise ValueError(f"fan_in and fan_out need a weight of at least two dimensions; found shape {shape}.")
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def uniform(rng: np.random.Generator, shape: Shape, low: float = -1.0, high: float = 1.0) -> Array:
    """Uniform on [low, high): the tutorial's choice with its -1 and 1."""
    return rng.uniform(low, high, shape)


def normal(rng: np.random.Generator, shape: Shape, mean: float = 0.0, std: float = 1.0) -> Array:
    """Normal with the given mean and standard deviation."""
    return rng.normal(mean, std, shape)


def xavier_uniform(rng: np.random.Generator, shape: Shape, gain: float = 1.0) -> Array:
    """Uniform with variance gain^2 * 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    limit = gain * math.sqrt(6 / sum(fans(shape)))  # the variance of U(-l, l) is l^2 / 3
    return rng.uniform(-limit, limit, shape)


def xavier_normal(rng: np.random.Generator, shape: Shape, gain: float = 1.0) -> Array:
    """Normal with variance gain^2 * 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return rng.normal(0.0, gain * math.sqrt(2 / sum(fans(shape))), shape)


def kaiming_uniform(rng: np.random.Generator, shape: Shape) -> Array:
    """Uniform with variance 2 / fan_in, which ReLU layers keep steady (He et al. 2015)."""
    limit = math.sqrt(6 / fans(shape)[0])
    return rng.uniform(-limit, limit, shape)


def kaiming_normal(rng: np.random.Generator, shape: Shape) -> Array:
    """Normal with variance 2 / fan_in, which ReLU layers keep steady (He et al. 2015)."""
    return rng.normal(0.0, math.sqrt(2 / fans(shape)[0]), shape)


def torch_default(
    in_features: int, out_features: int, bias: bool = True, rng: np.random.Generator | None = None
) -> dict[str, Array]:
    """Return weight (out, in) and bias (out,) as torch.nn.Linear draws them: uniform on +-1/sqrt(in_features)."""
    rng = rng if rng is not None else np.random.default_rng()
    limit = 1 / math.sqrt(in_features)
    parameters = {"weight": uniform(rng, (out_features, in_features), -limit, limit)}
    if bias:
        parameters["bias"] = uniform(rng, (out_features,), -limit, limit)
    return parameters
