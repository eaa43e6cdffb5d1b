"""Planting every mistake of the catalogue, and counting: caught at the right step? located? named?"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from compare.agreement.verdict import Verdict
from compare.diagnosis.mistakes import CATALOGUE, Mistake
from compare.lockstep.loop import Loop
from compare.lockstep.run import threads
from compare.selftest.alarms import false_alarms
from compare.selftest.grounds import Ground, mnist_grounds, small_grounds

STEPS = 12  # more than an epoch of the small data, so that the short last batch is among them


@dataclass(frozen=True)
class Trial:
    """One mistake planted into one network in one dtype."""

    mistake: str
    network: str
    dtype: str
    effective_step: int | None  # the first at which the wrong tensor was not the right one; None: never
    caught_step: int | None
    expected: list[str]  # the operation that is spoiled, and the tensor that it spoils first
    found: list[str] | None
    named: list[str]

    @property
    def caught(self) -> bool:
        """Whether it was found at its first effective step."""
        return self.caught_step is not None and self.caught_step == self.effective_step

    @property
    def located(self) -> bool:
        """Whether it was found where it is."""
        return self.caught and self.found == self.expected

    @property
    def named_first(self) -> bool:
        """Whether its own name is the first suspect."""
        return self.caught and self.named[:1] == [self.mistake]


@dataclass
class SelfTest:
    """The result: all trials, and the alarms that correct code raised."""

    trials: list[Trial] = field(default_factory=list)
    unplantable: list[str] = field(default_factory=list)  # admitted by none of the networks
    alarms: int = 0
    checks: int = 0
    correct: list[dict[str, Any]] = field(default_factory=list)

    def effective(self) -> dict[str, list[Trial]]:
        """Return the trials with an effect, by mistake."""
        by_mistake: dict[str, list[Trial]] = {}
        for trial in self.trials:
            if trial.effective_step is not None:
                by_mistake.setdefault(trial.mistake, []).append(trial)
        return by_mistake

    def to_json(self) -> dict[str, Any]:
        """Return the result with the keys that others rely on. A mistake counts only if all of its trials do."""
        effective = self.effective()
        planted = {trial.mistake for trial in self.trials}
        return {
            "mistakes": len(planted),
            "caught": sum(all(t.caught for t in trials) for trials in effective.values()),
            "located": sum(all(t.located for t in trials) for trials in effective.values()),
            "named": sum(all(t.named_first for t in trials) for trials in effective.values()),
            "false_alarms": self.alarms,
            "checks": self.checks,
            "survivors": [name for name, trials in effective.items() if not all(t.caught for t in trials)],
            "equivalent": sorted(planted - effective.keys()),
            "unplantable": self.unplantable,
            "trials": {
                "planted": len(self.trials),
                "effective": sum(len(trials) for trials in effective.values()),
                "caught": sum(t.caught for trials in effective.values() for t in trials),
                "located": sum(t.located for trials in effective.values() for t in trials),
                "named": sum(t.named_first for trials in effective.values() for t in trials),
            },
            "matrix": [
                {**asdict(t), "caught": t.caught, "located": t.located, "named_first": t.named_first}
                for t in self.trials
            ],
            "correct": self.correct,
        }

    @property
    def exit_status(self) -> int:
        """1 if a mistake survives, correct code raises an alarm, or a mistake could not be planted at all."""
        result = self.to_json()
        return int(bool(result["survivors"] or self.alarms or self.unplantable))


def self_test(
    mistakes: Iterable[Mistake] | None = None,
    alarms: bool = True,
    progress: Callable[[str], None] = lambda _: None,
    digits: bool = True,
) -> SelfTest:
    """Plant every mistake into the first small network and the first MNIST network that admit it, in both dtypes.

    Without `digits` into the small networks alone; without `alarms` no correct code is tried.
    """
    result, chosen = SelfTest(), list(mistakes if mistakes is not None else CATALOGUE.values())
    with threads(1), np.errstate(all="ignore"):
        places = [
            [ground.computed_in(dtype) for ground in grounds]
            for grounds in (small_grounds(), *([mnist_grounds()] if digits else []))
            for dtype in ("float64", "float32")
        ]
        for mistake in chosen:
            progress(mistake.name)
            trials = [trial for grounds in places for trial in try_out(mistake, grounds)]
            result.trials += trials
            if not trials:
                result.unplantable.append(mistake.name)
    if alarms:
        progress("correct implementations")
        result.alarms, result.checks, result.correct = false_alarms()
    return result


def try_out(mistake: Mistake, grounds: list[Ground]) -> list[Trial]:
    """Return the trial of the mistake in the first of the networks that admits it; none where none does."""
    for ground in grounds:
        if ground.admits(mistake):
            return [watch(Loop(ground.experiment, ground.dataset, mistake=mistake), mistake)]
    return []


def watch(loop: Loop, mistake: Mistake) -> Trial:
    """Train with the mistake in until it is found, or for `STEPS` steps."""
    planted = loop.planted
    if planted is None:
        raise ValueError("There is no mistake in this loop.")
    finding = None
    for step in islice(loop, STEPS):
        finding = step.finding
    caught = finding is not None and finding.verdict is Verdict.DIVERGES
    return Trial(
        mistake.name, loop.experiment.name, loop.experiment.training.dtype, planted.first_effect,
        finding.step if finding and caught else None,
        [planted.operation, planted.tensor],
        [finding.operation, finding.tensor] if finding else None,
        [suspect["name"] for suspect in finding.suspects] if finding else [],
    )  # fmt: skip
