"""What reproducing a source came to, as data: the same for Python, for the files in results and for `--json`."""

from dataclasses import asdict, dataclass
from typing import Any

from compare.agreement.verdict import Verdict
from compare.lockstep.outcome import Outcome, jsonable
from compare.published.comparison import Comparison
from compare.records.folder import config_id

AGREEMENT = (str(Verdict.AGREES), str(Verdict.EXPLAINED))
MISSED, SAID_NOTHING = 1, 3  # exit statuses


@dataclass(frozen=True)
class Run:
    """One run of a reproduction: both sides, held against each other at every step."""

    name: str
    verdict: str
    steps: int
    checks: int  # tensors compared
    audits: int  # operations audited
    seconds: float
    config_id: str
    record: str | None = None  # its folder's name; None for a step on data that stands in the recipe
    wanted: tuple[str, ...] = AGREEMENT  # a planted mistake is there to be found: DIVERGES
    reason: str | None = None  # the finding, where the run ended at one

    @classmethod
    def of(cls, outcome: Outcome, name: str, wanted: tuple[str, ...] = AGREEMENT) -> "Run":
        """Return what an outcome came to."""
        tally, finding = outcome.tally, outcome.finding
        return cls(
            name, str(outcome.verdict), tally.steps, tally.checks, tally.audited, round(outcome.seconds, 3),
            config_id(outcome.experiment), outcome.record.name if outcome.record else None, wanted,
            finding.reason if finding else None,
        )  # fmt: skip

    @property
    def met(self) -> bool:
        """Whether the verdict is one that is wanted."""
        return self.verdict in self.wanted


@dataclass(frozen=True)
class Table:
    """Figures that explain a result, computed from the runs: a row for each thing, cells as numbers or texts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int, ...], ...]
    says: str = ""  # what it shows, in sentences made of its numbers


@dataclass(frozen=True)
class Reproduction:
    """A source's results and ours. `differs` says what differs from the source's own way, and why."""

    name: str
    source: str
    recipe: tuple[str, ...]
    differs: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    runs: tuple[Run, ...]
    explanation: tuple[Table, ...] = ()

    @property
    def met(self) -> bool:
        """Whether every judged figure is met, and every run has a verdict that is wanted. Nothing run is not met."""
        figures = all(comparison.met is not False for comparison in self.comparisons)
        return figures and bool(self.runs) and all(run.met for run in self.runs)

    @property
    def exit_status(self) -> int:
        """0 where all is met; 3 where a run could say nothing and nothing else is wrong; otherwise 1."""
        if self.met:
            return 0
        figures = all(comparison.met is not False for comparison in self.comparisons)
        silent = {run.verdict for run in self.runs if not run.met} <= {str(Verdict.INCONCLUSIVE)}
        return SAID_NOTHING if figures and silent else MISSED

    def to_json(self) -> dict[str, Any]:
        """Return the reproduction as JSON data."""
        judged = [comparison for comparison in self.comparisons if comparison.met is not None]
        return jsonable({
            "name": self.name,
            "met": self.met,
            "figures": {"met": sum(bool(c.met) for c in judged), "judged": len(judged), "all": len(self.comparisons)},
            "source": self.source,
            "recipe": list(self.recipe),
            "differs": list(self.differs),
            "comparisons": [asdict(c) | {"difference": c.difference} for c in self.comparisons],
            "runs": [asdict(run) | {"met": run.met} for run in self.runs],
            "explanation": [asdict(table) for table in self.explanation],
        })  # fmt: skip
