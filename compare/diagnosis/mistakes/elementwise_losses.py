"""Mistakes in losses of single outputs: distances with corners, yes-or-no questions from logits, divergences."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from compare.diagnosis.mistakes.catalogue import Wrong, mistake
from compare.diagnosis.site import Site
from manual.losses import divisor, one_hot


class Terms(NamedTuple):
    """What an elementwise loss compares, and what it divides by."""

    x: np.ndarray
    t: np.ndarray
    by: float
    arguments: Any
    right: np.ndarray  # the right result
    kind: str


def terms(site: Site, key: str) -> Terms | None:
    """Return prediction and target of equal shapes; None where they are not, or nothing is reduced."""
    reduction = site.arguments.get("reduction", "mean")
    target = one_hot(site.labels, site.x) if site.labels is not None and site.x.ndim == 2 else site.target
    if target is None or target.shape != site.x.shape or reduction == "none":
        return None
    by = float(divisor(reduction, site.x.shape))
    return Terms(site.x, target.astype(site.x.dtype), by, site.arguments, site.right[key], site.kind)


def elementwise(name: str, about: str, on: str | tuple[str, ...], key: str) -> Callable[[Callable[..., Any]], Wrong]:
    """Declare a mistake by its terms, which are then summed for the loss, and divided.

    Where they change nothing (no difference is beyond the corner, say) the mistake cannot be made.
    """

    def declare(wrong: Callable[[Terms], np.ndarray | None]) -> Wrong:
        def made(site: Site) -> np.ndarray | None:
            of = terms(site, key)
            found = None if of is None else wrong(of)
            if of is None or found is None:
                return None
            result = np.asarray(found.sum() if key == "value" else found) / of.by
            same = np.abs(result - of.right).max() <= 100 * np.finfo(of.right.dtype).eps * np.abs(of.right).max()
            return None if same else result

        return mistake(name, about, on, key)(made)

    return declare


# |a - t|


@elementwise("l1-derivative-of-square", "The derivative of (a - t)^2, not of |a - t|.", "L1Loss", "gradient")
def _(of: Terms) -> np.ndarray:
    return 2 * (of.x - of.t)


@elementwise("l1-one-side-only", "The derivative is 0 where the prediction is too small, not -1.", "L1Loss", "gradient")
def _(of: Terms) -> np.ndarray:
    return (of.x > of.t).astype(of.x.dtype)


@elementwise("l1-derivative-of-norm", "The derivative of the Euclidean norm: d / |d|_2.", "L1Loss", "gradient")
def _(of: Terms) -> np.ndarray:
    d = of.x - of.t
    return d / np.sqrt((d * d).sum())


@elementwise("l1-signs-kept", "The differences are summed with their signs.", "L1Loss", "value")
def _(of: Terms) -> np.ndarray:
    return of.x - of.t


@elementwise(
    "l1-root-of-squares", "The Euclidean norm of the differences, not the sum of their sizes.", "L1Loss", "value"
)
def _(of: Terms) -> np.ndarray:
    return np.sqrt(((of.x - of.t) ** 2).sum())


# The corner of HuberLoss is delta; that of SmoothL1Loss beta, by which all is divided

CORNERED = ("HuberLoss", "SmoothL1Loss")


def corner(of: Terms) -> float:
    """Return where the parabola ends."""
    return float(of.arguments.get("delta", of.arguments.get("beta", 1.0)))


def scale(of: Terms) -> float:
    """Return what the Huber loss is divided by: beta for SmoothL1Loss."""
    return float(of.arguments.get("beta", 1.0)) if "delta" not in of.arguments else 1.0


@elementwise("huber-gradient-not-clipped", "The parabola's slope also beyond its end.", CORNERED, "gradient")
def _(of: Terms) -> np.ndarray | None:
    return (of.x - of.t) / scale(of) if corner(of) > 0 else None


@elementwise("huber-gradient-cut-to-zero", "Beyond the parabola's end there is no gradient.", CORNERED, "gradient")
def _(of: Terms) -> np.ndarray | None:
    d = of.x - of.t
    return np.where(np.abs(d) <= corner(of), d, 0) / scale(of) if corner(of) > 0 else None


@elementwise("huber-lines-without-sign", "Both lines have the slope of the right one.", CORNERED, "gradient")
def _(of: Terms) -> np.ndarray | None:
    d, c = of.x - of.t, corner(of)
    return np.where(np.abs(d) <= c, d, c) / scale(of) if c > 0 else None


@elementwise("huber-delta-missing-in-slope", "The lines have the slope 1, not delta.", "HuberLoss", "gradient")
def _(of: Terms) -> np.ndarray:
    d = of.x - of.t
    return np.where(np.abs(d) <= corner(of), d, np.sign(d))


@elementwise("huber-lines-not-lowered", "The lines lack their -delta/2: the loss jumps.", CORNERED, "value")
def _(of: Terms) -> np.ndarray | None:
    size, c = np.abs(of.x - of.t), corner(of)
    return np.where(size <= c, size * size / 2, c * size) / scale(of) if c > 0 else None


@elementwise("huber-half-missing", "The parabola lacks its 1/2.", CORNERED, "value")
def _(of: Terms) -> np.ndarray | None:
    size, c = np.abs(of.x - of.t), corner(of)
    return np.where(size <= c, size * size, c * (size - c / 2)) / scale(of) if c > 0 else None


@elementwise("huber-delta-missing", "The lines lack their factor delta: |d| - delta/2.", "HuberLoss", "value")
def _(of: Terms) -> np.ndarray:
    size, c = np.abs(of.x - of.t), corner(of)
    return np.where(size <= c, size * size / 2, size - c / 2)


@elementwise(
    "smooth-l1-beta-missing-in-slope", "The parabola's slope is not divided by beta.", "SmoothL1Loss", "gradient"
)
def _(of: Terms) -> np.ndarray:
    d = of.x - of.t
    return np.where(np.abs(d) < corner(of), d, np.sign(d))


@elementwise("smooth-l1-gradient-as-huber", "Nothing is divided by beta: the Huber loss's.", "SmoothL1Loss", "gradient")
def _(of: Terms) -> np.ndarray | None:
    c = corner(of)
    return np.clip(of.x - of.t, -c, c) if c > 0 else None


@elementwise("smooth-l1-beta-missing", "The parabola is not divided by beta.", "SmoothL1Loss", "value")
def _(of: Terms) -> np.ndarray:
    size, c = np.abs(of.x - of.t), corner(of)
    return np.where(size < c, size * size / 2, size - c / 2)


@elementwise("smooth-l1-as-huber", "Nothing is divided by beta: the Huber loss.", "SmoothL1Loss", "value")
def _(of: Terms) -> np.ndarray | None:
    size, c = np.abs(of.x - of.t), corner(of)
    return np.where(size < c, size * size / 2, c * (size - c / 2)) if c > 0 else None


# Yes-or-no questions

QUESTIONS = ("BCELoss", "BCEWithLogitsLoss")
LOGITS = "BCEWithLogitsLoss"


def weight(of: Terms, name: str = "weight") -> Any:
    """Return the weights of that name; 1 without."""
    given = of.arguments.get(name)
    return 1 if given is None else np.asarray(given, of.x.dtype)


def logistic(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^-z), for any z."""
    e = np.exp(-np.abs(z))
    return np.where(z > 0, 1, e) / (1 + e)


