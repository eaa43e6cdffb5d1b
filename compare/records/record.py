"""The record of a run: written while the run goes by, readable at any moment, whatever ends it.

manifest.json                what it is: status, verdict, times, command, and digests of the other files
config.toml                  the resolved experiment
environment.json, data.json  what the numbers depend on besides
initial.safetensors          the weights both sides started from
steps.jsonl                  one line a step, flushed about once a second
checkpoint.safetensors       from which the run can go on; gone when it has finished
metrics.json                 scores, and everything `--json` prints
final_manual.safetensors, final_reference.safetensors
divergence/                  the failing step, where there is one
"""

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save

from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.experiment.files import to_document, to_toml
from compare.experiment.streams import order_of_epoch
from compare.lockstep.loop import Loop, Step
from compare.lockstep.outcome import Outcome, jsonable
from compare.lockstep.state import LoopState, state_of_loop
from compare.lockstep.tally import Tally
from compare.records.checkpoint import FILE as CHECKPOINT
from compare.records.checkpoint import Checkpoint, write_checkpoint
from compare.records.divergence import write_divergence
from compare.records.environment import command_line, environment
from compare.records.folder import LOCK, config_id, new_folder, write_whole
from compare.records.lines import line_of
from compare.records.reading import AT_THE_END, AT_THE_START, digest
from compare.records.schema import SCHEMA_VERSION, RecordError

__all__ = ["Record", "RecordError"]

FLUSH_SECONDS = 1.0
ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


class Record:
    """The record of one run; a context manager, so that whatever ends the run closes the record in good order.

    `begin` makes that of a new run. Only one may write at a time: see `only_writer`.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any], loop: Loop, tally: Tally):
        self.folder, self.manifest, self.loop, self.tally = folder, manifest, loop, tally
        self.experiment = loop.experiment
        self.captured: LoopState | None = None  # the state before the step that a checkpoint is to be written after
        self.saved = self.flushed = time.monotonic()
        self.written, self.hash = 0, hashlib.sha256()  # of steps.jsonl
        self.log: BinaryIO | None = None

    @classmethod
    def begin(cls, results: Path, dataset: Dataset, loop: Loop, tally: Tally, plant: str | None = None) -> "Record":
        """Make the folder with what is known before the first step. Raises RecordError."""
        experiment = loop.experiment
        manifest: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "status": "running",
            "verdict": None,
            "exit_reason": None,
            "command": command_line(),
            "start": now(),
            "end": None,
            "steps": 0,
            "config_id": config_id(experiment),
            "plant": plant,
            "replaced": sorted(loop.replaced or {}),
            "sources": {file: digest(Path(file)) for file in sources(to_document(experiment)["layers"])},
            "resumed": [],
            "files": {},
        }

        def fill(folder: Path) -> None:
            write_whole(folder / "config.toml", to_toml(experiment).encode())
            write_json(folder / "environment.json", environment(experiment.training.device))
            write_json(folder / "data.json", data_facts(experiment, dataset))
            write_weights(folder / "initial.safetensors", loop.initial)
            manifest["files"] = {name: digest(folder / name) for name in sorted(AT_THE_START)}
            write_json(folder / "manifest.json", manifest)

        try:
            folder = new_folder(results, experiment, fill)
        except OSError as failure:
            raise RecordError(f"{results}: the record cannot be written ({failure.strerror}).") from None
        return cls(folder, manifest, loop, tally)

    def __enter__(self) -> "Record":
        return self

    def open_log(self, written: int = 0) -> None:
        """Open steps.jsonl behind its first so many bytes, which alone are kept. Raises RecordError."""
        path = self.folder / "steps.jsonl"
        try:
            # Never through a link that came with the record.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            self.log = os.fdopen(descriptor, "r+b")
            self.hash.update(self.log.read(written))
            self.log.truncate(written)
            self.written = written
        except OSError as failure:
            raise RecordError(f"{path}: cannot be written ({failure.strerror}).") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Mark the record of a run that ended by an error; a run that ended well has been finished already."""
        if self.log:
            with contextlib.suppress(OSError, ValueError):
                self.log.close()
        if self.manifest["status"] == "running" and kind is not None:
            interrupted = issubclass(kind, KeyboardInterrupt)
            with contextlib.suppress(OSError):
                self.close(
                    "interrupted" if interrupted else "failed",
                    exit_reason="interrupted" if interrupted else f"{kind.__name__}: {error}"[:10_000],
                )

    def add(self, step: Step) -> None:
        """Append a step's line; write a checkpoint where it is time."""
        if self.log is None:
            self.open_log()
        line = ENCODER.encode(recordable(line_of(step))).encode() + b"\n"
        try:
            if step.finding and step.manual:
                write_divergence(self.folder / "divergence", self.experiment, step)
            assert self.log is not None
            self.log.write(line)
            self.hash.update(line)
            self.written += len(line)
            self.manifest["steps"] = step.number
            if time.monotonic() - self.flushed > FLUSH_SECONDS:
                self.log.flush()
                self.flushed = time.monotonic()
            if self.captured is not None:
                self.save(self.captured)
                self.captured = None
        except OSError as failure:
            raise RecordError(
                f"{self.folder}: the record cannot be written further ({failure.strerror}). It keeps the steps before "
                f"{step.number:,} but for those of the last second; when there is room, go on with "
                f"`backproof resume {self.folder}`."
            ) from None
        if time.monotonic() - self.saved > self.experiment.training.checkpoint_every and not step.finding:
            self.captured = state_of_loop(self.loop, step.number)
            self.saved = time.monotonic()

    def save(self, state: LoopState) -> None:
        """Write a checkpoint: the log first, for what a checkpoint counts on must be there. Raises OSError."""
        assert self.log is not None
        self.log.flush()
        write_checkpoint(self.folder, Checkpoint(state, self.tally, self.written, self.hash.hexdigest()))

    def finish(self, outcome: Outcome) -> None:
        """Write the end of the run: metrics, final weights, the manifest with its digests."""
        try:
            if self.log is None:
                self.open_log()
            assert self.log is not None
            self.log.close()
            metrics = vars(outcome.metrics) if outcome.metrics else None
            write_json(self.folder / "metrics.json", {"outcome": outcome.to_json(), "metrics": metrics})
            write_weights(self.folder / "final_manual.safetensors", self.loop.manual.network.parameters)
            theirs = self.loop.trained_reference.network.weights
            write_weights(
                self.folder / "final_reference.safetensors", {n: w.detach().cpu().numpy() for n, w in theirs.items()}
            )
            self.close(
                "interrupted" if outcome.interrupted else "finished",
                verdict=str(outcome.verdict),
                exit_reason=outcome.tally.finding.reason if outcome.tally.finding else None,
            )
        except (OSError, RecordError) as failure:
            reason = failure.strerror if isinstance(failure, OSError) else failure
            raise RecordError(
                f"{self.folder}: the record cannot be finished ({reason}). When that is mended, "
                f"`backproof resume {self.folder}` finishes it."
            ) from None

    def close(self, status: str, verdict: str | None = None, exit_reason: str | None = None) -> None:
        """Write the manifest for the last time; then what only an unfinished run needs may go.

        Without a verdict the run has not come to its end, and what had been written of that does not count.
        """
        names = AT_THE_START | {"steps.jsonl"}
        names |= AT_THE_END if verdict else set()
        names |= {CHECKPOINT} if status != "finished" else set()
        files = {path.relative_to(self.folder).as_posix(): digest(path) for path in self.files(names)}
        closed = {"status": status, "verdict": verdict, "exit_reason": exit_reason, "end": now(), "files": files}
        write_json(self.folder / "manifest.json", self.manifest | closed)
        self.manifest |= closed
        if status == "finished":
            left = [self.folder / CHECKPOINT, self.folder / LOCK, *self.folder.glob("*.new")]
            for path in left:
                with contextlib.suppress(OSError):
                    path.unlink()

    def files(self, names: Iterable[str]) -> Iterator[Path]:
        """Yield those of the named files that are there, and a divergence's; a reader may have put others there."""
        for name in sorted(names):
            if (self.folder / name).is_file():
                yield self.folder / name
        yield from sorted((self.folder / "divergence").glob("*.*"))


