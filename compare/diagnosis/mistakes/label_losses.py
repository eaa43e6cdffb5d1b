"""Mistakes in losses of one label an example: class weights, labels to be ignored, smoothed labels."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from compare.diagnosis.mistakes.catalogue import Wrong, mistake
from compare.diagnosis.site import Site

LIKELIHOODS = ("CrossEntropyLoss", "NLLLoss")
CROSS_ENTROPY = "CrossEntropyLoss"


class Labels(NamedTuple):
    """What a loss of labels reads off them, the classes along one axis of every array."""

    axis: int
    rows: np.ndarray  # (N, K): 1 for the label, also of one that is to be ignored, if it is a class at all
    kept: np.ndarray  # (N, 1)
    weights: np.ndarray  # (1, K): of the classes
    counted: np.ndarray  # (N, 1): the weight of the label's class; 0 where it is to be ignored
    divisor: float  # of the right loss
    nominal: int  # N, whether ignored or not; for (N, K, d) of all N d labels

    @property
    def classes(self) -> int:
        """K."""
        return self.rows.shape[self.axis]


def read(site: Site) -> Labels | None:
    """Return what the labels say; None for targets that are no labels, and where nothing is reduced."""
    reduction = site.arguments.get("reduction", "mean")
    if site.labels is None or reduction == "none":
        return None
    x, labels, axis = site.x, site.labels, min(1, site.x.ndim - 1)
    classes = np.arange(x.shape[axis]).reshape((-1,) + (1,) * (x.ndim - 1 - axis))
    rows = (np.expand_dims(labels, axis) == classes).astype(x.dtype)
    kept = np.expand_dims(labels != site.arguments.get("ignore_index", -100), axis)
    given = site.arguments.get("weight")
    weights = np.ones(classes.shape, x.dtype) if given is None else np.asarray(given, x.dtype).reshape(classes.shape)
    counted = (rows * weights * kept).sum(axis=axis, keepdims=True)
    n = len(x) if x.ndim > 1 else 1
    divisor = {"sum": 1.0, "batchmean": float(n), "mean": float(counted.sum())}[reduction]
    return Labels(axis, rows, kept, weights, counted, divisor, labels.size)


def log_p(site: Site, axis: int) -> np.ndarray:
    """Return the log-probabilities: the log-softmax of logits, or what NLLLoss is given."""
    if site.kind == "NLLLoss":
        return site.x
    shifted = site.x - site.x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def value(site: Site, own: Labels, q: np.ndarray, divisor: float) -> np.ndarray:
    """Return the loss for the target q."""
    return np.asarray(-(q * log_p(site, own.axis)).sum() / divisor)


def gradient(site: Site, own: Labels, q: np.ndarray, divisor: float) -> np.ndarray:
    """Return the first delta for the target q, a row of which sums to anything."""
    if site.kind == "NLLLoss":
        return -q / divisor
    return (np.exp(log_p(site, own.axis)) * q.sum(axis=own.axis, keepdims=True) - q) / divisor


def smoothed(site: Site, own: Labels) -> np.ndarray:
    """Return the rows after label smoothing."""
    s = site.arguments.get("label_smoothing", 0.0)
    return (1 - s) * own.rows + s / own.classes


Target = Callable[[Site, Labels], "tuple[np.ndarray, float] | None"]


def both(name: str, forward: str, backward: str, on: str | tuple[str, ...]) -> Callable[[Target], Target]:
    """Declare two mistakes that take another target q or another divisor: in the loss, and in its derivative alone."""

    def declare(target: Target) -> Target:
        def made(of: Callable[..., np.ndarray]) -> Wrong:
            def wrong(site: Site) -> np.ndarray | None:
                own = read(site)
                taken = None if own is None else target(site, own)
                return None if own is None or taken is None else of(site, own, *taken)

            return wrong

        mistake(name, forward, on, "value")(made(value))
        mistake(f"{name}-backward", backward, on, "gradient")(made(gradient))
        return target

    return declare


# Class weights


@both(
    "class-weights-not-in-mean",
    "The weighted terms are divided by how many there are, not by the sum of their weights.",
    "First delta: divided by how many labels there are, not by the sum of their weights.",
    LIKELIHOODS,
)
def _(site: Site, own: Labels) -> tuple[np.ndarray, float] | None:
    if site.arguments.get("weight") is None or site.arguments.get("reduction", "mean") != "mean":
        return None
    return smoothed(site, own) * own.weights * own.kept, float(own.kept.sum())


@both(
    "class-weights-forgotten",
    "The weights of the classes are not applied.",
    "First delta: the weights of the classes are not applied.",
    LIKELIHOODS,
)
def _(site: Site, own: Labels) -> tuple[np.ndarray, float] | None:
    if site.arguments.get("weight") is None:
        return None
    mean = site.arguments.get("reduction", "mean") == "mean"
    return smoothed(site, own) * own.kept, float(own.kept.sum()) if mean else own.divisor


@mistake(
    "class-weights-of-outputs",
    "Every output's delta gets the weight of its own class, not the whole row that of the label's.",
    CROSS_ENTROPY,
    "gradient",
)
def _(site: Site) -> np.ndarray | None:
    own = read(site)
    if own is None or site.arguments.get("weight") is None:
        return None
    p = np.exp(log_p(site, own.axis))
    return (p - smoothed(site, own)) * own.weights * own.kept / own.divisor


# Labels to be ignored


@both(
    "ignored-labels-counted",
    "Labels to be ignored are left out of the sum, but counted in the mean.",
    "First delta: labels to be ignored are counted in the mean.",
    LIKELIHOODS,
)
def _(site: Site, own: Labels) -> tuple[np.ndarray, float] | None:
    if own.kept.all() or site.arguments.get("reduction", "mean") != "mean":
        return None
    weighted = site.arguments.get("weight") is not None
    return smoothed(site, own) * own.weights * own.kept, float((own.rows * own.weights).sum()) if weighted else float(
        own.nominal
    )


@both(
    "ignored-labels-learned",
    "Labels to be ignored are treated as any other.",
    "First delta: labels to be ignored are treated as any other.",
    LIKELIHOODS,
)
def _(site: Site, own: Labels) -> tuple[np.ndarray, float] | None:
    ignored = ~own.kept
    if not ignored.any() or not (own.rows * ignored).any():  # -100 is no class: nobody could learn it
        return None
    q = smoothed(site, own) * own.weights
    mean = site.arguments.get("reduction", "mean") == "mean"
    return q, float((own.rows * own.weights).sum()) if mean else own.divisor


@mistake(
    "ignored-rows-keep-softmax",
    "The target of an ignored label is a row of zeros, but p minus that row goes back all the same.",
    CROSS_ENTROPY,
    "gradient",
)
def _(site: Site) -> np.ndarray | None:
    own = read(site)
    if own is None or own.kept.all():
        return None
    return site.right["gradient"] + np.exp(log_p(site, own.axis)) * ~own.kept / own.divisor


# Label smoothing


def is_smoothed(site: Site) -> bool:
    """Whether the labels are smoothed."""
    return bool(site.arguments.get("label_smoothing", 0.0))


@both(
    "label-smoothing-over-the-others",
    "The smoothing is shared by the K - 1 other classes instead of by all K.",
    "First delta: the smoothing is shared by the K - 1 other classes instead of by all K.",
    CROSS_ENTROPY,
)
def _(site: Site, own: Labels) -> tuple[np.ndarray, float] | None:
    if not is_smoothed(site) or own.classes < 2:
        return None
    s = site.arguments["label_smoothing"]
    q = np.where(own.rows == 1, 1 - s, s / (own.classes - 1)).astype(site.x.dtype)
    return q * own.weights * own.kept, own.divisor


@both(
    "label-smoothing-not-shared",
    "The label loses its share, but the other classes do not get it.",
    "First delta: the label loses its share, but the other classes do not get it.",
    CROSS_ENTROPY,
)
def _(site: Site, own: Labels) -> tuple[np.ndarray, float] | None:
    if not is_smoothed(site):
        return None
    return (1 - site.arguments["label_smoothing"]) * own.rows * own.weights * own.kept, own.divisor


@both(
    "label-smoothing-on-top",
    "The even share is added to a label that keeps its whole 1.",
    "First delta: the even share is added to a label that keeps its whole 1.",
    CROSS_ENTROPY,
)
def _(site: Site, own: Labels) -> tuple[np.ndarray, float] | None:
    if not is_smoothed(site):
        return None
    return (own.rows + site.arguments["label_smoothing"] / own.classes) * own.weights * own.kept, own.divisor


@both(
    "label-smoothing-forgotten",
    "The labels are not smoothed.",
    "First delta: the labels are smoothed in the loss, not in its derivative.",
    CROSS_ENTROPY,
)
def _(site: Site, own: Labels) -> tuple[np.ndarray, float] | None:
    return (own.rows * own.weights * own.kept, own.divisor) if is_smoothed(site) else None


@both(
    "label-smoothing-weighted-by-label",
    "The shares of all classes get the weight of the label's class instead of each its own.",
    "First delta: the shares of all classes get the weight of the label's class instead of each its own.",
    CROSS_ENTROPY,
)
def _(site: Site, own: Labels) -> tuple[np.ndarray, float] | None:
    if not is_smoothed(site) or site.arguments.get("weight") is None:
        return None
    return smoothed(site, own) * own.counted, own.divisor
