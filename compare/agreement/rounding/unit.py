"""u and gamma_n: the two quantities of which every rounding bound is made.

Every elementary operation (+, -, *, /) returns the exact result times 1 + d with |d| <= u, the unit roundoff: half the
distance from 1 to the next number (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 2.2).
"""

import math

import numpy as np

# An elementary function (exp, log, tanh) errs by at most 4 units in the last place, that is 8 u relative: what NumPy's
# vectorised kernels promise (Intel SVML) and what NumPy's own accuracy tests allow. Torch's (SLEEF) promise 1.
ELEMENTARY = 8

# Higham and Mary (2019), theorem 3.1: with rounding errors as good as random, n of them exceed gamma~_n(lambda) with a
# probability below 2 n exp(-lambda^2 (1 - u)^2 / 2). With lambda = 12 that is n * 1e-31: not once in 1e20 elements.
LAMBDA = 12.0


def unit_roundoff(dtype: np.dtype | type | str) -> float:
    """Return u: 2^-53 for float64, 2^-24 for float32."""
    return float(np.finfo(dtype).eps) / 2


def smallest_normal(dtype: np.dtype | type | str) -> float:
    """Return the smallest normal number: below it roundings are absolute.

    A product that underflows errs by at most half the smallest subnormal, which is u times this number; so a sum of
    fewer than 1/u products errs by at most this number on account of underflow.
    """
    return float(np.finfo(dtype).smallest_normal)


def underflow(u: float) -> float:
    """Return the smallest normal number of the dtype whose unit roundoff is u: what an underflow may lose."""
    return smallest_normal(np.float32 if u == unit_roundoff(np.float32) else np.float64)


def gamma(n: int, u: float) -> float:
    """Return the bound on the relative error after n roundings, whatever their order.

    Deterministically |product of n factors (1 + d_i) - 1| <= n u / (1 - n u) (Higham, lemma 3.1). In the probabilistic
    form it is exp(lambda sqrt(n) u + n u^2 / (1 - u)) - 1 (Higham and Mary, theorem 3.1), smaller for n > lambda^2. The
    smaller of the two is returned.
    """
    if n * u >= 1:
        return math.inf
    deterministic = n * u / (1 - n * u)
    probabilistic = math.expm1(LAMBDA * math.sqrt(n) * u + n * u * u / (1 - u))
    return min(deterministic, probabilistic)


def norm(array: np.ndarray | float) -> float:
    """Return the Frobenius norm: the root of the sum of squares of all elements."""
    return math.sqrt(np.vdot(array, array))
