"""Mistakes in MultiMarginLoss: whose score gets how much, what the margin is for, and the weights."""

from typing import NamedTuple

import numpy as np

from compare.diagnosis.mistakes.catalogue import mistake
from compare.diagnosis.mistakes.label_losses import Labels, read
from compare.diagnosis.site import Site

MARGIN = "MultiMarginLoss"


class Margins(NamedTuple):
    """The pieces of a margin loss."""

    own: Labels
    m: np.ndarray  # (N, K): margin - x_label + x
    others: np.ndarray  # (N, K): whether a class is not the label
    scale: np.ndarray  # (N, 1): w / K, divided as the reduction says
    p: int


def margins(site: Site) -> Margins | None:
    """Return the pieces; None where nothing is reduced."""
    own = read(site)
    if own is None:
        return None
    label = (site.x * own.rows).sum(axis=own.axis, keepdims=True)
    n = own.nominal if site.arguments.get("reduction", "mean") != "sum" else 1
    m = site.arguments.get("margin", 1.0) + (site.x - label)
    return Margins(own, m, own.rows == 0, own.counted / own.classes / n, site.arguments.get("p", 1))


def slopes(site: Site, raised: np.ndarray, own: Labels) -> np.ndarray:
    """Return the gradient of scores that are raised so: the label's gets minus their sum."""
    return (raised - own.rows * raised.sum(axis=own.axis, keepdims=True)).astype(site.x.dtype)


def slope_of(of: Margins, m: np.ndarray) -> np.ndarray:
    """Return p m^(p - 1)."""
    return np.ones_like(m) if of.p == 1 else 2 * m


@mistake("margin-label-not-lowered", "The score of the label gets no gradient.", MARGIN, "gradient")
def _(site: Site) -> np.ndarray | None:
    of = margins(site)
    return None if of is None else site.right["gradient"] * of.others


@mistake(
    "margin-label-lowered-once",
    "The score of the label gets minus one violation, the largest, not minus the sum of all.",
    MARGIN,
    "gradient",
)
def _(site: Site) -> np.ndarray | None:
    of = margins(site)
    if of is None:
        return None
    raised = site.right["gradient"] * of.others
    wrong = raised - of.own.rows * raised.max(axis=of.own.axis, keepdims=True)
    return None if np.array_equal(wrong, site.right["gradient"]) else wrong


@mistake("margin-mask-forgotten", "Scores that keep the margin get a gradient too.", MARGIN, "gradient")
def _(site: Site) -> np.ndarray | None:
    of = margins(site)
    if of is None or not ((of.m <= 0) & of.others).any():
        return None
    return slopes(site, of.scale * slope_of(of, of.m) * of.others, of.own)


@mistake(
    "margin-mask-without-margin",
    "Only scores above the label's get a gradient, not those within the margin below it.",
    MARGIN,
    "gradient",
)
def _(site: Site) -> np.ndarray | None:
    of = margins(site)
    if of is None:
        return None
    above = (of.m > site.arguments.get("margin", 1.0)) & of.others
    if np.array_equal(above, (of.m > 0) & of.others):
        return None
    return slopes(site, of.scale * slope_of(of, of.m) * above, of.own)


@mistake("margin-square-as-hinge", "With p = 2 the slope is taken to be constant, as with p = 1.", MARGIN, "gradient")
def _(site: Site) -> np.ndarray | None:
    of = margins(site)
    if of is None or of.p == 1:
        return None
    return slopes(site, of.scale * ((of.m > 0) & of.others), of.own)


@mistake(
    "margin-weights-of-outputs",
    "Every score's violation gets the weight of its own class instead of the label's.",
    MARGIN,
    "gradient",
)
def _(site: Site) -> np.ndarray | None:
    of = margins(site)
    if of is None or site.arguments.get("weight") is None:
        return None
    scale = of.scale / of.own.counted * of.own.weights
    return slopes(site, scale * slope_of(of, of.m) * ((of.m > 0) & of.others), of.own)


@mistake("margin-label-counted", "The label's own term, the margin itself, is in the sum.", MARGIN, "value")
def _(site: Site) -> np.ndarray | None:
    of = margins(site)
    if of is None or not site.arguments.get("margin", 1.0) > 0:
        return None
    return np.asarray((of.scale * np.maximum(of.m, 0) ** of.p).sum())


@mistake("margin-left-out", "The margin is left out: only scores above the label's count.", MARGIN, "value")
def _(site: Site) -> np.ndarray | None:
    of = margins(site)
    if of is None:
        return None
    without = np.maximum(of.m - site.arguments.get("margin", 1.0), 0) * of.others
    return np.asarray((of.scale * without**of.p).sum())


@mistake("margin-of-the-wrong-side", "The label's score and the others' have changed places.", MARGIN, "value")
def _(site: Site) -> np.ndarray | None:
    of = margins(site)
    if of is None:
        return None
    other = np.maximum(2 * site.arguments.get("margin", 1.0) - of.m, 0) * of.others
    return np.asarray((of.scale * other**of.p).sum())


@mistake("margin-weights-in-mean", "Divided by the sum of the weights, where N is meant.", MARGIN, "value")
def _(site: Site) -> np.ndarray | None:
    own = read(site)
    if own is None or site.arguments.get("weight") is None or site.arguments.get("reduction", "mean") == "sum":
        return None
    return site.right["value"] * (own.nominal / own.counted.sum())
