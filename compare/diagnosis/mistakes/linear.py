"""Mistakes in the linear layer: transpositions, the batch sum, and what is multiplied with what."""

import numpy as np

from compare.diagnosis.mistakes.catalogue import mistake, scaled
from compare.diagnosis.site import Site

ON = "Linear"


def square(site: Site) -> bool:
    """Whether the layer's weight is square, so that a forgotten transposition goes unnoticed by shapes."""
    rows, columns = site.parameters["weight"].shape
    return rows == columns


def rows(array: np.ndarray) -> np.ndarray:
    """Return all vectors of (N, ..., features) under each other: of a sequence every one is a row."""
    return array.reshape(-1, array.shape[-1])


def product(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return dY^T X, summed over all rows."""
    return rows(dy).T @ rows(x)


# Forward: Y = X W^T + b


@mistake("bias-forgotten", "The bias is not added.", ON, "output")
def _(site: Site) -> np.ndarray | None:
    return site.right["output"] - site.parameters["bias"] if "bias" in site.parameters else None


@mistake("bias-added-twice", "The bias is added twice.", ON, "output")
def _(site: Site) -> np.ndarray | None:
    return site.right["output"] + site.parameters["bias"] if "bias" in site.parameters else None


@mistake("weight-not-transposed-forward", "X W instead of X W^T: a square weight lets it pass.", ON, "output")
def _(site: Site) -> np.ndarray | None:
    if not square(site):
        return None
    return site.x @ site.parameters["weight"] + site.parameters.get("bias", 0)


@mistake("weight-reshaped-forward", "The weight is reshaped to (in, out) instead of transposed.", ON, "output")
def _(site: Site) -> np.ndarray | None:
    weight = site.parameters["weight"]
    return None if square(site) else site.x @ weight.reshape(weight.shape[::-1]) + site.parameters.get("bias", 0)


# Backward, for the input: dX = dY W


@mistake("weight-transposed-backward", "dY W^T instead of dY W: a square weight lets it pass.", ON, "input")
def _(site: Site) -> np.ndarray | None:
    return site.dy @ site.parameters["weight"].T if square(site) and site.dy is not None else None


@mistake("weight-reshaped-backward", "The weight's transpose is reshaped back instead of transposed.", ON, "input")
def _(site: Site) -> np.ndarray | None:
    weight = site.parameters["weight"]
    if site.dy is None or square(site):
        return None
    return site.dy @ np.ascontiguousarray(weight.T).reshape(weight.shape)


@mistake("weight-forgotten", "The weight is left out: every input gets the sum of the deltas.", ON, "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else np.repeat(site.dy.sum(axis=-1, keepdims=True), site.x.shape[-1], axis=-1)


@mistake("random-feedback-weights", "A fixed random matrix is used in place of the weight.", ON, "input", fitted=1)
def _(site: Site) -> np.ndarray | None:
    dy, weight = site.dy, site.parameters["weight"]
    if dy is None:
        return None
    if site.found is None:
        return dy @ np.random.default_rng(0).normal(size=weight.shape).astype(dy.dtype)
    if len(rows(dy)) <= dy.shape[-1]:
        return None  # as many examples as units: some matrix always fits, and says nothing
    return dy @ np.linalg.lstsq(rows(dy), rows(site.found), rcond=None)[0]


@mistake("updated-weight-used", "The weight is updated before the gradient goes back through it.", ON, "input")
def _(site: Site) -> np.ndarray | None:
    if site.dy is None or "weight" not in site.right or not site.lr:
        return None
    return site.dy @ (site.parameters["weight"] - site.lr * site.right["weight"])


mistake("input-gradient-sign-flipped", "The wrong sign in dX = dY W.", ON, "input")(scaled("input", lambda _: -1.0))
mistake("input-gradient-averaged", "1/N once more, in dX = dY W.", ON, "input")(scaled("input", lambda s: 1 / s.n))
mistake("input-gradient-doubled", "dX = dY W is doubled.", ON, "input")(scaled("input", lambda _: 2.0))


@mistake("input-gradient-examples-mixed", "The deltas are summed over the batch before they go back.", ON, "input")
def _(site: Site) -> np.ndarray | None:
    if site.dy is None:
        return None
    total = site.dy.sum(axis=0, keepdims=True) @ site.parameters["weight"]
    return np.repeat(total, site.n, axis=0)


# Backward, for the weight: dW = dY^T X

WEIGHT_FACTORS = {
    "sign-flipped": ("the wrong sign.", lambda _: -1.0),
    "averaged": ("averaged over the batch although 1/N is in the delta already.", lambda s: 1 / s.n),
    "summed": ("multiplied by N.", lambda s: float(s.n)),
    "doubled": ("doubled.", lambda _: 2.0),
    "halved": ("halved.", lambda _: 0.5),
    "divided-by-n-minus-1": ("divided by N - 1 for N.", lambda s: s.n / (s.n - 1) if s.n > 1 else None),
}
for _name, (_about, _factor) in WEIGHT_FACTORS.items():
    mistake(f"weight-gradient-{_name}", f"Weight gradient: {_about}", ON, "weight")(scaled("weight", _factor))


@mistake("weight-gradient-transposed", "X^T dY instead of dY^T X: a square weight lets it pass.", ON, "weight")
def _(site: Site) -> np.ndarray | None:
    return site.right["weight"].T if square(site) else None


@mistake("weight-gradient-reshaped", "X^T dY is reshaped to (out, in) instead of transposed.", ON, "weight")
def _(site: Site) -> np.ndarray | None:
    right = site.right["weight"]
    return None if square(site) else np.ascontiguousarray(right.T).reshape(right.shape)


@mistake("pre-activation-in-weight-gradient", "The layer before gives z instead of a.", ON, "weight")
def _(site: Site) -> np.ndarray | None:
    if site.dy is None or site.preceding is None or site.preceding[0].shape != site.x.shape:
        return None
    return product(site.dy, site.preceding[0])


@mistake("last-example-only", "The last example overwrites the sum over the batch.", ON, "weight")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.n < 2 else product(site.dy[-1:], site.x[-1:])


@mistake("first-example-only", "The sum over the batch stops after the first example.", ON, "weight")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.n < 2 else product(site.dy[:1], site.x[:1])


@mistake("last-example-missing", "The sum over the batch leaves out the last example.", ON, "weight")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.n < 2 else product(site.dy[:-1], site.x[:-1])


@mistake("input-of-wrong-layer", "Another layer's input of the same shape is used.", ON, "weight")
def _(site: Site) -> list[np.ndarray] | None:
    dy = site.dy
    if dy is None:
        return None
    others = [
        other.x for name, other in site.neighbours.items()
        if name != site.name and other.kind == site.kind and other.x.shape == site.x.shape
    ]  # fmt: skip
    return [product(dy, x) for x in others]


@mistake("gradient-not-zeroed", "The previous step's gradient is still there: gradients pile up.", ON, "weight")
def _(site: Site) -> np.ndarray | None:
    return None if site.previous is None else site.right["weight"] + site.previous.right["weight"]


@mistake("cache-of-previous-batch", "The layer's input is that of the previous batch.", ON, "weight")
def _(site: Site) -> np.ndarray | None:
    if site.previous is None or site.dy is None or site.previous.x.shape != site.x.shape:
        return None
    return product(site.dy, site.previous.x)


@mistake("gradient-of-previous-batch", "The weight gradient is still that of the previous batch.", ON, "weight")
def _(site: Site) -> np.ndarray | None:
    return None if site.previous is None else site.previous.right["weight"]


@mistake("weight-gradient-zero", "The weight gradient is never filled in: all zero.", ON, "weight")
def _(site: Site) -> np.ndarray:
    return np.zeros_like(site.right["weight"])


@mistake("weight-gradient-units-swapped", "The gradients of two units have changed places.", ON, "weight")
def _(site: Site) -> np.ndarray | None:
    if len(site.right["weight"]) < 2:
        return None
    swapped = site.right["weight"].copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    return swapped


@mistake("weight-added-to-gradient", "The weight itself is added to its gradient.", ON, "weight")
def _(site: Site) -> np.ndarray:
    return site.right["weight"] + site.parameters["weight"]


# Backward, for the bias: db = sum over the batch of dY


@mistake("bias-gradient-zero", "The bias's gradient is forgotten: all zero.", ON, "bias")
def _(site: Site) -> np.ndarray:
    return np.zeros_like(site.right["bias"])


mistake("bias-gradient-averaged", "The bias's gradient is averaged over the batch, not summed.", ON, "bias")(
    scaled("bias", lambda s: 1 / s.n)
)
mistake("bias-gradient-sign-flipped", "The wrong sign in the bias's gradient.", ON, "bias")(
    scaled("bias", lambda _: -1.0)
)
mistake("bias-gradient-doubled", "The bias's gradient is doubled.", ON, "bias")(scaled("bias", lambda _: 2.0))


@mistake("bias-gradient-one-for-all", "One number for all biases: the sum over batch and units.", ON, "bias")
def _(site: Site) -> np.ndarray:
    return np.full_like(site.right["bias"], site.right["bias"].sum())


@mistake("bias-gradient-last-example", "The last example overwrites the sum.", ON, "bias")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.n < 2 else rows(site.dy[-1:]).sum(axis=0)


@mistake("bias-gradient-wrong-axis", "Summed over the units instead of the batch: equal sizes let it pass.", ON, "bias")
def _(site: Site) -> np.ndarray | None:
    if site.dy is None or site.dy.ndim != 2 or site.dy.shape[0] != site.dy.shape[1]:
        return None
    return site.dy.sum(axis=1)


@mistake("bias-gradient-never-summed", "The deltas are not summed over the batch: shape (N, out).", ON, "bias")
def _(site: Site) -> np.ndarray | None:
    return site.dy


@mistake("bias-gradient-first-example", "The sum over the batch stops after the first example.", ON, "bias")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.n < 2 else rows(site.dy[:1]).sum(axis=0)


@mistake("bias-gradient-not-zeroed", "The previous step's bias gradient is still there.", ON, "bias")
def _(site: Site) -> np.ndarray | None:
    return None if site.previous is None else site.right["bias"] + site.previous.right["bias"]
