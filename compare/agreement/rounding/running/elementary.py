"""Elementary operations: how each passes on the errors of what it is given, and the rounding that it adds."""

import numpy as np

from compare.agreement.rounding.running.bounded import FUNCTIONS, Bounded, known, rounded, rule
from compare.agreement.rounding.unit import ELEMENTARY, gamma


@rule("add")
def add(x: Bounded, y: Bounded) -> Bounded:
    """x + y: a sum of all the terms of both, in whatever order; exact where one of the two is an exact 0."""
    value, passed, total, terms = x.value + y.value, x.passed + y.passed, x.total + y.total, x.terms + y.terms
    sizes = np.abs(value) + passed if terms == 2 else total  # of two numbers there is but one sum
    error = passed + gamma(int(terms) - 1, x.u) * sizes
    untouched = exact_zero(x) | exact_zero(y)
    if untouched.any():
        error = np.where(untouched, x.error + y.error, error)
    return Bounded(value, known(error, value), x.u, passed, total, terms)


def exact_zero(x: Bounded) -> np.ndarray:
    """Where x is an exact 0."""
    zero = x.value == 0
    return zero & (x.error == 0) if zero.any() else zero


@rule("multiply")
def multiply(x: Bounded, y: Bounded) -> Bounded:
    """x y; exact where one of the two is an exact 0, 1, 2, 1/2 or their negatives."""
    value = x.value * y.value
    passed = np.abs(x.value) * y.error + np.abs(y.value) * x.error + x.error * y.error
    result = rounded(value, passed, x.u, tiny=True)
    untouched = simple(x) | simple(y)
    return Bounded(value, np.where(untouched, passed, result.error), x.u) if untouched.any() else result


def simple(x: Bounded) -> np.ndarray:
    """Whether a product with x is exact: 0, or a power of two not far from 1."""
    exact = x.error == 0
    if not exact.any():
        return exact
    size = np.abs(x.value)
    return exact & ((size == 0) | (size == 1) | (size == 2) | (size == 0.5))


@rule("divide", "true_divide")
def divide(x: Bounded, y: Bounded) -> Bounded:
    """x / y; no bound holds where y may be 0."""
    value, room = x.value / y.value, np.abs(y.value) - y.error
    passed = np.where(room > 0, (x.error + np.abs(value) * y.error) / room, np.inf)
    nothing = (x.value == 0) & (x.error == 0) & (room > 0)
    return rounded(value, np.where(nothing, 0.0, passed), x.u, tiny=True)


@rule("exp")
def exp(x: Bounded) -> Bounded:
    """e^x moves by e^x (e^ex - 1)."""
    value = np.exp(x.value)
    return rounded(value, value * np.expm1(x.error), x.u, ELEMENTARY, tiny=True)


@rule("expm1")
def expm1(x: Bounded) -> Bounded:
    """e^x - 1 moves as e^x does."""
    return rounded(np.expm1(x.value), np.exp(x.value) * np.expm1(x.error), x.u, ELEMENTARY, tiny=True)


@rule("log")
def log(x: Bounded) -> Bounded:
    """log x moves by -log(1 - ex/x) at most."""
    passed = np.where(x.error > 0, -np.log1p(-x.error / x.value), 0.0)
    passed = np.where(x.error < x.value, passed, np.where(x.error > 0, np.inf, 0.0))
    return rounded(np.log(x.value), passed, x.u, ELEMENTARY)


@rule("log1p")
def log1p(x: Bounded) -> Bounded:
    """log(1 + x) moves by -log(1 - ex/(1 + x)) at most."""
    whole = 1 + x.value
    passed = np.where(x.error > 0, -np.log1p(-x.error / whole), 0.0)
    passed = np.where(x.error < whole, passed, np.where(x.error > 0, np.inf, 0.0))
    return rounded(np.log1p(x.value), passed, x.u, ELEMENTARY)


@rule("tanh")
def tanh(x: Bounded) -> Bounded:
    """The slope 1 - tanh^2 is largest where |x| is smallest."""
    nearest = np.tanh(np.maximum(np.abs(x.value) - x.error, 0))
    return rounded(np.tanh(x.value), (1 - nearest * nearest) * x.error, x.u, ELEMENTARY)


@rule("sqrt")
def sqrt(x: Bounded) -> Bounded:
    """sqrt(x) - sqrt(x - e) = e / (sqrt(x) + sqrt(x - e))."""
    value, below = np.sqrt(x.value), np.sqrt(np.maximum(x.value - x.error, 0))
    passed = np.where(value + below > 0, x.error / (value + below), np.sqrt(x.error))
    return rounded(value, passed, x.u)


@rule("square")
def square(x: Bounded) -> Bounded:
    """x x moves by 2 |x| ex + ex^2."""
    return rounded(x.value * x.value, (2 * np.abs(x.value) + x.error) * x.error, x.u, tiny=True)


@rule("power")
def power(x: Bounded, y: Bounded) -> Bounded:
    """x^p for an exact p: the slope is largest at an end of the interval."""
    if np.any(y.error > 0):
        raise TypeError("No rounding rule for a power that carries an error.")
    value, p = np.power(x.value, y.value), y.value
    ends = [np.abs(p * np.power(np.maximum(np.abs(x.value) + s * x.error, 0), p - 1)) for s in (-1, 1)]
    passed = np.where(x.error > 0, np.maximum(*ends) * x.error, 0.0)
    return rounded(value, passed, x.u, ELEMENTARY, tiny=True)


@rule("absolute", "fabs")
def absolute(x: Bounded) -> Bounded:
    """|x| moves no more than x."""
    return Bounded(np.abs(x.value), x.error.copy(), x.u)


@rule("sign")
def sign(x: Bounded) -> Bounded:
    """The sign jumps by 2 where rounding may carry x over 0."""
    return Bounded(np.sign(x.value), np.where((x.error > 0) & (np.abs(x.value) <= x.error), 2.0, 0.0), x.u)


@rule("negative")
def negative(x: Bounded) -> Bounded:
    """-x: exact."""
    passed, total = (None if known is None else known.copy() for known in (x.own_passed, x.own_total))
    return Bounded(-x.value, x.error.copy(), x.u, passed, total, x.terms.copy())


@rule("maximum")
def maximum(x: Bounded, y: Bounded) -> Bounded:
    """The larger one's error, where it is certain which that is; else the larger error."""
    apart = np.abs(x.value - y.value) > x.error + y.error
    winner = np.where(x.value >= y.value, x.error, y.error)
    return Bounded(np.maximum(x.value, y.value), np.where(apart, winner, np.maximum(x.error, y.error)), x.u)


@rule("subtract")
def subtract(x: Bounded, y: Bounded) -> Bounded:
    """x - y: the sum of x and -y."""
    return add(x, negative(y))


@rule("reciprocal")
def reciprocal(x: Bounded) -> Bounded:
    """1 / x."""
    return divide(Bounded(1.0, 0.0, x.u), x)


@rule("minimum")
def minimum(x: Bounded, y: Bounded) -> Bounded:
    """Minus the maximum of -x and -y."""
    return negative(maximum(negative(x), negative(y)))


@rule("positive", "conjugate")
@rule("real", "conj", table=FUNCTIONS)
def same(x: Bounded) -> Bounded:
    """The array itself: it is real."""
    return x
