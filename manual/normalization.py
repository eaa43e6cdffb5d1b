"""Standardising: a set of numbers is given mean 0 and variance 1. The one derivation behind all normalising layers.

The layers differ only in which numbers form a set: those of one channel over the batch (BatchNorm), of one example
(LayerNorm), of a group of channels of one example (GroupNorm). Here every set is a row: X (R, M), R sets of M numbers.

The derivation is told twice. The chain form takes six small steps forward and the same six backward, each with a
derivative that fits in a line; the fused form is what they come to when multiplied out. The layers use the fused form.
"""

from typing import NamedTuple

import numpy as np

from manual.checks import Array

# The fused form


def standardize(x: Array, eps: float) -> tuple[Array, Array]:
    """Return c (R, M) and r (R, 1), of which every row of X_hat = c r has mean 0 and variance 1.

    mu = 1/M sum_i x_i                                  (90)
    c_i = x_i - mu                                      (91)
    v = 1/M sum_i c_i^2                                 (92)
    r = 1 / sqrt(v + eps)                               (93)
    x_hat_i = c_i r                                     (94)

    The variance is divided by M, not by M - 1. eps keeps r finite where all numbers of a row are equal. The product
    (94) is left to the layer, which multiplies by a weight anyway: every pass over X costs time.
    """
    centred = x - row_means(x)  # (90), (91)  (R, M) - (R, 1)
    variance = row_products(centred, centred) / x.shape[1]  # (92)  (R, 1)
    return centred, 1 / np.sqrt(variance + eps)  # (93)


def standardize_backward(scaled_grad: Array, centred: Array, mean_grad: Array, mean_along: Array) -> Array:
    """Return dC/dX from r h, where h = dC/dX_hat, and c, of the same shape; r mean(h), r^2 mean(h x_hat), one a set.

    Derivation. x_i reaches the cost by three roads: directly, through the mean, through the variance. The chain form
    below takes them one by one; multiplied out, with mean() over the row,

        dc_i = r (h_i - x_hat_i mean(h x_hat))                        the direct road and the variance's   (103)
        dx_i = dc_i - mean(dc)                                        the mean's
             = r (h_i - mean(h) - x_hat_i mean(h x_hat))              since mean(x_hat) = 0                (104)
             = r h_i - r mean(h) - c_i r^2 mean(h x_hat)              since x_hat = c r

    In words: what arrives loses its mean and its part along x_hat, since adding to all numbers of a row, or stretching
    them, changes nothing after standardising. The two means are nearly those of the gradients for shift and scale, so
    every layer has them at hand.
    """
    grad = centred * -mean_along  # the sum of (104), gathered in place: one new array
    grad -= mean_grad
    grad += scaled_grad
    return grad  # (104)


def row_means(x: Array) -> Array:
    """Return the mean of every row (R, 1). As a product with a vector of ones: measured, four times as fast as mean."""
    m = x.shape[1]
    return x @ np.ones_like(x, shape=(m, 1)) / m


def row_products(a: Array, b: Array) -> Array:
    """Return sum_m a_rm b_rm for every row (R, 1)."""
    return (a[:, None, :] @ b[:, :, None])[:, :, 0]  # R products (1, M) @ (M, 1)


# The chain form


class Steps(NamedTuple):
    """What the six steps forward leave for the steps backward."""

    centred: Array  # c (R, M)
    inverse_std: Array  # r (R, 1)
    x_hat: Array  # (R, M)


def standardize_in_steps(x: Array, eps: float) -> Steps:
    """Return what `standardize` does, one step a line, for x (R, M)."""
    mean = x.mean(axis=1, keepdims=True)  # (90)  (R, 1)
    centred = x - mean  # (91)  (R, M)
    variance = (centred * centred).mean(axis=1, keepdims=True)  # (92)  (R, 1)
    std = np.sqrt(variance + eps)  # (93), its root   (R, 1)
    inverse_std = 1 / std  # (93), its reciprocal  (R, 1)
    x_hat = centred * inverse_std  # (94)  (R, M)
    return Steps(centred, inverse_std, x_hat)


def standardize_in_steps_backward(grad_x_hat: Array, steps: Steps) -> Array:
    """Return what `standardize_backward` does, the steps above from the last to the first."""
    grad_centred, grad_inverse_std = divide_backward(grad_x_hat, steps)
    grad_variance = root_backward(grad_inverse_std, steps)
    grad_centred = grad_centred + variance_backward(grad_variance, steps)  # c is used twice: the roads add up
    grad_x, grad_mean = centre_backward(grad_centred)
    return grad_x + mean_backward(grad_mean, steps)  # and so is x


def divide_backward(grad_x_hat: Array, steps: Steps) -> tuple[Array, Array]:
    """x_hat_i = c_i r: dc_i = h_i r for the numerator, dr = sum_i h_i c_i for the one r of the row.            (98)"""
    grad_centred = grad_x_hat * steps.inverse_std  # (R, M)
    grad_inverse_std = (grad_x_hat * steps.centred).sum(axis=1, keepdims=True)  # (R, 1)
    return grad_centred, grad_inverse_std


def root_backward(grad_inverse_std: Array, steps: Steps) -> Array:
    """r = (v + eps)^(-1/2): dv = -1/2 (v + eps)^(-3/2) dr = -1/2 r^3 dr.            (99)"""
    return -0.5 * steps.inverse_std**3 * grad_inverse_std  # (R, 1)


def variance_backward(grad_variance: Array, steps: Steps) -> Array:
    """v = 1/M sum_i c_i^2: dc_i = 2/M c_i dv.            (100)"""
    return 2 / steps.centred.shape[1] * steps.centred * grad_variance  # (R, M)


def centre_backward(grad_centred: Array) -> tuple[Array, Array]:
    """c_i = x_i - mu: dx_i = dc_i, and dmu = -sum_i dc_i, since mu is taken off every number.            (101)"""
    return grad_centred, -grad_centred.sum(axis=1, keepdims=True)  # (R, M), (R, 1)


def mean_backward(grad_mean: Array, steps: Steps) -> Array:
    """mu = 1/M sum_i x_i: every dx_i gets dmu / M.            (102)"""
    return grad_mean / steps.centred.shape[1]  # (R, 1), the same for all M numbers of the row
