"""Running a recorded run again, and saying exactly how equal the repetition is.

Every step of either run is a proof of its own, from the weights that it started from, and both runs start from the same
bits. So up to the first step at which a bit differs the two are one run. At that step both still start from equal bits,
and each loss may differ from the recorded one by no more than the bound carried through one step. From there on each
run goes its own way, as two correct ones do: how far they come apart is told, beside how far the recorded run's own
two sides came apart, and demanded is that each step of the repetition agrees with autograd.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from compare.agreement.carried import carried_bounds
from compare.lockstep.loop import Loop, Step, Watcher, relative_distance
from compare.lockstep.outcome import Outcome, jsonable
from compare.lockstep.run import run_loop, threads
from compare.records.environment import differences, environment
from compare.records.lines import changed_mark, line_of
from compare.records.reading import Recorded, read_record
from compare.records.rebuild import rebuild

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


@dataclass
class Repetition:
    """How a repetition compares with its record. `verdict` is BITWISE, WITHIN BOUNDS or DIVERGED."""

    record: Path
    experiment: str
    status: str
    recorded_verdict: str | None
    steps: int = 0
    first: Difference | None = None  # the first differing bit
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
        """0, or 1 for a repetition that contradicts its record."""
        return 1 if self.verdict == DIVERGED else 0

    def to_json(self) -> dict[str, Any]:
        """Return the repetition as JSON data."""
        return jsonable({"verdict": self.verdict, **asdict(self), "record": str(self.record)})


def replay(
    record: Path | str,
    *,
    layers: Mapping[str, Any] | None = None,
    data_root: Path | str | None = None,
    trust: bool = False,
    watchers: Iterable[Watcher] = (),
    begin: Callable[[Loop], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Repetition:
    """Run a recorded run again, from its recorded weights, and hold it against the record; nothing is written.

    Of a run that did not come to its end the steps that it recorded are repeated. The options are those of `resume`.
    Raises RecordError for a record that is none, or that was changed, or cannot be run again here.
    """
    recorded = read_record(Path(record))
    loop, dataset = rebuild(recorded, layers, data_root, trust)
    if begin:
        begin(loop)
    started = time.perf_counter()
    watcher = Watch(recorded, loop)
    with threads(loop.experiment.training.threads):
        here = environment(loop.experiment.training.device)
    outcome = run_loop(
        loop.experiment, dataset, loop, [watcher.compare, *watchers], lambda: watcher.at_the_end or stop()
    )
    repetition = watcher.repetition
    repetition.environment_differences = differences(recorded.environment, here)
    watcher.finish(outcome)
    repetition.seconds = time.perf_counter() - started
    return repetition


class Watch:
    """Watches a repetition go by, with the recorded lines beside it."""

    def __init__(self, recorded: Recorded, loop: Loop):
        self.recorded, self.loop = recorded, loop
        self.lines: Iterator[dict[str, Any]] = recorded.steps()
        self.last = next(self.lines, None)  # the line of the coming step
        self.repetition = Repetition(recorded.folder, recorded.name, recorded.status, recorded.manifest["verdict"])
        self.at_the_end = self.last is None
        if recorded.outcome and recorded.outcome["independent"]:
            self.repetition.drift = recorded.outcome["independent"]["drift"][-1]["parameters"]

    def compare(self, step: Step) -> None:
        """Hold a step against its line."""
        line, repetition = self.last, self.repetition
        if line is None:
            return
        repetition.steps = step.number
        here = jsonable(line_of(step))
        if line["step"] != step.number or line["epoch"] != step.epoch:
            self.contradict(Difference(step.number, ""), f"the record has step {line['step']} there")
        elif (tensor := first_change(line, here, list(step.errors))) is not None:
            self.differ(step, tensor, line)
        self.last = next(self.lines, None)
        self.at_the_end = self.last is None

    def differ(self, step: Step, tensor: str, line: Mapping[str, Any]) -> None:
        """Note a step that is not equal to the bit; at the first such step the losses are held to their bound."""
        repetition = self.repetition
        worst = max(loss_differences(step, line), key=lambda d: apart(d), default=None)
        if worst and (repetition.largest_loss is None or apart(worst) > apart(repetition.largest_loss)):
            repetition.largest_loss = worst
        if repetition.first is None:
            bound = self.bound_of_loss(step)
            held = [bounded(d, bound) for d in loss_differences(step, line)]
            closest = max(held, key=lambda d: d.used or 0.0)
            repetition.first = Difference(step.number, tensor, *values(closest), bound, closest.used)
            if not (closest.used or 0.0) <= 1:
                self.contradict(repetition.first, "a loss differs by more than rounding allows in one step")
        if line.get("finding") != (step.finding.tensor if step.finding else None):
            named = step.finding.tensor if step.finding else str(line.get("finding"))
            ends = "the repetition" if step.finding else "the record"
            self.contradict(Difference(step.number, named), f"{ends} alone has a finding at this step")

    def bound_of_loss(self, step: Step) -> float | None:
        """Return how far two correct evaluations of this step's loss, from equal bits, may be apart; None: unknown."""
        if "loss" in step.bounds:
            return float(step.bounds["loss"])
        if not step.manual or not step.errors:
            return None
        return float(carried_bounds(self.loop.experiment, step.manual, step.state_before)["loss"])

    def contradict(self, difference: Difference, reason: str) -> None:
        """Note the first contradiction."""
        if self.repetition.contradiction is None:
            self.repetition.contradiction, self.repetition.reason = difference, reason

    def finish(self, outcome: Outcome) -> None:
        """Hold the end of the repetition against the record's: verdict, how many steps, final weights."""
        repetition, recorded = self.repetition, self.recorded
        repetition.verdict_here = str(outcome.verdict)
        if self.last is not None and not outcome.interrupted:
            reason = f"the repetition ends there, the record goes on to step {recorded.manifest['steps']}"
            self.contradict(Difference(repetition.steps, ""), reason)
        if recorded.outcome is None:
            return
        if str(outcome.verdict) != recorded.outcome["verdict"]:
            finding = outcome.finding
            where = Difference(finding.step if finding else repetition.steps, finding.tensor if finding else "")
            reason = f"the verdict is {outcome.verdict}, recorded is {recorded.outcome['verdict']}"
            self.contradict(where, reason)
        self.compare_weights()

    def compare_weights(self) -> None:
        """Hold both sides' final weights against the recorded ones."""
        theirs = self.loop.trained_reference.network.weights
        here = {
            "final_manual": self.loop.manual.network.parameters,
            "final_reference": {name: weight.detach().cpu().numpy() for name, weight in theirs.items()},
        }
        for file, weights in here.items():
            recorded = self.recorded.weights(file)
            for name, array in weights.items():
                old = recorded.get(name)
                if old is None or old.shape != array.shape or old.dtype != array.dtype:
                    where = Difference(self.repetition.steps, f"{file}/{name}")
                    self.contradict(where, "the record has no such weights")
                elif old.tobytes() != array.tobytes():
                    self.repetition.weights[f"{file}/{name}"] = relative_distance(array, old)
        if self.repetition.weights and self.repetition.first is None:
            name = next(iter(self.repetition.weights))
            reason = "the weights differ, though every step before had the same bits"
            self.contradict(Difference(self.repetition.steps, name), reason)


