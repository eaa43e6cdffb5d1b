"""How far rounding alone may part the candidate from the reference: derived where it can be, otherwise measured.

A class of `manual` is run on numbers that carry their own rounding bound. Anything else is measured on the candidate
itself, as the audit of a run does with a user's layer: it is run in higher precision (NumPy's longdouble, where its
code carries it), and in its own dtype on inputs moved by one to three u. What the results scatter about the precise one
is its rounding. A wrong formula scatters no more than a right one, so the bound does not grow with the mistake.

A measured bound has three blind spots, and a second measurement for each:
    precision lost inside (a float32 in a float64 layer) scatters, too. But rounding shrinks with u: what scatters in
    float64 more than u(float64) / u(float32) of what it does in float32 is no rounding of float64, and the bound is
    that of float32 brought down.
    a corner (a ReLU's 0) scatters when the input is moved off it, and that does not shrink with u either: corners are
    kept, and what moving them adds counts only where it shrinks as rounding does.
    few samples may miss a rounding that comes rarely: near the bound they are taken again, eight times as many.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from compare.agreement.rounding import running
from compare.agreement.rounding.unit import ELEMENTARY, LAMBDA, smallest_normal, unit_roundoff
from compare.crosscheck.given import Given, Mover
from compare.crosscheck.subject import LayerSubject, Outcome

SAMPLES, FEW = 8, 3
DOUBTFUL = 1e6
SUSPICIOUS = 1e3  # float64 scatters this much more than rounding would: precision is lost inside
Results = dict[str, np.ndarray]
Reference = Callable[[Given, str], Results]  # in a dtype


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

    def __init__(self, subject: LayerSubject, given: Given, dtype: str, wanted: Results, reference: Reference):
        self.subject, self.given, self.dtype, self.wanted, self.reference = subject, given, dtype, wanted, reference
        self.u, self.u32, self.u64 = (unit_roundoff(x) for x in (dtype, "float32", "float64"))
        self.other = "float32" if dtype == "float64" else "float64"
        self.squares: dict[tuple[str, int, bool], Results] = {}  # of samples taken already: see `scatter`
        self.squares_of_reference: dict[int, Results] = {}

    def __call__(self, samples: int = SAMPLES) -> tuple[Results, str]:
        """Return what is allowed, element by element, and how it is known: derived or measured."""
        least = {name: ELEMENTARY * self.u * size_of(value) for name, value in self.wanted.items()}
        theirs = self.of_reference(samples)
        if self.derived is not None:  # torch may go by another formula: its rounding is measured
            return least | {n: b + LAMBDA * theirs.get(n, 0.0) for n, b in self.derived.items()}, "derived"
        own = self.measured(samples)
        allowed = {}
        for name, bound in own.items():
            both = bound + (bound if self.dtype == "float64" else 0.0)  # the reference computes in float64
            allowed[name] = both + LAMBDA * theirs[name] + smallest_normal(self.dtype)
        return least | allowed, "measured"

    def surely(self) -> Results:
        """Return half of what three samples allow, in a fraction of the time: what lies within needs no more."""
        exact, _ = self.precise
        scattered = self.scatter(self.dtype, FEW)
        return {name: LAMBDA / 2 * scattered[name] + ELEMENTARY * self.u * size_of(exact[name]) for name in exact}

    @cached_property
    def derived(self) -> Results | None:
        """The bounds that are derived, of a class of manual; None of anything else."""
        errors = derived_errors(self.subject, self.given, self.u)
        if errors is None:
            return None
        other = errors if self.u == self.u64 else derived_errors(self.subject, self.given, self.u64) or {}
        return {name: bound + other[name] + smallest_normal(self.dtype) for name, bound in errors.items()}

    @property
    def doubt(self) -> float:
        """An error that might yet be rounding: a millionfold u of the largest value that there is."""
        arrays = [*self.given.arrays().values(), *self.wanted.values()]
        finite = [np.abs(a[np.isfinite(a)]).max(initial=0.0) for a in arrays if a.dtype.kind == "f"]
        return DOUBTFUL * self.u * max(finite, default=0.0)

    def in_doubt(self) -> Results:
        """Return the bounds with eight times the samples, and what running error analysis says of the user's code.

        That follows every rounding, those too that come out as zero in all of the samples. It is as wide as the code is
        ill-conditioned, so it counts only where it is small.
        """
        allowed = self(8 * SAMPLES)[0]
        for u in (self.u, self.u64):
            running_bounds = derived_errors(self.subject, self.given, u, of_manual=False) or {}
            for name in allowed.keys() & running_bounds.keys():
                bound = running_bounds[name]
                allowed[name] = allowed[name] + np.where(bound <= self.doubt, bound, 0.0)
        return allowed

    @cached_property
    def mover(self) -> Mover:
        """What moves the arrays."""
        return Mover(self.given)

    @cached_property
    def precise(self) -> tuple[Results, bool]:
        """The candidate's results in longdouble, or in float64 where its code does not carry it."""
        exact = self.run_quietly(self.given.cast(np.longdouble))
        if exact and all(array.dtype == np.longdouble or array.dtype.kind != "f" for array in exact.values()):
            return exact, True
        return self.run_quietly(self.given.cast(np.float64)), False

    def measured(self, samples: int) -> Results:
        """Return LAMBDA times the scatter, as for random errors, and 8 u of the result."""
        exact, precise = self.precise
        own, other = (self.scatter(dtype, samples) for dtype in (self.dtype, self.other))
        moved = {dtype: self.scatter(dtype, samples, keep_corners=False) for dtype in ("float32", "float64")}
        smaller, bounds = self.u / unit_roundoff(self.other), {}
        for name, value in exact.items():
            size, scattered = size_of(value), own[name]
            rounding = ELEMENTARY * self.u * size
            usual = smaller * root_mean_square(other[name])
            if root_mean_square(scattered) > SUSPICIOUS * usual + root_mean_square(rounding):
                scattered = np.minimum(scattered, smaller * other[name] + self.u * size)
            elif not precise and self.dtype == "float64":
                scattered = np.maximum(scattered, smaller * other[name])
            usual_jump = SUSPICIOUS * (self.u64 / self.u32 * moved["float32"][name] + self.u64 * size)
            smooth = moved["float64"][name] <= usual_jump
            scattered = np.maximum(scattered, np.where(smooth, moved[self.dtype][name], 0.0))
            bounds[name] = LAMBDA * scattered + rounding
        return bounds

    def run(self, given: Given) -> Results:
        """Return the candidate's tensors."""
        return values(self.subject.run(given), self.wanted)

    def run_quietly(self, given: Given) -> Results:
        """Return the candidate's tensors; none where it does not carry the dtype."""
        try:
            outcome = self.subject.run(given)
        except (TypeError, ValueError):
            return {}
        return {} if any(" raised " in fault.sentence for fault in outcome.faults) else values(outcome, self.wanted)

    def of_reference(self, samples: int) -> Results:
        """Return the root mean square of the reference's own rounding in float64.

        Torch has nothing more precise to hold it against. So float32 is held against float64 on the same inputs, and
        brought down to the u of float64.
        """
        scattered = mean_roots(self.wanted, [self.sample_of_reference(sample) for sample in range(samples)])
        return {name: root * (self.u64 / self.u32) for name, root in scattered.items()}

    def sample_of_reference(self, sample: int) -> Results:
        """Return the squares of what the reference's results in float32 differ from those in float64."""
        if sample not in self.squares_of_reference:
            rng = np.random.default_rng(sample)
            given = self.mover("float32", self.u32, rng, keep_corners=False).cast(np.float64)
            rough, fine = self.reference(given, "float32"), self.reference(given, "float64")
            self.squares_of_reference[sample] = squared(rough, fine)
        return self.squares_of_reference[sample]

    def scatter(self, dtype: str, samples: int, keep_corners: bool = True) -> Results:
        """Return the root mean square of what results on moved inputs differ from the exact ones."""
        keep_corners &= self.mover.meets_corners  # where there are none, the samples are the same
        return mean_roots(self.precise[0], [self.sample(dtype, sample, keep_corners) for sample in range(samples)])

    def sample(self, dtype: str, sample: int, keep_corners: bool) -> Results:
        """Return the squares of what the results on inputs moved once differ from the exact ones."""
        known = (dtype, sample, keep_corners)
        if known not in self.squares:
            rng = np.random.default_rng(sample)
            found = self.run(self.mover(dtype, unit_roundoff(dtype), rng, keep_corners))
            self.squares[known] = squared(found, self.precise[0])
        return self.squares[known]


