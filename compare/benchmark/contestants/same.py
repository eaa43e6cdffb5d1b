"""That a contestant computes the step that manual computes: the weights after a few steps are manual's.

Allowed is a relative difference, by norm, of what every parameter has moved by, far above rounding and far below any
other formula: a contestant beyond it is a defect of the benchmark, and its time means nothing.
"""

from itertools import islice

import numpy as np

from compare.benchmark.contestants.by_hand import by_manual
from compare.benchmark.contestants.contestant import Contestant
from compare.benchmark.networks import initial, rows_of
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment

STEPS = 3
ALLOWED = {"float32": 1e-4, "float64": 1e-9}


class UnequalContestant(Exception):
    """A contestant that computes another step than manual."""


def check_same(name: str, contestant: Contestant, experiment: Experiment, dataset: Dataset) -> float:
    """Take a few steps beside manual; return the largest relative difference. Raises UnequalContestant."""
    own = by_manual(experiment, dataset)
    for rows in islice(rows_of(experiment, dataset), STEPS):
        own.step(rows)
        contestant.step(rows)
    contestant.finish()
    start = initial(experiment)
    found = list(zip(start, start.values(), own.weights(), contestant.weights(), strict=True))
    apart = {key: distance(before, mine, theirs) for key, before, mine, theirs in found}
    worst, allowed = max(apart, key=lambda key: apart[key]), ALLOWED[experiment.training.dtype]
    if not apart[worst] <= allowed:
        raise UnequalContestant(
            f"{name} moves {worst} otherwise than manual: after {STEPS} steps they are {apart[worst]:.1e} apart, "
            f"relative to the way it has moved; wanted at most {allowed:g}. Its time would mean nothing: mend it."
        )
    return apart[worst]


def distance(before: np.ndarray, mine: np.ndarray, theirs: np.ndarray) -> float:
    """Return how far apart two weights are, relative to how far they have moved; infinite if mine did not."""
    if mine.shape != theirs.shape:
        return float("inf")
    moved = float(np.linalg.norm(mine.astype(np.float64) - before))
    # Weights are kept rounded: of a small move that leaves fewer digits.
    scale = max(moved, float(np.linalg.norm(mine)) * 1e-3)
    return float(np.linalg.norm(mine.astype(np.float64) - theirs)) / scale if moved else float("inf")
