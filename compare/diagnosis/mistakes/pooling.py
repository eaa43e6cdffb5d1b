"""Mistakes in pooling: who wins at a tie, where the winner stands, and what an average is divided by."""

from typing import Any

import numpy as np

from compare.diagnosis.mistakes.catalogue import mistake
from compare.diagnosis.site import Site
from manual.pooling import AvgPool2d, MaxPool2d

MAX, AVG = "MaxPool2d", "AvgPool2d"


def distinct(way: np.ndarray, right: np.ndarray) -> np.ndarray | None:
    """Return the wrong tensor; None if it is the right one here, rounding aside: no tie, no padding, no overlap."""
    return way if np.abs(way - right).max() > 1e-4 * np.abs(right).max() else None


def pool_of(site: Site, **changed: Any) -> Any:
    """Return the site's layer, with other arguments where given."""
    return (MaxPool2d if site.kind == MAX else AvgPool2d)(**{**site.arguments, **changed})


def average_of(site: Site) -> AvgPool2d:
    """Return the average pooling with the windows of a max pooling without dilation."""
    arguments = {key: value for key, value in site.arguments.items() if key in ("stride", "padding", "ceil_mode")}
    return AvgPool2d(site.arguments["kernel_size"], **arguments)


def is_dilated(site: Site) -> bool:
    """Whether the windows of a max pooling have gaps."""
    return tuple(np.ravel(site.arguments.get("dilation", 1))) not in ((1,), (1, 1))


def pixels(site: Site, tensor: np.ndarray) -> list[tuple[tuple, tuple, np.ndarray]]:
    """Return (outputs, pixels, the tensor at these pixels) for every offset of the window."""
    shape = site.dy.shape if site.dy is not None else site.right["output"].shape
    return [(here, there, tensor[there]) for here, there in pool_of(site).places(site.x.shape, shape)]


def tied(site: Site, y: np.ndarray) -> list[tuple[tuple, tuple, np.ndarray]]:
    """Return (outputs, pixels, whether the pixel is as large as the output) for every offset of the window."""
    return [(here, there, value == y[here]) for here, there, value in pixels(site, site.x)]


def ties(site: Site) -> tuple[np.ndarray, np.ndarray, list[tuple[tuple, tuple, np.ndarray]]] | None:
    """Return delta, the largest pixels and `tied`; None in a forward pass."""
    if site.dy is None:
        return None
    y = pool_of(site).forward(site.x)
    return site.dy, y, tied(site, y)


# The largest pixel


@mistake("maxpool-average-forward", "The average of the window is taken, not its largest pixel.", MAX, "output")
def _(site: Site) -> np.ndarray | None:
    return None if is_dilated(site) else distinct(average_of(site).forward(site.x), site.right["output"])


@mistake("maxpool-magnitude", "The pixel of the largest magnitude is taken, whatever its sign.", MAX, "output")
def _(site: Site) -> np.ndarray | None:
    pool = pool_of(site)
    pool.forward(np.abs(site.x))
    return distinct(pool.take(site.x), site.right["output"])


@mistake("maxpool-padding-counts", "The padding takes part as zeros.", MAX, "output")
def _(site: Site) -> np.ndarray | None:
    right = site.right["output"]
    seen = np.zeros(right.shape, int)
    offsets = pixels(site, site.x)
    for here, _there, _value in offsets:
        seen[here] += 1
    return distinct(np.where(seen < len(offsets), np.maximum(right, 0), right), right)


@mistake("maxpool-tie-to-all", "At a tie every one of the largest pixels gets the whole gradient.", MAX, "input")
def _(site: Site) -> np.ndarray | None:
    found = ties(site)
    if found is None:
        return None
    dy, _y, offsets = found
    dx = np.zeros_like(site.x)
    for here, there, largest in offsets:
        dx[there] += np.where(largest, dy[here], 0)
    return distinct(dx, site.right["input"])


@mistake("maxpool-tie-shared", "At a tie the largest pixels share the gradient.", MAX, "input")
def _(site: Site) -> np.ndarray | None:
    found = ties(site)
    if found is None:
        return None
    dy, y, offsets = found
    count, dx = np.zeros_like(y), np.zeros_like(site.x)
    for here, _there, largest in offsets:
        count[here] += largest
    for here, there, largest in offsets:
        dx[there] += np.where(largest, dy[here], 0) / np.maximum(count[here], 1)
    return distinct(dx, site.right["input"])


@mistake("maxpool-last-of-ties", "At a tie the last of the largest pixels wins, not the first.", MAX, "input")
def _(site: Site) -> np.ndarray | None:
    found = ties(site)
    if found is None:
        return None
    dy, y, offsets = found
    given, dx = np.zeros(y.shape, bool), np.zeros_like(site.x)
    for here, there, largest in reversed(offsets):
        wins = largest & ~given[here]
        dx[there] += np.where(wins, dy[here], 0)
        given[here] |= wins
    return distinct(dx, site.right["input"])


