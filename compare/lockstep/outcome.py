"""What a run came to, as data: the same for Python, for the record and for `--json`."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compare.agreement.verdict import Finding, Verdict
from compare.experiment.description import Experiment
from compare.lockstep.metrics import Metrics
from compare.lockstep.tally import Tally
from compare.notebook import card


@dataclass(frozen=True, repr=False)
class Outcome:
    """A finished, diverged or interrupted run."""

    experiment: Experiment
    tally: Tally
    metrics: Metrics | None
    seconds: float
    interrupted: bool = False
    precision: dict[str, dict[str, float]] | None = None  # tensor -> dtype -> error in u
    record: Path | None = None

    @property
    def verdict(self) -> Verdict:
        """What the run has shown."""
        return self.tally.verdict

    @property
    def finding(self) -> Finding | None:
        """Where the two sides part, if they do."""
        return self.tally.finding

    @property
    def exit_status(self) -> int:
        """The verdict's, or 130 for a run that was interrupted."""
        return 130 if self.interrupted else self.verdict.exit_status

    def __repr__(self) -> str:
        return f"<Outcome {self.verdict}: {', '.join(f'{value} {name}' for name, value in self.counts().items())}>"

    def _repr_html_(self) -> str:
        head = ("tensor", "largest error (u)", "at step")
        rows = [(name, f"{worst.error:.3g}", f"{worst.step:,}") for name, worst in self.tally.worst.items()]
        note = repr(self.finding) if self.finding else ""
        return card(f"{self.verdict}: {self.experiment.name}", self.counts(), head, rows, note)

    def counts(self) -> dict[str, str]:
        """Return how much was compared, by what it is, as text."""
        tally = self.tally
        return {
            "steps": f"{tally.steps:,}", "tensors compared": f"{tally.checks:,}",
            "operations audited": f"{tally.audited:,}",
        }  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON data, with the keys that others rely on."""
        tally = self.tally
        finding = tally.finding
        return jsonable({
            "experiment": self.experiment.name,
            "verdict": str(self.verdict),
            "interrupted": self.interrupted,
            "steps": tally.steps,
            "checks": tally.checks,
            "audits": {"steps": tally.audits, "checks": tally.audited},
            "worst": {name: asdict(worst) for name, worst in tally.worst.items()},
            "tightest": {
                name: {
                    "used": check.used, "step": step, "index": check.index, "bound": check.bound,
                    "bound_kind": check.bound_kind,
                }
                for name, (step, check) in tally.tightest.items()
            },
            "divergence": asdict(finding) if finding else None,
            "kinks": [asdict(kink) for kink in tally.kinks],
            "power": {
                name: {"smallest_relative_mistake": power, "zeros": tally.zeros[name]}
                for name, power in tally.power.items()
            },
            "precision": self.precision,
            "accuracy": self.accuracy(),
            "independent": self.independent(),
            "seconds": round(self.seconds, 3),
            "record": str(self.record) if self.record else None,
        })  # fmt: skip

    def accuracy(self) -> dict[str, Any] | None:
        """Return both accuracies and on how many test images the predictions differ."""
        if self.metrics is None:
            return None
        return {
            "manual": self.metrics.accuracy_manual,
            "reference": self.metrics.accuracy_reference,
            "disagreements": len(self.metrics.disagreements),
            "mcnemar_p": self.metrics.mcnemar_p,
        }

    def independent(self) -> dict[str, Any] | None:
        """Return how the independent pair drifted apart, or None where none was trained."""
        if not self.tally.drifts:
            return None
        return {"drift": [asdict(drift) for drift in self.tally.drifts]}


def jsonable(value: Any) -> Any:
    """Return the value with tuples as lists, and numbers that JSON has no word for as texts: "nan", "inf"."""
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
