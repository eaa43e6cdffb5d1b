"""Arrays whose every number carries a bound on its own rounding error.

Magnitudes are those of the moved numbers, |x| + ex, so that terms of second order are in the bounds as well. A branch
(a mask, a limit) is decided by the values; where rounding might decide it otherwise is remembered, and what is chosen
there may be off by as much as the two branches differ.

A number also remembers what it is the sum of: how many terms, the errors that they brought along, and the sum of their
magnitudes. Another implementation may add the same terms up in another order (the bias first, one row of a kernel after
the other), and the bound has to hold for all of them: gamma_{terms - 1} times the magnitudes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from compare.agreement.rounding.unit import underflow, unit_roundoff

RULES: dict[str, Callable[..., "Bounded"]] = {}  # "add", "add.reduce": filled by `elementary` and `sums`
FUNCTIONS: dict[str, Callable[..., Any]] = {}  # "where", "einsum": filled by `arrays` and `sums`
MOVERS = {
    "reshape", "transpose", "moveaxis", "swapaxes", "expand_dims", "squeeze", "broadcast_to", "flip", "roll", "repeat",
    "take", "take_along_axis", "ravel", "concatenate", "stack", "split", "array_split", "pad", "sliding_window_view",
    "copy", "tile", "tril", "triu", "diagonal", "as_strided", "ascontiguousarray", "atleast_1d", "atleast_2d", "delete",
    "rollaxis", "rot90", "fliplr", "flipud", "hstack", "vstack", "unstack", "matrix_transpose", "permute_dims",
}  # fmt: skip
LOOKERS = {
    "argmax", "argmin", "argsort", "any", "all", "array_equal", "count_nonzero", "nonzero", "flatnonzero", "argwhere",
    "shape", "ndim", "size", "shares_memory", "may_share_memory", "iscomplexobj", "isrealobj",
}  # fmt: skip
METHODS = {
    "sum", "mean", "max", "min", "var", "std", "cumsum", "any", "all", "argmax", "argmin", "ravel", "swapaxes",
    "squeeze", "repeat", "take", "dot", "clip", "nonzero",
}  # fmt: skip
COMPARISONS = {
    "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "isnan", "isfinite", "isinf", "signbit",
}  # fmt: skip


def rule(*names: str, table: dict[str, Callable[..., Any]] = RULES) -> Callable[[Callable[..., Any]], Any]:
    """Declare the rule of the operations of these names, a decorator."""

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        table.update(dict.fromkeys(names, function))
        return function

    return declare


class Decision(np.ndarray):
    """A mask that knows where rounding might have decided otherwise: `undecided`."""

    undecided: Any

    @classmethod
    def of(cls, mask: np.ndarray, undecided: np.ndarray) -> Any:
        """Return the mask, with what is undecided of it."""
        decision = np.asarray(mask).view(cls)
        decision.undecided = undecided
        return decision

    def __invert__(self) -> Any:
        return Decision.of(~np.asarray(self), self.undecided)


class Bounded(NDArrayOperatorsMixin):
    """An array of values, in float64, and one of bounds on their errors, computed as if in arithmetic of roundoff u.

    What is known of it as a sum is made when it is asked for: most numbers are never added up as they are.
    """

    def __init__(self, value: Any, error: Any, u: float, passed: Any = None, total: Any = None, terms: Any = 1):
        self.value = np.asarray(value, np.float64)
        self.error = own(error, self.value.shape)
        self.own_passed = None if passed is None else own(passed, self.value.shape)
        self.own_total = None if total is None else own(total, self.value.shape)
        self.terms = np.asarray(terms)  # shared with views of it
        self.u = u

    @classmethod
    def exact(cls, value: Any, u: float) -> "Bounded":
        """Return the array as it is, without an error."""
        array = np.array(value, np.float64)
        return cls(array, np.zeros_like(array), u)

    @property
    def passed(self) -> np.ndarray:
        """The errors that its terms brought along, to be read: of a number that is no sum its own."""
        return self.error if self.own_passed is None else self.own_passed

    @property
    def total(self) -> np.ndarray:
        """The sum of its terms' magnitudes, to be read: of a number that is no sum its own."""
        return self.magnitude if self.own_total is None else self.own_total

    @property
    def magnitude(self) -> np.ndarray:
        """How large the moved numbers may be: |x| + e."""
        return np.abs(self.value) + self.error

    # An array to those who look at it

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.value.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.value.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that it stands for."""
        return np.dtype(np.float32 if self.u == unit_roundoff(np.float32) else np.float64)

    @property
    def T(self) -> "Bounded":  # noqa: N802 - NumPy's name
        """The transpose."""
        return np.transpose(self)  # pyright: ignore[reportReturnType]

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self.value)))

    def __repr__(self) -> str:
        return f"Bounded({self.value!r}, error={self.error!r})"

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("A Bounded array is no plain array: its errors would be lost.")

    def each(self, move: Callable[[np.ndarray], np.ndarray]) -> "Bounded":
        """Return it with values and errors moved about alike."""
        value, error, passed, total = (move(array) for array in self.arrays)
        return Bounded(value, error, self.u, passed, total, self.terms)

    def __getitem__(self, index: Any) -> "Bounded":
        return self.each(lambda array: array[index])

    def __setitem__(self, index: Any, new: Any) -> None:
        given = lift(new, self.u)
        for mine, other in zip(self.arrays, given.arrays, strict=True):
            mine[index] = other
        self.terms[...] = max(self.terms, given.terms)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """Values, errors, and what is known of the sums: its own arrays, that may be written to."""
        if self.own_passed is None:
            self.own_passed = self.error.copy()
        if self.own_total is None:
            self.own_total = self.magnitude
        return self.value, self.error, self.own_passed, self.own_total

    def assign(self, new: "Bounded") -> "Bounded":
        """Write another's values and errors into this one's arrays."""
        self[...] = new
        return self

    # NumPy's two doors

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        out = options.pop("out", None)
        if ufunc.__name__ in COMPARISONS and method == "__call__":
            return compare(ufunc, *inputs)
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        if name not in RULES:
            raise TypeError(f"No rounding rule for {name}.")
        if method == "at":  # in place: nothing is lifted, nothing returned
            return RULES[name](*inputs)
        with np.errstate(all="ignore"):
            result = RULES[name](*(lift(x, self.u) for x in inputs), **options)
        if out is None:
            return result
        (target,) = out if isinstance(out, tuple) else (out,)
        if not isinstance(target, Bounded):
            raise TypeError("A plain array cannot take in numbers that carry their errors.")
        return target.assign(result)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        name = function.__name__
        out = kwargs.pop("out", None)
        with np.errstate(all="ignore"):
            if name in MOVERS:
                result: Any = moved(function, args, kwargs, self.u)
            elif name in LOOKERS:
                result = function(*plain(args), **plain(kwargs))
            elif name in FUNCTIONS:
                result = FUNCTIONS[name](*args, **kwargs)
            else:
                raise TypeError(f"No rounding rule for numpy.{name}.")
        return out.assign(result) if isinstance(out, Bounded) else result

    # The methods of arrays that passes use

    def __getattr__(self, name: str) -> Any:
        """Return a method of arrays, x.sum(...), as NumPy's function of the same name."""
        if name.startswith("_") or name not in METHODS:
            raise AttributeError(f"A Bounded array has no {name}.")
        function = getattr(np, name)
        return lambda *args, **kwargs: function(self, *args, **kwargs)

    def reshape(self, *shape: Any, **_: Any) -> "Bounded":
        """Return it in another shape."""
        wanted = shape[0] if len(shape) == 1 else shape
        return self.each(lambda array: array.reshape(wanted))

    def transpose(self, *axes: Any) -> "Bounded":
        """Return it with its axes in another order."""
        return self.each(lambda array: array.transpose(*axes))

    def astype(self, *_: Any, **__: Any) -> "Bounded":
        """Return itself: it stands for any floating dtype."""
        return self

    def copy(self, *_: Any, **__: Any) -> "Bounded":
        """Return a copy."""
        value, error, passed, total = (array.copy() for array in self.arrays)
        return Bounded(value, error, self.u, passed, total, self.terms.copy())

    def fill(self, value: float) -> None:
        """Fill it with one exact number."""
        self[...] = value