@mistake("maxpool-gradient-spread", "The gradient is spread evenly over the window, as by an average.", MAX, "input")
def _(site: Site) -> np.ndarray | None:
    if site.dy is None or is_dilated(site):
        return None
    average = average_of(site)
    average.forward(site.x)
    return distinct(average.backward(site.dy), site.right["input"])


@mistake("maxpool-gradient-to-whole-window", "Every pixel of the window gets the whole gradient.", MAX, "input")
def _(site: Site) -> np.ndarray | None:
    if site.dy is None:
        return None
    dx = np.zeros_like(site.x)
    for here, there, _value in pixels(site, site.x):
        dx[there] += site.dy[here]
    return distinct(dx, site.right["input"])


@mistake("maxpool-winner-turned", "The winner's row and column in the window are exchanged.", MAX, "input")
def _(site: Site) -> np.ndarray | None:
    if site.dy is None:
        return None
    pool = pool_of(site)
    height, width = pool.kernel_size
    right, shape = site.right["input"], site.dy.shape
    if height != width or pool.padding != (0, 0) or pool.ceil_mode:
        return None
    pool.forward(site.x)
    reach, corners = pool.reach(site.x.shape[-1]), pool.corners(site.x.shape, shape)
    offset = np.searchsorted(reach, pool.winner - corners)  # of the winner; the reach grows from offset to offset
    pool.winner = corners + reach[offset % width * width + offset // width]
    return distinct(pool.backward(site.dy), right)


@mistake("maxpool-gradient-to-first-pixel", "The gradient goes to the first pixel of the window.", MAX, "input")
def _(site: Site) -> np.ndarray | None:
    pool = pool_of(site)
    if site.dy is None or pool.padding != (0, 0):
        return None
    pool.forward(site.x)
    pool.winner = pool.corners(site.x.shape, site.dy.shape)
    return distinct(pool.backward(site.dy), site.right["input"])


@mistake("maxpool-overlaps-overwritten", "A pixel that wins in several windows keeps the last gradient only.", MAX,
         "input")  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    if site.dy is None:
        return None
    pool = pool_of(site)
    pool.forward(site.x)
    dx = np.zeros_like(site.x).reshape(-1)
    dx[pool.winner.reshape(-1)] = site.dy.reshape(-1)
    return distinct(dx.reshape(site.x.shape), site.right["input"])


# The average


def averaged(site: Site, key: str, **changed: Any) -> np.ndarray | None:
    """Return the output or the gradient of an average pooling with other arguments."""
    pool = pool_of(site, **changed)
    y = pool.forward(site.x)
    if key == "output":
        return distinct(y, site.right["output"])
    return None if site.dy is None else distinct(pool.backward(site.dy), site.right["input"])


def height_and_width(site: Site) -> tuple[int, int]:
    """Return the window's."""
    return pool_of(site).kernel_size


for _key, _where in (("output", "forward"), ("input", "backward")):

    @mistake(f"avgpool-divisor-missing-{_where}", f"The sum is not divided, {_where}.", AVG, _key)
    def _(site: Site, key: str = _key) -> np.ndarray | None:
        return averaged(site, key, divisor_override=1)

    @mistake(f"avgpool-divided-by-width-{_where}", f"Divided by the window's width alone, {_where}.", AVG, _key)
    def _(site: Site, key: str = _key) -> np.ndarray | None:
        height, width = height_and_width(site)
        return None if min(height, width) == 1 else averaged(site, key, divisor_override=width)

    @mistake(f"avgpool-padding-miscounted-{_where}", f"The padding is counted where it should not be, or not where it "
             f"should, {_where}.", AVG, _key)  # fmt: skip
    def _(site: Site, key: str = _key) -> np.ndarray | None:
        if site.arguments.get("divisor_override") is not None:
            return None
        return averaged(site, key, count_include_pad=not site.arguments.get("count_include_pad", True))

    @mistake(f"avgpool-override-ignored-{_where}", f"divisor_override is ignored, {_where}.", AVG, _key)
    def _(site: Site, key: str = _key) -> np.ndarray | None:
        override = site.arguments.get("divisor_override")
        return None if override is None else averaged(site, key, divisor_override=None)


@mistake("avgpool-gradient-to-largest", "The whole gradient goes to the largest pixel of the window.", AVG, "input")
def _(site: Site) -> np.ndarray | None:
    if site.dy is None:
        return None
    given = {key: value for key, value in site.arguments.items() if key in ("stride", "padding", "ceil_mode")}
    largest = MaxPool2d(site.arguments["kernel_size"], **given)
    largest.forward(site.x)
    return distinct(largest.backward(site.dy), site.right["input"])


@mistake("avgpool-overlaps-overwritten", "Where windows overlap, the last one overwrites the sum.", AVG, "input")
def _(site: Site) -> np.ndarray | None:
    if site.dy is None:
        return None
    pool = pool_of(site)
    pool.forward(site.x)
    share = site.dy / pool.divisor(site.dy, site.dy.shape)
    dx = np.zeros_like(site.x)
    for here, there, _value in pixels(site, site.x):
        dx[there] = share[here]
    return distinct(dx, site.right["input"])
