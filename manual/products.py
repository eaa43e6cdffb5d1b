"""A matrix product, cut into small ones where that is faster. What it computes is `left @ right`, whatever it is given.

Why. OpenBLAS, which NumPy's packages bring along, has a second kernel for small matrices (on processors with AVX-512):
it reads the operands where they lie instead of first packing them into panels, which for the products of a small
network is a large part of the work. It is taken for (m, k) @ (k, n) with

    m k n <= 10^6,   and, where the right operand is a transpose,   m n <= 1200, k >= 32.

A larger product is cut along its longest side into the fewest equal blocks that fulfil this, and the blocks are
stacked: one call of `matmul`. Where it is the sums that are long, the sums of the blocks are added up. Every element is
the sum of the same k products, in an order of the kernel's choice, so a bound on its rounding that holds for any order
(gamma_k) holds as before.

Measured in microseconds, one thread, `left @ right` -> cut, for X (N, in), W (out, in), delta (N, out):

    N    in -> out    float32  X W^T       delta^T X      float64  X W^T       delta^T X
    64   784 -> 30              53 -> 30    37 -> 31                94 -> 61    68 -> 59
    64   784 -> 100            138 -> 95   104 -> 95               238 -> 198  209 -> 191
    64   784 -> 256            341 -> 240  261 -> 250              555 -> 491  514 -> 477
    512  784 -> 10             174 -> 82   142 -> 94               350 -> 178  231 -> 191

for a convolution of 1 channel into 6, batch 64, X_i delta^T (5, 50176) @ (50176, 6): 258 -> 53, float64 511 -> 99; and
for the outer products of a single example, N = 1, 784 -> 100: 88 -> 21, float64 89 -> 40.

It does not pay where the operand that is not cut, and is read again for every block, fills the cache (4444 -> 4572 for
X W^T of 784 -> 256, N = 512, float64), nor where blocks become so narrow that they are read in shreds. Hence KEPT and
LEAST_APART. And where there is no such kernel (Haswell has none) it costs up to three times the time: so the BLAS is
asked.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from manual import blas

SMALL = 10**6  # m k n up to which OpenBLAS takes its kernel for small matrices
SMALL_OUTPUT, SMALL_DEPTH = 1200, 32  # m n up to which, and k from which, it does so for a transposed right operand
KEPT = 2**20  # bytes of the operand that is not cut: the second-level cache of a processor with AVX-512
LEAST, LEAST_APART = 4, 32  # rows or columns of a block; columns, where a column's elements do not lie side by side

Product = Callable[[Any, Any], Any]


def product(left: Any, right: Any) -> Any:
    """Return left @ right for matrices (m, k) and (k, n), or stacks of them: arrays, or what behaves like them."""
    if type(left) is not np.ndarray or type(right) is not np.ndarray:
        return left @ right
    if left.ndim > 2:
        return product(left[0], right[0])[None] if len(left) == len(right) == 1 else left @ right
    (m, k), n = left.shape, right.shape[1]
    if k > 1 and m * n <= SMALL_OUTPUT and m * n * k <= SMALL:
        return left.dot(right)  # the same as left @ right, in half the time for the smallest
    if left.dtype.char in "fd" and left.dtype == right.dtype:
        return way(left.shape, right.shape, right.strides)(left, right)
    return left @ right


@functools.lru_cache(maxsize=1024)
def way(left: tuple[int, int], right: tuple[int, int], strides: tuple[int, int]) -> Product:
    """Return the fastest way to the product of two matrices of these shapes, the right one with these strides."""
    (m, k), n = left, right[1]
    if k == 1:
        return np.multiply  # the outer product of a single example's vectors: nothing is summed
    transposed = strides[0] < strides[1]
    if blas.has_small_kernels() and not is_small(m, k, n, transposed):
        longer, shorter = max(m, n), min(m, n)
        if k > longer and m * n <= SMALL_OUTPUT:
            depths = [depth for depth in range(SMALL_DEPTH, SMALL // (m * n) + 1) if k % depth == 0]
            return functools.partial(by_depth, blocks=k // max(depths)) if depths else np.matmul
        least = LEAST if m >= n or transposed else LEAST_APART
        sizes = [size for size in range(least, longer // 2 + 1) if longer % size == 0]
        fitting = [size for size in sizes if is_small(size, k, shorter, transposed)]
        if fitting and shorter * k * min(strides) <= KEPT:
            size = max(fitting, key=lambda size: (size % 4 == 0, size))  # the kernel computes four and more at once
            return functools.partial(by_rows if m >= n else by_columns, blocks=longer // size)
    return np.matmul


def is_small(m: int, k: int, n: int, transposed: bool) -> bool:
    """Whether OpenBLAS takes its kernel for small matrices."""
    return m * k * n <= SMALL and (not transposed or (m * n <= SMALL_OUTPUT and k >= SMALL_DEPTH))


def by_rows(left: np.ndarray, right: np.ndarray, blocks: int) -> np.ndarray:
    """Return the product, the left operand's rows cut into so many blocks."""
    m, k = left.shape
    return np.matmul(left.reshape(blocks, m // blocks, k), right).reshape(m, -1)


def by_depth(left: np.ndarray, right: np.ndarray, blocks: int) -> np.ndarray:
    """Return the product, its sums of k terms cut into so many parts, which are added up."""
    m, k = left.shape
    parts = left.reshape(m, blocks, k // blocks).swapaxes(0, 1) @ right.reshape(blocks, k // blocks, -1)
    return parts.sum(axis=0)


def by_columns(left: np.ndarray, right: np.ndarray, blocks: int) -> np.ndarray:
    """Return the product, the right operand's columns cut into so many blocks."""
    out = np.empty((len(left), right.shape[1]), left.dtype)
    np.matmul(left, side_by_side(right, blocks), out=side_by_side(out, blocks))
    return out


def side_by_side(matrix: np.ndarray, blocks: int) -> np.ndarray:
    """Return the matrix (m, n) as a stack of its blocks of columns, (blocks, m, n / blocks): a view."""
    m, n = matrix.shape
    return matrix.reshape(m, blocks, n // blocks).swapaxes(0, 1)
