"""A training step of manual's against one of plain PyTorch's, eager, from taking the batch to the update."""

from collections.abc import Callable
from itertools import islice
from typing import Any

from compare.benchmark.contestants import Step, describe, manual_step, rows_of, torch_step
from compare.benchmark.rounds import compared, seconds_of, take_turns
from compare.experiment.datasets import Dataset
from compare.experiment.description import DTypeName, Experiment

# hidden units, batch, dtype, and how many times faster than PyTorch we want to be
CASES: tuple[tuple[int, int, DTypeName, float], ...] = (
    (30, 10, "float32", 4.0),
    (30, 10, "float64", 1.2),
    (100, 64, "float32", 1.8),
    (100, 64, "float64", 1.2),
)
ROUNDS, STEPS = 40, 200


def measure_steps(dataset: Dataset, quick: bool) -> list[dict[str, Any]]:
    """Return the seconds of a step on both sides, and how many times longer PyTorch's takes, case by case."""
    return [measure_case(dataset, *case, rounds=3 if quick else ROUNDS, steps=10 if quick else STEPS) for case in CASES]


def measure_case(
    dataset: Dataset, hidden: int, batch_size: int, dtype: DTypeName, wanted: float, *, rounds: int, steps: int
) -> dict[str, Any]:
    """Return one case's: rounds of `steps` steps, after one round that is not counted."""
    experiment = describe(hidden, batch_size, dtype)
    contestants = {
        name: walk(step(experiment, dataset), experiment, dataset, steps)
        for name, step in (("torch", torch_step), ("manual", manual_step))
    }
    take_turns(contestants, 1)
    case = f"784-{hidden}-10, batch {batch_size}, {dtype}"
    return compared(case, take_turns(contestants, rounds), "torch", "manual", {"at_least": wanted})


def walk(step: Step, experiment: Experiment, dataset: Dataset, steps: int) -> Callable[[], float]:
    """Return what takes the next `steps` steps through the data, and returns the seconds a step."""
    rows = rows_of(experiment, dataset)

    def seconds_a_step() -> float:
        ahead = list(islice(rows, steps))  # the order of the examples is nobody's work
        return seconds_of(lambda: [step(batch) for batch in ahead]) / steps

    return seconds_a_step
