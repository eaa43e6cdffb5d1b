"""Clipping: a gradient that has grown too long is shortened before it is used."""

from collections.abc import Mapping
from functools import reduce

import numpy as np

from manual.checks import Array


def total_norm(gradients: Mapping[str, Array], norm_type: float = 2.0) -> Array:
    """Return the norm of all gradients as one long vector, a number.

    (sum over parameters and elements of |g|^norm_type)^(1 / norm_type)        (241)

    for an infinite norm_type the largest |g|, which is its limit.
    """
    sizes = [np.abs(gradient) for gradient in gradients.values()]
    if norm_type == np.inf:
        return reduce(np.maximum, [size.max() for size in sizes])
    if norm_type == 2:
        return np.sqrt(sum(np.square(size).sum() for size in sizes))  # (241)
    return np.power(sum(np.power(size, norm_type).sum() for size in sizes), 1 / norm_type)  # (241)


def clip_grad_norm_(gradients: Mapping[str, Array], max_norm: float, norm_type: float = 2.0) -> Array:
    """Shorten the gradients in place where their total norm exceeds `max_norm`; return that norm, before.

    As torch.nn.utils.clip_grad_norm_: all are multiplied by the same number, so the direction stays.
    """
    norm = total_norm(gradients, norm_type)
    coefficient = np.minimum(max_norm / (norm + 1e-6), 1.0)  # (242)
    for gradient in gradients.values():
        gradient *= coefficient
    return norm


def clip_grad_value_(gradients: Mapping[str, Array], clip_value: float) -> None:
    """Hold every element of the gradients within +-clip_value, in place, as torch.nn.utils.clip_grad_value_."""
    for gradient in gradients.values():
        np.copyto(gradient, np.minimum(np.maximum(gradient, -clip_value), clip_value))  # (243)
