"""Running a recorded run again, and saying exactly how equal the repetition is.

Every step of either run is a proof of its own, from the weights that it started from, and both runs start from the same
bits. So up to the first step at which a bit differs the two are one run. At that step each loss may differ from the
recorded one by what rounding carries through one step, and at the step after it by that and by what the rounding of the
weights makes of the loss, to first order:

    |C - C'| <= e(C) + sum over p of ||dC/dp|| e(p),       e: the bounds of agreement.carried

From there on each run goes its own way, as two correct ones do: how far they come apart is told, beside how far the
recorded run's own two sides came apart, and demanded is that each step of the repetition agrees with autograd.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from compare.agreement.verdict import Verdict
from compare.lockstep.loop import Loop, Watcher, relative_distance
from compare.lockstep.outcome import Outcome, jsonable
from compare.lockstep.run import run_loop, threads
from compare.records.environment import differences, environment
from compare.records.reading import Recorded, read_record
from compare.records.rebuild import rebuild
from compare.records.repetition import Difference, Repetition
from compare.records.schema import RecordError
from compare.records.watch import Watch

__all__ = ["Repetition", "replay"]

ALIKE = {Verdict.AGREES, Verdict.EXPLAINED}  # rounding decides on which side of a kink a unit lies
OF_MORE_CHECKS = ("checks", "audits", "worst", "tightest", "power", "independent", "kinks", "divergence")


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
    if next(recorded.steps(), None) is None:
        raise RecordError(f"{record}: no step of the run was recorded: there is nothing to repeat.")
    loop, dataset = rebuild(recorded, layers, data_root, trust, watched=True)
    if begin:
        begin(loop)
    started = time.perf_counter()
    watch = Watch(recorded, loop)
    with threads(loop.experiment.training.threads):
        here = environment(loop.experiment.training.device)
    outcome = run_loop(loop.experiment, dataset, loop, [watch.compare, *watchers], lambda: watch.at_the_end or stop())
    repetition = watch.repetition
    repetition.environment_differences = differences(recorded.environment, here) + resumed_elsewhere(recorded)
    repetition.verdict_here = str(outcome.verdict)
    repetition.interrupted = outcome.interrupted and not watch.at_the_end
    if not repetition.interrupted:
        compare_end(recorded, loop, outcome, repetition, watch)
    repetition.seconds = time.perf_counter() - started
    return repetition


def resumed_elsewhere(recorded: Recorded) -> list[dict[str, Any]]:
    """Return how the environments in which the run was resumed differ from the one in which it had begun."""
    return [
        {
            "key": f"{found['key']} (resumed after step {entry['step']})",
            "recorded": found["recorded"],
            "here": found["here"],
        }
        for entry in recorded.manifest["resumed"]
        for found in entry["environment_differences"]
    ]


def compare_end(recorded: Recorded, loop: Loop, outcome: Outcome, repetition: Repetition, watch: Watch) -> None:
    """Hold the end of the repetition against the record's: how many steps, everything found, final weights."""
    mine, old = str(outcome.verdict), recorded.manifest["verdict"]
    if watch.last is not None:
        # An overflow may come a step sooner where bits differ, or where more is checked.
        overflow = mine == old == Verdict.INCONCLUSIVE and (repetition.first is not None or watch.checks_more)
        if not overflow:
            reason = f"the repetition ends there, the record goes on to step {recorded.manifest['steps']}"
            repetition.contradict(Difference(repetition.steps, ""), reason)
    if recorded.outcome is None:
        return
    if mine != old and not (repetition.first is not None and {mine, old} <= ALIKE):
        finding = outcome.finding
        where = Difference(finding.step if finding else repetition.steps, finding.tensor if finding else "")
        repetition.contradict(where, f"the verdict is {mine}, recorded is {old}")
    if watch.checks_more and mine == old == Verdict.INCONCLUSIVE:
        return  # a step that overflows ends sooner where all of it is checked: the weights are not those of its end
    compare_weights(recorded, loop, repetition)
    if repetition.first is None and recorded.status == "finished":
        compare_outcome(recorded, outcome, repetition, watch)


def compare_outcome(recorded: Recorded, outcome: Outcome, repetition: Repetition, watch: Watch) -> None:
    """Hold what metrics.json says against the repetition: where every step is equal to the bit, all of it must be."""
    assert recorded.outcome is not None
    told = json.loads(json.dumps(jsonable(outcome.to_json())))
    scores = json.loads(json.dumps(jsonable(vars(outcome.metrics) if outcome.metrics else None)))
    skipped = {"seconds", "record", *(OF_MORE_CHECKS if watch.checks_more else ())}
    for key, here in told.items():
        old = recorded.outcome.get(key)
        if key not in skipped and old != here:
            where = Difference(repetition.steps, f"metrics.json/{key}")
            repetition.contradict(where, f"the record says {str(old)[:200]}, here it is {str(here)[:200]}")
    if recorded.metrics != scores:
        repetition.contradict(Difference(repetition.steps, "metrics.json/metrics"), "the scores are others")


def compare_weights(recorded: Recorded, loop: Loop, repetition: Repetition) -> None:
    """Hold both sides' final weights against the recorded ones."""
    theirs = loop.trained_reference.network.weights
    here = {
        "final_manual": loop.manual.network.parameters,
        "final_reference": {name: weight.detach().cpu().numpy() for name, weight in theirs.items()},
    }
    for file, weights in here.items():
        old = recorded.weights(file)
        for name, array in weights.items():
            was, where = old.get(name), Difference(repetition.steps, f"{file}/{name}")
            if was is None or was.shape != array.shape or was.dtype != array.dtype:
                repetition.contradict(where, "the record has no such weights")
            elif was.tobytes() != array.tobytes():
                repetition.weights[f"{file}/{name}"] = relative_distance(array, was)
    if repetition.weights and repetition.first is None:
        reason = "the weights differ, though every step before had the same bits"
        repetition.contradict(Difference(repetition.steps, next(iter(repetition.weights))), reason)