def first_change(recorded: Mapping[str, Any], here: Mapping[str, Any], tensors: list[str]) -> str | None:
    """Return the first tensor of a step that differs from its recorded line; None if they are equal to the bit."""
    if "marks" in recorded and "marks" in here:
        changed = changed_mark(recorded["marks"], here["marks"], tensors)
        if changed is not None:
            return changed
    for key in {**recorded, **here}:
        old, new = recorded.get(key), here.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            return next(name for name in {**old, **new} if old.get(name) != new.get(name))
        return str(new or old) if key == "finding" else "loss"
    return None


def loss_differences(step: Step, line: Mapping[str, Any]) -> list[Difference]:
    """Return what both losses are and were."""
    here = (step.loss_manual, step.loss_reference)
    return [Difference(step.number, "loss", float(old), new) for old, new in zip(line["loss"], here, strict=True)]


def apart(difference: Difference) -> float:
    """Return how far a loss is from the recorded one; infinite if just one of them is not a number."""
    old, new = values(difference)
    if np.isnan(old) and np.isnan(new):
        return 0.0
    gap = abs(new - old)
    return float("inf") if np.isnan(gap) else gap


def values(difference: Difference) -> tuple[float, float]:
    """Return the recorded loss and the one here."""
    old, new = difference.recorded, difference.here
    return (float("nan") if old is None else old, float("nan") if new is None else new)


def bounded(difference: Difference, bound: float | None) -> Difference:
    """Return a loss's difference with its share of the bound."""
    gap = apart(difference)
    if bound is None:
        return Difference(difference.step, "loss", *values(difference))
    used = 0.0 if gap == 0 else gap / bound if bound else float("inf")
    return Difference(difference.step, "loss", *values(difference), bound, used)
