"""The record folder of a run: written while the run goes by, readable at any moment.

manifest.json                what it is: status, verdict, times, command, and digests of the other files
config.toml                  the resolved experiment
environment.json, data.json  what the numbers depend on besides
initial.safetensors          the weights both sides started from
steps.jsonl                  one line a step, flushed about once a second
metrics.json                 scores, and everything `--json` prints
final_manual.safetensors, final_reference.safetensors
"""

import contextlib
import hashlib
import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.experiment.files import to_toml
from compare.lockstep.loop import Loop, Step
from compare.lockstep.outcome import Outcome, jsonable
from compare.records.divergence import write_divergence
from compare.records.environment import command_line, environment

SCHEMA_VERSION = 1
FLUSH_SECONDS = 1.0
OUTCOME_KEYS = {  # of what `--json` prints, which is kept in metrics.json
    "experiment", "verdict", "interrupted", "steps", "checks", "audits", "worst", "tightest", "divergence", "kinks",
    "power", "precision", "accuracy", "independent", "seconds", "record",
}  # fmt: skip


class RecordError(Exception):
    """A record could not be written or read: says which file and why. Exit status 3."""


def new_folder(results: Path, experiment: Experiment, config_id: str) -> Path:
    """Make and return a folder of its own for a run, even for two runs that start in the same second."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{stamp}_{experiment.name}_s{experiment.training.seed}_{config_id}"
    for number in range(1, 1000):
        folder = results / (name if number == 1 else f"{name}_{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if results.is_dir():
                continue  # another run has taken this name
            raise
        return folder
    raise RecordError(f"{results}: 1000 records of this second are there already.")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def config_id(experiment: Experiment) -> str:
    """Return the first 8 digits of the SHA-256 of the resolved experiment."""
    return hashlib.sha256(to_toml(experiment).encode()).hexdigest()[:8]


class Record:
    """The record of one run; a context manager, so that whatever ends the run closes the record in good order."""

    def __init__(self, results: Path, experiment: Experiment, dataset: Dataset, loop: Loop):
        """Make the folder and write what is known before the first step. Raises RecordError."""
        self.loop, self.experiment = loop, experiment
        try:
            self.folder = new_folder(results, experiment, config_id(experiment))
            self.manifest: dict[str, Any] = {
                "schema_version": SCHEMA_VERSION,
                "status": "running",
                "verdict": None,
                "exit_reason": None,
                "command": command_line(),
                "start": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "end": None,
                "steps": 0,
                "files": {},
            }
            self.write_text("config.toml", to_toml(experiment))
            self.write_json("environment.json", environment())
            self.write_json("data.json", data_facts(experiment, dataset))
            self.write_weights("initial", loop.initial)
            self.write_manifest()
            self.steps = (self.folder / "steps.jsonl").open("w", encoding="utf-8")
        except OSError as failure:
            raise RecordError(f"{results}: the record cannot be written ({failure.strerror}).") from None
        self.flushed = time.monotonic()

    def __enter__(self) -> "Record":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Mark the record of a run that ended by an error; a run that ended well has been finished already."""
        with contextlib.suppress(OSError, ValueError):
            self.steps.close()
        if self.manifest["status"] == "running":
            interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
            self.manifest["status"] = "interrupted" if interrupted else "failed"
            self.manifest["exit_reason"] = (
                "interrupted" if interrupted else f"{kind.__name__}: {error}" if kind else None
            )
            with contextlib.suppress(OSError):
                self.close()

    def add(self, step: Step) -> None:
        """Append a step's line."""
        worst = max(step.errors, key=lambda name: step.errors[name], default=None)
        line: dict[str, Any] = {
            "step": step.number,
            "epoch": step.epoch,
            "loss": [step.loss_manual, step.loss_reference],
        }
        if worst is not None:
            line["worst"] = [worst, round(step.errors[worst], 3)]
            line["checks"] = len(step.errors)
        if step.checks:
            line["errors"] = {name: round(error, 3) for name, error in step.errors.items()}
            line["audit"] = {check.tensor: round(check.used, 5) for check in step.checks}
        if step.drift:
            line["drift"] = [step.drift.parameters, step.drift.loss_reference]
        if step.finding:
            line["finding"] = step.finding.tensor
        if step.kinks:
            line["kinks"] = [asdict(kink) for kink in step.kinks]
        try:
            if step.finding and step.manual:
                write_divergence(self.folder / "divergence", self.experiment, step)
            self.steps.write(json.dumps(jsonable(line), separators=(",", ":")) + "\n")
            if time.monotonic() - self.flushed > FLUSH_SECONDS:
                self.steps.flush()
                self.flushed = time.monotonic()
        except OSError as failure:
            raise RecordError(f"{self.folder / 'steps.jsonl'}: cannot be written ({failure.strerror}).") from None
        self.manifest["steps"] = step.number

    def finish(self, outcome: Outcome) -> None:
        """Write the end of the run: metrics, final weights, the manifest with its digests."""
        try:
            self.steps.close()
            metrics = vars(outcome.metrics) if outcome.metrics else None
            self.write_json("metrics.json", {"outcome": outcome.to_json(), "metrics": metrics})
            self.write_weights("final_manual", self.loop.manual.network.parameters)
            theirs = self.loop.trained_reference.network.weights
            self.write_weights("final_reference", {n: w.detach().cpu().numpy() for n, w in theirs.items()})
            self.manifest["status"] = "interrupted" if outcome.interrupted else "finished"
            self.manifest["verdict"] = str(outcome.verdict)
            self.manifest["exit_reason"] = outcome.tally.finding.reason if outcome.tally.finding else None
            self.close()
        except (OSError, RecordError) as failure:
            raise RecordError(f"{self.folder}: the record cannot be finished ({failure}).") from None

    def close(self) -> None:
        """Write the manifest for the last time."""
        self.manifest["end"] = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.manifest["files"] = {
            path.relative_to(self.folder).as_posix(): digest(path)
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.name != "manifest.json"
        }
        self.write_manifest()

    def write_manifest(self) -> None:
        """Write the manifest beside the old one and put it in its place in one move: it is never half written."""
        beside = self.folder / "manifest.json.new"
        beside.write_text(json.dumps(self.manifest, indent=1) + "\n", encoding="utf-8")
        beside.replace(self.folder / "manifest.json")

    def write_text(self, name: str, content: str) -> None:
        """Write a text file of the record."""
        (self.folder / name).write_text(content, encoding="utf-8")

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file of the record."""
        self.write_text(name, json.dumps(jsonable(content), indent=1) + "\n")

    def write_weights(self, name: str, weights: dict[str, np.ndarray]) -> None:
        """Write weights as safetensors: stable bytes, no pickle."""
        path = self.folder / f"{name}.safetensors"
        try:
            save_file({key: np.ascontiguousarray(array) for key, array in weights.items()}, path)
        except SafetensorError as failure:
            raise RecordError(f"{path}: cannot be written ({failure}).") from None


def data_facts(experiment: Experiment, dataset: Dataset) -> dict[str, Any]:
    """Return what identifies the data and its order."""
    return {
        "dataset": dataset.name,
        "train": len(dataset.train_images),
        "test": len(dataset.test_images),
        "classes": list(dataset.classes),
        "digests": dict(dataset.digests),
        "order_seed": experiment.training.seed,
        "pixel_scale": "1/255",
    }


def read_record(folder: Path) -> dict[str, Any]:
    """Return manifest, metrics and environment of a record. Raises RecordError for what is no record."""
    content = {}
    for name in ("manifest", "metrics", "environment"):
        path = folder / f"{name}.json"
        try:
            content[name] = json.loads(path.read_text(encoding="utf-8"))
        except OSError as missing:
            raise RecordError(f"{path}: cannot be read ({missing.strerror}); wanted the folder of a record.") from None
        except (ValueError, RecursionError) as broken:
            raise RecordError(f"{path}: not JSON ({broken}).") from None
        if not isinstance(content[name], dict):
            raise RecordError(f"{path}: found {type(content[name]).__name__}; wanted a JSON object.")
    outcome, path = content["metrics"].get("outcome"), folder / "metrics.json"
    missing = OUTCOME_KEYS - outcome.keys() if isinstance(outcome, dict) else OUTCOME_KEYS
    if missing:
        raise RecordError(
            f"{path}: the outcome lacks {', '.join(sorted(missing))}: is it the record of a finished run?"
        )
    if not isinstance(content["environment"].get("packages"), dict):
        raise RecordError(f"{folder / 'environment.json'}: there are no packages in it.")
    return content
