"""Windows on an image: where a kernel stands, and which pixels lie under which of its offsets. Plain integers.

Along one axis, the output r of a window of `size` offsets looks at the inputs stride * r - padding + dilation * i, for
the offsets i = 0 .. size - 1.            (70)
Convolution and pooling walk over the offsets, which are few, and move whole arrays at each; the outputs are many.
"""

from collections.abc import Iterator, Sequence

Pair = int | Sequence[int]


def pair(name: str, value: Pair, least: int) -> tuple[int, int]:
    """Return (height, width) of an argument given as one number for both or as two; raise ValueError below `least`."""
    height, width = (value, value) if isinstance(value, int) else value
    if height < least or width < least:
        raise ValueError(f"{name} is {value}; wanted at least {least}.")
    return height, width


def outputs(
    inputs: int, size: int, stride: int, margins: tuple[int, int], dilation: int, ceil_mode: bool = False
) -> int:
    """Return how many windows fit along an axis of `inputs` pixels with padding before and after it.            (71)

    With `ceil_mode` a window may stick out at the end, if it starts inside the input or the padding before it.
    Raises ValueError where no window fits.
    """
    extent = dilation * (size - 1) + 1
    steps = inputs + sum(margins) - extent  # by which a window can move without sticking out
    count = (-(-steps // stride) if ceil_mode else steps // stride) + 1  # (71)
    if ceil_mode and (count - 1) * stride >= inputs + margins[0]:
        count -= 1
    if count < 1:
        raise ValueError(f"wants {extent} pixels or more along each axis, its padding counted")
    return count


def under(
    offset: int, inputs: int, count: int, stride: int, padding: int = 0, dilation: int = 1
) -> tuple[slice, slice]:
    """Return (here, there): the outputs at which `offset` lies on a pixel, and these pixels, in the same order.

    Offset i of output r lies on pixel stride * r + first, where first = dilation * i - padding. It is one of the
    pixels 0 .. inputs - 1 for the r from low up to high; beyond them it is in the padding.            (70)
    """
    first = dilation * offset - padding
    low = max(0, -(first // stride))  # the smallest r with stride * r + first >= 0
    high = min(count, (inputs - 1 - first) // stride + 1)  # one beyond the largest with stride * r + first < inputs
    if high <= low:
        return slice(0, 0), slice(0, 0)
    return slice(low, high), slice(stride * low + first, stride * (high - 1) + first + 1, stride)


Region = tuple[slice, slice]  # rows and columns


def offsets(
    image: tuple[int, int],
    count: tuple[int, int],
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> Iterator[tuple[Region, Region]]:
    """Yield (here, there) of `under` in both axes, for every offset of a window, row by row."""
    for i in range(size[0]):
        rows_here, rows_there = under(i, image[0], count[0], stride[0], padding[0], dilation[0])
        for j in range(size[1]):
            columns_here, columns_there = under(j, image[1], count[1], stride[1], padding[1], dilation[1])
            yield (rows_here, columns_here), (rows_there, columns_there)
