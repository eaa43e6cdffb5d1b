"""What recording costs: the default run with its record, from begin to end, against the same without."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from compare.benchmark.rounds import Seconds, compared, seconds_of
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.experiment.files import changes_of, read_experiment
from compare.lockstep.loop import Loop
from compare.lockstep.outcome import Outcome
from compare.lockstep.tally import Tally
from compare.records.record import Record

AT_MOST = 1.05
ROUNDS, QUICK_STEPS = 3, 60
BLOCK = 100  # steps that one contestant takes before it is the other's turn


def measure_recording(dataset: Dataset, quick: bool) -> list[dict[str, Any]]:
    """Return the seconds of a step with and without a record, and how many times longer the former takes."""
    experiment = read_experiment("article", changes_of(steps=QUICK_STEPS) if quick else None)
    seconds: Seconds = {"recorded": [], "unrecorded": []}
    for _ in range(1 if quick else ROUNDS):
        for name, spent in run_beside(experiment, dataset).items():
            seconds[name].append(spent)
    steps = Loop(experiment, dataset).steps
    per_step = {name: [spent / steps for spent in values] for name, values in seconds.items()}
    return [compared(f"article, {steps:,} steps", per_step, "recorded", "unrecorded", {"at_most": AT_MOST})]


def run_beside(experiment: Experiment, dataset: Dataset) -> dict[str, float]:
    """Return the seconds of a whole run with its record and of one without, their blocks of steps in turns."""
    seconds = {"recorded": 0.0, "unrecorded": 0.0}
    loop, tally = Loop(experiment, dataset), Tally(experiment)
    without = (tally.add(step) for step in loop)
    with tempfile.TemporaryDirectory() as out, np.errstate(all="ignore"):
        loop, tally = Loop(experiment, dataset), Tally(experiment)
        with timed(seconds, "recorded"):
            record = Record.begin(Path(out), dataset, loop, tally)
        steps = counted(record, loop, tally)
        for _ in range(0, loop.steps, BLOCK):
            seconds["recorded"] += seconds_of(lambda steps=steps: list(islice(steps, BLOCK)))
            seconds["unrecorded"] += seconds_of(lambda: list(islice(without, BLOCK)))
        with timed(seconds, "recorded"):
            record.finish(Outcome(experiment, tally, None, 0.0))
    return seconds


def counted(record: Record, loop: Loop, tally: Tally) -> Iterator[None]:
    """Yield after every step that has been counted in and recorded."""
    for step in loop:
        tally.add(step)
        record.add(step)
        yield


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add how long the block takes."""
    started = time.perf_counter()
    yield
    seconds[name] += time.perf_counter() - started
