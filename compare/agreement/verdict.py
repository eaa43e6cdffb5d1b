"""From measurements to a verdict on a step: is it rounding, or is it a mistake, and where?"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from compare.agreement.audit import Audit, Check
from compare.agreement.carried import by_norm, carried_bounds
from compare.agreement.kinks import Kink, explanation, find_kinks
from compare.agreement.step_check import TRIGGER
from compare.agreement.trace import Breach, Trace, first_non_finite, place, places
from compare.experiment.description import Experiment
from compare.language import stored

BY_NATURE = 1024.0  # u: a tensor this far apart that an audit finds innocent is rounding by nature


class Verdict(enum.StrEnum):
    """What a run has shown; each has its exit status."""

    AGREES = "AGREES"
    EXPLAINED = "EXPLAINED"
    DIVERGES = "DIVERGES"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def exit_status(self) -> int:
        """0 for agreement, plain or explained; 1 for divergence; 3 where nothing can be said."""
        return {"AGREES": 0, "EXPLAINED": 0, "DIVERGES": 1, "INCONCLUSIVE": 3}[self.value]


@dataclass(frozen=True, repr=False)
class Finding:
    """The first tensor of a step that disagrees, or that forbids a verdict."""

    step: int
    verdict: Verdict
    stage: str
    tensor: str
    operation: str
    reason: str
    index: tuple[int, ...] | None = None
    manual: float | None = None
    reference: float | None = None
    error: float | None = None
    bound: float | None = None
    last_agreeing: str | None = None
    named: str = ""  # the mistake, where a structural check shows it without re-enactment
    smallest_tolerance: dict[str, float] | None = None  # that would have let this tensor pass: absolute, relative
    suspects: list[dict[str, Any]] = field(default_factory=list)
    ruled_out: list[str] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)
    witnesses: dict[str, Any] | None = None

    def __repr__(self) -> str:
        where = f"{self.tensor}[{','.join(map(str, self.index))}]" if self.index else self.tensor
        values = f", {self.manual!r} by hand, {self.reference!r} by the reference" if self.manual is not None else ""
        named = f"; {self.suspects[0]['name']}" if self.suspects else ""
        return f"<Finding {self.verdict} at step {self.step:,}: {self.operation}, {where}{values}{named}>"


@dataclass(frozen=True)
class Judgement:
    """What judging a step came to: the audit's checks, the finding if there is one, the kinks if they explain all."""

    checks: list[Check]
    finding: Finding | None = None
    kinks: list[Kink] = field(default_factory=list)
    bounds: Mapping[str, float] = field(default_factory=dict)  # carried through the step, by tensor


