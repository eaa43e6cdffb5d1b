"""Activations: functions of one number, applied to every element of an input of any shape.

The derivative of an elementwise function multiplies elementwise: dC/dz = dC/da * da/dz, and nothing is summed. The side
of a kink is decided on the real part, so that the complex step can pass. torch's `inplace` is accepted where it has it,
and changes nothing: no input is ever overwritten here.
"""

import math
from typing import Literal

import numpy as np

from manual.checks import Array
from manual.erf import erf


class Elementwise:
    """What all elementwise activations share: the shape passes through unchanged."""

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return `input_shape`."""
        return input_shape

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Sigmoid(Elementwise):
    """a = 1 / (1 + e^-z), the logistic function.            (2)

    Derivation. With e = e^-z, a = (1 + e)^-1, so da/dz = -(1 + e)^-2 * (-e) = e / (1 + e)^2.
    Since 1 - a = e / (1 + e), this is a (1 - a): the derivative needs the output alone.            (6)
    """

    @np.errstate(over="ignore")  # e^-z = inf for very negative z, and 1 / inf = 0 is what is wanted
    def forward(self, z: Array) -> Array:
        """Return a, of the shape of z."""
        self.a = 1 / (1 + np.exp(-z))  # (2)
        return self.a

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dz for dC/da."""
        slope = 1 - self.a
        slope *= self.a  # (6)  in place, as below: fresh memory for every product costs as much as the product
        slope *= grad_output
        return slope  # (14)


class Tanh(Elementwise):
    """a = tanh z = (e^z - e^-z) / (e^z + e^-z).

    Derivation. The quotient rule gives da/dz = 1 - ((e^z - e^-z) / (e^z + e^-z))^2 = 1 - a^2.            (23)
    """

    def forward(self, z: Array) -> Array:
        """Return a, of the shape of z."""
        self.a = np.tanh(z)
        return self.a

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dz for dC/da."""
        return grad_output * (1 - self.a * self.a)  # (23)


class ReLU(Elementwise):
    """a = max(0, z).            (24)

    Derivation. a = z where z > 0, with derivative 1; a = 0 where z < 0, with derivative 0. At the kink z = 0 there is
    none; 0 is taken there, as torch does.            (25)
    """

    def __init__(self, inplace: bool = False):
        """`inplace` changes nothing."""

    def forward(self, z: Array) -> Array:
        """Return a, of the shape of z. A NaN stays a NaN."""
        self.off = np.real(z) <= 0
        return switched_off(z, self.off)  # (24)

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dz for dC/da."""
        return switched_off(grad_output, self.off)  # (25)


@np.errstate(invalid="ignore", over="ignore")  # 0 * infinity; a sum beyond the largest number, which is asked for alone
def switched_off(x: Array, off: Array) -> Array:
    """Return x, but 0 where `off`.

    Of plain numbers by a product, in a tenth of the time of np.where (measured: 70 us for 1085, of 300,000 numbers),
    which takes a turn at every element that no processor can foresee. A product is no 0 for infinity alone, and then
    its sum is not finite. (Of a negative number the 0 is -0, which equals 0.)
    """
    if type(x) is np.ndarray:
        product = x * ~off
        if np.isfinite(product.sum()):
            return product
    return np.where(off, 0, x)


class LeakyReLU(Elementwise):
    """a = z where z > 0, else slope * z: a unit that is off still lets a little through.            (36)

    Derivation. On either side a is a straight line: 1 where z > 0, else the slope, at the kink z = 0 too.      (37)
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        self.negative_slope = float(negative_slope)  # a NumPy scalar would impose its dtype

    def forward(self, z: Array) -> Array:
        """Return a, of the shape of z."""
        self.on = np.real(z) > 0
        return np.where(self.on, z, self.negative_slope * z)  # (36)

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dz for dC/da."""
        return np.where(self.on, grad_output, self.negative_slope * grad_output)  # (37)

    def __repr__(self) -> str:
        return f"LeakyReLU(negative_slope={self.negative_slope})"


class ELU(Elementwise):
    """a = z where z > 0, else alpha (e^z - 1).            (38)

    Near 0, e^z - 1 is computed as one function, expm1: the subtraction would leave nothing.

    Derivation. The derivative of alpha (e^z - 1) is alpha e^z; that of z is 1. At z = 0 the left one is taken, alpha,
    as torch does; for alpha = 1 the two meet and there is no kink.            (39)
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        self.alpha = float(alpha)

    def forward(self, z: Array) -> Array:
        """Return a, of the shape of z."""
        flat = z.reshape(-1)
        below = np.flatnonzero(~(np.real(flat) > 0))  # exponentials only where they are wanted: they are dear
        part = flat[below]
        e = np.exp(part)
        less_one, near = e - 1, np.flatnonzero(~(np.real(part) < -0.5))
        less_one[near] = np.expm1(part[near])  # dearer still, and further out as good
        a, self.slope = flat.copy(), np.ones_like(flat)
        a[below] = self.alpha * less_one  # (38)
        self.slope[below] = self.alpha * e  # (39)
        return a.reshape(z.shape)

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dz for dC/da."""
        return grad_output * self.slope.reshape(grad_output.shape)  # (39)

    def __repr__(self) -> str:
        return f"ELU(alpha={self.alpha})"