def costs(of: Terms) -> tuple[np.ndarray, np.ndarray]:
    """Return what a yes and what a no cost: -log a and -log(1 - a)."""
    if of.kind == LOGITS:
        return np.logaddexp(0, -of.x), np.logaddexp(0, of.x)
    with np.errstate(divide="ignore"):
        return np.minimum(-np.log(of.x), 100), np.minimum(-np.log(1 - of.x), 100)


@elementwise("element-weights-forgotten", "The weights are not applied.", QUESTIONS, "value")
def _(of: Terms) -> np.ndarray | None:
    yes, no = costs(of)
    weighted = of.arguments.get("weight") is not None
    return weight(of, "pos_weight") * of.t * yes + (1 - of.t) * no if weighted else None


@elementwise("element-weights-forgotten-backward", "First delta: the weights are not applied.", QUESTIONS, "gradient")
def _(of: Terms) -> np.ndarray | None:
    if of.arguments.get("weight") is None or np.any(weight(of) == 0):
        return None
    return of.right * of.by / weight(of)


def share(of: Terms) -> float | None:
    """Return by how much a mean over the sum of the weights differs from one over the number of elements."""
    if of.arguments.get("weight") is None or of.arguments.get("reduction", "mean") != "mean":
        return None
    return of.x.size / float(np.broadcast_to(weight(of), of.x.shape).sum())


