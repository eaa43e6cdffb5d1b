"""Pooling: every window of an image becomes one number, its largest pixel or its average. Channels stay apart."""

import math

import numpy as np

from manual.activations import switched_off
from manual.checks import Array, require_shape
from manual.windows import Pair, offsets, outputs, pair


class Pooling:
    """What both poolings share: windows on the last two axes of x (N, C, H, W) or (C, H, W)."""

    whole_shape = True

    def __init__(self, kernel_size: Pair, stride: Pair | None, padding: Pair, dilation: Pair, ceil_mode: bool):
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair("stride", stride, 1)
        self.padding = pair("padding", padding, 0)
        self.dilation = pair("dilation", dilation, 1)
        self.ceil_mode = ceil_mode
        self.given = {  # as it was given, for __repr__
            "kernel_size": kernel_size, "stride": kernel_size if stride is None else stride, "padding": padding,
            "dilation": dilation, "ceil_mode": ceil_mode,
        }  # fmt: skip
        for p, k, d in zip(self.padding, self.kernel_size, self.dilation, strict=True):
            if p > (d * (k - 1) + 1) // 2:
                raise ValueError(f"padding is {padding}; wanted at most half of the window, {(d * (k - 1) + 1) // 2}.")

    def enter(self, x: Array) -> tuple[int, ...]:
        """Return the output's shape for x; raise ValueError if x is no image, or too small a one."""
        if x.ndim not in (3, 4):
            raise ValueError(f"{self!r} got an input of shape {x.shape}; wanted (N, C, H, W) or (C, H, W).")
        try:
            output = self.output_shape(x.shape[-3:])
        except ValueError as misfit:
            raise ValueError(f"{self!r} got an input of shape {x.shape}; it {misfit}.") from None
        assert output is not None
        return (*x.shape[:-3], *output)

    def places(self, image: tuple[int, ...], output: tuple[int, ...]) -> list[tuple[tuple, tuple]]:
        """Return (here, there) for every offset of a window: indices of outputs, and of the pixels under the offset."""
        (*_, height, width), (*_, rows, columns) = image, output
        regions = offsets((height, width), (rows, columns), self.kernel_size, self.stride, self.padding, self.dilation)
        return [((..., *here), (..., *there)) for here, there in regions]  # (70)

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return (C, OH, OW), given the shape (C, H, W) of one example's input; None if that is not known."""
        if input_shape is None:
            return None
        if len(input_shape) != 3:
            raise ValueError("wants images of shape (C, H, W)")
        each = zip(input_shape[1:], self.kernel_size, self.stride, self.padding, self.dilation, strict=True)
        return (input_shape[0], *(outputs(size, k, s, (p, p), d, self.ceil_mode) for size, k, s, p, d in each))