def compare(ufunc: np.ufunc, *inputs: Any) -> Any:
    """Return a comparison of values; where their errors overlap, rounding might have decided otherwise."""
    mask = ufunc(*(value_of(x) for x in inputs))
    if len(inputs) < 2:
        return mask
    reach = sum(x.error for x in inputs if isinstance(x, Bounded))
    with np.errstate(invalid="ignore"):
        undecided = (reach > 0) & (np.abs(value_of(inputs[0]) - value_of(inputs[1])) <= reach)
    return Decision.of(mask, np.broadcast_to(undecided, np.shape(mask))) if undecided.any() else mask


def lift(x: Any, u: float) -> Bounded:
    """Return x as it is if it carries its errors, else as exact numbers."""
    if isinstance(x, Bounded):
        return x
    if isinstance(x, Decision):
        return Bounded(np.asarray(x), x.undecided, u)
    if isinstance(x, float) and u > unit_roundoff(np.float64):  # a constant such as 0.1 is rounded to the dtype
        return Bounded(x, abs(x - float(np.float32(x))) if u == unit_roundoff(np.float32) else u * abs(x), u)
    return Bounded(x, 0.0, u)


def value_of(x: Any) -> Any:
    """Return the values alone."""
    return x.value if isinstance(x, Bounded) else x


