"""One trial: the candidate and the reference on the same arrays, and every tensor judged."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from compare.agreement.rounding.unit import ELEMENTARY, smallest_normal, unit_roundoff
from compare.crosscheck.bounds import Bounds, Results, values
from compare.crosscheck.given import Given
from compare.crosscheck.oracle import LayerOracle, Refused, UpdateOracle
from compare.crosscheck.subject import Fault, LayerSubject, Outcome, kind_of_value
from compare.language import stored

GROSS = 1e4


@dataclass(frozen=True)
class Failure:
    """A tensor that disagrees, or a rule that does not hold, in one trial."""

    tensor: str
    reason: str
    dtype: str
    check: str = "values"  # or the structural rule: see structure.RULES
    index: tuple[int, ...] | None = None
    manual: float | None = None
    reference: float | None = None
    error: float | None = None
    bound: float | None = None
    named: str = ""
    found: Any = None
    wanted: np.ndarray | None = None


@dataclass
class Trial:
    """What a trial showed."""

    given: Given
    dtype: str
    wanted: Results
    failures: list[Failure] = field(default_factory=list)
    used: dict[str, tuple[float, tuple[int, ...], float, float]] = field(default_factory=dict)  # see `judge`
    power: dict[str, float] = field(default_factory=dict)
    zeros: dict[str, float] = field(default_factory=dict)
    compared: int = 0  # tensors that were judged
    bound_kind: str = ""


class Tester:
    """Holds a subject against its oracle."""

    def __init__(self, subject: LayerSubject, oracle: LayerOracle | UpdateOracle):
        self.subject, self.oracle = subject, oracle

    def reference(self, given: Given, dtype: str = "float64") -> Results:
        """Return the reference's tensors, computed in a dtype; {} where it refuses."""
        try:
            return self.oracle(given, self.subject.outputs, None, getattr(torch, dtype))[1]
        except Refused:
            return {}

    def try_on(self, given: Given, dtype: str, upstream: Callable[..., Any] | None, thorough: bool = False) -> Trial:
        """Return the trial on these arrays, in a dtype. Raises Refused where the reference does not take them."""
        trial, outcome = self.both(given, dtype, upstream)
        self.judge(trial, outcome, thorough)
        return trial

    def overflow(self, given: Given, dtype: str, upstream: Callable[..., Any]) -> Trial:
        """Return the trial, judged only by what is not finite where torch is. Raises Refused as `try_on` does."""
        trial, outcome = self.both(given, dtype, upstream)
        trial.failures += not_finite(trial, self.comparable(trial, outcome), self.in_dtype)
        return trial

    def both(self, given: Given, dtype: str, upstream: Callable[..., Any] | None) -> tuple[Trial, Outcome]:
        """Return a trial that is still to be judged, and what the candidate gave."""
        given = self.subject.draw(given.cast(dtype).cast(np.float64))
        given, wanted = self.oracle(given, self.subject.outputs, upstream)
        if upstream is not None:
            rounded = given.with_upstream(lambda g: g.astype(dtype).astype(np.float64))
            if any(not np.array_equal(a, b) for a, b in zip(rounded.upstream, given.upstream, strict=True)):
                given, wanted = self.oracle(rounded, self.subject.outputs)
        return Trial(given, dtype, wanted), self.subject.run(given.cast(dtype))

    def judge(self, trial: Trial, outcome: Outcome, thorough: bool) -> None:
        """Add what is wrong with an outcome to the trial."""
        found = self.comparable(trial, outcome)
        overflowing = list(not_finite(trial, found, self.in_dtype))
        for failure in overflowing:
            del found[failure.tensor]
        bounds = self.bounds(trial.given, trial.dtype, trial.wanted)
        trial.failures += [*overflowing, *compare(trial, found, bounds, thorough, self.in_dtype)]

    def comparable(self, trial: Trial, outcome: Outcome) -> Results:
        """Add the faults of an outcome to the trial, and return the tensors that are free of them."""
        faults = [*outcome.faults, *unlike(outcome, trial, self.subject)]
        trial.failures += [Failure(f.tensor, f.sentence, trial.dtype, rule_of(f), named=f.named) for f in faults]
        faulty = {fault.tensor for fault in faults}
        return {n: a for n, a in values(outcome, trial.wanted).items() if n not in faulty}

    def bounds(self, given: Given, dtype: str, wanted: Results) -> Bounds:
        """Return how far rounding alone may part the subject from the reference, on these arrays."""
        return Bounds(self.subject, given, dtype, wanted, self.reference)

    def in_dtype(self, trial: Trial) -> Results:
        """Return what the reference gives when it computes in the trial's own dtype."""
        return self.reference(trial.given, trial.dtype)


