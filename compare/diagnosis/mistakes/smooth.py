"""Mistakes of one activation each: a term of its product rule, a factor of its inner function, the wrong side."""

import math

import numpy as np

from compare.diagnosis.mistakes.catalogue import Wrong, mistake
from compare.diagnosis.site import Site
from manual.erf import erf

# LeakyReLU


@mistake("leakyrelu-slope-missing-backward", "Below 0 the gradient is 0, as a ReLU's.", "LeakyReLU", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else np.where(site.x > 0, site.dy, 0)


@mistake("leakyrelu-sides-swapped", "The slope is applied above 0 instead of below.", "LeakyReLU", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else np.where(site.x > 0, leak(site) * site.dy, site.dy)


@mistake("leakyrelu-side-from-gradient", "The side is taken from the gradient: dy > 0.", "LeakyReLU", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else np.where(site.dy > 0, site.dy, leak(site) * site.dy)


@mistake("leakyrelu-slope-missing-forward", "Below 0 the output is 0, as a ReLU's.", "LeakyReLU", "output")
def _(site: Site) -> np.ndarray:
    return np.where(site.x > 0, site.x, 0)


def leak(site: Site) -> float:
    """Return the slope below 0."""
    return site.arguments.get("negative_slope", 0.01)


# ELU: alpha (e^z - 1) below 0, with the derivative alpha e^z


def elu(site: Site) -> tuple[float, np.ndarray]:
    """Return alpha, and e^z below 0 (1 above)."""
    return site.arguments.get("alpha", 1.0), np.exp(np.minimum(site.x, 0))


@mistake("elu-derivative-as-output", "Below 0 the derivative is a instead of a + alpha.", "ELU", "input")
def _(site: Site) -> np.ndarray | None:
    alpha, e = elu(site)
    return None if site.dy is None else site.dy * np.where(site.x > 0, 1, alpha * (e - 1))


@mistake("elu-alpha-missing-backward", "Below 0 the derivative is e^z instead of alpha e^z.", "ELU", "input")
def _(site: Site) -> np.ndarray | None:
    alpha, e = elu(site)
    return None if site.dy is None or alpha == 1 else site.dy * e


@mistake("elu-derivative-plus-one", "Below 0 the derivative is a + 1 instead of a + alpha.", "ELU", "input")
def _(site: Site) -> np.ndarray | None:
    alpha, e = elu(site)
    return None if site.dy is None or alpha == 1 else site.dy * np.where(site.x > 0, 1, alpha * (e - 1) + 1)


@mistake("elu-zero-below", "Below 0 the gradient is 0, as a ReLU's.", "ELU", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else np.where(site.x > 0, site.dy, 0)


@mistake("elu-minus-one-missing", "alpha e^z below 0: the 1 is not taken off.", "ELU", "output")
def _(site: Site) -> np.ndarray:
    alpha, e = elu(site)
    return np.where(site.x > 0, site.x, alpha * e)


# GELU: z Phi(z), with the derivative Phi + z phi; and its tanh form


def tanh_form(site: Site) -> bool:
    """Whether the layer computes the tanh form."""
    return site.arguments.get("approximate", "none") == "tanh"


def normal(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Phi(z) and phi(z)."""
    return 0.5 + 0.5 * erf(z * math.sqrt(0.5)), np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def approximation(z: np.ndarray, cubic: float = 3 * 0.044715) -> tuple[np.ndarray, np.ndarray]:
    """Return tanh u of the tanh form, and du/dz with this factor before its z^2."""
    root = math.sqrt(2 / math.pi)
    return np.tanh(root * (z + 0.044715 * z * z * z)), root * (1 + cubic * z * z)


def gelu(z: np.ndarray, tanh: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the share of z that passes, its derivative, and the whole derivative."""
    if tanh:
        t, slope = approximation(z)
        share, density = 0.5 * (1 + t), 0.5 * (1 - t * t) * slope
    else:
        share, density = normal(z)
    return share, density, share + z * density


@mistake("gelu-density-term-missing", "z is held fixed in Phi: the derivative is Phi alone.", "GELU", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else site.dy * gelu(site.x, tanh_form(site))[0]


@mistake("gelu-density-without-factor", "The derivative is Phi + phi instead of Phi + z phi.", "GELU", "input")
def _(site: Site) -> np.ndarray | None:
    share, density, _ = gelu(site.x, tanh_form(site))
    return None if site.dy is None else site.dy * (share + density)


@mistake("gelu-density-not-normalised", "The density is e^(-z^2/2) without 1/sqrt(2 pi).", "GELU", "input")
def _(site: Site) -> np.ndarray | None:
    share, density = normal(site.x)
    return None if site.dy is None or tanh_form(site) else site.dy * (share + site.x * density * math.sqrt(2 * math.pi))


@mistake("gelu-other-form-backward", "The other form's derivative: tanh for erf, or erf for tanh.", "GELU", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else site.dy * gelu(site.x, not tanh_form(site))[2]


@mistake("gelu-inner-derivative-missing", "The tanh form's du/dz is left out.", "GELU", "input")
def _(site: Site) -> np.ndarray | None:
    t, _ = approximation(site.x)
    return site.dy * 0.5 * (1 + t + site.x * (1 - t * t)) if site.dy is not None and tanh_form(site) else None


@mistake("gelu-cubic-factor-missing", "The 3 of the cube's derivative is left out of du/dz.", "GELU", "input")
def _(site: Site) -> np.ndarray | None:
    t, slope = approximation(site.x, cubic=0.044715)
    return site.dy * 0.5 * (1 + t + site.x * (1 - t * t) * slope) if site.dy is not None and tanh_form(site) else None


@mistake("gelu-other-form-forward", "The other form is computed: tanh for erf, or erf for tanh.", "GELU", "output")
def _(site: Site) -> np.ndarray:
    return site.x * gelu(site.x, not tanh_form(site))[0]


@mistake("gelu-argument-not-divided", "erf(z) instead of erf(z / sqrt 2).", "GELU", "output")
def _(site: Site) -> np.ndarray | None:
    return None if tanh_form(site) else site.x * (0.5 + 0.5 * erf(site.x))


# SiLU: z s, with the derivative s + z s (1 - s)


def logistic(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^-z)."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-z))


@mistake("silu-second-term-missing", "The sigmoid is held fixed: the derivative is s alone.", "SiLU", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else site.dy * logistic(site.x)


@mistake("silu-first-term-missing", "Only the sigmoid moves: the derivative is z s (1 - s).", "SiLU", "input")
def _(site: Site) -> np.ndarray | None:
    s = logistic(site.x)
    return None if site.dy is None else site.dy * site.x * s * (1 - s)


@mistake("silu-factor-missing", "The derivative is s + s (1 - s): the z before it is lost.", "SiLU", "input")
def _(site: Site) -> np.ndarray | None:
    s = logistic(site.x)
    return None if site.dy is None else site.dy * (s + s * (1 - s))


@mistake("silu-output-for-input", "The derivative is s (1 + a (1 - s)): a stands where z belongs.", "SiLU", "input")
def _(site: Site) -> np.ndarray | None:
    s = logistic(site.x)
    return None if site.dy is None else site.dy * s * (1 + site.x * s * (1 - s))


@mistake("silu-factor-missing-forward", "The sigmoid alone, not multiplied by z.", "SiLU", "output")
def _(site: Site) -> np.ndarray:
    return logistic(site.x)


# Softplus: log(1 + e^(beta z)) / beta, with the derivative of a logistic function of beta z


def softplus(site: Site) -> tuple[float, np.ndarray, np.ndarray]:
    """Return beta, where the output is z itself, and the logistic function of beta z."""
    beta = site.arguments.get("beta", 1.0)
    return beta, beta * site.x > site.arguments.get("threshold", 20.0), logistic(beta * site.x)


@mistake("softplus-beta-in-derivative", "The 1/beta does not cancel the inner derivative beta.", "Softplus", "input")
def _(site: Site) -> np.ndarray | None:
    beta, straight, s = softplus(site)
    return None if site.dy is None or beta == 1 else site.dy * np.where(straight, 1, beta * s)


@mistake("softplus-inner-derivative-missing", "The inner derivative beta is left out.", "Softplus", "input")
def _(site: Site) -> np.ndarray | None:
    beta, straight, s = softplus(site)
    return None if site.dy is None or beta == 1 else site.dy * np.where(straight, 1, s / beta)


@mistake("softplus-derivative-as-sigmoid", "The derivative of the logistic function, not itself.", "Softplus", "input")
def _(site: Site) -> np.ndarray | None:
    _, straight, s = softplus(site)
    return None if site.dy is None else site.dy * np.where(straight, 1, s * (1 - s))


@mistake("softplus-derivative-mirrored", "1 / (1 + e^(beta z)): the 1 in the place of the e.", "Softplus", "input")
def _(site: Site) -> np.ndarray | None:
    _, straight, s = softplus(site)
    return None if site.dy is None else site.dy * np.where(straight, 1, 1 - s)


@mistake("softplus-division-forgotten", "The logarithm is not divided by beta.", "Softplus", "output")
def _(site: Site) -> np.ndarray | None:
    beta, straight, _ = softplus(site)
    return None if beta == 1 else np.where(straight, site.x, beta * site.right["output"])


@mistake("softplus-logarithm-base-2", "The logarithm of base 2.", "Softplus", "output")
def _(site: Site) -> np.ndarray:
    _, straight, _ = softplus(site)
    return np.where(straight, site.x, site.right["output"] / math.log(2))


# Softmax: dz = p (dy - sum dy p) along a row


def axis(site: Site) -> int:
    """Return the axis of the rows."""
    dim = site.arguments.get("dim", -1)
    return dim if dim is not None else 0 if site.x.ndim in (0, 1, 3) else 1


@mistake("softmax-row-term-missing", "The sum over the row is left out: dz = p dy.", "Softmax", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.y is None else site.y * site.dy


@mistake("softmax-jacobian-diagonal-only", "Only the diagonal: dz = dy p (1 - p).", "Softmax", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.y is None else site.dy * site.y * (1 - site.y)


def row_term(weighted: bool, averaged: bool) -> Wrong:
    """Return the wrong computation with another row term: dy not weighted by p, or its mean for its sum."""

    def wrong(site: Site) -> np.ndarray | None:
        if site.dy is None or site.y is None:
            return None
        terms = site.dy * site.y if weighted else site.dy
        row = terms.mean(axis=axis(site), keepdims=True) if averaged else terms.sum(axis=axis(site), keepdims=True)
        return site.y * (site.dy - row)

    return wrong


mistake("softmax-row-averaged", "The mean of the row is taken instead of its sum.", "Softmax", "input")(
    row_term(weighted=True, averaged=True)
)
mistake("softmax-row-not-weighted", "The sum over the row is of dy instead of dy p.", "Softmax", "input")(
    row_term(weighted=False, averaged=False)
)


@mistake("softmax-as-logsoftmax", "The derivative of LogSoftmax: dz = dy - p sum dy.", "Softmax", "input")
def _(site: Site) -> np.ndarray | None:
    if site.dy is None or site.y is None:
        return None
    return site.dy - site.y * site.dy.sum(axis=axis(site), keepdims=True)


@mistake("softmax-over-batch", "Normalised over the batch instead of the outputs.", "Softmax", "output")
def _(site: Site) -> np.ndarray | None:
    if axis(site) % site.x.ndim == 0:
        return None
    e = np.exp(site.x - site.x.max(axis=0, keepdims=True))
    return e / e.sum(axis=0, keepdims=True)


@mistake("softmax-without-exponential", "z / sum z: the exponential is left out.", "Softmax", "output")
def _(site: Site) -> np.ndarray:
    return site.x / site.x.sum(axis=axis(site), keepdims=True)
