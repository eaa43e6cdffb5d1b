"""A training step of manual's against those of what one would use instead, from taking the batch to the update."""

import gc
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np

from compare.benchmark.contestants.contestant import Contestant, NotMeasured
from compare.benchmark.contestants.field import EAGER, ENTRANTS, MANUAL
from compare.benchmark.contestants.same import UnequalContestant, check_same
from compare.benchmark.networks import BATCHES, DTYPES, NETWORKS, describe, rows_of
from compare.benchmark.rounds import compared, seconds_of, take_turns
from compare.benchmark.selection import Selection
from compare.experiment.datasets import Dataset
from compare.experiment.description import DTypeName, Experiment

ROUNDS, QUICK_ROUNDS = 15, 3
SECONDS, QUICK_SECONDS = 0.02, 0.002  # of a contestant's part of a round: as many steps as fit in, at least one
PLAIN: dict[tuple[str, int, str], float] = {  # how many times faster than plain eager PyTorch we want to be
    ("784-30-10", 10, "float32"): 7.0,
    ("784-100-10", 64, "float32"): 2.2,
    ("784-100-10", 64, "float64"): 1.4,
}


def measure_steps(dataset: Dataset, quick: bool, selection: Selection) -> list[dict[str, Any]]:
    """Return, case by case, the seconds of a step of every contestant, and how many times longer than manual's."""
    rows = []
    for network in selection.networks(NETWORKS):
        for batch_size in selection.batches(BATCHES):
            for dtype in selection.dtypes(DTYPES):
                selection.tell(f"step: {network}, batch {batch_size}, {dtype}")
                rows += measure_case(dataset, network, batch_size, dtype, quick)
    return rows


def measure_case(
    dataset: Dataset, network: str, batch_size: int, dtype: DTypeName, quick: bool
) -> list[dict[str, Any]]:
    """Return one case's rows, one a contestant; those that are not measured say why."""
    experiment = describe(network, batch_size, dtype)
    where = {"network": network, "batch": batch_size, "dtype": dtype}
    case = f"{network}, batch {batch_size}, {dtype}"
    walks, absent, apart = {}, {}, {}
    for name, entrant in ENTRANTS.items():
        try:
            if reason := entrant.outside(experiment):
                raise NotMeasured(reason)
            twin = entrant.trains(experiment)
            contestant = entrant.make(twin, dataset)
            apart[name] = check_same(name, contestant, twin, dataset)
            walks[name] = walk(contestant, twin, dataset, QUICK_SECONDS if quick else SECONDS)
        except (NotMeasured, UnequalContestant) as reason:
            absent[name] = {"absent": str(reason), "unequal": isinstance(reason, UnequalContestant)}
    gc.collect()
    take_turns(walks, 1)  # not counted
    seconds = take_turns(walks, QUICK_ROUNDS if quick else ROUNDS)
    rows = [
        compared(case, {key: seconds[key] for key in (name, MANUAL)}, name, MANUAL, target_of(name, **where))
        | {"apart": apart[name], **where}
        for name in walks
        if name != MANUAL
    ]
    return rows + [{"case": case, "of": [name, MANUAL], **why, **where} for name, why in absent.items()]


def target_of(name: str, network: str, batch: int, dtype: str) -> dict[str, float]:
    """Return how many times longer than manual's a contestant's step should take; {} where nothing is wanted."""
    if name in EAGER:
        return {"at_least": PLAIN.get((network, batch, dtype), 1.0) if name == "torch" else 1.0}
    if name == "scikit-learn" and (network, batch) == ("784-30-10", 64):
        return {"at_least": 10.0}
    if name == "per example" and batch == 10:
        return {"at_least": 10.0}
    return {"at_least": 1.0} if name == "jax.jit" and batch >= 10 else {}


def walk(contestant: Contestant, experiment: Experiment, dataset: Dataset, seconds: float) -> Callable[[], float]:
    """Return what takes as many steps through the data as fit into these seconds, and returns the seconds a step."""
    rows = rows_of(experiment, dataset)

    def take(steps: int) -> float:
        ahead = list(islice(rows, steps))  # the order of the examples is nobody's work
        return seconds_of(lambda: run(contestant, ahead)) / steps

    steps = max(1, min(2000, int(seconds / min(take(1) for _ in range(3)))))
    return lambda: take(steps)


def run(contestant: Contestant, ahead: list[np.ndarray]) -> None:
    """Take these steps, and wait for the last."""
    for rows in ahead:
        contestant.step(rows)
    contestant.finish()
