"""Convolution: one small linear layer, the kernel, applied to every window of an image."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from manual import initializers
from manual.checks import Array
from manual.products import product
from manual.windows import Pair, outputs, pair, under

PADDING_MODES: dict[str, Literal["constant", "reflect", "edge", "wrap"]] = {  # torch's names and those of numpy.pad
    "zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap",
}  # fmt: skip


class Conv2d:
    """y_orc = b_o + sum over channels k and offsets i, j of w_okij x_k,sr+di,sc+dj, for every example.            (72)

    r, c are the row and column of the output, s the stride, d the dilation (each has its own for rows and columns), and
    x is the padded image. Strictly this is a correlation; a convolution would read the kernel backwards, w_ok,-i,-j.

    Shapes: x (N, C, H, W) or (C, H, W), w (O, C / groups, kh, kw) for O output channels, b (O,),
    y (N, O, OH, OW) or (O, OH, OW).

    Gather what lies under row i of the kernel in a matrix, one row for each of its weights, one column for each window
    of each example. Then (72) is one matrix product for each row of the kernel:
        X_i = (x_nk,sr+di,sc+dj) with rows kj and columns rcn                                        (73)
        Y = b + sum_i W_i X_i,  (O, K) (K, L), with K = C kw weights and L = OH OW N windows         (74)
    a linear layer (11), turned on its side. With groups, the channels fall into that many blocks of neighbours, and
    each block of outputs sees its own block of inputs alone: (74) for every group.

    Derivation. Write delta for dC/dy, as a matrix (O, L). Component by component, from (72):

        w_okij takes part in every output y_orc of channel o, of every example, with the factor x_k,sr+di,sc+dj:
            dC/dw_okij = sum_nrc delta_norc x_nk,sr+di,sc+dj      as a matrix   dW_i = delta X_i^T   (75)
            the correlation of the image with delta.
        b_o takes part in every output of channel o, of every example, with the factor 1:
            dC/db_o = sum_nrc delta_norc                                                             (76)
        an element of X_i takes part in the O outputs of its window:
            dC/dX_i = sum_o w_okij delta_norc                     as a matrix   dX_i = W_i^T delta   (77)
            and since windows overlap, one pixel of the image stands in many places of X_i, and their gradients add up:
            dC/dx_nk,p,q = sum over i, j, r, c with sr + di = p, sc + dj = q of (dC/dX_i)_kj,rcn     (78)
            Every read of (73) becomes an addition to the place that it read. For s = 1 that is the sum over o, i, j of
            w_okij delta_no,p-di,q-dj: delta convolved with the kernel, which is now read backwards. For s > 1 delta is
            scattered: an offset gives something to every s-th pixel only.

    Padding with zeros: the gradient for the zeros is cropped. In the other modes a padded pixel is a copy of a pixel of
    the image, and its gradient is added to that pixel's.            (79)

    In memory the batch comes last, (C, H, W, N), so that long runs are moved at once, and X_i need not be copied if the
    stride is 1; outputs and gradients are handed on as transposed views of that.
    """

    whole_shape = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        rng: np.random.Generator | None = None,
    ):
        """Draw torch's default initial weights from `rng` (fresh entropy if None); a Network may replace them."""
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(f"groups is {groups}; wanted a divisor of in_channels {in_channels} and of out_channels "
                             f"{out_channels}.")  # fmt: skip
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding_mode is {padding_mode!r}; wanted one of {', '.join(PADDING_MODES)}.")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride = pair("stride", stride, 1)
        self.dilation = pair("dilation", dilation, 1)
        self.padding = padding if isinstance(padding, str) else pair("padding", padding, 0)
        self.padding_mode = padding_mode
        self.margins = self.margins_of(self.padding)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        limit = 1 / math.sqrt(initializers.fans(shape)[0])
        rng = rng if rng is not None else np.random.default_rng()
        self.parameters: dict[str, Array] = {"weight": initializers.uniform(rng, shape, -limit, limit)}
        if bias:
            self.parameters["bias"] = initializers.uniform(rng, (out_channels,), -limit, limit)
        self.gradients: dict[str, Array] = {}
        self.needs_input_gradient = True  # a Network turns it off where nobody would read it

    def margins_of(self, padding: Sequence[int] | str) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the padding (above, below), (left, right); "same" puts an odd pixel below and right, as torch does."""
        if not isinstance(padding, str):
            return (padding[0], padding[0]), (padding[1], padding[1])
        if padding == "valid":
            return (0, 0), (0, 0)
        if padding != "same" or self.stride != (1, 1):
            raise ValueError(
                f"padding is {padding!r} with stride {self.stride}; wanted numbers, 'valid', or 'same' with stride 1."
            )
        height, width = (d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True))
        return (height // 2, height - height // 2), (width // 2, width - width // 2)

    def forward(self, x: Array) -> Array:
        """Return y (N, O, OH, OW) for x (N, C, H, W), or (O, OH, OW) for (C, H, W)."""
        if x.ndim not in (3, 4):
            raise ValueError(f"{self!r} got an input of shape {x.shape}; wanted (N, {self.in_channels}, H, W).")
        try:
            self.output = self.shape_for(x.shape[-3:])
        except ValueError as misfit:
            raise ValueError(f"{self!r} got an input of shape {x.shape}; it {misfit}.") from None
        self.batched = x.ndim == 4
        images = np.transpose(x if self.batched else x[None], (1, 2, 3, 0)).copy()  # (C, H, W, N), so in memory too
        self.across = self.gather(self.pad(images))
        y = product(self.kernel_row(0), self.under_row(0))  # (groups, O / groups, K) @ (groups, K, L)
        for i in range(1, self.kernel_size[0]):
            y += product(self.kernel_row(i), self.under_row(i))  # (74)
        if "bias" in self.parameters:
            y += self.parameters["bias"].reshape(self.groups, -1, 1)
        y = np.transpose(y.reshape(*self.output, -1), (3, 0, 1, 2))  # (O, OH, OW, N) to (N, O, OH, OW)
        return y if self.batched else y[0]

    def backward(self, grad_output: Array) -> Array | None:
        """Fill `gradients`; return dC/dx, of the shape of x, or None where `needs_input_gradient` is off."""
        delta = np.transpose(grad_output if self.batched else grad_output[None], (1, 2, 3, 0))  # (O, OH, OW, N)
        delta = delta.reshape(self.groups, self.out_channels // self.groups, -1)  # (groups, O / groups, L)
        weight = self.parameters["weight"]
        dw = np.empty_like(delta, shape=weight.shape)
        for i in range(self.kernel_size[0]):
            row = product(self.under_row(i), delta.swapaxes(1, 2))  # (75)  transposed: (groups, K, O / groups)
            dw[:, :, i] = row.swapaxes(1, 2).reshape(weight[:, :, i].shape)
        self.gradients["weight"] = dw
        if "bias" in self.parameters:
            self.gradients["bias"] = np.einsum("gol->go", delta).reshape(-1)  # (76)  (O,)
        if not self.needs_input_gradient:
            return None
        dx = np.transpose(self.unpad(self.scatter(delta)), (3, 0, 1, 2))  # (C, H, W, N) to (N, C, H, W)
        return dx if self.batched else dx[0]

    def gather(self, x: Array) -> Array:
        """Return the padded images x (C, H, W, N) under each column of the kernel: (C, kw, H, OW, N)."""
        c, h, _, n = x.shape
        across = np.empty_like(x, shape=(c, self.kernel_size[1], h, self.output[2], n))
        for j in range(self.kernel_size[1]):
            across[:, j] = x[:, :, self.columns_under(j)]
        return across

    def scatter(self, delta: Array) -> Array:
        """Return the gradient for the padded images (C, H, W, N): it is added wherever the forward pass read.

        So many examples at a time that what is added to stays in the processor's caches.
        """
        images, each = np.empty_like(delta, shape=self.padded), delta.reshape(*delta.shape[:2], -1, self.padded[3])
        for start in range(0, self.padded[3], 64):
            some = slice(start, start + 64)
            part = each[..., some]
            images[..., some] = self.scatter_part(part.reshape(*delta.shape[:2], -1), part.shape[3])
        return images

    def scatter_part(self, delta: Array, n: int) -> Array:
        """Return the gradient for n of the padded images (C, H, W, n), from their delta (groups, O / groups, L)."""
        (c, h, w, _), (_, oh, ow), kw = self.padded, self.output, self.kernel_size[1]
        across = np.zeros_like(delta, shape=(c, kw, h, ow, n))
        for i in range(self.kernel_size[0]):
            turned = self.kernel_row(i).swapaxes(1, 2)
            dx_i = product(turned, delta)  # (77)  (groups, K, O / groups) @ (groups, O / groups, L)
            across[:, :, self.rows_under(i)] += dx_i.reshape(c, kw, oh, ow, n)  # (78)  of the rows
        images = np.zeros_like(delta, shape=(c, h, w, n))
        for j in range(self.kernel_size[1]):
            images[:, :, self.columns_under(j)] += across[:, j]  # (78)  of the columns
        return images

    def kernel_row(self, i: int) -> Array:
        """Return W_i, row i of every kernel: (groups, O / groups, K)."""
        return self.parameters["weight"][:, :, i].reshape(self.groups, self.out_channels // self.groups, -1)

    def under_row(self, i: int) -> Array:
        """Return X_i, what lies under row i of the kernel: (groups, K, L).            (73)"""
        rows = self.across[:, :, self.rows_under(i)]  # (C, kw, OH, OW, N)
        return rows.reshape(self.groups, self.in_channels // self.groups * self.kernel_size[1], -1)

    def rows_under(self, i: int) -> slice:
        """Return the rows of the padded image that lie under row i of the kernel, one for each row of the output."""
        return under(i, self.padded[1], self.output[1], self.stride[0], dilation=self.dilation[0])[1]

    def columns_under(self, j: int) -> slice:
        """Return the columns of the padded image that lie under column j of the kernel."""
        return under(j, self.padded[2], self.output[2], self.stride[1], dilation=self.dilation[1])[1]

    def sources(self, height: int, width: int) -> tuple[Array, Array]:
        """Return which row and which column of the image each row and column of the padded image copies."""
        mode = PADDING_MODES[self.padding_mode]
        rows, columns = (np.pad(np.arange(size), ends, mode=mode) for size, ends in self.axes(height, width))
        return rows[:, None], columns

    def axes(self, height: int, width: int) -> tuple[tuple[int, tuple[int, int]], tuple[int, tuple[int, int]]]:
        """Return (size, (margin before, margin after)) of both axes of an image."""
        return (height, self.margins[0]), (width, self.margins[1])

    def inside(self, height: int, width: int) -> tuple[slice, slice, slice]:
        """Return where the image stands in the padded one."""
        (above, _), (left, _) = self.margins
        return slice(None), slice(above, above + height), slice(left, left + width)

    def pad(self, x: Array) -> Array:
        """Return the images x (C, H, W, N) with their margins; keep both shapes."""
        c, h, w, n = self.images = x.shape
        self.padded = (c, h + sum(self.margins[0]), w + sum(self.margins[1]), n)
        if self.padded == x.shape:
            return x
        if self.padding_mode != "zeros":
            return x[:, *self.sources(h, w)]
        padded = np.zeros_like(x, shape=self.padded)
        padded[self.inside(h, w)] = x
        return padded

    def unpad(self, grad: Array) -> Array:
        """Return the gradient for the images (C, H, W, N), given that for the padded ones.            (79)"""
        _, h, w, _ = self.images
        if self.padding_mode == "zeros":
            return grad[self.inside(h, w)]
        images = np.zeros_like(grad, shape=self.images)
        where = (slice(None), *self.sources(h, w))
        np.add.at(images, where, grad)  # (79)  # pyright: ignore[reportArgumentType] - a slice is an index too
        return images

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return (O, OH, OW), given the shape (C, H, W) of one example's input; None if that is not known."""
        return None if input_shape is None else self.shape_for(input_shape)

    def shape_for(self, input_shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Return (O, OH, OW) for an image of shape (C, H, W); raise ValueError where they do not fit."""
        if len(input_shape) != 3 or input_shape[0] != self.in_channels:
            raise ValueError(f"wants images of shape ({self.in_channels}, H, W)")
        axes = self.axes(*input_shape[1:])
        for size, ends in axes:
            most = {"reflect": size - 1, "circular": size}.get(self.padding_mode, max(ends))
            if max(ends) > most:
                raise ValueError(f"wants padding of at most {most} for {size} pixels in mode {self.padding_mode!r}")
        each = zip(axes, self.kernel_size, self.stride, self.dilation, strict=True)
        rows, columns = (outputs(size, k, s, ends, d) for (size, ends), k, s, d in each)
        return self.out_channels, rows, columns

    def __repr__(self) -> str:
        facts = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0, 0):
            facts += f", padding={self.padding}"
        if self.dilation != (1, 1):
            facts += f", dilation={self.dilation}"
        if self.groups != 1:
            facts += f", groups={self.groups}"
        if "bias" not in self.parameters:
            facts += ", bias=False"
        if self.padding_mode != "zeros":
            facts += f", padding_mode={self.padding_mode}"
        return f"Conv2d({facts})"
