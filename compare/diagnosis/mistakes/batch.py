"""Mistakes in the data that one side is given."""

import numpy as np

from compare.diagnosis.mistakes.catalogue import mistake, scaled
from compare.diagnosis.site import Site

mistake("pixels-divided-by-256", "Pixels are divided by 256 on one side, by 255 on the other.", "Batch", "input")(
    scaled("input", lambda _: 255 / 256)
)
mistake("pixels-not-scaled", "Pixels stay 0..255 instead of 0..1.", "Batch", "input")(scaled("input", lambda _: 255.0))


@mistake("pixels-centred", "Pixels are scaled to -1..1 instead of 0..1.", "Batch", "input")
def _(site: Site) -> np.ndarray:
    return 2 * site.x - 1


@mistake("images-transposed", "Images are flattened column by column instead of row by row.", "Batch", "input")
def _(site: Site) -> np.ndarray | None:
    side = round(site.k**0.5)
    if side * side != site.k:
        return None
    return site.x.reshape(-1, side, side).transpose(0, 2, 1).reshape(site.x.shape)


@mistake("images-shuffled-from-labels", "Images are shuffled, and their labels are not.", "Batch", "input")
def _(site: Site) -> list[np.ndarray]:
    return [np.roll(site.x, 1, axis=0), np.roll(site.x, -1, axis=0), site.x[::-1]]


@mistake("labels-shuffled-from-images", "Labels are shuffled, and their images are not.", "Batch", "target")
def _(site: Site) -> list[np.ndarray] | None:
    labels = site.target
    return None if labels is None else [np.roll(labels, 1, axis=0), np.roll(labels, -1, axis=0), labels[::-1]]


@mistake("labels-shifted-by-one", "Labels are off by one: the digit 0 counts as 1.", "Batch", "target")
def _(site: Site) -> list[np.ndarray] | None:
    labels, classes = site.target, site.classes
    if labels is None or labels.ndim != 1:
        return None
    return [(labels + 1) % classes, (labels - 1) % classes]


@mistake("two-classes-swapped", "Two classes have changed places in the labels.", "Batch", "target", fitted=1)
def _(site: Site) -> np.ndarray | None:
    labels = site.target
    if labels is None or labels.ndim != 1:
        return None
    if site.found is None:
        first = int(labels[0])
        second = (first + 1) % site.classes
    else:
        apart = np.flatnonzero(site.found != labels)
        if not len(apart):
            return None
        first, second = int(labels[apart[0]]), int(site.found[apart[0]])
    return np.where(labels == first, second, np.where(labels == second, first, labels))
