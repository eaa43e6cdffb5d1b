"""Reading a record: whole and unchanged, or refused with the name of the file. Nothing in it is executed."""

import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from compare.notebook import card
from compare.records.schema import (
    LARGEST_DOCUMENT,
    LONGEST_LINE,
    RecordError,
    check_extent,
    read_bytes,
    read_document,
    read_lines,
    regular_file,
)

LARGEST = {".json": LARGEST_DOCUMENT, ".toml": 2**20, ".py": 2**20}  # bytes, by the end of the name
LARGEST_FILE = 2**36  # bytes of weights, traces or steps
AT_THE_START = frozenset(("config.toml", "environment.json", "data.json", "initial.safetensors"))
AT_THE_END = frozenset(("steps.jsonl", "metrics.json", "final_manual.safetensors", "final_reference.safetensors"))


@dataclass(frozen=True, repr=False)
class Recorded:
    """A record as it was read. Numbers that JSON has no word for are texts in it: "nan", "inf", "-inf"."""

    folder: Path
    manifest: dict[str, Any]
    environment: dict[str, Any]
    data: dict[str, Any]
    config: str  # the TOML of the resolved experiment
    document: dict[str, Any]  # the same, parsed; nothing has been built of it
    metrics: dict[str, Any] | None  # scores on the test images; None where there are none
    outcome: dict[str, Any] | None  # what `backproof run --json` printed; None for a run that did not come to an end

    @property
    def status(self) -> str:
        """`finished`, `interrupted` by its user, `failed`, or `running`: either that, or it was killed."""
        return self.manifest["status"]

    @property
    def name(self) -> str:
        """The experiment's name."""
        return str(self.document.get("name", ""))

    @property
    def mode(self) -> str:
        """The mode of the run: both, lockstep or independent."""
        training = self.document.get("training")
        return str(training.get("mode", "both")) if isinstance(training, dict) else "both"

    @property
    def standing(self) -> str:
        """The verdict; of a run without one, how it stands."""
        return (self.outcome or {}).get("verdict") or self.status

    def __repr__(self) -> str:
        return f"<Record {self.standing}: {self.name}, {self.folder}>"

    def _repr_html_(self) -> str:
        worst = (self.outcome or {}).get("worst", {})
        rows = [(name, found["error"], found["step"]) for name, found in worst.items()]
        facts = {"record": self.folder, "mode": self.mode, "status": self.status}
        return card(f"{self.standing}: {self.name}", facts, ("tensor", "largest error (u)", "at step"), rows)

    def steps(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of steps.jsonl; of a run that was killed, as far as they are whole."""
        path = self.folder / "steps.jsonl"
        if self.status == "finished":
            yield from read_lines(path, "step")
        elif path.exists():
            yield from read_lines(path, "step", whole_lines(path))

    def weights(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays of `initial`, `final_manual` or `final_reference`, by tensor; raise RecordError."""
        return read_weights(self.folder / f"{name}.safetensors")

    def has(self, name: str) -> bool:
        """Whether a file is part of the record."""
        return name in self.manifest["files"]


def whole_lines(path: Path) -> int:
    """Return how many bytes of a file belong to lines that have been written to their end.

    Raises RecordError if what lies behind the last of them is longer than any line.
    """
    size = regular_file(path, LARGEST_FILE)
    start = max(0, size - LONGEST_LINE)
    with path.open("rb") as file:
        file.seek(start)
        end = file.read(size - start).rfind(b"\n")
    if end < 0 and start > 0:
        raise RecordError(f"{path}: its last line is longer than {LONGEST_LINE:,} bytes.")
    return start + end + 1


def digest_of_start(path: Path, size: int) -> str | None:
    """Return the SHA-256 of the first `size` bytes of a file; None if there are not so many."""
    found, left = hashlib.sha256(), size
    with path.open("rb") as file:
        while left > 0 and (chunk := file.read(min(left, 2**20))):
            found.update(chunk)
            left -= len(chunk)
    return found.hexdigest() if left == 0 else None


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file by name. Raises RecordError for what is none."""
    regular_file(path, LARGEST_FILE)
    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as broken:
        raise RecordError(f"{path}: not a safetensors file ({broken}).") from None


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_record(folder: Path) -> Recorded:
    """Return a record, after every file of it has been held against the digest that its manifest gives.

    Raises RecordError, naming the file, for what is no record, or was changed after it had been written.
    """
    manifest = read_document(folder, "manifest")
    check_files(folder, manifest)
    config = read_config(folder / "config.toml")
    wanted = manifest["files"]["config.toml"][:8]
    if manifest["config_id"] != wanted:
        raise disagreement(folder, "config_id", manifest["config_id"], f"{wanted}, as the digest of config.toml begins")
    metrics = read_document(folder, "metrics") if "metrics.json" in manifest["files"] else None
    if metrics:
        check_outcome(folder, manifest, metrics["outcome"])
    return Recorded(
        folder, manifest, read_document(folder, "environment"), read_document(folder, "data"), *config,
        metrics and metrics["metrics"], metrics and metrics["outcome"],
    )  # fmt: skip


def disagreement(folder: Path, key: str, found: Any, wanted: str) -> RecordError:
    """Return the error of a manifest that says something else than the files that it names."""
    return RecordError(f"{folder / 'manifest.json'}: {key} is {found}; wanted {wanted}.")


def check_outcome(folder: Path, manifest: dict[str, Any], outcome: dict[str, Any]) -> None:
    """Raise RecordError unless the manifest says of the run what metrics.json says."""
    for key in ("verdict", "steps"):
        if manifest[key] != outcome[key]:
            raise disagreement(folder, key, manifest[key], f"{outcome[key]}, as metrics.json has it")
    if outcome["interrupted"] != (manifest["status"] == "interrupted"):
        raise disagreement(folder, "status", manifest["status"], "what metrics.json has: whether it was interrupted")


def check_files(folder: Path, manifest: dict[str, Any]) -> None:
    """Raise RecordError unless every file that the manifest names, and must name, is there and unchanged."""
    wanted = AT_THE_START | (AT_THE_END if manifest["status"] == "finished" else frozenset())
    if missing := sorted(wanted - manifest["files"].keys()):
        raise RecordError(
            f"{folder / 'manifest.json'}: the files of a {manifest['status']} run lack {', '.join(missing)}."
        )
    for name, recorded in manifest["files"].items():
        path = folder / name
        regular_file(path, LARGEST.get(path.suffix, LARGEST_FILE))
        if (folder / "divergence").is_symlink():
            raise RecordError(f"{folder / 'divergence'}: found a link; wanted a folder of the record.")
        try:
            found = digest(path)
        except OSError as failure:
            raise RecordError(f"{path}: cannot be read ({failure.strerror}).") from None
        if found != recorded:
            raise RecordError(
                f"{path}: was changed after the run: its SHA-256 is {found}, the manifest has {recorded}."
            )


def read_config(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the TOML of config.toml and what it says. Raises RecordError."""
    content = read_bytes(path, LARGEST[".toml"])
    try:
        text = content.decode("utf-8")
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as broken:
        raise RecordError(f"{path}: not a TOML file: {broken}") from None
    check_extent(path, document)
    return text, document
