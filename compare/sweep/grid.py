"""Reading a sweep's file.

name = "losses"                             # its folder is sweep_losses
about = "One line."

[set]                                       # what all cells share: keys of an experiment's description
training.steps = 2000

[grid]                                      # what varies: lists. Every combination is a cell
experiment = ["article", "my_network.toml"] # presets' names or TOML files; "article" without any
loss = [{ kind = "SquaredError" }, { kind = "BCELoss" }]
optimizer.lr = [0.1, 0.5]
training.seed = [1, 2, 3]

A key of a table that is a list itself is written in quotes: "loss.reduction" = ["sum", "mean"] beside loss = [...].
A loss or an optimizer whose `kind` is named starts afresh, for the arguments of another class would not fit; all other
keys are laid over the experiment's, those of [set] first.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from compare.experiment.classes import nearest
from compare.experiment.description import DescriptionError, text
from compare.experiment.files import OPTIONS, SECTIONS, is_file, read_toml

KEYS = ("name", "about", "set", "grid")
ROOTS = ("experiment", "layers", *SECTIONS)
FREE = ("loss", "optimizer")  # their keys depend on the class, which only a cell knows
MOST_CELLS = 10_000

Values = dict[str, Any]  # dotted key -> value


@dataclass(frozen=True)
class Grid:
    """A sweep's file: what all cells share, and the axes along which they differ."""

    name: str
    about: str
    source: str
    shared: Values
    axes: dict[str, list[Any]]


def preset_names() -> list[str]:
    """Return the names of the sweeps in the package."""
    folder = resources.files("compare.sweep") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_grid(name: str) -> Grid:
    """Return the sweep `name`, a TOML file or one of the package. Raises DescriptionError for what is not right."""
    path = Path(name)
    if name.endswith(".toml") or is_file(path):
        document, source = read_toml(path), str(path)
    elif name in preset_names():
        preset = resources.files("compare.sweep") / "presets" / f"{name}.toml"
        document, source = tomllib.loads(preset.read_text(encoding="utf-8")), name
    else:
        raise DescriptionError(f"There is no sweep {name!r}.{nearest(name, preset_names())} A file ends in .toml.")
    document.setdefault("name", path.stem)
    try:
        return from_document(document, source)
    except DescriptionError as wrong:
        raise DescriptionError(f"{source}: {wrong}") from None


def from_document(document: Mapping[str, Any], source: str) -> Grid:
    """Return the grid of a document. Raises DescriptionError."""
    for key in document:
        if key not in KEYS:
            place = " It belongs in [grid] or [set]." if key in ROOTS else nearest(key, KEYS)
            raise DescriptionError(f"unknown key {key!r}.{place}")
    name = text("name", document["name"])
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise DescriptionError(f"name is {name!r}; wanted up to 64 letters, digits, '.', '_' and '-'.")
    shared, axes = flat("set", document.get("set", {})), flat("grid", document.get("grid", {}), lists=True)
    if not axes:
        raise DescriptionError("there is no [grid]; wanted one with at least one list, such as training.seed = [1, 2].")
    check_axes(axes, shared)
    return Grid(name, text("about", document.get("about", "")), source, shared, axes)


def flat(table: str, content: Any, lists: bool = False) -> Values:
    """Return a table as dotted keys and values; where `lists` are wanted, down to the first list. Checks the keys."""
    if not isinstance(content, Mapping):
        raise DescriptionError(f"{table} is {content!r}; wanted a table, [{table}].")
    values: Values = {}

    def walk(prefix: str, below: Mapping[str, Any]) -> None:
        for key, value in below.items():
            full = f"{prefix}{key}"
            if isinstance(value, Mapping) and value:
                check_key(table, full)
                walk(f"{full}.", value)
            else:
                check_key(table, full)
                if full in values:
                    raise DescriptionError(f"[{table}] has {full} twice.")
                values[full] = value

    walk("", content)
    if lists:
        for key, value in values.items():
            if not isinstance(value, list) or not value:
                wanted = "a list of at least one value; what all cells share belongs in [set]"
                raise DescriptionError(f"[grid] {key} is {value!r}; wanted {wanted}.")
    return values


def check_key(table: str, key: str) -> None:
    """Raise DescriptionError, with the nearest name, for a key that no experiment has."""
    root, _, rest = key.partition(".")
    if key in OPTIONS:
        raise DescriptionError(f"[{table}] has no key {key!r}. Did you mean '{OPTIONS[key]}.{key}'?")
    if root not in ROOTS:
        raise DescriptionError(f"[{table}] has no key {key!r}.{nearest(root, ROOTS)}")
    if rest and root in ("experiment", "layers"):
        raise DescriptionError(f"[{table}] has no key {key!r}; wanted {root} alone.")
    known = [] if root in FREE or root not in SECTIONS else [f"{root}.{entry.name}" for entry in fields(SECTIONS[root])]
    if rest and known and key not in known:
        raise DescriptionError(f"[{table}] has no key {key!r}.{nearest(key, known)}")


def check_axes(axes: Mapping[str, list[Any]], shared: Values) -> None:
    """Raise DescriptionError for a key that stands twice, a value that stands twice, or too many cells."""
    cells = 1
    for key, values in axes.items():
        if key in shared:
            raise DescriptionError(f"{key} stands in [set] and in [grid]; wanted it in one of them.")
        for i, value in enumerate(values):
            if any(type(value) is type(other) and value == other for other in values[:i]):
                raise DescriptionError(f"[grid] {key} has {value!r} twice.")
            if key in SECTIONS and not isinstance(value, Mapping):
                raise DescriptionError(f"[grid] {key}[{i}] is {value!r}; wanted a table, {{ kind = ... }}.")
            if key == "experiment":
                text(f"[grid] experiment[{i}]", value)
        cells *= len(values)
    if cells > MOST_CELLS:
        raise DescriptionError(f"[grid] makes {cells:,} cells; wanted at most {MOST_CELLS:,}.")