def squared(found: Results, exact: Results) -> Results:
    """Return the squares of the differences of what both have; 0 where a difference is not finite."""
    off = {name: np.asarray(found[name] - exact[name], np.float64) for name in found.keys() & exact.keys()}
    return {name: np.where(np.isfinite(difference), difference, 0.0) ** 2 for name, difference in off.items()}


def mean_roots(like: Results, samples: list[Results]) -> Results:
    """Return the roots of the mean squares; a tensor that a sample has not counts there as 0."""
    squares = {name: np.zeros(np.shape(value)) for name, value in like.items()}
    for sample in samples:
        for name in squares.keys() & sample.keys():
            squares[name] += sample[name] / len(samples)
    return {name: np.sqrt(square) for name, square in squares.items()}


def size_of(value: np.ndarray) -> np.ndarray:
    """Return the absolute values in float64."""
    return np.abs(np.asarray(value, np.float64))


def root_mean_square(array: np.ndarray) -> float:
    """Return the root of the mean of the squares."""
    return float(np.sqrt(np.mean(np.square(array)))) if array.size else 0.0


def derived_errors(subject: LayerSubject, given: Given, u: float, of_manual: bool = True) -> Results | None:
    """Return the bounds derived by running the code on numbers that carry their errors; None where it does not carry.

    `of_manual`: only of the classes of manual, whose code is written for it.
    """
    if of_manual and type(subject.candidate).__module__.partition(".")[0] != "manual":
        return None
    if subject.kind not in ("layer", "loss") or subject.outputs > 1 or (subject.kind == "loss" and given.upstream):
        return None
    layer = subject.loaded(given.cast(np.float64))
    inputs = list(given.inputs.values())
    try:
        if subject.kind == "loss":
            errors = running.loss_errors(layer, inputs[0], inputs[1], u)
            return {"loss": np.asarray(errors["value"]), f"{next(iter(given.inputs))}.grad": errors["gradient"]}
        errors = running.layer_errors(layer, inputs, given.upstream[0] if given.upstream else None, u)
    except TypeError:
        return None
    except Exception:
        if of_manual:
            raise
        return None  # a user's code may raise anything on numbers that it does not know
    several = {f"input{i}": name for i, name in enumerate(given.inputs)} | {"input": next(iter(given.inputs))}
    keep = set(given.buffers) | {name for name in errors if name.startswith("output")}
    return {name if name in keep else f"{several.get(name, name)}.grad": np.asarray(b) for name, b in errors.items()}
