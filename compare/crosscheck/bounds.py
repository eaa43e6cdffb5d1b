"""How far rounding alone may part the candidate from the reference: derived where it can be, otherwise measured.

A class of `manual` is run on numbers that carry their own rounding bound. Anything else is measured on the candidate
itself, as the audit of a run does with a user's layer: it is run in higher precision (NumPy's longdouble, where its
code carries it), and in its own dtype on inputs moved by one to three u. What the results scatter about the precise one
is its rounding. A wrong formula scatters no more than a right one, so the bound does not grow with the mistake.

A measured bound has two blind spots, and a second measurement for each:
    precision lost inside (a float32 in a float64 layer) scatters, too. But rounding shrinks with u: what scatters in
    float64 more than u(float64) / u(float32) of what it does in float32 is no rounding of float64, and the bound is
    that of float32 brought down.
    few samples may miss a rounding that comes rarely: near the bound they are taken again, eight times as many.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from compare.agreement.rounding.unit import ELEMENTARY, LAMBDA, smallest_normal, unit_roundoff
from compare.crosscheck.given import Given, moved
from compare.crosscheck.subject import LayerSubject, Outcome

SAMPLES = 8
SUSPICIOUS = 1e3  # float64 scatters this much more than rounding would: precision is lost inside
Results = dict[str, np.ndarray]
Run = Callable[[Given], Results]


def values(outcome: Outcome, like: Results) -> Results:
    """Return the tensors that can be compared with those of the same name: real arrays of their shape."""
    found = {}
    for name, wanted in like.items():
        value = outcome.tensors.get(name)
        if isinstance(value, np.ndarray | np.generic | float | int) and np.shape(value) == wanted.shape:
            array = np.asarray(value)
            if array.dtype.kind in "fiu":
                found[name] = array
    return found


class Bounds:
    """The bounds of one trial, computed when they are asked for."""

    def __init__(self, subject: LayerSubject, given: Given, dtype: str, wanted: Results, reference: Run):
        self.subject, self.given, self.dtype, self.wanted, self.reference = subject, given, dtype, wanted, reference
        self.u = unit_roundoff(dtype)

    def __call__(self, samples: int = SAMPLES) -> tuple[Results, str]:
        """Return what is allowed, element by element, and how it is known: derived or measured."""
        derived = derived_errors(self.subject, self.given, self.u)
        if derived is not None:
            other = derived_errors(self.subject, self.given, unit_roundoff(np.float64)) or {}
            return {name: b + other[name] + smallest_normal(self.dtype) for name, b in derived.items()}, "derived"
        own = self.measured(samples)
        theirs = self.scatter(lambda given: self.reference(given), np.float64, samples, self.wanted)
        allowed = {}
        for name, bound in own.items():
            both = bound + (bound if self.dtype == "float64" else 0.0)  # the reference computes in float64
            both = both + LAMBDA * theirs[name] if name in theirs else both
            allowed[name] = both + smallest_normal(self.dtype)
        return allowed, "measured"

    def run(self, given: Given) -> Results:
        """Return the candidate's tensors."""
        return values(self.subject.run(given), self.wanted)

    def measured(self, samples: int) -> Results:
        """Return LAMBDA times the scatter, as for random errors, and 8 u of the result."""
        exact, precise = self.precise()
        scatter = {name: self.scatter(self.run, name, samples, exact) for name in ("float32", "float64")}
        own, other = scatter[self.dtype], scatter["float32" if self.dtype == "float64" else "float64"]
        smaller = self.u / unit_roundoff("float32" if self.dtype == "float64" else "float64")
        bounds = {}
        for name, value in exact.items():
            size = np.abs(np.asarray(value, np.float64))
            if name not in own:
                continue
            scattered = own[name]
            if name in other and root_mean_square(scattered) > SUSPICIOUS * smaller * root_mean_square(
                other[name]
            ) + ELEMENTARY * self.u * root_mean_square(size):
                scattered = np.minimum(scattered, smaller * (other[name] + self.u / smaller * size))
            elif name in other and not precise and self.dtype == "float64":
                scattered = np.maximum(scattered, smaller * other[name])
            bounds[name] = LAMBDA * scattered + ELEMENTARY * self.u * size
        return bounds

    def precise(self) -> tuple[Results, bool]:
        """Return the candidate's results in longdouble, or in float64 where its code does not carry it."""
        exact = self.run_quietly(self.given.cast(np.longdouble))
        plain = self.run_quietly(self.given.cast(np.float64))
        carried = exact.keys() == plain.keys() and all(
            array.dtype == np.longdouble or array.dtype.kind != "f" for array in exact.values()
        )
        return (exact, True) if carried and exact else (plain, False)

    def run_quietly(self, given: Given) -> Results:
        """Return the candidate's tensors; none where it does not carry the dtype."""
        try:
            return self.run(given)
        except (TypeError, ValueError):
            return {}

    def scatter(self, run: Run, dtype: Any, samples: int, exact: Results) -> Results:
        """Return the root mean square of what results on moved inputs differ from the exact ones."""
        u = unit_roundoff(dtype)
        squares = {name: np.zeros(np.shape(value)) for name, value in exact.items()}
        for sample in range(samples):
            found = run(moved(self.given, dtype, u, np.random.default_rng(sample)))
            for name in squares:
                if name in found:
                    off = np.asarray(found[name] - exact[name], np.float64)
                    squares[name] += np.where(np.isfinite(off), off, 0.0) ** 2 / samples
        return {name: np.sqrt(square) for name, square in squares.items()}


def root_mean_square(array: np.ndarray) -> float:
    """Return the root of the mean of the squares."""
    return float(np.sqrt(np.mean(np.square(array)))) if array.size else 0.0


def derived_errors(subject: LayerSubject, given: Given, u: float) -> Results | None:
    """Return the bounds derived by running the code of a class of manual on bounded numbers; None where it is none."""
    if type(subject.candidate).__module__.partition(".")[0] != "manual":
        return None
    try:
        from compare.agreement.rounding import running  # pyright: ignore[reportAttributeAccessIssue]
    except ImportError:
        return None
    layer = subject.loaded(given.cast(np.float64))
    inputs = list(given.inputs.values())
    try:
        if subject.kind == "loss":
            errors = running.loss_errors(layer, *inputs, u)
            return {"loss": np.asarray(errors["value"]), f"{next(iter(given.inputs))}.grad": errors["gradient"]}
        above = given.upstream[0] if len(given.upstream) == 1 else given.upstream
        errors = running.layer_errors(layer, inputs, above, u)
    except TypeError:
        return None
    several = {f"input{i}": name for i, name in enumerate(given.inputs)} | {"input": next(iter(given.inputs))}
    keep = set(given.buffers) | {name for name in errors if name.startswith("output")}
    return {name if name in keep else f"{several.get(name, name)}.grad": np.asarray(b) for name, b in errors.items()}
