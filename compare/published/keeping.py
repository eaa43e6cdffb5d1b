"""Reproductions as files, one each: OUT/reproductions/NAME.json, from which the section of results/README.md is made.

A file is written whole, in one move, and only when its reproduction has come to its end: what is killed before leaves
the file that was there.
"""

import json
from pathlib import Path
from typing import Any

from compare.published.reproduction import Reproduction
from compare.records.environment import environment
from compare.records.folder import write_whole
from compare.records.schema import RecordError

FOLDER = "reproductions"
KEYS = {"name", "met", "figures", "source", "recipe", "differs", "comparisons", "runs", "explanation", "environment"}
Document = dict[str, Any]


def document(reproduction: Reproduction) -> Document:
    """Return a reproduction with the environment that its numbers depend on, as JSON data."""
    return reproduction.to_json() | {"environment": environment()}


def write(kept: Document, out: Path) -> Path:
    """Write a reproduction's file and return its path. Raises RecordError."""
    path = out / FOLDER / f"{kept['name']}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(kept, indent=1, allow_nan=False, ensure_ascii=False).encode() + b"\n")
    except OSError as failure:
        raise RecordError(f"{path}: the reproduction cannot be written ({failure.strerror}).") from None
    return path


def read(path: Path) -> Document:
    """Return a reproduction's file. Raises RecordError for one that is not there, half written, or something else."""
    again = f"`backproof reproduce {path.stem} --out {path.parent.parent}` makes it again."
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except OSError as failure:
        raise RecordError(f"{path}: the reproduction cannot be read ({failure.strerror}). {again}") from None
    except ValueError:
        raise RecordError(f"{path}: found no whole JSON document; wanted a reproduction. {again}") from None
    missing = sorted(KEYS - kept.keys()) if isinstance(kept, dict) else sorted(KEYS)
    if missing:
        raise RecordError(f"{path}: found no {', '.join(missing)}; wanted a reproduction. {again}")
    return kept


def kept_in(out: Path) -> list[Document]:
    """Return the reproductions whose files are in OUT, by name. Raises RecordError where none is, or a broken one."""
    paths = sorted((out / FOLDER).glob("*.json"))
    if not paths:
        raise RecordError(f"{out / FOLDER}: found no reproductions. `backproof reproduce --out {out}` makes them.")
    return [read(path) for path in paths]
