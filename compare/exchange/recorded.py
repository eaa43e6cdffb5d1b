"""The trace that a port has written: found, read step by step, and not believed in anything."""

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open

from compare.exchange.files import DTYPES, INDEX, ExchangeError, read_json
from compare.experiment.classes import nearest

STEP_FILES = "step-*.safetensors"
ENTRY = {"step": int, "name": str, "dtype": str, "shape": list, "file": str, "offset": int, "length": int}


class Source(Protocol):
    """Where one tensor of a trace stands."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    def read(self) -> np.ndarray:
        """Return the tensor; raise ExchangeError where it cannot be read."""
        ...


@dataclass(frozen=True)
class InSafetensors:
    """A tensor of a safetensors file."""

    path: Path
    name: str

    def read(self) -> np.ndarray:
        """Return the tensor."""
        try:
            with safe_open(self.path, framework="numpy") as file:
                return file.get_tensor(self.name)
        except Exception as broken:  # SafetensorError, or NumPy's for a dtype that it does not have
            raise ExchangeError(f"{self.path}: {self.name} cannot be read ({broken}).") from None


@dataclass(frozen=True)
class InBinary:
    """A stretch of a raw little-endian binary."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int

    def read(self) -> np.ndarray:
        """Return the tensor, in the machine's byte order."""
        try:
            short = self.offset + self.length - self.path.stat().st_size
            with self.path.open("rb") as file:
                file.seek(0 if short > 0 else self.offset)
                data = file.read(0 if short > 0 else self.length)
        except OSError as missing:
            raise ExchangeError(f"{self.path}: cannot be read ({missing.strerror}).") from None
        if short > 0:
            raise ExchangeError(
                f"{self.path}: ends {short} bytes too early: the index wants {self.length} bytes "
                f"from {self.offset} on. Was the file closed before it was read?"
            )
        dtype = DTYPES[self.dtype]
        return np.frombuffer(data, dtype).reshape(self.shape).astype(dtype.newbyteorder("="))


@dataclass(frozen=True)
class AsText:
    """A loss in decimal digits."""

    path: Path
    text: str
    dtype: str

    def read(self) -> np.ndarray:
        """Return the number, a scalar of the experiment's dtype."""
        return np.asarray(float(self.text), self.dtype)

    @property
    def half_digit(self) -> float:
        """Half a unit of the last digit written: so far the text may be from the number it stands for."""
        exponent = Decimal(self.text).as_tuple().exponent
        try:
            return 0.5 * 10.0**exponent if isinstance(exponent, int) else 0.0
        except OverflowError:
            return math.inf


class Recorded:
    """All that a port has written, by step and name.

    `unmatched` are the names that are no tensor of the network, each with the nearest that is one.
    """

    def __init__(self, folder: Path, names: Iterable[str], carried: Iterable[str], steps: int, dtype: str):
        """Look through the folder `trace`. Raises ExchangeError for a file that cannot be read or makes no sense.

        `carried` are the parameters and buffers: what a step leaves updated is what the next one starts from.
        """
        self.folder, self.names, self.steps, self.dtype = folder, tuple(names), steps, dtype
        self.carried = tuple(carried)
        self.sources: dict[int, dict[str, Source]] = {}
        self.unmatched: dict[str, str] = {}
        for step, name, source in self.found():
            self.note(step, name, source)
        self.read = lru_cache(maxsize=4)(self.read_step)

    def found(self) -> Iterator[tuple[int, str, Source]]:
        """Yield step, name and source of everything in the folder."""
        yield from in_step_files(self.folder)
        yield from in_index(self.folder)
        yield from in_csv(self.folder / "losses.csv", self.dtype)
        yield from in_json(self.folder / "losses.json", self.dtype)

    def note(self, step: int, name: str, source: Source) -> None:
        """Put a tensor in its place. Raises ExchangeError for a step that was not exported, or a tensor given twice."""
        if not 1 <= step <= self.steps:
            raise ExchangeError(f"{source.path}: step {step}; the export has the steps 1 to {self.steps}.")
        if name not in self.names:
            self.unmatched[name] = nearest(name, list(self.names)).strip()
            return
        at = self.sources.setdefault(step, {})
        if name in at:
            raise ExchangeError(
                f"{source.path}: {name} of step {step} is given already, in {at[name].path}. Once, please."
            )
        at[name] = source

    def read_step(self, step: int) -> dict[str, np.ndarray]:
        """Return the tensors of a step by name, in the order of a step.

        The parameters and buffers that a step starts from are the updated ones of the step before, where that did not
        record them.
        """
        own, after = self.sources.get(step, {}), self.sources.get(step + 1, {})
        given: dict[str, Source] = dict(own)
        for name in self.carried:
            if f"{name}.updated" not in own and name in after:
                given[f"{name}.updated"] = after[name]
        return {name: given[name].read() for name in self.names if name in given}

    def half_digit(self, step: int) -> float:
        """Return how far the loss of a step may be from what its text stands for; 0 where it is given in binary."""
        source = self.sources.get(step, {}).get("loss")
        return source.half_digit if isinstance(source, AsText) else 0.0

    def given(self, step: int) -> set[str]:
        """Return the names of what is known of a step: its own, and what the next begins with."""
        after = self.sources.get(step + 1, {})
        return {*self.sources.get(step, {}), *(f"{name}.updated" for name in self.carried if name in after)}

    @property
    def last_step(self) -> int:
        """The last step of which anything is recorded; 0 where nothing is."""
        return max(self.sources, default=0)


