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
    value, passed, total = (a.sum(axis=axis, keepdims=keepdims) for a in (x.value, x.passed, x.total))
    n = max(x.size // max(value.size, 1), 1)
    return summed(value, passed, total, n * int(x.terms), x.u)


def summed(value: np.ndarray, passed: np.ndarray, total: np.ndarray, terms: int, u: float) -> Bounded:
    """Return a sum of so many terms, taken in any order."""
    error = passed + gamma(terms - 1, u) * total if terms > 1 else passed.copy()  # written to apart from each other
    return Bounded(value, error, u, passed, total, terms)


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
    value, passed, total = (np.cumsum(a, axis=axis) for a in (x.value, x.passed, x.total))
    return summed(value, passed, total, x.shape[axis] * int(x.terms), x.u)


@rule("add.at")
def add_at(target: Bounded, index: Any, addend: Any) -> None:
    """Add at indices that may repeat, in place: sums of as many numbers as fall on one place."""
    given, count = lift(addend, target.u), np.zeros(target.shape)
    before = target.error.copy()
    np.add.at(count, index, 1.0)
    for mine, other in zip(target.arrays, given.arrays, strict=True):
        np.add.at(mine, index, other)
    target.terms[...] = int(target.terms) + int(count.max(initial=0.0)) * int(given.terms)
    own = target.passed + gamma(int(target.terms) - 1, target.u) * target.total
    target.error[...] = np.where(count > 0, own, before)


def bilinear(product: Callable[[np.ndarray, np.ndarray], np.ndarray], x: Bounded, y: Bounded, n: int) -> Bounded:
    """A sum of n products, whatever its shape: `product` is linear in each of the two."""
    value, total = product(x.value, y.value), product(x.magnitude, y.magnitude)
    passed = np.full_like(value, n * underflow(x.u))
    if np.any(y.error):
        passed += product(x.magnitude, y.error)
    if np.any(x.error):
        passed += product(x.error, np.abs(y.value))
    return summed(value, passed, total, n + 1, x.u)  # one rounding more, of the product itself


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
    inputs, output = subscripts.replace(" ", "").split("->")
    terms = zip(inputs.split(","), given, strict=True)
    sizes = {label: size for term, x in terms for label, size in axes_of(term, x)}
    n = math.prod(size for label, size in sizes.items() if label not in output)
    if len(given) == 1:
        value, _, passed, total = (np.einsum(subscripts, array) for array in given[0].arrays)
        return summed(value, passed, total, n * int(given[0].terms), u)

    def product(*arrays: np.ndarray) -> np.ndarray:
        return np.einsum(subscripts, *arrays, optimize=True)

    if len(given) == 2:
        return bilinear(product, given[0], given[1], n)
    sizes_of = [x.magnitude for x in given]
    passed = sum(product(*(x.error if i == j else sizes_of[j] for j, x in enumerate(given))) for i in range(len(given)))
    return summed(product(*(x.value for x in given)), np.asarray(passed), product(*sizes_of), n + len(given), u)


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
