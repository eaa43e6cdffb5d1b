"""Sums: in whatever order they are taken, gamma_n times the sum of the magnitudes."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from compare.agreement.rounding.running.bounded import FUNCTIONS, Bounded, lift, rule
from compare.agreement.rounding.running.elementary import add, divide, negative, sqrt, square
from compare.agreement.rounding.unit import gamma, underflow


@rule("add.reduce")
@rule("sum", table=FUNCTIONS)
def add_reduce(x: Bounded, axis: Any = None, keepdims: bool = False, **_: Any) -> Bounded:
    """A sum of n numbers in any order: each takes part in at most n - 1 additions."""
    value = x.value.sum(axis=axis, keepdims=keepdims)
    n = max(x.size // max(value.size, 1), 1)
    passed = x.error.sum(axis=axis, keepdims=keepdims)
    own = gamma(n - 1, x.u) * x.magnitude.sum(axis=axis, keepdims=keepdims) if n > 1 else 0.0
    return Bounded(value, passed + own, x.u)


@rule("mean", table=FUNCTIONS)
def mean(x: Bounded, axis: Any = None, keepdims: bool = False, **_: Any) -> Bounded:
    """The sum, divided by n."""
    total = add_reduce(x, axis, keepdims)
    return divide(total, Bounded(float(x.size // max(total.size, 1)), 0.0, x.u))


@rule("maximum.reduce")
@rule("max", "amax", table=FUNCTIONS)
def maximum_reduce(x: Bounded, axis: Any = None, keepdims: bool = False, **_: Any) -> Bounded:
    """The largest error of those that may be the largest number."""
    value = x.value.max(axis=axis, keepdims=True)
    sure = (x.value - x.error).max(axis=axis, keepdims=True)
    error = np.where(x.value + x.error >= sure, x.error, 0.0).max(axis=axis, keepdims=keepdims)
    return Bounded(value.reshape(error.shape), error, x.u)


@rule("minimum.reduce")
@rule("min", "amin", table=FUNCTIONS)
def minimum_reduce(x: Bounded, axis: Any = None, keepdims: bool = False, **_: Any) -> Bounded:
    """Minus the maximum of -x."""
    return negative(maximum_reduce(negative(x), axis, keepdims))


@rule("add.accumulate")
@rule("cumsum", table=FUNCTIONS)
def cumsum(x: Bounded, axis: int = 0, **_: Any) -> Bounded:
    """Each of the running sums is a sum of at most n numbers."""
    n = x.shape[axis]
    passed = np.cumsum(x.error, axis=axis)
    return Bounded(np.cumsum(x.value, axis=axis), passed + gamma(n, x.u) * np.cumsum(x.magnitude, axis=axis), x.u)


@rule("add.at")
def add_at(target: Bounded, index: Any, addend: Any) -> None:
    """Add at indices that may repeat, in place: sums of as many numbers as fall on one place."""
    given = lift(addend, target.u)
    size, count = target.magnitude.copy(), np.zeros(target.shape)
    np.add.at(target.value, index, given.value)
    np.add.at(target.error, index, given.error)
    np.add.at(size, index, given.magnitude)
    np.add.at(count, index, 1.0)
    target.error[...] += gamma(max(int(count.max(initial=0.0)), 1), target.u) * np.where(count > 0, size, 0.0)


def bilinear(product: Callable[[np.ndarray, np.ndarray], np.ndarray], x: Bounded, y: Bounded, n: int) -> Bounded:
    """A sum of n products, whatever its shape: `product` is linear in each of the two."""
    passed = 0.0
    if np.any(y.error):
        passed = product(x.magnitude, y.error)
    if np.any(x.error):
        passed = passed + product(x.error, np.abs(y.value))
    return Bounded(
        product(x.value, y.value), passed + gamma(n, x.u) * product(x.magnitude, y.magnitude) + n * underflow(x.u), x.u
    )


@rule("matmul")
def matmul(x: Bounded, y: Bounded) -> Bounded:
    """Sums of n products."""
    return bilinear(np.matmul, x, y, x.shape[-1])


@rule("tensordot", table=FUNCTIONS)
def tensordot(x: Any, y: Any, axes: Any = 2) -> Bounded:
    """Sums of n products; n follows from the sizes of the two and of the result."""
    u = x.u if isinstance(x, Bounded) else y.u
    a, b = lift(x, u), lift(y, u)
    result = np.tensordot(a.value, b.value, axes).size
    n = round(math.sqrt(a.size * b.size / max(result, 1)))
    return bilinear(lambda p, q: np.tensordot(p, q, axes), a, b, max(n, 1))


@rule("einsum", table=FUNCTIONS)
def einsum(subscripts: str, *operands: Any, **_: Any) -> Bounded:
    """Sums over the indices that the result lacks."""
    u = next(x.u for x in operands if isinstance(x, Bounded))
    given = [lift(x, u) for x in operands]
    inputs, _, output = subscripts.replace(" ", "").partition("->")
    sizes = dict(axis for term, x in zip(inputs.split(","), given, strict=True) for axis in axes_of(term, x))
    n = math.prod(size for label, size in sizes.items() if label not in output)
    if len(given) == 1:
        (x,) = given
        value = np.einsum(subscripts, x.value)
        own = gamma(n - 1, u) * np.einsum(subscripts, x.magnitude) if n > 1 else 0.0
        return Bounded(value, np.einsum(subscripts, x.error) + own, u)
    if len(given) == 2:
        return bilinear(lambda p, q: np.einsum(subscripts, p, q, optimize=True), *given, n)
    sizes_of = [x.magnitude for x in given]
    passed = sum(
        np.einsum(subscripts, *(x.error if i == j else sizes_of[j] for j, x in enumerate(given)), optimize=True)
        for i in range(len(given))
    )
    own = gamma(n + len(given), u) * np.einsum(subscripts, *sizes_of, optimize=True)
    return Bounded(np.einsum(subscripts, *(x.value for x in given), optimize=True), passed + own, u)


def axes_of(term: str, x: Bounded) -> list[tuple[str, int]]:
    """Return the labels of an operand's axes with their lengths; those of an ellipsis stay in the result."""
    head, _, tail = term.partition("...")
    lengths = x.shape
    named = list(zip(head, lengths, strict=False))
    return named + list(zip(tail, lengths[len(lengths) - len(tail) :], strict=True)) if "..." in term else named


@rule("var", table=FUNCTIONS)
def variance(x: Bounded, axis: Any = None, ddof: int = 0, keepdims: bool = False, **_: Any) -> Bounded:
    """The mean of the squared distances from the mean."""
    centred = add(x, negative(mean(x, axis, True)))
    total = add_reduce(square(centred), axis, keepdims)
    return divide(total, Bounded(float(x.size // max(total.size, 1) - ddof), 0.0, x.u))


@rule("norm", table=FUNCTIONS)
def norm(x: Bounded, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Bounded:
    """The root of the sum of squares."""
    if ord not in (None, 2) or (axis is None and ord == 2 and x.ndim > 1):
        raise TypeError(f"No rounding rule for the norm {ord!r}.")
    return sqrt(add_reduce(square(x), axis, keepdims))


@rule("dot", table=FUNCTIONS)
def dot(x: Any, y: Any) -> Bounded:
    """Sums over the last axis of x and the first of y."""
    return tensordot(x, y, 1)
