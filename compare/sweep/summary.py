"""The results of a sweep's cells, put together over the seeds."""

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from compare.sweep.cells import Cell, seedless
from compare.sweep.worker import Row, used

Data = dict[str, Any]


def summarised(cells: Sequence[Cell], rows: Sequence[Row]) -> list[Data]:
    """Return one entry for every combination without its seed, in the order of the grid."""
    groups: dict[str, list[tuple[Cell, Row]]] = {}
    for cell, row in zip(cells, rows, strict=True):
        groups.setdefault(json.dumps(dict(seedless(cell.axes)), default=str), []).append((cell, row))
    return [entry(group) for group in groups.values()]


def entry(group: Sequence[tuple[Cell, Row]]) -> Data:
    """Return what the cells of one combination came to."""
    accuracies = [row["accuracy"] for _, row in group if row["accuracy"]]
    tight = [(cell, row["tightest"]) for cell, row in group if row["tightest"]]
    cell, tightest = max(tight, key=lambda found: used(found[1]), default=(None, None))
    return {
        "axes": dict(seedless(group[0][0].axes)),
        "seeds": [cell.seed for cell, _ in group],
        "verdicts": dict(Counter(word(row) for _, row in group)),
        "tightest": tightest and {**tightest, "seed": cell.seed if cell else None},
        "accuracy": {side: spread([each[side] for each in accuracies]) for side in ("manual", "reference")}
        if accuracies
        else None,
    }


def word(row: Row) -> str:
    """Return the verdict of a cell, or what became of it: failed, died, interrupted."""
    return row["verdict"] or row["status"]


def spread(values: Sequence[float]) -> Data:
    """Return mean, sample standard deviation (None for a single value), least, most and number of values."""
    return {
        "mean": statistics.fmean(values),
        "deviation": statistics.stdev(values) if len(values) > 1 else None,
        "least": min(values),
        "most": max(values),
        "runs": len(values),
    }