def rule_of(fault: Fault) -> str:
    """Return which structural rule a fault breaks."""
    for word, rule in (("in place", "unchanged"), ("shape", "shapes"), ("dtype", "dtypes"), ("raised", "runs")):
        if word in fault.sentence:
            return rule
    return "returns"


def unlike(outcome: Outcome, trial: Trial, subject: LayerSubject) -> Iterator[Fault]:
    """Yield a fault for every tensor that cannot be compared: none at all, of another shape or dtype."""
    who = subject.name
    if any("raised" in fault.sentence or "made" in fault.sentence for fault in outcome.faults):
        names = [name for name in trial.wanted if name in outcome.tensors]
    else:
        names = [name for name in trial.wanted if name in outcome.tensors or expected(name, trial, subject)]
    told = {fault.tensor for fault in outcome.faults}
    extra = [name for name in outcome.tensors if name.startswith("output") and name not in trial.wanted]
    for name in extra:
        sentence = stored(
            "{who}.forward returned {count} output(s) more than the reference has.", who=who, count=len(extra)
        )
        yield Fault(name, sentence)
    for name in names:
        if name in told:
            continue
        value, wanted = outcome.tensors.get(name), trial.wanted[name]
        source, typed = origin(name, trial, subject), subject.kind != "update" or name.endswith(".updated")
        if isinstance(value, float | int) and subject.kind == "loss":
            continue
        if not isinstance(value, np.ndarray | np.generic) or np.asarray(value).dtype.kind not in "fiub":
            kind = kind_of_value(value)
            yield Fault(
                name, stored("{source} is {kind}; wanted an array of shape {shape}.", source=source, kind=kind,
                             shape=wanted.shape)
            )  # fmt: skip
        elif np.shape(value) != wanted.shape:
            yield Fault(
                name, stored("{source} has shape {shape}; wanted {wanted}. Nothing is broadcast.", source=source,
                             shape=np.shape(value), wanted=wanted.shape)
            )  # fmt: skip
        elif wanted.dtype.kind == "f" and np.asarray(value).dtype != trial.dtype and typed:
            yield Fault(
                name, stored("{source} has dtype {dtype}; wanted {wanted}, as what it was given.", source=source,
                             dtype=np.asarray(value).dtype, wanted=trial.dtype)
            )  # fmt: skip


def expected(name: str, trial: Trial, subject: LayerSubject) -> bool:
    """Whether the candidate must have this tensor: an optimizer's state and further outputs are compared if there."""
    if subject.kind == "update":
        return name.endswith(".updated")
    return name.endswith(".grad") or name in ("output", "output0", "loss") or name in trial.given.buffers


def origin(name: str, trial: Trial, subject: LayerSubject) -> str:
    """Return in words what made a tensor."""
    who = subject.name
    if name.endswith(".grad"):
        source = name.removesuffix(".grad")
        if source in trial.given.parameters:
            return stored("{entry} after {who}.backward", entry=f"gradients[{source!r}]", who=who)
        return stored("the gradient for {name!r} that {who}.backward returned", name=source, who=who)
    if name.endswith(".updated"):
        return stored("the parameter after {who}.step ({name})", who=who, name=name)
    return stored("what {who}.forward returned ({name})", who=who, name=name)


def judged(trial: Trial, name: str) -> np.ndarray:
    """Return where a tensor can be judged: where the reference is finite, and within the trial's dtype."""
    wanted, most = trial.wanted[name], float(np.finfo(trial.dtype).max)
    return np.isfinite(wanted) & (np.abs(wanted) <= most)


def not_finite(trial: Trial, found: Results, in_dtype: Callable[[Trial], Results]) -> Iterator[Failure]:
    """Yield a failure for every tensor that is not finite where torch is, in the trial's own dtype too."""
    for name, array in found.items():
        broken = judged(trial, name) & ~np.isfinite(array)
        if broken.any():
            broken &= np.isfinite(in_dtype(trial).get(name, np.full(array.shape, np.nan)))
        if broken.any():
            index = tuple(int(i) for i in np.argwhere(broken)[0])
            yield Failure(
                name, stored("{tensor} is {value} where torch is finite.", tensor=name, value=array[index]),
                trial.dtype, index=index, manual=float(array[index]), reference=float(trial.wanted[name][index]),
                check="finite", found=array, wanted=trial.wanted[name],
            )  # fmt: skip


