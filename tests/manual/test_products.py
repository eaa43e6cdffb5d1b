"""Products cut into blocks: the same sums as `left @ right`, and cut where it is said that they are."""

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from manual import blas
from manual.products import SMALL, by_columns, by_depth, by_rows, is_small, product, way

SIZES = st.integers(1, 96)
LAYERS = [(784, 10), (784, 30), (784, 100), (784, 256), (256, 128), (128, 10)]


@pytest.fixture(autouse=True)
def small_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products are cut here on every machine."""
    monkeypatch.setattr(blas, "has_small_kernels", lambda: True)
    way.cache_clear()


def require_product(left: np.ndarray, right: np.ndarray) -> None:
    """Each of two ways to add k products errs by at most gamma_k |left| |right|, in whatever order (Higham, 3.1)."""
    k, u = left.shape[-1], np.finfo(left.dtype).eps / 2
    found, plain = product(left, right), left.astype(float) @ right.astype(float)
    allowed = 2 * k * u / (1 - k * u) * (np.abs(left).astype(float) @ np.abs(right).astype(float))
    assert found.shape == plain.shape
    assert found.dtype == left.dtype
    assert (np.abs(found - plain) <= allowed).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(deadline=None)
@given(m=SIZES, k=SIZES, n=SIZES, turned=st.tuples(st.booleans(), st.booleans()), scale=st.sampled_from([1, 10, 40]))
def test_every_element_is_the_sum_of_its_products(
    dtype: str, m: int, k: int, n: int, turned: tuple[bool, bool], scale: int
) -> None:
    """One of the sizes is made long, so that the product is cut along each of them; operands may be transposes."""
    rng = np.random.default_rng([m, k, n])
    sizes = [m, k, n]
    sizes[(m + k + n) % 3] *= scale
    m, k, n = sizes
    left = rng.normal(size=(k, m) if turned[0] else (m, k)).astype(dtype)
    right = rng.normal(size=(n, k) if turned[1] else (k, n)).astype(dtype)
    require_product(left.T if turned[0] else left, right.T if turned[1] else right)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 10, 64, 512])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_the_three_products_of_a_linear_layer(layer: tuple[int, int], batch: int, dtype: str) -> None:
    rng = np.random.default_rng(batch)
    x, weight, delta = (
        rng.normal(size=size).astype(dtype) for size in ((batch, layer[0]), layer[::-1], (batch, layer[1]))
    )
    require_product(x, weight.T)
    require_product(delta.T, x)
    require_product(delta, weight)


def test_a_view_of_a_larger_array_is_multiplied_where_it_lies() -> None:
    """As convolution does: the rows under one row of a kernel are a part of longer rows."""
    whole = np.random.default_rng(1).normal(size=(30, 14 * 10 * 64))
    part, delta = whole[:, 640 : 640 + 6400], np.random.default_rng(2).normal(size=(16, 6400))
    require_product(part, delta.T)
    require_product(np.ascontiguousarray(whole[:16, :30]), part)


def chosen(left: tuple[int, int], right: tuple[int, int], turned: bool) -> Any:
    """The way to a product of float64 matrices, its right operand a transpose or not."""
    return way(left, right, (8, 8 * right[0]) if turned else (8 * right[1], 8))


@pytest.mark.parametrize(
    ("left", "right", "turned", "how"),
    [
        ((64, 784), (784, 100), True, by_columns),  # forward: 64 x 100 outputs are too many for the small kernel
        ((512, 784), (784, 10), True, by_rows),
        ((100, 64), (64, 784), False, by_columns),  # the weights' gradient
        ((6, 50176), (50176, 5), True, by_depth),  # that of a convolution
    ],
)
def test_large_products_are_cut_into_blocks_that_are_small(
    left: tuple[int, int], right: tuple[int, int], turned: bool, how: Any
) -> None:
    found = chosen(left, right, turned)
    assert isinstance(found, functools.partial)
    assert found.func is how
    (m, k), n, blocks = left, right[1], found.keywords["blocks"]
    cut = {by_rows: (m // blocks, k, n), by_columns: (m, k, n // blocks), by_depth: (m, k // blocks, n)}[how]
    assert np.prod(cut) <= 10**6
    assert not turned or (cut[0] * cut[2] <= 1200 and cut[1] >= 32)


def test_small_products_and_those_with_large_operands_are_not_cut() -> None:
    assert chosen((10, 784), (784, 30), True) is np.matmul
    assert chosen((512, 784), (784, 256), True) is np.matmul  # the weights alone fill the cache
    assert chosen((100, 1), (1, 784), False) is np.multiply
    assert not is_small(100, 101, 100, False)
    assert is_small(100, SMALL // 10_000, 100, False)


@pytest.mark.parametrize("dtype", [np.longdouble, np.complex128])
def test_other_numbers_are_multiplied_as_numpy_does(dtype: Any) -> None:
    rng = np.random.default_rng(3)
    left, right = rng.normal(size=(64, 784)).astype(dtype), rng.normal(size=(784, 30)).astype(dtype)
    np.testing.assert_array_equal(product(left, right), left @ right)


@pytest.mark.parametrize("right", ["float64", "float32"])
@pytest.mark.parametrize("left", ["float64", "float32"])
def test_of_two_dtypes_the_wider_is_that_of_the_product(left: str, right: str) -> None:
    """As of `left @ right`, however large the matrices are: a layer by itself may meet float32 with float64 weights."""
    rng = np.random.default_rng(5)
    x, weight = rng.normal(size=(64, 784)).astype(left), rng.normal(size=(100, 784)).astype(right)
    assert product(x, weight.T).dtype == (x @ weight.T).dtype == np.result_type(left, right)


def test_stacks_of_matrices() -> None:
    rng = np.random.default_rng(4)
    for groups in (1, 3):
        left, right = rng.normal(size=(groups, 6, 5000)), rng.normal(size=(groups, 5000, 40))
        require_product(left, right)


def test_what_only_behaves_like_an_array_is_asked_to_multiply_itself() -> None:
    class Named:
        def __matmul__(self, other: Any) -> str:
            return "its own product"

    assert product(Named(), np.eye(2)) == "its own product"


def test_nothing_is_cut_where_the_blas_has_no_kernels_for_small_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """There it would cost up to twice the time."""
    monkeypatch.setattr(blas, "has_small_kernels", lambda: False)
    assert chosen((64, 784), (784, 100), True) is np.matmul
    assert chosen((6, 50176), (50176, 5), True) is np.matmul
    assert chosen((100, 1), (1, 784), False) is np.multiply


def test_the_core_is_the_one_that_threadpoolctl_finds() -> None:
    found = {
        pool["architecture"]
        for pool in threadpool_info()
        if pool["internal_api"] == "openblas" and "numpy" in pool["filepath"]
    }
    assert blas.core() in (found or {""})
