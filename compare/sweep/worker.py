"""What a worker does with one cell: it runs it in a process of its own, and says what became of it.

A cell may run out of memory, crash in a library, or be killed: its process goes, the worker stays, and so does the pool
with all the other cells. Nothing as heavy as torch is imported here, and nothing is raised: whatever happens is a row
with its reason.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compare.records.reading import Recorded, read_record
from compare.records.schema import RecordError

Row = dict[str, Any]
LOOK_SECONDS = 1.0  # how often a worker looks whether the sweep still lives


@dataclass(frozen=True)
class Task:
    """A cell as it is sent to a worker: texts and a number, so that the worker needs none of our files."""

    number: int
    key: str
    config: str
    folder: str  # of the cell: the record is made in it
    directory: str  # in which the sweep was started: paths in the experiment are relative to it
    starter: int  # the process that the sweep runs in


def work(task: Task) -> Row:
    """Run a cell, unless a finished record of it is here; return its row."""
    try:
        folder = Path(task.folder)
        record = finished_record(folder, task.config)
        if record is not None:
            return row_of_record(task, record)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cell.toml").write_text(task.config, encoding="utf-8")
        status, out, err = run_alone(task, folder)
        (folder / "stderr.txt").write_text(err, encoding="utf-8")
        return row_of_process(task, status, out, err)
    except Exception as error:  # a full disk, a folder that cannot be made: the others go on
        return row(task, "failed", f"{type(error).__name__}: {error}")


def run_alone(task: Task, folder: Path) -> tuple[int, str, str]:
    """Run the cell's process to its end; return exit status, standard output and standard error."""
    directory = Path(task.directory) if Path(task.directory).is_dir() else folder  # on another machine there is none
    root = Path(__file__).resolve().parents[2]
    # -P keeps the user's folder out of the path, where a compare.py would take our place.
    safe = [] if directory.resolve() == root else ["-P"]
    command = [
        sys.executable, *safe, "-m", "compare.sweep.process", "run", str((folder / "cell.toml").resolve()),
        "--out", str(folder.resolve()), "--json", "--quiet",
    ]  # fmt: skip
    theirs, ours = os.pipe()
    try:
        process = subprocess.Popen(
            command, cwd=directory, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    finally:
        os.close(theirs)
    with process, os.fdopen(ours, "wb"):  # left from the right: the pipe is closed, then the process waited for
        out, err = listen(process, task.starter)
    return process.returncode, out, err


def listen(process: subprocess.Popen[str], starter: int) -> tuple[str, str]:
    """Return what a process has said when it ends. If the sweep, our parent, is gone, this process goes, too.

    Otherwise a worker whose sweep was killed would take what is left in the queue.
    """
    watched = os.getppid() == starter  # not so on a cluster, where a worker outlives a sweep
    while True:
        try:
            return process.communicate(timeout=LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if watched and os.getppid() != starter:
                os._exit(1)  # which closes the pipe that the cell's process waits at


def row_of_process(task: Task, status: int, out: str, err: str) -> Row:
    """Return the row of a process that has ended."""
    if status < 0:
        name = signal.Signals(-status).name if -status in list(signal.Signals) else "unknown"
        hint = ": out of memory?" if name == "SIGKILL" else "."
        return row(task, "died", f"The process was ended by signal {-status} ({name}){hint}{last_words(err)}")
    outcome = outcome_in(out)
    if status == 130:
        return row(task, "interrupted", "The run was interrupted.")
    if outcome is not None and status in (0, 1, 3):
        return row_of_outcome(task, outcome)
    if status in (2, 3) and err.strip():
        return row(task, "failed", err.strip().splitlines()[-1].removeprefix("backproof: "))
    said = "said nothing that is an outcome" if status in (0, 1, 3) else "broke off"
    return row(task, "failed", f"The process {said}, with exit status {status}.{last_words(err)}")


def last_words(err: str) -> str:
    """Return the last line of standard error, as an addition to a sentence."""
    lines = err.strip().splitlines()
    return f" Its last words: {lines[-1][:300]}" if lines else ""


def outcome_in(out: str) -> dict[str, Any] | None:
    """Return the outcome printed last, after whatever a layer of the user's has printed; None if there is none."""
    start = f"\n{out}".rfind("\n{\n")
    try:
        outcome = json.loads(out[max(start, 0) :])
    except (ValueError, RecursionError):
        return None
    return outcome if isinstance(outcome, dict) and "verdict" in outcome else None


def row_of_outcome(task: Task, outcome: dict[str, Any]) -> Row:
    """Return the row of a run that has ended by itself: what the table needs, and where the rest is."""
    divergence = outcome["divergence"]
    tightest = max(outcome["tightest"].items(), key=lambda item: used(item[1]), default=None)
    return row(task, "finished", divergence["reason"] if divergence else None) | {
        "verdict": outcome["verdict"],
        "steps": outcome["steps"],
        "tightest": tightest and {"tensor": tightest[0], "used": tightest[1]["used"], "step": tightest[1]["step"]},
        "accuracy": outcome["accuracy"],
        "divergence": divergence and {key: divergence[key] for key in ("step", "stage", "tensor", "operation")},
        "seconds": outcome["seconds"],
        "record": outcome["record"],
    }


def used(check: dict[str, Any]) -> float:
    """Return the share of its bound that a check has used; one that is no number is beyond all others."""
    value = float(check["used"])  # "inf" and "nan" are texts in JSON
    return float("inf") if value != value else value


def row(task: Task, status: str, reason: str | None) -> Row:
    """Return the row of a cell without an outcome."""
    nothing = dict.fromkeys(("verdict", "steps", "tightest", "accuracy", "divergence", "seconds", "record"))
    return {"cell": task.number, "key": task.key, "status": status, "reason": reason, **nothing}


def finished_record(folder: Path, config: str) -> Recorded | None:
    """Return the newest record in a cell's folder that is finished, unchanged, and of this configuration, or None."""
    for manifest in sorted(folder.glob("*/manifest.json"), reverse=True):
        try:
            record = read_record(manifest.parent)
        except RecordError:
            continue  # half written, damaged or changed: the cell is run again
        if record.status == "finished" and record.config == config:
            return record
    return None


def row_of_record(task: Task, record: Recorded) -> Row:
    """Return the row of a finished record that is there already."""
    assert record.outcome is not None
    return row_of_outcome(task, record.outcome | {"record": str(record.folder)})
