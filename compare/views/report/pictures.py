"""Pictures as PNG in data URIs: the first layer's weights, and images of the data set."""

import base64
import io
import math
from dataclasses import dataclass

import numpy as np

from compare.language import say

LARGEST_SIDE = 512  # pixels of a matrix that is shown as it is


@dataclass(frozen=True)
class Picture:
    """A picture, its size in pixels, and what it shows, in words."""

    title: str
    uri: str
    width: int
    height: int
    says: str


def png(grey: np.ndarray) -> str:
    """Return a picture of grey values, uint8 (H, W), as a data URI."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey, np.uint8), mode=None).save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def tiles(weight: np.ndarray, most: int) -> tuple[np.ndarray, str]:
    """Return a weight as small pictures (n, h, w), at most so many, and what each of them is.

    A row of a Linear with h x h inputs is a picture of what its unit looks for, and so is a kernel of a convolution.
    Of every other weight the matrix itself is shown.
    """
    weight = np.asarray(weight, np.float64)
    if weight.ndim == 4:
        kernels = weight.reshape(-1, *weight.shape[2:])
        return kernels[:most, :LARGEST_SIDE, :LARGEST_SIDE], say("a kernel")
    matrix = weight.reshape(len(weight), -1)
    side = math.isqrt(matrix.shape[1])
    if side * side == matrix.shape[1] and 4 <= side <= 64:
        return matrix[:most].reshape(-1, side, side), say("the weights into one unit")
    return matrix[None, :LARGEST_SIDE, :LARGEST_SIDE], say("the matrix")


def sheet(parts: np.ndarray, largest: float) -> np.ndarray:
    """Return small pictures (n, h, w) side by side, uint8: black -largest, middle grey 0, white +largest."""
    n, h, w = parts.shape
    across = max(1, min(n, round(math.sqrt(n * h / w))))
    down = -(-n // across)
    scaled = np.nan_to_num(parts / largest if largest else np.zeros_like(parts), posinf=1, neginf=-1)
    grey = np.clip(np.rint(127.5 + 127.5 * scaled), 0, 255)
    whole = np.full((down * (h + 1) - 1, across * (w + 1) - 1), 127.5)
    for index, part in enumerate(grey):
        y, x = index // across * (h + 1), index % across * (w + 1)
        whole[y : y + h, x : x + w] = part
    return whole.astype(np.uint8)


def picture(title: str, parts: np.ndarray, what: str, largest: float) -> Picture:
    """Return the sheet of these parts as a picture with its words."""
    grey = sheet(parts, largest)
    count, height, width = parts.shape
    seen = {"count": count, "height": height, "width": width, "what": what}
    shown = say("{count} pictures of {height} x {width}, each {what}", **seen) if count > 1 else what
    scale = say("black is -{size:.3g}, white +{size:.3g}", size=largest) if largest else say("all of them are 0")
    says = say("{title}: {shown}; {scale}.", title=title, shown=shown, scale=scale)
    return Picture(title, png(grey), grey.shape[1], grey.shape[0], says)


def size(array: np.ndarray) -> float:
    """Return the largest absolute value that is finite, 0 where there is none."""
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max()) if finite.size else 0.0


@np.errstate(all="ignore")
def weight_pictures(weights: dict[str, np.ndarray], most: int) -> list[Picture]:
    """Return the pictures of a layer's weight: `initial`, `manual` and `reference`, as far as they are there.

    There are none where their shapes differ, or are none of a weight.
    """
    if len({weight.shape for weight in weights.values()}) != 1 or any(
        w.ndim < 2 or not w.size for w in weights.values()
    ):
        return []
    parts = {name: tiles(weight, most) for name, weight in weights.items()}
    what = next(iter(parts.values()))[1]
    largest = max(size(part) for part, _ in parts.values())
    titles = {"initial": say("Before training"), "manual": say("After training, manual")}
    made = [picture(title, parts[name][0], what, largest) for name, title in titles.items() if name in parts]
    if {"manual", "reference"} <= parts.keys():
        difference = parts["manual"][0] - parts["reference"][0]
        made.append(picture(say("Manual minus reference"), difference, what, size(difference)))
    return made
