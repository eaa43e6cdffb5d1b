"""Mistakes in the convolution: kernels flipped, strides and paddings forgotten on the way back, groups mixed up.

Most are made by the right layer, given something wrong: another kernel, another stride, another delta.
"""

from typing import Any

import numpy as np

from compare.diagnosis.mistakes.catalogue import mistake, scaled
from compare.diagnosis.site import Site
from manual.convolution import Conv2d

ON = "Conv2d"


def layer_of(site: Site, weight: np.ndarray | None = None, **changed: Any) -> Conv2d:
    """Return the site's layer, with another weight or other arguments where given."""
    layer = Conv2d(**{**site.arguments, **changed})
    layer.parameters = dict(site.parameters)
    if weight is not None:
        layer.parameters["weight"] = weight
    return layer


def flipped(weight: np.ndarray) -> np.ndarray | None:
    """Return every kernel read backwards; None for a kernel of one weight."""
    return weight[:, :, ::-1, ::-1].copy() if weight[0, 0].size > 1 else None


def turned(weight: np.ndarray) -> np.ndarray | None:
    """Return every kernel with rows and columns exchanged; None where shapes would tell."""
    return weight.swapaxes(2, 3) if weight.shape[2] == weight.shape[3] > 1 else None


def margins_of_zeros(site: Site) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the padding (above, below), (left, right); None where nothing stands before the image, or no zeros."""
    margins = layer_of(site).margins
    plain = site.arguments.get("padding_mode", "zeros") == "zeros"
    return margins if plain and (margins[0][0] or margins[1][0]) else None


def padded(x: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    """Return the images with zeros (before, after) their rows and columns."""
    return np.pad(x, [(0, 0)] * (x.ndim - 2) + [rows, columns])


def batched(x: np.ndarray) -> np.ndarray:
    """Return images (N, C, H, W), one image as a batch of one."""
    return x if x.ndim == 4 else x[None]


def examples(site: Site) -> int:
    """Return N."""
    return len(batched(site.x))


def places(site: Site) -> int:
    """Return the number of windows of an image: what a gradient is summed over for each example."""
    return 1 if site.dy is None else int(np.prod(site.dy.shape[-2:]))


def or_none(factor: float) -> float | None:
    """Return the factor; None if it is 1, which changes nothing."""
    return None if factor == 1 else factor


def forgetful(site: Site, argument: str, key: str) -> np.ndarray | None:
    """Return the gradient taken as if stride or dilation were 1; None where it is, or where shapes would tell."""
    given = site.arguments.get(argument, 1)
    if site.dy is None or given == 1 or tuple(np.ravel(given)) == (1, 1):
        return None
    layer = layer_of(site, None, **{argument: 1})
    shape = layer.forward(site.x).shape
    room = [wanted - found for wanted, found in zip(shape[-2:], site.dy.shape[-2:], strict=True)]
    if min(room) < 0:
        return None
    dx = layer.backward(padded(site.dy, (0, room[0]), (0, room[1])))
    return dx if key == "input" else layer.gradients["weight"]


# Forward: a correlation


@mistake("conv-bias-forgotten", "The bias is not added.", ON, "output")
def _(site: Site) -> np.ndarray | None:
    return site.right["output"] - site.parameters["bias"][:, None, None] if "bias" in site.parameters else None


@mistake("conv-kernel-flipped-forward", "The kernel is read backwards: a convolution, not a correlation.", ON, "output")
def _(site: Site) -> np.ndarray | None:
    weight = flipped(site.parameters["weight"])
    return None if weight is None else layer_of(site, weight).forward(site.x)


@mistake("conv-kernel-turned-forward", "Rows and columns of the kernel are exchanged: a square lets it pass.", ON,
         "output")  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    weight = turned(site.parameters["weight"])
    return None if weight is None else layer_of(site, weight).forward(site.x)


@mistake("conv-padding-on-one-side", "All padding is put below and to the right.", ON, "output")
def _(site: Site) -> np.ndarray | None:
    margins = margins_of_zeros(site)
    if margins is None:
        return None
    rows, columns = margins
    return layer_of(site, padding=0).forward(padded(site.x, (0, sum(rows)), (0, sum(columns))))


@mistake("conv-groups-interleaved", "The input channels are dealt to the groups in turn, not in blocks.", ON, "output")
def _(site: Site) -> np.ndarray | None:
    groups, channels = site.arguments.get("groups", 1), site.x.shape[-3]
    dealt = np.arange(channels).reshape(-1, groups).T.ravel()
    if (dealt == np.arange(channels)).all():
        return None
    return layer_of(site).forward(site.x[..., dealt, :, :])


# Backward, for the input: the kernel read backwards, wherever the forward pass read


@mistake("conv-kernel-not-flipped-backward", "dX correlates delta with the kernel as it is, not read backwards.", ON,
         "input")  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    weight = flipped(site.parameters["weight"])
    if site.dy is None or weight is None:
        return None
    layer = layer_of(site, weight)
    layer.forward(site.x)
    return layer.backward(site.dy)


@mistake("conv-kernel-turned-backward", "dX is taken with rows and columns of the kernel exchanged.", ON, "input")
def _(site: Site) -> np.ndarray | None:
    weight = turned(site.parameters["weight"])
    if site.dy is None or weight is None:
        return None
    layer = layer_of(site, weight)
    layer.forward(site.x)
    return layer.backward(site.dy)


@mistake("conv-stride-ignored-backward", "dX is taken as if the stride were 1: delta is not scattered.", ON, "input")
def _(site: Site) -> np.ndarray | None:
    return forgetful(site, "stride", "input")


@mistake("conv-dilation-ignored-backward", "dX is taken as if the dilation were 1.", ON, "input")
def _(site: Site) -> np.ndarray | None:
    return forgetful(site, "dilation", "input")


@mistake("conv-padding-cropped-at-the-end", "The padding is cropped off dX below and to the right only.", ON, "input")
def _(site: Site) -> np.ndarray | None:
    margins = margins_of_zeros(site)
    if margins is None or site.dy is None:
        return None
    layer = layer_of(site, padding=0)
    layer.forward(padded(site.x, *margins))
    dx = layer.backward(site.dy)
    return None if dx is None else dx[..., : site.x.shape[-2], : site.x.shape[-1]]


@mistake("conv-groups-rotated-backward", "Each group's gradient is handed to the channels of the next group.", ON,
         "input")  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    groups = site.arguments.get("groups", 1)
    right = site.right["input"]
    return None if groups == 1 else np.roll(right, right.shape[-3] // groups, axis=-3)


@mistake("conv-overlaps-overwritten", "Where windows overlap, the last one overwrites the sum.", ON, "input")
def _(site: Site) -> np.ndarray | None:
    if site.dy is None:
        return None
    layer = layer_of(site)
    layer.forward(site.x)
    overwritten, seen = np.zeros_like(site.right["input"]), np.zeros(site.right["input"].shape, bool)
    weight, twice = site.parameters["weight"], False
    for i, j in np.ndindex(*weight.shape[2:]):
        alone = np.zeros_like(weight)
        alone[:, :, i, j] = weight[:, :, i, j]
        layer.parameters["weight"] = alone
        part = layer.backward(site.dy)
        if part is None:
            return None
        there = part != 0
        twice = twice or bool((seen & there).any())
        overwritten, seen = np.where(there, part, overwritten), seen | there
    return overwritten if twice else None


# Backward, for the weight: the correlation of the image with delta


@mistake("conv-weight-gradient-flipped", "The kernels' gradients come out backwards.", ON, "weight")
def _(site: Site) -> np.ndarray | None:
    return flipped(site.right["weight"])


@mistake("conv-weight-gradient-turned", "Rows and columns of the kernels' gradients are exchanged.", ON, "weight")
def _(site: Site) -> np.ndarray | None:
    return turned(site.right["weight"])


@mistake("conv-weight-gradient-stride-ignored", "dW is taken as if the stride were 1.", ON, "weight")
def _(site: Site) -> np.ndarray | None:
    return forgetful(site, "stride", "weight")


@mistake("conv-weight-gradient-dilation-ignored", "dW is taken as if the dilation were 1.", ON, "weight")
def _(site: Site) -> np.ndarray | None:
    return forgetful(site, "dilation", "weight")


@mistake("conv-weight-gradient-of-last-example", "The last example overwrites the sum over the batch.", ON, "weight")
def _(site: Site) -> np.ndarray | None:
    if site.dy is None or examples(site) < 2:
        return None
    layer = layer_of(site)
    layer.forward(site.x[-1:])
    layer.backward(site.dy[-1:])
    return layer.gradients["weight"]


mistake("conv-weight-gradient-averaged", "dW is averaged over the batch; 1/N is in delta already.", ON, "weight")(
    scaled("weight", lambda s: or_none(1 / examples(s)))
)
mistake("conv-weight-gradient-averaged-over-places", "dW is averaged over the windows of an image.", ON, "weight")(
    scaled("weight", lambda s: or_none(1 / places(s)))
)


# Backward, for the bias: summed over the batch and over all places


@mistake("conv-bias-gradient-at-one-place", "db is summed over the batch alone, at the first place.", ON, "bias")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or places(site) == 1 else batched(site.dy)[:, :, 0, 0].sum(axis=0)


@mistake("conv-bias-gradient-of-one-example", "db is summed over the places of the first example alone.", ON, "bias")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or examples(site) == 1 else site.dy[0].sum(axis=(1, 2))


mistake("conv-bias-gradient-averaged", "db is averaged over the batch, not summed.", ON, "bias")(
    scaled("bias", lambda s: or_none(1 / examples(s)))
)
mistake("conv-bias-gradient-averaged-over-places", "db is averaged over the windows of an image.", ON, "bias")(
    scaled("bias", lambda s: or_none(1 / places(s)))
)
