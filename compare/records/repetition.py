"""What a repetition of a recorded run came to, as data."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from compare.lockstep.outcome import jsonable
from compare.notebook import card

BITWISE, WITHIN_BOUNDS, DIVERGED = "BITWISE", "WITHIN BOUNDS", "DIVERGED"


@dataclass(frozen=True)
class Difference:
    """A difference of the repetition from what was recorded."""

    step: int
    tensor: str
    recorded: float | None = None  # a loss
    here: float | None = None
    bound: float | None = None  # on their difference, carried through the step
    used: float | None = None  # difference / bound


@dataclass(repr=False)
class Repetition:
    """How a repetition compares with its record. `verdict` is BITWISE, WITHIN BOUNDS or DIVERGED."""

    record: Path
    experiment: str
    status: str
    recorded_verdict: str | None
    steps: int = 0
    interrupted: bool = False  # by the user: only so many steps were repeated
    first: Difference | None = None  # the first differing bit
    largest: Difference | None = None  # of the losses that are held to a bound: the one that uses most of it
    contradiction: Difference | None = None  # what no rounding explains
    reason: str = ""
    largest_loss: Difference | None = None  # of all steps: reported, and nothing is demanded of it
    environment_differences: list[dict[str, Any]] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)  # final tensor -> relative distance, where bits differ
    drift: float | None = None  # of the record's own two sides, at its end
    verdict_here: str = ""
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """How equal the repetition is."""
        if self.contradiction:
            return DIVERGED
        return WITHIN_BOUNDS if self.first or self.weights else BITWISE

    @property
    def exit_status(self) -> int:
        """0; 1 for a repetition that contradicts its record; 130 for one that was interrupted before it could."""
        return 1 if self.verdict == DIVERGED else 130 if self.interrupted else 0

    def __repr__(self) -> str:
        return f"<Repetition {self.verdict}: {self.experiment}, {self.steps:,} steps, {self.record}>"

    def _repr_html_(self) -> str:
        rows = [(apart["key"], apart["recorded"], apart["here"]) for apart in self.environment_differences]
        facts = {"steps": f"{self.steps:,}", "record": self.record}
        return card(f"{self.verdict}: {self.experiment}", facts, ("environment", "recorded", "here"), rows, self.reason)

    def to_json(self) -> dict[str, Any]:
        """Return the repetition as JSON data."""
        return jsonable({"verdict": self.verdict, **asdict(self), "record": str(self.record)})

    def contradict(self, difference: Difference, reason: str) -> None:
        """Note the first contradiction."""
        if self.contradiction is None:
            self.contradiction, self.reason = difference, reason
