"""The step check: every named tensor of a step, end to end, by norm, in units of u. Cheap, and without a verdict.

error = ||manual - reference|| / (u ||reference||). On correct code it stays at a few tens, in float64 and float32
alike, and a mistake makes it millions. Beyond the trigger level the audit is called, and its derived bounds decide.
A level set too low would cost time, never raise a false alarm.
"""

import math
from collections.abc import Container

import numpy as np

from compare.agreement.rounding.unit import smallest_normal, unit_roundoff
from compare.agreement.trace import Trace

TRIGGER = 64.0  # u; gradients of correct code were measured at up to 42 u


class StepCheck:
    """Measures the errors of traces in units of u."""

    def __init__(self, dtype: str):
        self.u = unit_roundoff(dtype)
        self.least = smallest_normal(dtype) / self.u  # below it squares may have lost digits to underflow
        self.dtype = np.dtype(dtype)

    def errors(self, manual: Trace, reference: Trace, equal: Container[str] = ()) -> dict[str, float]:
        """Return the error of every tensor, in units of u; NaN where a value is not finite. Structure must be sound.

        Those named in `equal` should be equal to the bit, which is asked first because it is cheaper to answer.
        """
        return {
            name: 0.0
            if name in equal and np.array_equal(array, reference[name])
            else self.error(array, reference[name])
            for name, array in manual.items()
        }

    def error(self, manual: np.ndarray, reference: np.ndarray) -> float:
        """Return ||manual - reference|| / (u ||reference||): 0 where both are zero, inf where only the reference is."""
        if manual.dtype != self.dtype:  # integer labels: equal or not
            return 0.0 if np.array_equal(manual, reference) else math.inf
        if manual.ndim == 0:
            difference, size = float(manual) - float(reference), float(reference)
            squared, scale = difference * difference, size * size
        else:
            difference = manual - reference
            squared, scale = float(np.vdot(difference, difference)), float(np.vdot(reference, reference))
        if self.least < squared < math.inf and self.least < scale < math.inf:
            return math.sqrt(squared / scale) / self.u
        if np.array_equal(manual, reference):
            return 0.0 if np.isfinite(manual).all() else math.nan
        return self.careful_error(manual, reference)

    def careful_error(self, manual: np.ndarray, reference: np.ndarray) -> float:
        """Return the same where a sum of squares over- or underflows, or NaN where a value itself is not finite."""
        m, r = np.longdouble(manual), np.longdouble(reference)
        if not (np.isfinite(m).all() and np.isfinite(r).all()):
            return math.nan
        scale = max(np.abs(m).max(), np.abs(r).max())  # not 0: they are not equal
        difference, size = np.linalg.norm(np.ravel((m - r) / scale)), np.linalg.norm(np.ravel(r / scale))
        return float(difference / size) / self.u if size else math.inf
