"""The error function, which GELU is made of: NumPy has none.

W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23 (1969), 631-637;
the coefficients are those of his routine CALERF (SPECFUN, Argonne National Laboratory, www.netlib.org/specfun/erf),
good to 18 digits. Three regions of y = |x|, and in each of them a quotient of two polynomials:

    y <= 0.46875        erf x  = x R1(x^2)                                        (42)
    0.46875 < y <= 4    erfc y = e^-y^2 R2(y)                                     (43)
    4 < y               erfc y = e^-y^2 / y (1/sqrt pi - y^-2 R3(y^-2))           (44)

where erfc y = 1 - erf y, and erf(-x) = -erf x.
"""

import numpy as np

from manual.checks import Array


def digits(*numbers: str) -> Array:
    """Return the numbers with all digits that this machine can hold; the passes round them to their own dtype."""
    return np.array([np.longdouble(number) for number in numbers])


# Highest power first; the leading 1 of each denominator is left out.
R1 = (
    digits(
        "1.85777706184603153e-1", "3.16112374387056560e0", "1.13864154151050156e2", "3.77485237685302021e2",
        "3.20937758913846947e3",
    ),
    digits("2.36012909523441209e1", "2.44024637934444173e2", "1.28261652607737228e3", "2.84423683343917062e3"),
)  # fmt: skip
R2 = (
    digits(
        "2.15311535474403846e-8", "5.64188496988670089e-1", "8.88314979438837594e0", "6.61191906371416295e1",
        "2.98635138197400131e2", "8.81952221241769090e2", "1.71204761263407058e3", "2.05107837782607147e3",
        "1.23033935479799725e3",
    ),
    digits(
        "1.57449261107098347e1", "1.17693950891312499e2", "5.37181101862009858e2", "1.62138957456669019e3",
        "3.29079923573345963e3", "4.36261909014324716e3", "3.43936767414372164e3", "1.23033935480374942e3",
    ),
)  # fmt: skip
R3 = (
    digits(
        "1.63153871373020978e-2", "3.05326634961232344e-1", "3.60344899949804439e-1", "1.25781726111229246e-1",
        "1.60837851487422766e-2", "6.58749161529837803e-4",
    ),
    digits(
        "2.56852019228982242e0", "1.87295284992346725e0", "5.27905102951428412e-1", "6.05183413124413191e-2",
        "2.33520497626869185e-3",
    ),
)  # fmt: skip
ONE_OVER_ROOT_PI = digits("0.564189583547756286948079451560772586")


def quotient(polynomials: tuple[Array, Array], t: Array) -> Array:
    """Return the quotient of the two polynomials at t, each by Horner's rule."""
    above, below = (coefficients.astype(np.real(t).dtype).tolist() for coefficients in polynomials)
    numerator = t * above[0]
    for coefficient in above[1:-1]:
        numerator += coefficient
        numerator *= t
    numerator += above[-1]
    denominator = t + below[0]
    for coefficient in below[1:]:
        denominator *= t
        denominator += coefficient
    numerator /= denominator
    return numerator


def erf(x: Array, gauss: Array | None = None) -> Array:
    """Return erf x = 2/sqrt(pi) times the integral of e^-s^2 from 0 to x, of the shape of x.            (40)

    `gauss` is e^-x^2, where the caller has it already. The region is chosen by the real part, so that the complex step
    can pass.
    """
    flat, result = x.reshape(-1), np.empty_like(x, shape=(x.size,))
    near = np.abs(np.real(flat)) <= 0.46875
    inner, rest = np.flatnonzero(near), np.flatnonzero(~near)  # a NaN is in the rest
    part = flat[inner]
    result[inner] = part * quotient(R1, part * part)  # (42)
    part = flat[rest]
    sign = np.sign(np.real(part))
    part = part * sign  # y
    with np.errstate(over="ignore"):  # y^2 = inf for huge y, and e^-inf = 0 is what is wanted
        factor = np.exp(-(part * part)) if gauss is None else gauss.reshape(-1)[rest]
        factor = factor * scaled_complement(part)
    result[rest] = (1 - factor) * sign
    return result.reshape(x.shape)


def scaled_complement(y: Array) -> Array:
    """Return e^y^2 erfc y for y above 0.46875."""
    outer = np.flatnonzero(~(np.real(y) <= 4))  # these are rare
    if not outer.size:
        return quotient(R2, y)  # (43)
    far, y = y[outer], y.copy()
    y[outer] = 4  # beyond, powers of y could overflow
    result = quotient(R2, y)  # (43)
    inverse = 1 / (far * far)
    result[outer] = (ONE_OVER_ROOT_PI.astype(np.real(far).dtype) - inverse * quotient(R3, inverse)) / far  # (44)
    return result
