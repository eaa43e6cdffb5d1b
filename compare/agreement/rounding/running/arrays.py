"""Functions that choose, fill and write: they round nothing, and errors go where their numbers go."""

from collections.abc import Callable
from typing import Any

import numpy as np

from compare.agreement.rounding.running.bounded import FUNCTIONS, Bounded, Decision, lift, plain, rule
from compare.agreement.rounding.running.elementary import maximum, negative


@rule("where", table=FUNCTIONS)
def where(condition: Any, x: Any, y: Any) -> Bounded:
    """The value and the error of the one that is chosen; where that is undecided, either's."""
    u = next(a.u for a in (x, y, condition) if isinstance(a, Bounded))
    chosen, a, b = plain(condition), lift(x, u), lift(y, u)
    error = np.where(chosen, a.error, b.error)
    if isinstance(condition, Decision):
        either = np.abs(a.value - b.value) + a.error + b.error
        error = np.where(condition.undecided, either, error)
    return Bounded(np.where(np.asarray(chosen), a.value, b.value), error, u)


def filled(fill: float) -> Callable[..., Any]:
    """Return the rule of zeros_like, ones_like, empty_like."""

    def like(x: Bounded, dtype: Any = None, *_: Any, shape: Any = None, **__: Any) -> Any:
        full = x.shape if shape is None else shape
        if dtype is not None and np.dtype(dtype).kind not in "fc":
            return np.full(full, fill, dtype)
        return Bounded(np.full(full, fill), np.zeros(full), x.u)

    return like


@rule("full_like", table=FUNCTIONS)
def full_like(x: Bounded, fill_value: Any, dtype: Any = None, shape: Any = None, **_: Any) -> Any:
    """An array full of one number."""
    result = filled(0.0)(x, dtype, shape=shape)
    result[...] = fill_value
    return result


@rule("copyto", table=FUNCTIONS)
def copyto(target: Any, source: Any, **_: Any) -> None:
    """Write into an array in place."""
    target[...] = source


@rule("clip", table=FUNCTIONS)
def clip(x: Bounded, a_min: Any = None, a_max: Any = None, **_: Any) -> Bounded:
    """The maximum with the lower limit, the minimum with the upper one."""
    below = x if a_min is None else maximum(x, lift(a_min, x.u))
    return below if a_max is None else negative(maximum(negative(below), negative(lift(a_max, x.u))))


@rule("put_along_axis", table=FUNCTIONS)
def put_along_axis(target: Bounded, indices: Any, values: Any, axis: Any) -> None:
    """Write at indices along an axis, in place."""
    given = lift(values, target.u)
    for mine, other in zip(target.arrays, given.arrays, strict=True):
        np.put_along_axis(mine, indices, other, axis)
    target.terms[...] = max(target.terms, given.terms)


FUNCTIONS |= {"zeros_like": filled(0.0), "empty_like": filled(0.0), "ones_like": filled(1.0)}
