"""Mistakes in the loss and in the first delta, where factors are lost and found."""

import numpy as np

from compare.diagnosis.mistakes.catalogue import LOSSES, mistake, scaled
from compare.diagnosis.site import Site

# What the factor of a loss or of its gradient is confused with. N examples, K outputs, nominal batch size B.
FACTORS = {
    "doubled": ("The 1/2 of the squared error (or a 2 of its derivative) is lost: twice too large.", lambda _: 2.0),
    "halved": ("A 1/2 too many: the square's derivative gave no 2, or the 1/2 was taken twice.", lambda _: 0.5),
    "summed-instead-of-averaged": ("The sum over the batch is not divided by N.", lambda s: float(s.n)),
    "averaged-twice": ("1/N in two places: the mean is taken once too often.", lambda s: 1 / s.n),
    "divided-by-outputs": ("Divided by N*K where N is meant, as torch.nn.MSELoss does.", lambda s: 1 / s.k),
    "multiplied-by-outputs": ("Divided by N where N*K is meant: K times too large.", lambda s: float(s.k)),
    "divided-by-n-minus-1": ("Divided by N - 1, as a variance is, where N is meant.",
                             lambda s: s.n / (s.n - 1) if s.n > 1 else None),
    "divided-by-nominal-batch": ("A short last batch is divided by the nominal batch size.", lambda s: s.n / s.nominal),
    "scaled-255-256": ("A factor 255/256 has slipped in.", lambda _: 255 / 256),
    "sign-flipped": ("The wrong sign: target minus prediction.", lambda _: -1.0),
}  # fmt: skip

for _name, (_about, _factor) in FACTORS.items():
    mistake(f"delta-{_name}", f"First delta: {_about}", LOSSES, "gradient")(scaled("gradient", _factor))
    mistake(f"loss-{_name}", f"Loss: {_about}", LOSSES, "value")(scaled("value", _factor))


@mistake("loss-after-update", "The loss reported is that after the update, not before it.", LOSSES, "value")
def _(site: Site) -> np.ndarray | None:
    return None if site.loss_after_update is None else np.asarray(site.loss_after_update())


LOGARITHMIC = ("CrossEntropyLoss", "BCELoss", "BCEWithLogitsLoss")


@mistake("loss-logarithm-base-2", "The logarithm is taken to the base 2.", LOGARITHMIC, "value")
def _(site: Site) -> np.ndarray:
    return site.right["value"] / np.log(2)


@mistake("loss-logarithm-base-10", "The logarithm is taken to the base 10.", LOGARITHMIC, "value")
def _(site: Site) -> np.ndarray:
    return site.right["value"] / np.log(10)


def softmax(z: np.ndarray) -> np.ndarray:
    """Return the softmax of every row."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def plain(site: Site) -> bool:
    """Whether the gradient is a multiple of prediction minus target: nothing weighted, smoothed or to be ignored."""
    weighted = site.arguments.get("weight") is not None or site.arguments.get("label_smoothing", 0.0)
    ignored = site.labels is not None and np.any(site.labels == site.arguments.get("ignore_index", -100))
    return not weighted and not ignored and (site.target is None or site.target.shape == site.x.shape)


def coefficient(site: Site) -> float:
    """Return what multiplies prediction minus target in the right gradient, 2 factor / divisor, read off it."""
    prediction = softmax(site.x) if site.kind == "CrossEntropyLoss" else site.x
    apart = prediction - (0.0 if site.target is None else site.target)
    return float((site.right["gradient"] * apart).sum() / (apart * apart).sum())


@mistake(
    "softmax-derivative-as-sigmoid",
    "The softmax is differentiated as if it were a sigmoid: (p - t) p (1 - p).",
    "CrossEntropyLoss",
    "gradient",
)
def _(site: Site) -> np.ndarray:
    p = softmax(site.x)
    return site.right["gradient"] * p * (1 - p)


@mistake(
    "softmax-diagonal-only",
    "Only the diagonal of the softmax's Jacobian is used: an output is taken to depend on its own input alone.",
    "CrossEntropyLoss",
    "gradient",
)
def _(site: Site) -> np.ndarray | None:
    # -t/p from the logarithm times p (1 - p), the diagonal
    return None if site.target is None or not plain(site) else -site.target * (1 - softmax(site.x)) * coefficient(site)


@mistake("delta-target-forgotten", "The target is not subtracted: p / N.", "CrossEntropyLoss", "gradient")
def _(site: Site) -> np.ndarray | None:
    return softmax(site.x) * coefficient(site) if plain(site) else None


@mistake(
    "delta-label-shifted",
    "The gradient takes 1 off the output beside the label's.",
    ("CrossEntropyLoss", "SquaredError", "MSELoss", "NLLLoss"),
    "gradient",
)
def _(site: Site) -> list[np.ndarray] | None:
    if site.labels is None or site.target is None or not plain(site):
        return None
    own = site.right["gradient"]
    if site.kind == "NLLLoss":
        return [np.roll(own, 1, axis=1), np.roll(own, -1, axis=1)]
    scale = coefficient(site)
    return [own - scale * (np.roll(site.target, by, axis=1) - site.target) for by in (1, -1)]


@mistake(
    "cross-entropy-denominator-forgotten",
    "The denominator a (1 - a) is left out, as if a sigmoid's derivative had been cancelled already.",
    "BCELoss",
    "gradient",
)
def _(site: Site) -> np.ndarray:
    return site.right["gradient"] * (site.x * (1 - site.x))


@mistake("cross-entropy-positive-term-only", "Only the term of the targets that are 1.", "BCELoss", "gradient")
def _(site: Site) -> np.ndarray | None:
    return None if site.target is None else site.right["gradient"] * site.target


@mistake("delta-two-classes-swapped", "Two outputs have changed places in the delta.", LOSSES, "gradient")
def _(site: Site) -> np.ndarray | None:
    if site.k < 2:
        return None
    swapped = site.right["gradient"].copy()
    swapped[:, [0, 1]] = swapped[:, [1, 0]]
    return swapped


@mistake("delta-squared", "The difference is squared in the derivative too.", ("SquaredError", "MSELoss"), "gradient")
def _(site: Site) -> np.ndarray | None:
    return None if site.target is None else site.right["gradient"] * (site.x - site.target)


@mistake("delta-sign-only", "The derivative of |a - t| instead of (a - t)^2.", ("SquaredError", "MSELoss"), "gradient")
def _(site: Site) -> np.ndarray | None:
    return None if site.target is None else coefficient(site) * np.sign(site.x - site.target)
