"""How the time of a step grows with the batch, the width and the depth; and a sweep's throughput with its workers."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from compare.benchmark.contestants.by_hand import by_manual
from compare.benchmark.contestants.by_torch import eager
from compare.benchmark.contestants.contestant import Contestant
from compare.benchmark.lockstep import checked
from compare.benchmark.networks import describe, sigmoids
from compare.benchmark.rounds import compared, seconds_of, take_turns
from compare.benchmark.selection import Selection
from compare.benchmark.step import walk
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.sweep.cells import cells_of
from compare.sweep.grid import read_grid
from compare.sweep.sweep import prepare, run_sweep

ROUNDS, QUICK_ROUNDS, SECONDS, QUICK_SECONDS = 7, 2, 0.03, 0.002
BATCHES, WIDTHS, DEPTHS = (1, 4, 16, 64, 256, 1024), (16, 64, 256, 1024), (1, 2, 4, 8, 16)
BATCH, WIDTH = 64, 64  # where something else grows
WORKERS = (1, 2)
FIRST = 200  # steps of a lockstep run that are not measured


def measure_growth(dataset: Dataset, quick: bool, selection: Selection) -> list[dict[str, Any]]:
    """Return the seconds of a step of manual's, PyTorch's and the lockstep loop's, along each of three lines."""
    rows = []
    start = describe("784-100-10", BATCH, "float64").training
    lines = {
        "batch": [(n, (784, 100, 10), n) for n in BATCHES],
        "width": [(n, (784, n, 10), BATCH) for n in WIDTHS],
        "depth": [(n, (784, *[WIDTH] * n, 10), BATCH) for n in DEPTHS],
    }
    for line, points in lines.items():
        for value, sizes, batch in points[:: len(points) - 1] if quick else points:
            selection.tell(f"growth: {line} {value}")
            experiment = sigmoids(sizes, replace(start, batch_size=batch))
            row = measure_point(f"{line} {value}", experiment, dataset, quick)
            rows.append(row | {"line": line, "value": value})
    return rows


def measure_point(case: str, experiment: Experiment, dataset: Dataset, quick: bool) -> dict[str, Any]:
    """Return the medians of one point, and lockstep's ratio to manual's."""
    contestants = {
        "manual": by_manual(experiment, dataset),
        "torch": eager(foreach=False)(experiment, dataset),
        "lockstep": lockstep(experiment, dataset, warm=not quick),
    }
    length = QUICK_SECONDS if quick else SECONDS
    with np.errstate(all="ignore"):  # as in a run
        walks = {name: walk(each, experiment, dataset, length) for name, each in contestants.items()}
        seconds = take_turns(walks, QUICK_ROUNDS if quick else ROUNDS)
    return compared(case, seconds, "torch", "manual", {})


def lockstep(experiment: Experiment, dataset: Dataset, warm: bool) -> Contestant:
    """Return what takes a step of the lockstep loop at every turn, whatever rows it is given: it has its own.

    It is behind its first steps, of which three are audited, and which find new largest errors all the time.
    """
    steps = checked(experiment, dataset)
    for _ in range(FIRST if warm else 0):
        next(steps)
    return Contestant(lambda _: next(steps), list)


SWEEP = """
name = "throughput"
about = "As many short runs as a small machine does in a minute."
[set]
experiment = "article"
training.steps = {steps}
training.mode = "lockstep"
[grid]
training.seed = {seeds}
"""


def measure_sweep(quick: bool) -> list[dict[str, Any]]:
    """Return the runs per minute of a small sweep, by its number of workers; each starts its own processes."""
    count, steps = (2, 5) if quick else (8, 300)
    rows = []
    for workers in WORKERS:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "throughput.toml"
            file.write_text(SWEEP.format(steps=steps, seeds=list(range(1, count + 1))), encoding="utf-8")
            grid = read_grid(str(file))
            sweep = prepare(grid, cells_of(grid), Path(folder))
            seconds = seconds_of(lambda sweep=sweep, workers=workers: run_sweep(sweep, workers=workers))
            if sweep.exit_status != 0:
                raise RuntimeError(f"The sweep that is measured ended with status {sweep.exit_status}.")
        case = f"{count} runs of {steps} steps, workers {workers}"
        rows.append({"case": case, "workers": workers, "runs_per_minute": 60 * count / seconds, "seconds": seconds})
    return rows
