"""Mistakes in activations: the derivative left out, taken twice, taken of the wrong thing."""

from collections.abc import Mapping
from typing import Any

import numpy as np

import manual
from compare.diagnosis.mistakes.catalogue import ACTIVATIONS, mistake, scaled
from compare.diagnosis.site import Site

SMOOTH = ("Sigmoid", "Tanh")
CURVED = (*SMOOTH, "ELU", "GELU", "SiLU", "Softplus")


def derivative(kind: str, z: np.ndarray, arguments: Mapping[str, Any] | None = None) -> np.ndarray:
    """Return the activation's derivative at the pre-activation z; `arguments` are its constructor's."""
    match kind:
        case "Sigmoid":
            with np.errstate(over="ignore"):
                a = 1 / (1 + np.exp(-z))
            return a * (1 - a)
        case "Tanh":
            a = np.tanh(z)
            return 1 - a * a
        case "ReLU":
            return (z > 0).astype(z.dtype)
        case _:
            layer = getattr(manual, kind)(**(arguments or {}))
            layer.forward(z)
            return layer.backward(np.ones_like(z))


def from_output(kind: str, a: np.ndarray) -> np.ndarray:
    """Return the formula that gives the derivative from the activation's output: a (1 - a), 1 - a^2."""
    return a * (1 - a) if kind == "Sigmoid" else 1 - a * a


@mistake("activation-derivative-missing", "The activation's derivative is left out.", ACTIVATIONS, "input")
def _(site: Site) -> np.ndarray | None:
    return site.dy


@mistake("activation-derivative-twice", "The derivative is applied twice.", (*CURVED, "LeakyReLU"), "input")
def _(site: Site) -> np.ndarray:
    return site.right["input"] * derivative(site.kind, site.x, site.arguments)


@mistake(
    "derivative-taken-of-activation",
    "The derivative is evaluated at the activation a instead of the pre-activation z: f'(a).",
    CURVED,
    "input",
)
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.y is None else site.dy * derivative(site.kind, site.y, site.arguments)


@mistake(
    "derivative-formula-with-pre-activation",
    "The formula for the output is given the pre-activation: z (1 - z), 1 - z^2.",
    SMOOTH,
    "input",
)
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else site.dy * from_output(site.kind, site.x)


@mistake("derivative-of-wrong-layer", "The derivative of another layer's activation.", CURVED, "input")
def _(site: Site) -> list[np.ndarray] | None:
    dy = site.dy
    if dy is None:
        return None
    others = [
        other.x for name, other in site.neighbours.items()
        if name != site.name and other.kind == site.kind and other.y.shape == dy.shape
    ]  # fmt: skip
    return [dy * derivative(site.kind, x, site.arguments) for x in others]


@mistake("mask-of-wrong-layer", "The mask of another layer's ReLU.", "ReLU", "input")
def _(site: Site) -> list[np.ndarray] | None:
    dy = site.dy
    if dy is None:
        return None
    others = [
        other.x for name, other in site.neighbours.items()
        if name != site.name and other.kind == "ReLU" and other.x.shape == dy.shape
    ]  # fmt: skip
    return [np.where(x > 0, dy, 0) for x in others]


