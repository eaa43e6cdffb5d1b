"""The cells of a grid: every combination of its values, each a complete experiment."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compare.experiment import files
from compare.experiment.description import DescriptionError, Experiment
from compare.sweep.grid import FREE, Grid, Values

SEED = "training.seed"


@dataclass(frozen=True)
class Cell:
    """One run of a sweep."""

    number: int  # from 1, in the order of the grid
    axes: Values  # what makes it differ: dotted key -> value, as in the file
    seed: int
    config: str  # the resolved experiment, as TOML
    key: str  # the same for the same experiment and the same files of the user's


def cells_of(grid: Grid) -> list[Cell]:
    """Return all cells. Raises DescriptionError, which names the cell, for one that is no experiment."""
    cells: list[Cell] = []
    known: dict[str, Cell] = {}
    for number, values in enumerate(itertools.product(*grid.axes.values()), start=1):
        axes = dict(zip(grid.axes, values, strict=True))
        where = f"{grid.source}, cell {number} ({described(axes)})"
        experiment = experiment_of(grid, axes, where)
        config = files.to_toml(experiment)
        cell = Cell(number, axes, experiment.training.seed, config, key_of(experiment, config))
        if twin := known.get(cell.key):
            same = f"cell {twin.number} ({described(twin.axes)})"
            raise DescriptionError(f"{where}: this is the same experiment as {same}.")
        known[cell.key] = cell
        cells.append(cell)
    return cells


def experiment_of(grid: Grid, axes: Values, where: str) -> Experiment:
    """Return the experiment of one combination: the named one, [set] laid over it, then the combination."""
    name = axes.get("experiment", grid.shared.get("experiment", files.DEFAULT))
    if not isinstance(name, str):
        raise DescriptionError(f"{where}: experiment is {name!r}; wanted a preset's name or a TOML file.")
    try:
        base, _ = files.read_document(name)  # as written: what defaults depend on may change with the cell
    except DescriptionError as wrong:
        raise DescriptionError(f"{where}: {wrong}") from None
    changes: dict[str, Any] = {}
    for values in (grid.shared, axes):
        # Tables before their own keys: loss = [{...}] and "loss.reduction" = [...] go together in any order.
        for key in sorted(values.keys() - {"experiment"}, key=lambda key: key.count(".")):
            put(changes, key.split("."), values[key], where)
    afresh = {root: {} for root in FREE if isinstance(changes.get(root), Mapping) and "kind" in changes[root]}
    return files.from_document(laid_over(base | afresh, changes), where)


def put(document: dict[str, Any], path: list[str], value: Any, where: str) -> None:
    """Set a value at a dotted key. A table is laid over one that is there already."""
    for depth, name in enumerate(path[:-1], start=1):
        document = document.setdefault(name, {})
        if not isinstance(document, dict):
            raise DescriptionError(f"{where}: {'.'.join(path[:depth])} is {document!r}, which has no {path[depth]!r}.")
    if isinstance(value, Mapping):
        document[path[-1]] = laid_over(document.get(path[-1], {}), value)
    else:
        document[path[-1]] = value


def laid_over(below: Any, above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` with the keys of `above` laid over it, table by table."""
    merged = dict(below) if isinstance(below, Mapping) else {}
    for key, value in above.items():
        merged[key] = laid_over(merged.get(key), value) if isinstance(value, Mapping) else value
    return merged


def key_of(experiment: Experiment, config: str) -> str:
    """Return 12 digits that stand for an experiment, and for the content of the user's files that it names.

    A cell is skipped where a finished record has its key: one whose layer has been mended since is run again.
    """
    digest = hashlib.sha256(config.encode())
    for path in sorted({layer.kind.rpartition(":")[0] for _, layer in experiment.leaves() if ":" in layer.kind}):
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()[:12]


def described(axes: Values) -> str:
    """Return the combination in words: loss BCELoss, seed 2."""
    return ", ".join(f"{heading(key, axes)} {label(value)}" for key, value in axes.items())


def heading(key: str, keys: Mapping[str, Any]) -> str:
    """Return the last part of a dotted key where no other of `keys` ends so, else the whole."""
    last = key.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in keys) == 1 else key


def label(value: Any) -> str:
    """Return a value of the grid in short: SGD(lr=4.0) for a table that names a kind."""
    if isinstance(value, Mapping):
        rest = ", ".join(f"{name}={label(item)}" for name, item in value.items() if name != "kind")
        kind = str(value.get("kind", ""))
        return f"{kind}({rest})" if rest else kind
    if isinstance(value, list):
        return f"[{', '.join(label(item) for item in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def seedless(axes: Values) -> Iterator[tuple[str, Any]]:
    """Yield the axes without the seed."""
    return ((key, value) for key, value in axes.items() if key != SEED)
