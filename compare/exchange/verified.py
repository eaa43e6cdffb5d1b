"""What a verification came to, as data: the keys of a run's outcome, and what was compared how."""

from dataclasses import asdict, dataclass, field
from typing import Any

from compare.agreement.audit import Check
from compare.agreement.kinks import Kink
from compare.agreement.rounding.unit import unit_roundoff
from compare.agreement.verdict import Finding, Verdict, largest_difference
from compare.exchange.bundle import Bundle
from compare.exchange.companions import Probe
from compare.exchange.judging import Judged
from compare.exchange.recorded import Recorded
from compare.exchange.steps import Taken
from compare.lockstep.outcome import jsonable
from compare.lockstep.tally import Worst, norm_of


@dataclass
class Verified:
    """A port's trace, judged step by step."""

    bundle: Bundle
    recorded: Recorded
    probes: list[Probe]
    seconds: float = 0.0
    steps: int = 0  # of which something was compared
    alone: int = 0  # of these, proved on their own
    checks: int = 0
    audits: int = 0
    audited: int = 0
    worst: dict[str, Worst] = field(default_factory=dict)
    kinds: dict[str, set[str]] = field(default_factory=dict)  # tensor -> what its bounds rest on
    tightest: dict[str, tuple[int, Check]] = field(default_factory=dict)
    power: dict[str, float] = field(default_factory=dict)
    zeros: dict[str, float] = field(default_factory=dict)
    too_wide: set[str] = field(default_factory=set)
    kinks: list[Kink] = field(default_factory=list)
    finding: Finding | None = None

    def add(self, taken: Taken, judged: Judged) -> None:
        """Count a step in."""
        self.finding = judged.finding
        self.checks += len(judged.errors)
        self.steps += bool(judged.errors or judged.finding)
        self.alone += bool(judged.errors) and taken.start.whole
        self.audits += bool(judged.checks)
        self.audited += len(judged.checks)
        self.kinks += judged.kinks
        self.too_wide |= set(judged.too_wide)
        audited = {check.tensor: check for check in judged.checks}
        u = unit_roundoff(self.bundle.experiment.training.dtype)
        for name, error in judged.errors.items():
            size, bound = norm_of(taken.reference, name), judged.bounds[name]
            power = bound.value / size if size else 0.0
            kind = bound.kind
            if name in audited:
                power, kind = min(power, audited[name].power), audited[name].bound_kind
                self.note_check(taken.number, audited[name])
            self.kinds.setdefault(name, set()).add(kind)
            self.power[name] = max(self.power.get(name, u), power)
            if name not in self.worst or not error <= self.worst[name].error:
                index = largest_difference(taken.port[name], taken.reference[name])[0]
                allowed = bound.value / (u * size) if size else 0.0
                self.worst[name] = Worst(error, float(allowed), taken.number, index)

    def note_check(self, step: int, check: Check) -> None:
        """Keep an audited tensor's check where it is the tightest so far."""
        self.zeros[check.tensor] = min(self.zeros.get(check.tensor, 1.0), check.zeros)
        if check.tensor not in self.tightest or check.used > self.tightest[check.tensor][1].used:
            self.tightest[check.tensor] = (step, check)

    @property
    def verdict(self) -> Verdict:
        """What the trace has shown. Nothing compared is never success."""
        if self.finding:
            return self.finding.verdict
        if not self.checks:
            return Verdict.INCONCLUSIVE
        return Verdict.EXPLAINED if self.kinks else Verdict.AGREES

    @property
    def exit_status(self) -> int:
        """The verdict's."""
        return self.verdict.exit_status

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON data, with the keys of a run's."""
        return jsonable({
            "experiment": self.bundle.experiment.name,
            "verdict": str(self.verdict),
            "interrupted": False,
            "steps": self.steps,
            "checks": self.checks,
            "audits": {"steps": self.audits, "checks": self.audited},
            "worst": {n: asdict(self.worst[n]) for n in self.bundle.names if n in self.worst},
            "tightest": {
                name: {
                    "used": check.used, "step": step, "index": check.index, "bound": check.bound,
                    "bound_kind": check.bound_kind,
                }
                for name, (step, check) in self.tightest.items()
            },
            "divergence": asdict(self.finding) if self.finding else None,
            "kinks": [asdict(kink) for kink in self.kinks],
            "power": {
                name: {"smallest_relative_mistake": power, "zeros": self.zeros.get(name, 0.0)}
                for name, power in self.power.items()
            },
            "precision": None,
            "accuracy": None,
            "independent": None,
            "seconds": round(self.seconds, 3),
            "record": None,
            "exchange": self.exchange(),
        })  # fmt: skip

    def exchange(self) -> dict[str, Any]:
        """Return what was given, what matched nothing, what was compared how, and what would have gone unnoticed."""
        made = [self.bundle.computed(step) for step in range(1, self.bundle.steps + 1)]
        computed = max(made, key=len)
        steps = [self.recorded.given(step).intersection(names) for step, names in enumerate(made, start=1)]
        given, of = sum(map(len, steps)), sum(map(len, made))
        return {
            "given": {"tensors": given, "of": of, "fraction": given / of},
            "steps": {"exported": self.bundle.steps, "compared": self.steps, "on_their_own": self.alone},
            "unmatched": self.recorded.unmatched,
            "missing": [name for name in computed if not any(name in names for names in steps)],
            "compared_how": {n: sorted(self.kinds[n]) for n in computed if n in self.kinds},
            "too_wide": [n for n in computed if n in self.too_wide],
            "digits_allow": max(map(self.recorded.half_digit, self.recorded.sources), default=0.0),
            "unnoticed": self.unnoticed(),
        }

    def unnoticed(self) -> dict[str, float]:
        """Return for every parameter's gradient that is not recorded the relative mistake that would pass unnoticed.

        The larger of two: all of it too large by a factor, and something random added to it.
        """
        found: dict[str, float] = {}
        for probe in self.probes:
            found[probe.gradient] = max(found.get(probe.gradient, 0.0), probe.unnoticed)
        return found
