"""What checking costs: a whole lockstep run, its audits included, against the two trainings without any check, and
against loops that hold every tensor of every step together by the `assert_close` that one would use instead."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch

from compare.benchmark.contestants.by_hand import by_manual
from compare.benchmark.contestants.by_torch import eager
from compare.benchmark.networks import describe, initial, rows_of
from compare.benchmark.rounds import Seconds, compared, seconds_of
from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.experiment.networks import build_manual, build_reference
from compare.lockstep.loop import Loop
from compare.lockstep.tally import Tally

NETWORK, BATCH_SIZE, DTYPE = "784-100-10", 64, "float64"
AT_MOST, FASTER = 1.15, 2.0
ROUNDS, STEPS = 9, 1000
BLOCK = 10  # steps that one contestant takes before it is the others' turn

Check = Callable[[np.ndarray, np.ndarray], object]


def measure_lockstep(dataset: Dataset, quick: bool) -> list[dict[str, Any]]:
    """Return the seconds of a step with and without the checks, and how many times longer the former takes.

    A round is a run from its first step, with the audits that every run has: at its beginning and end, and at every
    500th step. The plain trainings, manual's and PyTorch's, alternate step by step.
    """
    rounds, steps = (2, 20) if quick else (ROUNDS, STEPS)
    experiment = describe(NETWORK, BATCH_SIZE, DTYPE, steps=steps)
    run_beside(describe(NETWORK, BATCH_SIZE, DTYPE, steps=BLOCK), dataset)  # not counted: torch imports more when used
    seconds: Seconds = {name: [] for name in LOOPS}
    for _ in range(rounds):
        for name, spent in run_beside(experiment, dataset).items():
            seconds[name].append(spent / steps)
    case = f"{NETWORK}, batch {BATCH_SIZE}, {DTYPE}, {steps:,} steps"
    races = [("lockstep", "plain", {"at_most": AT_MOST}), ("numpy.testing", "lockstep", {})]
    races.append(("torch.testing", "lockstep", {"at_least": FASTER}))
    return [
        compared(case, {key: seconds[key] for key in (slow, fast)}, slow, fast, target) for slow, fast, target in races
    ]


def run_beside(experiment: Experiment, dataset: Dataset) -> dict[str, float]:
    """Return the seconds of a run of each loop, their blocks of steps in turns."""
    contestants = {name: loop(experiment, dataset) for name, loop in LOOPS.items()}
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
    by_hand, by_autograd = by_manual(experiment, dataset), eager(foreach=False)(experiment, dataset)
    return ((by_hand.step(rows), by_autograd.step(rows)) for rows in rows_of(experiment, dataset))


def asserted(check: Check, experiment: Experiment, dataset: Dataset) -> Iterator[int]:
    """Take a step on both sides from the same weights at every turn, and hold every named tensor of it by `check`.

    Yields how many tensors were held together.
    """
    start = initial(experiment)
    mine, theirs = build_manual(experiment, start), build_reference(experiment, start)
    images, labels, dtype = dataset.train_images, dataset.train_labels, experiment.training.dtype
    for rows in rows_of(experiment, dataset):
        x, target = take_batch(images, labels, rows, dtype)
        theirs.network.load(mine.network.parameters)
        for side in (theirs, mine):
            side.network.loss(x, target)
            side.network.backward()
        traces = mine.network.trace(), theirs.network.trace()
        hold(check, *traces)
        for side in (theirs, mine):
            side.optimizer.step()
        own, other = mine.optimizer.trace(), theirs.optimizer.trace()
        hold(check, own, other)
        yield len(traces[0]) + len(own)


def hold(check: Check, own: Any, other: Any) -> None:
    """Hold every tensor of two traces together. Raises AssertionError."""
    for name, array in own.items():
        check(np.asarray(array), np.asarray(other[name]))


def by_numpy(own: np.ndarray, other: np.ndarray) -> None:
    """Hold two arrays together as NumPy's testing does; for rtol a usual choice, with a floor for numbers near 0."""
    np.testing.assert_allclose(own, other, rtol=1e-7, atol=1e-10)


def by_torch_testing(own: np.ndarray, other: np.ndarray) -> None:
    """Hold two arrays together as torch's testing does, with its own tolerances for their dtype."""
    torch.testing.assert_close(torch.from_numpy(own), torch.from_numpy(other))


LOOPS: dict[str, Callable[[Experiment, Dataset], Iterator[object]]] = {
    "lockstep": checked,
    "plain": plain,
    "numpy.testing": partial(asserted, by_numpy),
    "torch.testing": partial(asserted, by_torch_testing),
}