@mistake("sigmoid-derivative-without-rest", "The derivative is a instead of a (1 - a).", "Sigmoid", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.y is None else site.dy * site.y


@mistake("sigmoid-derivative-only-rest", "The derivative is 1 - a instead of a (1 - a).", "Sigmoid", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.y is None else site.dy * (1 - site.y)


@mistake("sigmoid-derivative-plus", "The derivative is a (1 + a) instead of a (1 - a).", "Sigmoid", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.y is None else site.dy * site.y * (1 + site.y)


@mistake("tanh-derivative-without-square", "The derivative is 1 - a instead of 1 - a^2.", "Tanh", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.y is None else site.dy * (1 - site.y)


@mistake("tanh-derivative-as-sigmoid", "The sigmoid's derivative a (1 - a) is used for tanh.", "Tanh", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.y is None else site.dy * site.y * (1 - site.y)


@mistake(
    "cancelling-mistakes",
    "Doubled in the activation's derivative and halved in the weights' gradients below: these come out right.",
    SMOOTH,
    "input",
    companion="weight-gradient-halved",
)
def _(site: Site) -> np.ndarray | None:
    return 2 * site.right["input"] if site.found is None or site.parameters_agree else None


mistake("activation-sign-flipped", "The wrong sign in the activation's derivative.", ACTIVATIONS, "input")(
    scaled("input", lambda _: -1.0)
)
mistake("activation-gradient-doubled", "The activation's derivative is doubled.", ACTIVATIONS, "input")(
    scaled("input", lambda _: 2.0)
)
mistake("activation-gradient-averaged", "1/N once more, in the activation.", ACTIVATIONS, "input")(
    scaled("input", lambda s: 1 / s.n)
)


@mistake("relu-mask-at-zero", "The mask is z >= 0 instead of z > 0: equal unless a z is exactly 0.", "ReLU", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else np.where(site.x >= 0, site.dy, 0)


@mistake("relu-leaky-only-backward", "A slope of 0.01 below 0 in the backward pass alone.", "ReLU", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else np.where(site.x > 0, site.dy, 0.01 * site.dy)


@mistake("relu-mask-from-gradient", "The mask is taken from the gradient: dy > 0.", "ReLU", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else np.where(site.dy > 0, site.dy, 0)


@mistake("relu-mask-inverted", "The mask lets through where z < 0.", "ReLU", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else np.where(site.x > 0, 0, site.dy)


@mistake("relu-gradient-times-activation", "The gradient is multiplied by a instead of the mask.", "ReLU", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.y is None else site.dy * site.y


@mistake("activation-of-previous-batch", "The cache is that of the previous batch.", ACTIVATIONS, "input")
def _(site: Site) -> np.ndarray | None:
    if site.previous is None or site.dy is None or site.previous.x.shape != site.x.shape:
        return None
    return site.dy * derivative(site.kind, site.previous.x, site.arguments)


@mistake("two-units-swapped", "Two units have changed places in the backward pass.", ACTIVATIONS, "input")
def _(site: Site) -> np.ndarray | None:
    if site.x.ndim < 2 or site.x.shape[1] < 2:
        return None
    swapped = site.right["input"].copy()
    swapped[:, [0, 1]] = swapped[:, [1, 0]]
    return swapped


@mistake("sigmoid-exponent-sign", "1 / (1 + e^z): the exponent has the wrong sign.", "Sigmoid", "output")
def _(site: Site) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(site.x))


@mistake("sigmoid-steeper", "1 / (1 + e^-2z): a factor in the exponent.", "Sigmoid", "output")
def _(site: Site) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-2 * site.x))


@mistake("tanh-half-argument", "(1 - e^-z) / (1 + e^-z), which is tanh(z/2).", "Tanh", "output")
def _(site: Site) -> np.ndarray:
    return np.tanh(site.x / 2)


@mistake("relu-leaky-only-forward", "A slope of 0.01 below 0 in the forward pass alone.", "ReLU", "output")
def _(site: Site) -> np.ndarray:
    return np.where(site.x > 0, site.x, 0.01 * site.x)


@mistake("relu-absolute-value", "|z| instead of max(0, z).", "ReLU", "output")
def _(site: Site) -> np.ndarray:
    return np.abs(site.x)


@mistake("logsoftmax-row-term-missing", "The sum over the row is left out: dz = dy.", "LogSoftmax", "input")
def _(site: Site) -> np.ndarray | None:
    return site.dy


@mistake("logsoftmax-diagonal-only", "Only the diagonal: dz = dy (1 - p).", "LogSoftmax", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.y is None else site.dy * (1 - np.exp(site.y))


@mistake("logsoftmax-row-averaged", "The mean of the row is taken instead of its sum.", "LogSoftmax", "input")
def _(site: Site) -> np.ndarray | None:
    if site.dy is None or site.y is None:
        return None
    return site.dy - np.exp(site.y) * site.dy.mean(axis=-1, keepdims=True)


@mistake("logsoftmax-over-batch", "Normalised over the batch instead of the outputs.", "LogSoftmax", "output")
def _(site: Site) -> np.ndarray:
    s = site.x - site.x.max(axis=0, keepdims=True)
    return s - np.log(np.exp(s).sum(axis=0, keepdims=True))