@elementwise("element-weights-in-mean", "Divided by the sum of the weights, not by N*K.", QUESTIONS, "value")
def _(of: Terms) -> np.ndarray | None:
    by = share(of)
    return None if by is None else of.right * of.by * by


@elementwise(
    "element-weights-in-mean-backward",
    "First delta: divided by the sum of the weights, not by N*K.",
    QUESTIONS,
    "gradient",
)
def _(of: Terms) -> np.ndarray | None:
    by = share(of)
    return None if by is None else of.right * of.by * by


@elementwise("logits-costs-swapped", "A yes costs what a no should: the sign of the logit is lost.", LOGITS, "value")
def _(of: Terms) -> np.ndarray:
    yes, no = costs(of)
    return weight(of) * (weight(of, "pos_weight") * of.t * no + (1 - of.t) * yes)


@elementwise("pos-weight-forgotten", "A yes counts no more than a no.", LOGITS, "value")
def _(of: Terms) -> np.ndarray | None:
    yes, no = costs(of)
    return None if of.arguments.get("pos_weight") is None else weight(of) * (of.t * yes + (1 - of.t) * no)


@elementwise("pos-weight-forgotten-backward", "First delta: a yes counts no more than a no.", LOGITS, "gradient")
def _(of: Terms) -> np.ndarray | None:
    return None if of.arguments.get("pos_weight") is None else weight(of) * (logistic(of.x) - of.t)


@elementwise("pos-weight-on-every-term", "What a yes counts for multiplies the no as well.", LOGITS, "gradient")
def _(of: Terms) -> np.ndarray | None:
    if of.arguments.get("pos_weight") is None:
        return None
    return weight(of) * weight(of, "pos_weight") * (logistic(of.x) - of.t)


@elementwise(
    "logits-sigmoid-derivative-twice",
    "Multiplied by a (1 - a) once more, though prediction minus target has it cancelled already.",
    LOGITS,
    "gradient",
)
def _(of: Terms) -> np.ndarray:
    return of.right * of.by * logistic(of.x) * logistic(-of.x)


@elementwise("logits-sigmoid-forgotten", "The logit minus the target, not its sigmoid.", LOGITS, "gradient")
def _(of: Terms) -> np.ndarray:
    v, a = weight(of, "pos_weight"), of.x
    return weight(of) * ((1 - of.t) * a - v * of.t * (1 - a))


# Divergences, from log-probabilities

DIVERGENCE = "KLDivLoss"


def distribution(of: Terms) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the target and its logarithm; None where that is infinite."""
    if of.arguments.get("log_target", False):
        return np.exp(of.t), of.t
    return None if np.any(of.t <= 0) else (of.t, np.log(of.t))


@elementwise("divergence-turned-round", "The divergence of the prediction from the target.", DIVERGENCE, "value")
def _(of: Terms) -> np.ndarray | None:
    given = distribution(of)
    return None if given is None else np.exp(of.x) * (of.x - given[1])


@elementwise("divergence-logarithm-missing", "The target stands where its logarithm should.", DIVERGENCE, "value")
def _(of: Terms) -> np.ndarray:
    t = np.exp(of.t) if of.arguments.get("log_target", False) else of.t
    return t * (t - of.x)


@elementwise("divergence-without-entropy", "The term t log t is left out: a cross-entropy.", DIVERGENCE, "value")
def _(of: Terms) -> np.ndarray:
    return -(np.exp(of.t) if of.arguments.get("log_target", False) else of.t) * of.x


@elementwise(
    "divergence-log-target-as-target", "The target's logarithm is taken for the target.", DIVERGENCE, "gradient"
)
def _(of: Terms) -> np.ndarray | None:
    return -of.t if of.arguments.get("log_target", False) else None


@elementwise("divergence-for-the-target", "The derivative by the target, log t - y + 1.", DIVERGENCE, "gradient")
def _(of: Terms) -> np.ndarray | None:
    given = distribution(of)
    return None if given is None else given[1] - of.x + 1


@elementwise(
    "divergence-of-probabilities",
    "The derivative by a probability, -t/p, though the prediction is its logarithm.",
    DIVERGENCE,
    "gradient",
)
def _(of: Terms) -> np.ndarray:
    return of.right * of.by / np.exp(of.x)


@elementwise(
    "divergence-prediction-subtracted",
    "Prediction minus target, as if the log-softmax below were part of the loss.",
    DIVERGENCE,
    "gradient",
)
def _(of: Terms) -> np.ndarray:
    return np.exp(of.x) + of.right * of.by