class Judge:
    """Judges the steps of an experiment."""

    def __init__(self, experiment: Experiment, layers: Mapping[str, Any]):
        """`layers` are the manual side's, by name."""
        self.experiment = experiment
        self.audit = Audit(experiment, layers)
        self.layers = [layer.name for layer in experiment.layers]
        self.cleared: dict[str, float] = {}  # tensors that are rounding by nature: the largest innocent error of each
        # Where carried bounds are so wide that a fault on the reference's side may hide, that is audited as well.
        wide = not by_norm(experiment)
        training = experiment.training
        self.audit_of_reference = Audit(experiment, layers, training.dtype, training.world_size) if wide else None

    def suspicious(self, errors: Mapping[str, float]) -> bool:
        """Whether the step check asks for the audit: an error beyond the trigger level, or one that is not a number.

        Where the audit has found a tensor innocent that was a thousand roundings apart, rounding is large in it by
        nature (a gradient that is zero but for rounding, and what follows from it): it is asked again when the error
        has doubled, and at the audits that are due anyway.
        """
        return not all(error <= max(TRIGGER, 2 * self.cleared.get(name, 0.0)) for name, error in errors.items())

    def judge(
        self, step: int, network: Any, manual: Trace, reference: Trace, errors: Mapping[str, float], state_before: Trace
    ) -> Judgement:
        """Audit the step; return the checks, and the finding if there is one.

        A difference is a finding where an operation is in breach of its own bound, or where the two sides differ by
        more than the bound carried through the step, unless kinks explain it; the first in the order of the trace
        counts. Where that bound is wide, the reference's own operations are audited as well: if those are right, too,
        both sides compute the same functions, and what parts them is rounding.
        """
        if any(np.isnan(error) for error in errors.values()):
            breach = first_non_finite(manual, reference)
            if breach is not None:
                return Judgement([], self.not_finite(step, breach, manual, reference))
        checks = self.audit(manual, state_before)
        breaches = {check.tensor: check for check in checks if not check.agrees}
        bounds = carried_bounds(self.experiment, manual, state_before)
        order = [name for name in manual if name in errors]
        apart = [n for n in order if errors[n] and not difference(manual[n], reference[n]) <= bounds[n]]
        theirs: set[str] = set()
        if self.audit_of_reference and not breaches and self.suspicious(errors):
            theirs = {check.tensor for check in self.audit_of_reference(reference, state_before) if not check.agrees}
        kinks = find_kinks(step, self.experiment, manual, reference, bounds)
        explained = explanation(self.experiment, network, manual, reference, state_before, kinks)
        if explained is not None:  # what the kinks explain is no finding
            apart = [name for name in apart if name in explained.apart]
            facts = {"tensor": explained.tensor, "apart": explained.before, "left": explained.after}
            kinks = [replace(kink, **facts) for kink in kinks]
            if not explained.apart and not breaches and not theirs:
                return Judgement(checks, None, kinks, bounds)
        first = next((name for name in order if name in breaches or name in theirs or name in apart), None)
        if first is None:
            if not kinks:
                large = {n: e for n, e in errors.items() if max(BY_NATURE, self.cleared.get(n, 0.0)) < e < np.inf}
                self.cleared |= large
            return Judgement(checks, bounds=bounds)
        if first in breaches:
            finding = self.in_breach(step, breaches[first], order)
        else:
            finding = self.between(step, first, manual, reference, bounds[first], order)
        tolerance = smallest_tolerance(manual[first], reference[first])
        return Judgement(checks, replace(finding, smallest_tolerance=tolerance), bounds=bounds)

    def unequal_start(self, step: int, manual: Trace, reference: Trace, errors: Mapping[str, float]) -> Finding | None:
        """Return the finding of data or parameters that are not equal to the bit: the step proves nothing then."""
        name = next((n for n, error in errors.items() if error and place(n).stage in ("data", "parameters")), None)
        if name is None or np.isnan(errors[name]):  # values that are not finite have a finding of their own
            return None
        reason = stored(
            "The two sides did not start the step from the same data and parameters: it would prove nothing."
        )
        finding = self.between(step, name, manual, reference, 0.0, list(errors))
        tolerance = smallest_tolerance(manual[name], reference[name])
        return replace(finding, reason=reason, smallest_tolerance=tolerance)

    def in_breach(self, step: int, check: Check, order: list[str]) -> Finding:
        """Return the finding of an operation in breach of its own rounding bound."""
        reason = stored(
            "{operation}, given the very inputs it had, differs from autograd by {used:.3g} times what rounding "
            "allows.",
            operation=check.place.operation,
            used=check.used,
        )
        return Finding(
            step, Verdict.DIVERGES, check.place.stage, check.tensor, check.place.operation, reason, check.index,
            check.manual, check.reference, abs(check.manual - check.reference), check.bound,
            previous(check.tensor, order),
        )  # fmt: skip

    def between(self, step: int, name: str, manual: Trace, reference: Trace, bound: float, order: list[str]) -> Finding:
        """Return the finding of a difference that no single operation accounts for."""
        where = places(order, self.layers)[name]
        index, m, r = largest_difference(manual[name], reference[name])
        error = difference(manual[name], reference[name])
        reason = stored(
            "Every operation alone agrees with autograd, yet the two sides differ here by more than rounding can carry "
            "this far: the fault lies between the operations (data, wiring, order, state, configuration)."
        )
        return Finding(
            step, Verdict.DIVERGES, where.stage, name, where.operation, reason, index, m, r, error, bound,
            previous(name, order),
        )  # fmt: skip

    def not_finite(self, step: int, breach: Breach, manual: Trace, reference: Trace) -> Finding:
        """Return the finding of a value that is not finite: nothing can be said where both sides have it."""
        sides = [bool(np.isfinite(trace[breach.tensor]).all()) for trace in (manual, reference)]
        verdict = Verdict.INCONCLUSIVE if not any(sides) else Verdict.DIVERGES
        if verdict is Verdict.INCONCLUSIVE:
            reason = stored("{what} Both sides have it.", what=breach.message)
        else:
            reason = stored("{what} The other side is finite there.", what=breach.message)
        return self.structural(step, breach, list(manual), verdict, reason)

    def structural(
        self, step: int, breach: Breach, order: list[str], verdict: Verdict = Verdict.DIVERGES, reason: str = ""
    ) -> Finding:
        """Return the finding of traces that cannot be compared value by value."""
        if not breach.tensor:
            return Finding(step, Verdict.INCONCLUSIVE, "data", "", "", breach.message)
        where = places([*order, breach.tensor], self.layers)[breach.tensor]
        return Finding(
            step, verdict, where.stage, breach.tensor, breach.operation or where.operation, reason or breach.message,
            last_agreeing=previous(breach.tensor, order), named=breach.named,
        )  # fmt: skip


def smallest_tolerance(manual: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """Return the smallest absolute and the smallest relative tolerance, element by element, that would have passed."""
    m, r = np.asarray(manual, np.float64), np.asarray(reference, np.float64)
    gap, size = np.abs(m - r), np.abs(r)
    relative = np.divide(gap, size, out=np.where(gap > 0, np.inf, 0.0), where=size > 0)
    return {"absolute": float(gap.max()), "relative": float(relative.max())}


def difference(manual: np.ndarray, reference: np.ndarray) -> float:
    """Return ||manual - reference||, also where the squares of the differences over- or underflow."""
    apart = np.ravel(np.asarray(manual, np.float64) - np.asarray(reference, np.float64))
    largest = float(np.abs(apart).max(initial=0.0))
    return float(np.linalg.norm(apart / largest)) * largest if largest else 0.0


def largest_difference(manual: np.ndarray, reference: np.ndarray) -> tuple[tuple[int, ...], float, float]:
    """Return the index of the largest difference, and both values there."""
    gap = np.abs(manual.astype(np.float64) - reference)
    index = np.unravel_index(np.argmax(gap), gap.shape)
    return tuple(int(i) for i in index), float(manual[index]), float(reference[index])


def previous(tensor: str, order: list[str]) -> str | None:
    """Return the tensor before this one in the order of the trace."""
    position = order.index(tensor) if tensor in order else len(order)
    return order[position - 1] if position else None
