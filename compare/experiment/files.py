"""Experiments as TOML: reading a preset or a file, laying changes over it, writing the resolved one.

A message about a file names the file, the section and the key.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w

from compare.experiment.classes import OPTIMIZERS, nearest
from compare.experiment.description import (
    Data,
    DescriptionError,
    Experiment,
    Initial,
    Loss,
    Optimizer,
    Training,
    layer_from,
    text,
)

SECTIONS: dict[str, type] = {
    "loss": Loss,
    "optimizer": Optimizer,
    "initial": Initial,
    "data": Data,
    "training": Training,
}
KEYS = ("name", "about", "layers", *SECTIONS)
DEFAULT = "article"
OPTIONS = {  # the options of the command line and of compare.run, and the section that each belongs to
    "steps": "training",
    "epochs": "training",
    "batch_size": "training",
    "seed": "training",
    "dtype": "training",
    "mode": "training",
    "threads": "training",
    "checkpoint_every": "training",
    "device": "training",
    "world_size": "training",
    "lr": "optimizer",
    "dataset": "data",
    "data_root": "data",
    "download": "data",
}
Document = dict[str, Any]


def preset_names() -> list[str]:
    """Return the names of the presets, the default first."""
    names = [entry.name.removesuffix(".toml") for entry in preset_folder().iterdir() if entry.name.endswith(".toml")]
    return sorted(names, key=lambda name: (name != DEFAULT, name))


def preset_folder() -> Any:
    """Return the folder of the presets inside the package."""
    return resources.files("compare.experiment") / "presets"


def read_experiment(name: str, changes: Document | None = None, config: Path | None = None) -> Experiment:
    """Return the experiment `name`, a preset or a TOML file, with the keys of `config` and then `changes` laid over it.

    Raises DescriptionError for a name, file, key or value that is not right.
    """
    document, source = read_document(name)
    if config is not None:
        document, source = merge(document, read_toml(config)), f"{source} with {config}"
    return from_document(merge(document, changes or {}), source)


def read_document(name: str) -> tuple[Document, str]:
    """Return the document of a preset or a TOML file, as it was written, and what to call it in a message."""
    path = Path(name)
    if name.endswith(".toml") or is_file(path):
        document, source = read_toml(path), str(path)
    elif name in preset_names():
        document, source = tomllib.loads((preset_folder() / f"{name}.toml").read_text(encoding="utf-8")), name
    else:
        raise DescriptionError(f"There is no experiment {name!r}.{nearest(name, preset_names())} A file ends in .toml.")
    document.setdefault("name", path.stem)
    return document, source


def changes_of(**options: Any) -> Document:
    """Return options by name as a document to lay over an experiment's; those that are None change nothing."""
    changes: Document = {}
    for key, value in options.items():
        if key not in OPTIONS:
            raise DescriptionError(f"There is no option {key!r}.{nearest(key, OPTIONS)}")
        if key == "steps" and value is not None and value < 1:
            raise DescriptionError(f"steps is {value}; wanted at least 1. Leave it out to train whole epochs.")
        if value is not None:
            changes.setdefault(OPTIONS[key], {})[key] = str(value) if isinstance(value, Path) else value
    return changes


def read_toml(path: Path) -> Document:
    """Return the file's document; raise DescriptionError if it cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as missing:
        raise DescriptionError(f"{path}: cannot be read ({missing.strerror}).") from None
    except (
        ValueError,
        RecursionError,
    ) as broken:  # not UTF-8, not TOML, a number of thousands of digits, a NUL in the name
        reason = "cannot be read" if "\0" in str(path) else "not a TOML file"
        raise DescriptionError(f"{path}: {reason}: {broken}") from None


def is_file(path: Path) -> bool:
    """Whether there is such a file; False for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def merge(below: Document, above: Document) -> Document:
    """Return `below` with the keys of `above` laid over it, section by section."""
    merged = dict(below)
    for key, value in above.items():
        below_it = merged.get(key, {})
        if not isinstance(value, dict):
            merged[key] = value
        elif isinstance(below_it, dict):  # anything else is a mistake of the file's, which is to be seen
            merged[key] = below_it | value
    return merged


def from_document(document: Document, source: str) -> Experiment:
    """Return the experiment of a document; DescriptionError names `source` and the key."""
    try:
        unknown = [key for key in document if key not in KEYS]
        if unknown:
            raise DescriptionError(f"unknown key {unknown[0]!r}.{nearest(unknown[0], KEYS)}")
        if not isinstance(document.get("layers"), list):
            raise DescriptionError("layers is missing; wanted one [[layers]] table for each layer.")
        sections = {key: section(key, document[key]) for key in SECTIONS if key in document}
        return Experiment(
            name=text("name", document.get("name", "")),
            about=text("about", document.get("about", "")),
            layers=tuple(layer_from(f"layers[{i}]", table) for i, table in enumerate(document["layers"])),
            **sections,
        )
    except DescriptionError as wrong:
        raise DescriptionError(f"{source}: {wrong}") from None


def section(key: str, table: Any) -> Any:
    """Return the section's dataclass, from its table."""
    kind = SECTIONS[key]
    if not isinstance(table, Mapping):
        raise DescriptionError(f"{key} is {table!r}; wanted a table, [{key}].")
    if kind is Loss:
        arguments = dict(table)
        return Loss(kind=text("loss.kind", arguments.pop("kind", "SquaredError")), arguments=arguments)
    if kind is Optimizer:
        return optimizer(table)
    known = [entry.name for entry in fields(kind)]
    for name in table:
        if name not in known:
            raise DescriptionError(f"[{key}] has no key {name!r}.{nearest(name, known)}")
    return kind(**table)


def optimizer(table: Mapping[str, Any]) -> Optimizer:
    """Return the optimizer's section: options of its class stand beside those that all have."""
    known = [entry.name for entry in fields(Optimizer) if entry.name != "arguments"]
    arguments = {name: value for name, value in table.items() if name not in known}
    kind = table.get("kind", "SGD")
    if arguments and kind in OPTIMIZERS:
        options = Optimizer(kind=kind).defaults()
        for name in arguments:
            if name not in options:
                raise DescriptionError(f"[optimizer] has no key {name!r}.{nearest(name, [*known, *options])}")
    return Optimizer(**{name: value for name, value in table.items() if name in known}, arguments=arguments)


def to_document(experiment: Experiment) -> Document:
    """Return the resolved experiment as the document that `from_document` reads."""
    document = asdict(experiment)
    document["layers"] = [layer.table() for layer in experiment.layers]
    optimizer = experiment.optimizer
    unset = [key for key in ("momentum", "dampening", "nesterov") if key not in optimizer.defaults()]
    document["optimizer"] = {key: value for key, value in document["optimizer"].items() if key not in unset}
    document["optimizer"] |= document["optimizer"].pop("arguments")
    document["loss"] = {"kind": experiment.loss.kind, **experiment.loss.arguments}
    return document


def to_toml(experiment: Experiment) -> str:
    """Return the resolved experiment as TOML."""
    return tomli_w.dumps(to_document(experiment))