def recordable(line: dict[str, Any]) -> dict[str, Any]:
    """Return a step's line as JSON data: most are that already, and looking through all of them would cost time."""
    plain = "errors" not in line and "drift" not in line and "kinks" not in line
    finite = all(map(math.isfinite, (*line["loss"], line.get("worst", ("", 0.0))[1])))
    return line if plain and finite else jsonable(line)


def now() -> str:
    """Return this moment, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file of the record. Raises OSError."""
    write_whole(path, json.dumps(jsonable(content), indent=1, allow_nan=False).encode() + b"\n")


def write_weights(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write weights as safetensors: stable bytes, no pickle. Raises OSError or RecordError."""
    try:
        content = save({key: np.ascontiguousarray(array) for key, array in weights.items()})
    except SafetensorError as failure:
        raise RecordError(f"{path}: cannot be written ({failure}).") from None
    write_whole(path, content)


def sources(layers: Any) -> list[str]:
    """Return the Python files of the user's own that these layers' tables name, those inside a Residual too."""
    found: dict[str, None] = {}
    for table in layers if isinstance(layers, list | tuple) else ():
        if isinstance(table, Mapping):
            kind = table.get("kind")
            if isinstance(kind, str) and ":" in kind:
                found[kind.rpartition(":")[0]] = None
            found |= dict.fromkeys(sources(table.get("layers")))
    return list(found)


def data_facts(experiment: Experiment, dataset: Dataset) -> dict[str, Any]:
    """Return what identifies the data and its order."""
    order = order_of_epoch(experiment, len(dataset.train_images), 0).astype("<i8")
    return {
        "dataset": dataset.name,
        "train": len(dataset.train_images),
        "test": len(dataset.test_images),
        "classes": list(dataset.classes),
        "digests": dict(dataset.digests),
        "order_seed": experiment.training.seed,
        "order_digest": hashlib.sha256(order.tobytes()).hexdigest(),  # of the first epoch
        "pixel_scale": f"1/{experiment.data.divisor:.17g}",
    }