ROOT_2_OVER_PI, CUBIC = math.sqrt(2 / math.pi), 0.044715  # of the tanh form (47)


class GELU(Elementwise):
    """a = z Phi(z), with Phi(z) = (1 + erf(z / sqrt 2)) / 2: z times the chance that a normal number is below z.  (45)

    approximate="tanh" is the older form with a tanh in the place of the erf:
    a = z (1 + tanh u) / 2, with u = sqrt(2/pi) (z + 0.044715 z^3).            (47)

    Derivation. By the product rule da/dz = Phi(z) + z Phi'(z). The derivative of erf x is 2/sqrt(pi) e^-x^2 (41); with
    x = z / sqrt 2 and dx/dz = 1 / sqrt 2, Phi'(z) = e^(-z^2/2) / sqrt(2 pi) = phi(z), the normal density:
    da/dz = Phi(z) + z phi(z).            (46)

    The tanh form: with t = tanh u, dt/dz = (1 - t^2) du/dz by (23), and du/dz = sqrt(2/pi) (1 + 3 * 0.044715 z^2):
    da/dz = (1 + t) / 2 + z (1 - t^2) / 2 * du/dz.            (48)
    """

    def __init__(self, approximate: Literal["none", "tanh"] = "none"):
        if approximate not in ("none", "tanh"):
            raise ValueError(f"approximate is {approximate!r}; wanted 'none' or 'tanh'.")
        self.approximate: Literal["none", "tanh"] = approximate

    def forward(self, z: Array) -> Array:
        """Return a, of the shape of z."""
        self.z = z
        with np.errstate(over="ignore"):  # z^3 = inf for huge z, and tanh inf = 1, e^-inf = 0 are what is wanted
            if self.approximate == "tanh":
                self.t = np.tanh(ROOT_2_OVER_PI * (z * (1 + CUBIC * (z * z))))
                return 0.5 * z * (1 + self.t)  # (47)
            self.gauss = np.exp(-0.5 * (z * z))
        self.share = 0.5 + 0.5 * erf(math.sqrt(0.5) * z, self.gauss)  # Phi
        return z * self.share  # (45)

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dz for dC/da."""
        if self.approximate == "tanh":
            z, t = self.z, self.t
            slope = ROOT_2_OVER_PI * (1 + 3 * CUBIC * (z * z))  # du/dz
            return grad_output * (0.5 * (1 + t) + 0.5 * z * (1 - t * t) * slope)  # (48)
        slope = (1 / math.sqrt(2 * math.pi)) * self.gauss  # phi(z)
        slope *= self.z
        slope += self.share
        slope *= grad_output
        return slope  # (46)

    def __repr__(self) -> str:
        return f"GELU(approximate={self.approximate!r})"


class SiLU(Elementwise):
    """a = z s, with the logistic function s = 1 / (1 + e^-z) of (2).            (49)

    Derivation. By the product rule and (6), da/dz = s + z s (1 - s) = s (1 + z (1 - s)).            (50)
    """

    def __init__(self, inplace: bool = False):
        """`inplace` changes nothing."""

    def forward(self, z: Array) -> Array:
        """Return a, of the shape of z."""
        with np.errstate(over="ignore"):  # as in Sigmoid
            self.z, self.s = z, 1 / (1 + np.exp(-z))  # (2)
        return z * self.s  # (49)

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dz for dC/da."""
        return grad_output * (self.s * (1 + self.z * (1 - self.s)))  # (50)


class Softplus(Elementwise):
    """a = log(1 + e^(beta z)) / beta: a ReLU with its corner rounded off.            (51)

    Where beta z > threshold, a = z is taken, as torch does: there e^(beta z) may overflow, and for the default 20 the
    two differ by e^-20 = 2e-9.

    Derivation. With e = e^(beta z), da/dz = (1 / beta) beta e / (1 + e) = e / (1 + e), which is the logistic function
    of beta z; beyond the threshold it is 1.            (52)
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        self.beta, self.threshold = float(beta), float(threshold)

    def forward(self, z: Array) -> Array:
        """Return a, of the shape of z."""
        scaled = self.beta * z.reshape(-1)
        straight, small = np.flatnonzero(np.real(scaled) > self.threshold), np.flatnonzero(np.real(scaled) < -1)
        scaled[straight] = 0
        e = np.exp(scaled)
        whole = 1 + e
        a = np.log(whole)
        a[small] = np.log1p(e[small])  # where 1 + e would round off much of e; log1p is dear, and elsewhere as good
        a /= self.beta  # (51)
        a[straight] = z.reshape(-1)[straight]
        e /= whole  # (52)
        e[straight] = 1
        self.slope = e.reshape(z.shape)
        return a.reshape(z.shape)

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dz for dC/da."""
        return grad_output * self.slope  # (52)

    def __repr__(self) -> str:
        return f"Softplus(beta={self.beta}, threshold={self.threshold})"
