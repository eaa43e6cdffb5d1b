"""What checking costs: a whole lockstep run, its audits included, against the two trainings without any check."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from compare.benchmark.contestants import describe, manual_step, rows_of, torch_step
from compare.benchmark.rounds import Seconds, compared, seconds_of
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.lockstep.loop import Loop
from compare.lockstep.tally import Tally

HIDDEN, BATCH_SIZE, DTYPE = 100, 64, "float64"
AT_MOST = 1.35
ROUNDS, STEPS = 9, 1000
BLOCK = 10  # steps that one contestant takes before it is the other's turn


def measure_lockstep(dataset: Dataset, quick: bool) -> list[dict[str, Any]]:
    """Return the seconds of a step with and without the checks, and how many times longer the former takes.

    A round is a run from its first step, with the audits that every run has: at its beginning and end, and at every
    500th step. The plain trainings, manual's and PyTorch's, alternate step by step.
    """
    rounds, steps = (2, 20) if quick else (ROUNDS, STEPS)
    experiment = describe(HIDDEN, BATCH_SIZE, DTYPE, steps=steps)
    run_beside(describe(HIDDEN, BATCH_SIZE, DTYPE, steps=BLOCK), dataset)  # not counted: torch imports more when used
    seconds: Seconds = {"lockstep": [], "plain": []}
    for _ in range(rounds):
        for name, spent in run_beside(experiment, dataset).items():
            seconds[name].append(spent / steps)
    case = f"784-{HIDDEN}-10, batch {BATCH_SIZE}, {DTYPE}, {steps:,} steps"
    return [compared(case, seconds, "lockstep", "plain", {"at_most": AT_MOST})]


def run_beside(experiment: Experiment, dataset: Dataset) -> dict[str, float]:
    """Return the seconds of a run with checks and of one without, their blocks of steps in turns."""
    contestants = {"lockstep": checked(experiment, dataset), "plain": plain(experiment, dataset)}
    seconds = dict.fromkeys(contestants, 0.0)
    with np.errstate(all="ignore"):  # as in a run
        for _ in range(0, experiment.training.steps, BLOCK):
            for name, steps in contestants.items():
                seconds[name] += seconds_of(lambda steps=steps: list(islice(steps, BLOCK)))
    return seconds


def checked(experiment: Experiment, dataset: Dataset) -> Iterator[object]:
    """Return what takes a step of the lockstep loop at every turn, and counts it in as a run does."""
    loop, tally = Loop(experiment, dataset), Tally(experiment)
    return (tally.add(step) for step in loop)


def plain(experiment: Experiment, dataset: Dataset) -> Iterator[object]:
    """Return what takes a plain step of manual's and one of PyTorch's at every turn."""
    by_hand, by_autograd = manual_step(experiment, dataset), torch_step(experiment, dataset)
    return ((by_hand(rows), by_autograd(rows)) for rows in rows_of(experiment, dataset))