def plain(x: Any) -> Any:
    """Return the values in place of every Bounded array in nested arguments."""
    if isinstance(x, tuple | list):
        return type(x)(plain(item) for item in x)
    if isinstance(x, dict):
        return {key: plain(item) for key, item in x.items()}
    return value_of(x)


def part_of(x: Any, part: int) -> Any:
    """Return one of the arrays of every Bounded array in nested arguments: 1 the errors, 2 those passed on, 3 totals.

    Of plain floats the errors are 0, and the totals their magnitudes.
    """
    if isinstance(x, Bounded):
        return x.arrays[part]
    if isinstance(x, tuple | list):
        return type(x)(part_of(item, part) for item in x)
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        return np.abs(x) if part == 3 else np.zeros_like(x)
    return x


def terms_of(x: Any) -> int:
    """Return the largest number of terms in nested arguments."""
    if isinstance(x, tuple | list):
        return max((terms_of(item) for item in x), default=1)
    return int(x.terms) if isinstance(x, Bounded) else 1


def own(array: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of this shape that may be written to."""
    array = np.asarray(array, np.float64)
    return array if array.shape == shape and array.flags.writeable else np.array(np.broadcast_to(array, shape))


def rounded(value: np.ndarray, error: np.ndarray, u: float, units: float = 1.0, tiny: bool = False) -> Bounded:
    """Return a result with the error passed on to it and the rounding of the operation itself."""
    total = error + units * u * (np.abs(value) + error)
    if tiny:
        total = total + underflow(u)
    return Bounded(value, known(total, value), u)


def known(error: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return the errors, 0 where one is infinity times an exact zero.

    That is no error: masked scores, a logarithm of 0 that the formula cuts off.
    """
    unknown = np.isnan(error)
    return np.where(unknown & ~np.isfinite(value), 0.0, error) if unknown.any() else error


def moved(function: Any, args: Any, kwargs: Any, u: float) -> Any:
    """Return the result of a function that only moves numbers about: for the values, for the errors, for the totals."""
    quiet = {**kwargs, "constant_values": 0.0} if "constant_values" in kwargs else kwargs
    values = function(*plain(args), **plain(kwargs))
    errors, passed, total = (function(*part_of(args, part), **quiet) for part in (1, 2, 3))
    terms = terms_of(args)
    if isinstance(values, list | tuple):
        parts = zip(values, errors, passed, total, strict=True)
        return type(values)(Bounded(v, e, u, p, t, terms) for v, e, p, t in parts)
    return Bounded(values, errors, u, passed, total, terms)
