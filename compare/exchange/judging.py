"""One step of a port against the reference.

An operation whose inputs are all recorded is audited: held, element by element, against its own rounding bound. Every
recorded tensor is held, by norm, against what rounding may do on the way to it: the bound carried through the step
where the step's start is known, which is rigorous and wide; or what was measured on the shadows, where that is less or
nothing else is known. A bound so wide that it would let anything pass compares nothing, and is not counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from compare.agreement.audit import Check
from compare.agreement.carried import carried_bounds
from compare.agreement.kinks import Kink
from compare.agreement.operations import own_kind
from compare.agreement.step_check import StepCheck
from compare.agreement.trace import places
from compare.agreement.verdict import Finding, Judge, Verdict, largest_difference, previous, smallest_tolerance
from compare.exchange.companions import OwnRounding, distance
from compare.exchange.crossing import crossed
from compare.exchange.operands import operands, unwatched
from compare.exchange.steps import Taken
from compare.experiment.description import Experiment


@dataclass(frozen=True)
class Bound:
    """What is allowed of ||port - reference||, and what it rests on: derived, carried, measured."""

    value: float
    kind: str


@dataclass(frozen=True)
class Judged:
    """What judging a step came to. `errors` in u, of the tensors that were compared."""

    errors: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, Bound] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    too_wide: tuple[str, ...] = ()  # recorded, but nothing could have been caught in them
    finding: Finding | None = None
    kinks: list[Kink] = field(default_factory=list)


class PortJudge:
    """Judges the steps of a port."""

    def __init__(self, experiment: Experiment, rounding: OwnRounding, network: Any):
        """`network` is manual's, for kinks that have to be computed again."""
        self.experiment, self.rounding, self.network = experiment, rounding, network
        self.layers = [layer.name for layer in experiment.layers]
        self.judge = Judge(experiment, {layer.name: layer.build() for layer in experiment.layers})
        self.step_check = StepCheck(experiment.training.dtype)

    def __call__(self, taken: Taken, half_digit: float) -> Judged:
        """Return what the step has shown. `half_digit`: how far the loss's text may be from what it stands for."""
        finding = self.malformed(taken) or self.unequal_start(taken)
        if finding:
            given, wanted = taken.port.get(finding.tensor), taken.reference.get(finding.tensor)
            alike = (
                given is not None and wanted is not None and (given.shape, given.dtype) == (wanted.shape, wanted.dtype)
            )
            names = [finding.tensor] if alike and finding.tensor not in taken.expected else []
            return Judged(finding=self.hinted(finding, taken, self.bounds(taken, names, half_digit)))
        computed = [name for name in taken.port if name not in taken.expected]
        errors = {name: self.step_check.error(taken.port[name], taken.reference[name]) for name in computed}
        exact_loss = half_digit <= self.step_check.u * abs(float(taken.completed["loss"]))
        if taken.complete and exact_loss:
            return self.complete(taken, errors)
        checks = [c for c in self.audit(taken) if exact_loss or c.tensor != "loss"]
        bounds = self.bounds(taken, computed, half_digit)
        comparable = {c.tensor for c in checks} | {n for n, b in bounds.items() if self.tells(b, taken.reference[n])}
        wide = tuple(name for name in computed if name not in comparable)
        errors = {name: error for name, error in errors.items() if name in comparable}
        finding, kinks = self.verdict(taken, checks, bounds, list(errors))
        return Judged(errors, bounds, checks, wide, finding and self.hinted(finding, taken, bounds), kinks)

    def complete(self, taken: Taken, errors: Mapping[str, float]) -> Judged:
        """Return what a run would say of the step: nothing of it is hidden."""
        port = {name: taken.completed[name] for name in taken.reference} | dict(taken.expected)
        judged = self.judge.judge(taken.number, self.network, port, taken.reference, errors, taken.state_before)
        bounds = {name: Bound(judged.bounds.get(name, np.inf), "carried") for name in errors}
        finding = judged.finding and self.hinted(judged.finding, taken, bounds)
        return Judged(errors, bounds, judged.checks, (), finding, judged.kinks)

    def hinted(self, finding: Finding, taken: Taken, bounds: Mapping[str, Bound]) -> Finding:
        """Return the finding, with the other way to read the tensor's bytes in which it agrees, if there is one."""
        if finding.tensor not in bounds:
            return finding
        hint = misread(taken.port[finding.tensor], taken.reference[finding.tensor], bounds[finding.tensor].value)
        return replace(finding, reason=finding.reason + hint)

    def tells(self, bound: Bound, reference: np.ndarray) -> bool:
        """Whether a bound could tell the tensor from nothing at all."""
        size = float(np.linalg.norm(np.ravel(np.asarray(reference, np.float64))))
        return bound.value < size or (size == 0 and np.isfinite(bound.value))

    def audit(self, taken: Taken) -> list[Check]:
        """Return the checks of all recorded tensors whose operation's inputs are known."""
        inputs = operands(self.experiment, list(taken.reference))
        where = places(list(taken.reference), self.layers)
        wanted = {
            name for name, needed in inputs.items()
            if name in taken.port and taken.known.issuperset(needed)
            and (where[name].stage != "update" or taken.start.state_whole)
        }  # fmt: skip
        if not wanted:
            return []
        return [check for check in self.rounding(taken.completed, taken.state_before) if check.tensor in wanted]

    def bounds(self, taken: Taken, names: list[str], half_digit: float) -> dict[str, Bound]:
        """Return what is allowed of every recorded tensor, by norm."""
        carried: dict[str, float] = {}
        if taken.start.whole:
            carried = carried_bounds(self.experiment, taken.reference, taken.state_before)
        where, found = places(list(taken.reference), self.layers), {}
        for name in names:
            possible = [Bound(taken.measured[name], "measured")] if name in taken.measured else []
            if name in carried and taken.start.determines(name, where[name].stage):
                possible.append(Bound(carried[name], "carried"))
            usable = [bound for bound in possible if not np.isnan(bound.value)]
            bound = min(usable, key=lambda b: b.value, default=Bound(np.inf, "none"))
            found[name] = replace(bound, value=bound.value + half_digit) if name == "loss" else bound
        return found

    def verdict(
        self, taken: Taken, checks: list[Check], bounds: Mapping[str, Bound], order: list[str]
    ) -> tuple[Finding | None, list[Kink]]:
        """Return the first finding, in the order of the step, or the kinks that explain all there is."""
        breaches = {check.tensor: check for check in checks if not check.agrees}
        apart = [n for n in order if not distance(taken.port[n], taken.reference[n]) <= bounds[n].value]
        kinks: list[Kink] = []
        if apart and taken.start.whole:
            kinks, apart = crossed(self.experiment, self.network, taken, {n: bounds[n].value for n in order}, apart)
        first = next((name for name in order if name in breaches or name in apart), None)
        if first is None:
            return None, kinks
        if first in breaches:
            finding = self.judge.in_breach(taken.number, breaches[first], order)
        else:
            finding = self.apart(taken, first, bounds[first], order)
        port, reference = taken.port[first], taken.reference[first]
        return replace(finding, smallest_tolerance=smallest_tolerance(port, reference)), []

    def apart(self, taken: Taken, name: str, bound: Bound, order: list[str]) -> Finding:
        """Return the finding of a tensor that differs by more than rounding does on the way to it."""
        where = places(list(taken.reference), self.layers)[name]
        error, last = distance(taken.port[name], taken.reference[name]), previous(name, order)
        ratio, between = error / bound.value if bound.value else np.inf, listed(unwatched(self.experiment, taken, name))
        start = (
            "From the very parameters that the port had"
            if taken.start.whole
            else "Going on by itself, for the port's parameters are not recorded"
        )
        reason = (
            f"{start}, the reference comes to another {name}: they differ by {ratio:.3g} times what rounding may do on "
            f"the way ({WORDS[bound.kind]}). The fault lies in {between}"
            f"{'' if taken.start.whole else ', or in a step before'}."
        )
        index, port, reference = largest_difference(taken.port[name], taken.reference[name])
        return Finding(
            taken.number, Verdict.DIVERGES, where.stage, name, where.operation, reason, index, port, reference, error,
            bound.value, last,
        )  # fmt: skip

    def malformed(self, taken: Taken) -> Finding | None:
        """Return the finding of a tensor of another shape or dtype than the reference's, or not finite."""
        for name, array in taken.port.items():
            wanted = taken.reference.get(name)
            if wanted is None:
                message = f"{name} is recorded, but step {taken.number} makes none: it does not update."
                return self.structural(taken, name, message, Verdict.DIVERGES)
            if array.shape != wanted.shape:
                turned = " It is that of the transpose." if array.shape == wanted.shape[::-1] else ""
                message = f"{name} has shape {list(array.shape)}; wanted {list(wanted.shape)}.{turned}"
            elif array.dtype != wanted.dtype:
                message = f"{name} is {array.dtype}; wanted {wanted.dtype}, the dtype of the export."
            elif not np.isfinite(array).all():
                where = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
                both = not np.isfinite(wanted).all()
                message = f"{name}{where if where else ''} is {array[tuple(where)]} in the port; the reference's is "
                message += "not finite either." if both else "finite."
                verdict = Verdict.INCONCLUSIVE if both else Verdict.DIVERGES
                return self.structural(taken, name, message, verdict)
            else:
                continue
            return self.structural(taken, name, message, Verdict.DIVERGES)
        return None

    def structural(self, taken: Taken, name: str, message: str, verdict: Verdict) -> Finding:
        """Return the finding of a tensor that cannot be compared value by value."""
        where = places([*taken.reference, name], self.layers)[name]
        last = previous(name, list(taken.port))
        return Finding(taken.number, verdict, where.stage, name, where.operation, message, last_agreeing=last)

    def unequal_start(self, taken: Taken) -> Finding | None:
        """Return the finding of recorded data or parameters that are not those that the step has to start from."""
        for name, array in taken.port.items():
            if name not in taken.expected or np.array_equal(array, taken.expected[name]):
                continue
            where = places(list(taken.reference), self.layers)[name]
            exported = where.stage == "data" or taken.number == 1 or own_kind(name) == "drawn"
            source = "exported" if exported else f"{name}.updated of step {taken.number - 1}"
            reason = f"The step does not use the {name} that was {source}: not equal to the bit."
            index, port, wanted = largest_difference(array, taken.expected[name])
            return Finding(
                taken.number, Verdict.DIVERGES, where.stage, name, where.operation, reason, index, port, wanted,
                distance(array, taken.expected[name]), 0.0, previous(name, list(taken.port)),
                smallest_tolerance=smallest_tolerance(array, taken.expected[name]),
            )  # fmt: skip
        return None


WORDS = {
    "carried": "a bound derived, and carried through the step",
    "measured": "measured, not derived, on networks whose every tensor was moved by its own rounding bound",
    "none": "nothing is known",
}


def listed(operations: list[str]) -> str:
    """Return operations as words: one, or the first to the last with what lies between them."""
    if len(operations) <= 4:
        return " or ".join(operations)
    return f"one of the {len(operations)} operations from {operations[0]} to {operations[-1]}"


def misread(port: np.ndarray, reference: np.ndarray, bound: float) -> str:
    """Return, as a sentence, the other way to read a tensor's bytes in which it agrees; "" if there is none."""
    readings = {"big-endian": port.byteswap(), "column by column": port.ravel().reshape(port.shape[::-1]).T}
    for way, array in readings.items():
        with np.errstate(all="ignore"):
            if not np.array_equal(array, port) and distance(array, reference) <= bound:
                return f" Read {way} it agrees: the trace has to be little-endian, in C order."
    return ""