def errors_beyond_roundoff(trial: Trial, found: Results, thorough: bool) -> Results:
    """Return the errors of the tensors that are to be judged, all in a thorough trial; count those that can be."""
    u = unit_roundoff(trial.dtype)
    beyond: Results = {}
    for name, array in found.items():
        wanted, known = trial.wanted[name], judged(trial, name) & np.isfinite(array)
        if not known.any():
            continue  # torch itself is not finite: nothing can be said
        trial.compared += 1
        error = np.where(known, np.abs(np.where(known, array - wanted, 0.0)), 0.0).astype(np.float64)
        trial.zeros[name] = float(np.mean((array == 0) & (wanted == 0))) if array.size else 1.0
        if thorough or (error > ELEMENTARY * u * np.abs(wanted) + smallest_normal(trial.dtype)).any():
            beyond[name] = error
    return beyond


def compare(
    trial: Trial, found: Results, bounds: Bounds, thorough: bool, in_dtype: Callable[[Trial], Results]
) -> Iterator[Failure]:
    """Yield a failure for every tensor with an element beyond its bound.

    What lies within 8 u of the reference's value, within half of what three samples allow, or within a derived bound
    to which nothing is added, is not asked further, except in a thorough trial; nor is an error ten thousand times as
    large.
    """
    beyond = errors_beyond_roundoff(trial, found, thorough)
    if beyond and not thorough:
        surely = bounds.surely()
        beyond = {n: e for n, e in beyond.items() if n not in surely or not (e <= surely[n]).all()}
        for name in [n for n, e in beyond.items() if n in surely and gross(e, surely[n], bounds.doubt)]:
            error, bound = beyond.pop(name), surely[name] + smallest_normal(trial.dtype)
            if not same_in_dtype(trial, name, found[name], bound, in_dtype):
                yield in_breach(trial, name, found[name], error, bound, error / bound)
        derived = (bounds.derived or {}) if beyond else {}
        beyond = {n: e for n, e in beyond.items() if n not in derived or not (e <= derived[n]).all()}
    if not beyond:
        return
    allowed, trial.bound_kind = bounds()
    doubtful: Results | None = None
    for name, error in beyond.items():
        bound = allowed[name]
        used = np.divide(error, bound, out=np.where(error > 0, np.inf, 0.0), where=bound > 0)
        if used.max(initial=0.0) > 1 and error.max() <= bounds.doubt:
            doubtful = bounds.in_doubt() if doubtful is None else doubtful
            bound = np.maximum(bound, doubtful[name])
            used = np.divide(error, bound, out=np.where(error > 0, np.inf, 0.0), where=bound > 0)
        note(trial, name, used, bound)
        if used.max(initial=0.0) > 1 and not same_in_dtype(trial, name, found[name], bound, in_dtype):
            yield in_breach(trial, name, found[name], error, bound, used)


def gross(error: np.ndarray, surely: np.ndarray, doubt: float) -> bool:
    """Whether an error is a mistake whatever else may be found out about rounding: ten thousand times what is sure."""
    return bool(((error > GROSS * surely) & (error > doubt)).any())


def same_in_dtype(
    trial: Trial, name: str, found: np.ndarray, bound: np.ndarray, in_dtype: Callable[[Trial], Results]
) -> bool:
    """Whether in float32 the reference is another function than in float64, and the candidate is that one.

    So it is with torch's RMSNorm, whose eps is that of the dtype if none is given.
    """
    if trial.dtype == "float64":
        return False
    own = in_dtype(trial).get(name)
    if own is None:
        return False
    apart = np.abs(own - trial.wanted[name]) > bound
    return bool(apart.any() and (np.abs(found - own) <= 2 * bound).all())


def note(trial: Trial, name: str, used: np.ndarray, bound: np.ndarray) -> None:
    """Note the worst element, and the smallest relative mistake of the whole tensor that would have been a breach."""
    if not used.size:
        return
    index = tuple(int(i) for i in np.unravel_index(np.argmax(used), used.shape))
    trial.used[name] = (float(used[index]), index, float(bound[index]), float(trial.wanted[name][index]))
    size = np.abs(trial.wanted[name])
    known = (size > 0) & np.isfinite(size)
    trial.power[name] = float(np.min(np.divide(bound, size, out=np.full(size.shape, np.inf), where=known)))


def in_breach(
    trial: Trial, name: str, found: np.ndarray, error: np.ndarray, bound: np.ndarray, used: np.ndarray
) -> Failure:
    """Return the failure of a tensor that lies beyond its bound, at its worst element."""
    index = tuple(int(i) for i in np.unravel_index(np.argmax(error), error.shape))
    if used[index] <= 1:
        index = tuple(int(i) for i in np.unravel_index(np.argmax(used), used.shape))
    return Failure(
        name, stored("{tensor} differs from autograd by {used:.3g} times what rounding allows.", tensor=name,
                     used=float(used.max())),
        trial.dtype, index=index, manual=float(found[index]), reference=float(trial.wanted[name][index]),
        error=float(error[index]), bound=float(bound[index]), found=found, wanted=trial.wanted[name],
    )  # fmt: skip