def in_step_files(folder: Path) -> Iterator[tuple[int, str, Source]]:
    """Yield what the files step-000001.safetensors, ... hold."""
    for path in sorted(folder.glob(STEP_FILES)):
        digits = path.name.removeprefix("step-").removesuffix(".safetensors")
        if not (digits.isascii() and digits.isdigit()):
            raise ExchangeError(f"{path}: no step's number in the name; wanted step-000001.safetensors and so on.")
        try:
            with safe_open(path, framework="numpy") as file:
                names = list(file.keys())
        except (SafetensorError, OSError) as broken:
            raise ExchangeError(f"{path}: not a whole safetensors file ({broken}).") from None
        for name in names:
            yield int(digits), name, InSafetensors(path, name)


def in_index(folder: Path) -> Iterator[tuple[int, str, Source]]:
    """Yield what index.json lists."""
    path = folder / INDEX
    if not path.exists():
        return
    document = read_json(path)
    if not isinstance(document, list):
        raise ExchangeError(f"{path}: found {type(document).__name__}; wanted a list of entries (see FORM.md).")
    for number, entry in enumerate(document):
        yield in_entry(folder, f"{path}: entry {number}", entry)


def in_entry(folder: Path, where: str, entry: Any) -> tuple[int, str, Source]:
    """Return step, name and source of an entry of the index. Raises ExchangeError for one that makes no sense."""
    if not isinstance(entry, dict):
        raise ExchangeError(f"{where} is {entry!r}; wanted an object (see FORM.md).")
    for key, kind in ENTRY.items():
        value = entry.get(key)
        if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and value < 0):
            found = repr(value) if key in entry else "missing"
            raise ExchangeError(f"{where}: {key} is {found}; wanted {wanted(kind)}.")
    name, shape = entry["name"], tuple(entry["shape"])
    if not all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape):
        raise ExchangeError(f"{where} ({name}): shape is {entry['shape']}; wanted whole numbers.")
    if entry["dtype"] not in DTYPES:
        raise ExchangeError(f"{where} ({name}): dtype is {entry['dtype']!r}.{nearest(entry['dtype'], list(DTYPES))}")
    needed = int(np.prod(shape, dtype=object)) * DTYPES[entry["dtype"]].itemsize
    if entry["length"] != needed:
        raise ExchangeError(
            f"{where} ({name}): length is {entry['length']} bytes; {entry['dtype']} of shape {list(shape)} "
            f"has {needed}."
        )
    file = folder / entry["file"]
    if "\0" in entry["file"] or not file.resolve().is_relative_to(folder.resolve()):
        raise ExchangeError(f"{where} ({name}): file is {entry['file']!r}; wanted a file inside {folder}.")
    return entry["step"], name, InBinary(file, entry["dtype"], shape, entry["offset"], entry["length"])


def wanted(kind: type) -> str:
    """Return a kind of JSON value in words."""
    return {int: "a whole number of at least 0", str: "a text", list: "a list"}[kind]


def in_csv(path: Path, dtype: str) -> Iterator[tuple[int, str, Source]]:
    """Yield the losses of losses.csv, a line `step,loss` each."""
    if not path.exists():
        return
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError, csv.Error) as broken:
        raise ExchangeError(f"{path}: cannot be read as text ({broken}).") from None
    if not rows or [cell.strip() for cell in rows[0]] != ["step", "loss"]:
        raise ExchangeError(f"{path}: the first line is not the header; wanted: step,loss")
    for line, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        cells = [cell.strip() for cell in row]
        if len(cells) != 2 or not (cells[0].isascii() and cells[0].isdigit()):
            raise ExchangeError(f"{path}: line {line} is {','.join(row)!r}; wanted a step's number and its loss.")
        yield int(cells[0]), "loss", as_text(path, f"line {line}", cells[1], dtype)


def in_json(path: Path, dtype: str) -> Iterator[tuple[int, str, Source]]:
    """Yield the losses of losses.json, a list of numbers, the first of step 1."""
    if not path.exists():
        return
    document = read_json(path, numbers_as_text=True)
    if not isinstance(document, list):
        raise ExchangeError(f"{path}: found {type(document).__name__}; wanted a list of numbers, the first of step 1.")
    for step, value in enumerate(document, start=1):
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ExchangeError(f"{path}: the loss of step {step} is {value!r}; wanted a number.")
        yield step, "loss", as_text(path, f"step {step}", str(value), dtype)


def as_text(path: Path, where: str, text: str, dtype: str) -> AsText:
    """Return a loss in digits. Raises ExchangeError for what is no number."""
    try:
        Decimal(text)
        float(text)
    except (InvalidOperation, ValueError):
        raise ExchangeError(f"{path}: {where}: the loss is {text!r}; wanted a number.") from None
    return AsText(path, text, dtype)
