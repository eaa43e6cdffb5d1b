"""Mistakes of single places and limits in a weight gradient, and those that no single operation makes."""

import numpy as np

from compare.diagnosis.mistakes.catalogue import mistake
from compare.diagnosis.site import Site

ON = "Linear"


def spoiled(right: np.ndarray, places: tuple) -> np.ndarray:
    """Return the right tensor with these places half as large again."""
    wrong = right.copy()
    wrong[places] *= 1.5
    return wrong


def where_wrong(site: Site, key: str) -> np.ndarray:
    """Return the mask of the elements that were found wrong, by more than rounding."""
    if site.found is None or site.found.shape != site.right[key].shape:
        return np.zeros(site.right[key].shape, bool)
    return np.abs(site.found - site.right[key]) > site.noise


@mistake("one-element-wrong", "A single element of the weight gradient is wrong.", ON, "weight", fitted=2)
def _(site: Site) -> np.ndarray | None:
    right, found = site.right["weight"], site.found
    if found is None:
        return spoiled(right, np.unravel_index(np.abs(right).argmax(), right.shape))
    places = where_wrong(site, "weight")
    return np.where(places, found, right) if places.sum() == 1 else None


@mistake("one-row-wrong", "A single row of the weight gradient, one unit's, is wrong.", ON, "weight", fitted=2)
def _(site: Site) -> np.ndarray | None:
    right, found = site.right["weight"], site.found
    if found is None:
        return spoiled(right, (np.abs(right).sum(axis=1).argmax(),))
    places = where_wrong(site, "weight")
    return np.where(places, found, right) if places.any(axis=1).sum() == 1 < places.sum() else None


@mistake("one-column-wrong", "A single column of the weight gradient, one input's, is wrong.", ON, "weight", fitted=2)
def _(site: Site) -> np.ndarray | None:
    right, found = site.right["weight"], site.found
    if found is None:
        return spoiled(right, (slice(None), np.abs(right).sum(axis=0).argmax()))
    places = where_wrong(site, "weight")
    return np.where(places, found, right) if places.any(axis=0).sum() == 1 < places.sum() else None


@mistake("gradient-clipped-by-value", "The weight gradient is clipped by value.", ON, "weight", fitted=1)
def _(site: Site) -> np.ndarray | None:
    right = site.right["weight"]
    largest = float(np.abs(right if site.found is None else site.found).max())
    limit = largest / 2 if site.found is None else largest
    at_limit = np.abs(right) > limit
    return np.clip(right, -limit, limit) if limit and at_limit.sum() > 1 else None


@mistake("gradient-clipped-by-norm", "The weight gradient is clipped by its norm.", ON, "weight", fitted=1)
def _(site: Site) -> np.ndarray | None:
    right = site.right["weight"]
    size = float(np.linalg.norm(right))
    if site.found is None:
        limit = float(f"{size / 3:.1g}") if size else 0.0
    else:
        found = float(np.linalg.norm(site.found))
        limit = float(f"{found:.1g}")  # a limit that a person would write has one digit
        if abs(found - limit) > 1e-5 * found:
            return None
    return right * (limit / size) if 0 < limit < size else None


def by_structure(site: Site) -> None:
    """Re-enact nothing: these are seen by the structural checks, which name them."""


mistake(
    "reference-shares-memory",
    "Both sides hold the same memory (torch.from_numpy does not copy), so that every comparison passes.",
    "Network",
    "memory",
)(by_structure)
mistake(
    "input-changed-in-place",
    "A layer changes its input in place: the layer before has cached it, or needs it still.",
    "Network",
    "input",
)(by_structure)