class MaxPool2d(Pooling):
    """y_rc = the largest x under the window at r, c; what is in the padding does not count.            (80)

    Which pixel wins is decided in the order of the rows of the window: a pixel replaces the best one so far if it is
    larger, or a NaN. So the first of several equal pixels wins, and a NaN wins over every number.            (81)

    Derivation. Near a point where one pixel is the largest, y is that pixel, and the others do not act on it:
    dy/dx_pq = 1 for the winner, 0 for all others. At a tie there is no derivative; the first winner's is taken, as in
    torch. A pixel can win in several windows where windows overlap, and its gradients add up:
        dC/dx_pq = sum of dC/dy_rc over the windows r, c that pixel p, q wins                  (82)

    What is kept is which offset of its window won, for every output, in `offsets`, counted row by row. `winner` tells
    which pixel that is: its number in x, counted in the order of x.ravel(). All arrays lie in memory as x does, which
    behind a convolution is with the batch last.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        dilation: Pair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        if return_indices:
            raise ValueError(
                "return_indices is True; wanted False: a layer has one output. See the attribute `winner`."
            )
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode)

    def forward(self, x: Array) -> Array:
        """Return y (N, C, OH, OW) for x (N, C, H, W), or (C, OH, OW) for (C, H, W)."""
        shape = self.enter(x)
        self.input_shape = x.shape
        self.offsets, largest = self.choose(np.real(x), shape)  # on the real part, so that the complex step can pass
        return largest if type(x) is np.ndarray and np.isrealobj(x) else self.take(x)  # (80)

    def take(self, x: Array) -> Array:
        """Return the pixels of x at the winners of the last forward pass, whether or not they are the largest of x."""
        require_shape("input", x, self.input_shape)
        return x.reshape(-1)[self.winner]  # (80)

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dx, of the shape of x."""
        grad = np.zeros_like(grad_output, shape=self.input_shape)
        for offset, (here, there) in enumerate(self.places(self.input_shape, grad_output.shape)):
            grad[there] += switched_off(grad_output[here], self.offsets[here] != offset)  # (82)
        return grad

    def choose(self, x: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Return which offset wins for the outputs of `shape`, and the largest pixels.            (81)"""
        largest = np.full_like(x, -np.inf, shape=shape)
        winner = np.full_like(x, -1, dtype=np.int32, shape=shape)  # -1: none yet
        for offset, (here, there) in enumerate(self.places(x.shape, shape)):
            candidate = x[there].copy(order="K")  # read four times: neighbours in memory are read faster
            better = (candidate > largest[here]) | (candidate != candidate) | (winner[here] < 0)  # (81)
            winner[here] = np.maximum(winner[here], better * np.int32(offset))  # the offsets grow: the last one stays
            largest[here] = np.maximum(largest[here], candidate)
        if (winner < 0).any():
            raise ValueError(
                f"{self!r} got an input of shape {x.shape}: a window lies in the padding with all offsets."
            )
        return winner, largest

    @property
    def winner(self) -> Array:
        """For every output of the last forward pass the number of its pixel; set, these pixels are the winners."""
        return self.corners(self.input_shape, self.offsets.shape) + self.reach(self.input_shape[-1])[self.offsets]

    @winner.setter
    def winner(self, pixels: Array) -> None:
        behind = pixels - self.corners(self.input_shape, pixels.shape)
        self.offsets = np.searchsorted(self.reach(self.input_shape[-1]), behind)  # the reach grows with the offset

    def corners(self, image: tuple[int, ...], shape: tuple[int, ...]) -> Array:
        """Return the number of the pixel under the first offset of every window, as if the padding were pixels too."""
        height, width = image[-2:]
        planes = np.arange(math.prod(image[:-2])).reshape(*image[:-2], 1, 1) * (height * width)
        rows, columns = (
            np.arange(count) * s - p for count, s, p in zip(shape[-2:], self.stride, self.padding, strict=True)
        )
        return planes + (rows[:, None] * width + columns)

    def reach(self, width: int) -> Array:
        """Return how many pixels every offset lies behind the first, in images of `width`."""
        rows, columns = (np.arange(k) * d for k, d in zip(self.kernel_size, self.dilation, strict=True))
        return (rows[:, None] * width + columns).reshape(-1)

    def __repr__(self) -> str:
        return f"MaxPool2d({', '.join(f'{name}={value}' for name, value in self.given.items())})"


class AvgPool2d(Pooling):
    """y_rc = 1/D_rc * sum of x under the window at r, c; the padding counts as zeros.            (83)

    The divisor D_rc is the number of pixels of the window, padding included; without the padding if `count_include_pad`
    is off; `divisor_override` where that is given. What sticks out beyond the padding (ceil_mode) never counts.  (84)

    Derivation. Every pixel of the window acts on y_rc with the factor 1/D_rc, so the gradient is spread evenly:
        dC/dx_pq = sum of dC/dy_rc / D_rc over the windows r, c that hold pixel p, q            (85)
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        if divisor_override == 0:
            raise ValueError("divisor_override is 0; wanted another number, or None.")
        super().__init__(kernel_size, stride, padding, 1, ceil_mode)
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, x: Array) -> Array:
        """Return y (N, C, OH, OW) for x (N, C, H, W), or (C, OH, OW) for (C, H, W)."""
        shape = self.enter(x)
        self.input_shape = x.shape
        y = np.zeros_like(x, shape=shape)
        for here, there in self.places(x.shape, shape):
            y[here] += x[there]
        y /= self.divisor(np.real(x), shape)
        return y  # (83)

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dx, of the shape of x."""
        share = grad_output / self.divisor(np.real(grad_output), grad_output.shape)
        grad = np.zeros_like(grad_output, shape=self.input_shape)
        for here, there in self.places(self.input_shape, grad_output.shape):
            grad[there] += share[here]  # (85)
        return grad

    def divisor(self, like: Array, shape: tuple[int, ...]) -> Array | int:
        """Return D (OH, OW) in the dtype of `like`, or one number for all windows.            (84)"""
        if self.divisor_override is not None:
            return self.divisor_override
        rows, columns = (self.counted(axis, shape[axis]) for axis in (-2, -1))
        counts = rows[:, None] * columns
        return int(counts[0, 0]) if (counts == counts[0, 0]).all() else counts.astype(like.dtype)

    def counted(self, axis: int, count: int) -> Array:
        """Return how many rows (axis -2) or columns (axis -1) of each of `count` windows the divisor counts."""
        size, padding = self.input_shape[axis], self.padding[axis]
        first = np.arange(count) * self.stride[axis] - padding
        end = np.minimum(first + self.kernel_size[axis], size + padding)
        if self.count_include_pad:
            return end - first
        # a window wholly in the padding has the sum 0, whatever it is divided by
        return np.maximum(np.minimum(end, size) - np.maximum(first, 0), 1)

    def __repr__(self) -> str:
        return "AvgPool2d({})".format(
            ", ".join(f"{name}={self.given[name]}" for name in ("kernel_size", "stride", "padding"))
        )
