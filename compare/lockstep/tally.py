"""What is kept of a run while it goes by: for every tensor the step where it was worst."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from compare.agreement.audit import Check
from compare.agreement.carried import by_norm, carried_bounds
from compare.agreement.kinks import Kink
from compare.agreement.rounding.unit import unit_roundoff
from compare.agreement.trace import Place, Trace
from compare.agreement.verdict import Finding, Verdict, largest_difference
from compare.experiment.description import Experiment
from compare.lockstep.loop import Drift, Step


@dataclass(frozen=True)
class Worst:
    """The largest error of a tensor in the whole run, and the carried bound at that step, both in units of u."""

    error: float
    bound: float
    step: int
    index: tuple[int, ...]


@dataclass
class Tally:
    """The run so far."""

    experiment: Experiment
    steps: int = 0
    checks: int = 0  # tensors compared
    audits: int = 0  # steps audited
    audited: int = 0  # tensors audited
    worst: dict[str, Worst] = field(default_factory=dict)
    tightest: dict[str, tuple[int, Check]] = field(default_factory=dict)  # of the audits: step and check
    drifts: list[Drift] = field(default_factory=list)
    kinks: list[Kink] = field(default_factory=list)
    power: dict[str, float] = field(default_factory=dict)  # smallest relative mistake that every audit catches
    zeros: dict[str, float] = field(default_factory=dict)  # share of elements that were 0 at every audit
    finding: Finding | None = None
    carried: Mapping[str, float] = field(default_factory=dict)  # the bounds of the last judged step
    seconds: float = 0.0  # of training

    def add(self, step: Step) -> None:
        """Count a step in."""
        self.steps = step.number
        self.checks += len(step.errors)
        self.audits += bool(step.checks)
        self.audited += len(step.checks)
        self.finding = step.finding
        if step.drift:
            self.drifts.append(step.drift)
        self.kinks += step.kinks
        self.carried = step.bounds or self.carried
        for check in step.checks:
            if np.isfinite(check.power):
                u = unit_roundoff(self.experiment.training.dtype)  # no mistake smaller than a rounding can be seen
                self.power[check.tensor] = max(self.power.get(check.tensor, u), check.power)
            self.zeros[check.tensor] = min(self.zeros.get(check.tensor, 1.0), check.zeros)
            if check.tensor not in self.tightest or check.used > self.tightest[check.tensor][1].used:
                self.tightest[check.tensor] = (step.number, check)
        worse = [
            name for name, error in step.errors.items() if name not in self.worst or error > self.worst[name].error
        ]
        if worse:
            self.note_worst(worse, step)

    def note_worst(self, names: list[str], step: Step) -> None:
        """Keep the errors of these tensors at this step, with where they are largest and what was allowed.

        Where the carried bound costs as much as some steps do, it is that of the last step that was judged.
        """
        complete = all(name in step.manual for name in step.errors) and step.finding is None
        bounds = self.carried
        if complete and by_norm(self.experiment):
            bounds = carried_bounds(self.experiment, step.manual, step.state_before)
        u = unit_roundoff(self.experiment.training.dtype)
        for name in names:
            if name in step.manual and name in step.reference:
                index = largest_difference(step.manual[name], step.reference[name])[0]
                size = norm_of(step.reference, name)
                bound = bounds.get(name, np.nan) / (u * size) if size else 0.0
                self.worst[name] = Worst(step.errors[name], float(bound), step.number, index)

    @property
    def verdict(self) -> Verdict:
        """What the steps so far have shown. Nothing compared is never success."""
        if self.finding:
            return self.finding.verdict
        if not self.checks:
            return Verdict.INCONCLUSIVE
        return Verdict.EXPLAINED if self.kinks else Verdict.AGREES

    def to_facts(self) -> dict[str, Any]:
        """Return what has been kept, without a finding, as data that JSON can hold: what `from_facts` takes."""
        facts = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name not in UNKEPT}
        facts |= {
            "worst": {name: asdict(worst) for name, worst in self.worst.items()},
            "tightest": {name: [step, asdict(check)] for name, (step, check) in self.tightest.items()},
            "drifts": [asdict(drift) for drift in self.drifts],
            "kinks": [asdict(kink) for kink in self.kinks],
            "carried": dict(self.carried),
        }
        return facts

    @classmethod
    def from_facts(cls, experiment: Experiment, facts: Mapping[str, Any]) -> "Tally":
        """Return the tally that `to_facts` told of; raise KeyError, TypeError or ValueError for other data."""
        kept = dict(facts)
        kept["worst"] = {name: Worst(**{**w, "index": tuple(w["index"])}) for name, w in facts["worst"].items()}
        kept["tightest"] = {name: (step, check_from(check)) for name, (step, check) in facts["tightest"].items()}
        kept["drifts"] = [Drift(**drift) for drift in facts["drifts"]]
        kept["kinks"] = [Kink(**kink) for kink in facts["kinks"]]
        return cls(experiment, **kept)


UNKEPT = ("experiment", "finding")


def check_from(facts: Mapping[str, Any]) -> Check:
    """Return an audit's check from its data."""
    return Check(**{**facts, "place": Place(**facts["place"]), "index": tuple(facts["index"])})


def norm_of(trace: Trace, name: str) -> float:
    """Return the norm of a tensor of the trace."""
    return float(np.linalg.norm(np.ravel(np.asarray(trace[name], np.float64))))
