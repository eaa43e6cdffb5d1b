"""Killed at any moment: the record can be read, says what it is, and is resumed to the same bits."""

import json
import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import compare
from compare.experiment.datasets import Dataset
from compare.records.folder import in_use
from compare.records.reading import read_record
from compare.records.replay import replay
from compare.records.resume import resume
from tests.records.conftest import assert_same_bits, make, manifest_of
from tests.records.test_resume import stopped_at

STEPS = 30
OPTIONS: dict[str, Any] = {"steps": STEPS, "seed": 5, "checkpoint_every": 0.01}
FEW: dict[str, Any] = {"steps": 4, "checkpoint_every": 0.0}  # a checkpoint is written, then put in the place of another
KILLED = -9
PLANNED = 77  # the exit status of a process that ends itself before an operation on a file


def run_in_process(out: Path) -> None:
    """What is killed: a run."""
    compare.run("article", out=out, **OPTIONS)


def resume_in_process(folder: Path) -> None:
    """What is killed as well: going on with one."""
    resume(folder)


def run_until(operation: int, out: Path, folder: Path | None = None) -> None:
    """Run, or resume, and end at once, as by a kill, before an operation on a file below `out`.

    A moment that counts as well is the one when a file has been opened, and emptied, and nothing is written yet.
    """
    left, open_path = iter(range(operation, -1, -1)), Path.open

    def count(path: Any) -> None:
        if str(out) in str(path) and next(left) == 0:
            os._exit(PLANNED)

    def opened(path: Path, *arguments: Any, **options: Any) -> Any:
        file = open_path(path, *arguments, **options)
        count(path)
        return file

    sys.addaudithook(lambda event, arguments: count(arguments[0]) if event in OPERATIONS else None)
    Path.open = opened  # pyright: ignore[reportAttributeAccessIssue]
    resume(folder) if folder else compare.run("article", out=out, **{**OPTIONS, **FEW})


OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


def killed_after(seconds: float, context: Any, target: Any, *arguments: Any) -> int:
    """Start a process and kill it after so many seconds; return how it ended."""
    process = context.Process(target=target, args=arguments)
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode


def folders(out: Path) -> list[Path]:
    """Return the records in a folder; what begins with a dot has not become one."""
    return sorted(path for path in out.iterdir() if not path.name.startswith(".")) if out.exists() else []


def undisturbed(tmp_path: Path, small: Dataset, **options: Any) -> Path:
    return make(tmp_path / "undisturbed", small, **{**OPTIONS, **options})


def assert_readable(folder: Path) -> str:
    """Whatever happened, the record can be read; return its status."""
    record = read_record(folder)
    steps = [line["step"] for line in record.steps()]
    assert steps == list(range(1, len(steps) + 1))
    assert record.status in ("running", "interrupted", "finished")
    assert not in_use(folder)
    assert (record.outcome is None) == (record.status == "running")
    return record.status


def test_killed_at_fifty_random_moments_and_again_while_it_is_resumed(
    tmp_path: Path, small: Dataset, small_data: Dataset, processes: Any
) -> None:
    whole = undisturbed(tmp_path, small)
    assert killed_after(60, processes, run_in_process, tmp_path / "first") == 0
    started = time.monotonic()
    assert killed_after(60, processes, run_in_process, tmp_path / "timed") == 0
    longest = time.monotonic() - started
    chance, killed, half_done = random.Random(20_260_301), 0, 0
    for number in range(200):
        out = tmp_path / f"{number}"
        killed += killed_after(chance.uniform(0, longest), processes, run_in_process, out) == KILLED
        for folder in folders(out):
            status = assert_readable(folder)
            if status == "running" and number % 3 == 0:
                killed += killed_after(chance.uniform(0, longest), processes, resume_in_process, folder) == KILLED
                status = assert_readable(folder)
            half_done += 0 < len(list(read_record(folder).steps())) < STEPS
            if status != "finished":
                resume(folder)
            assert_same_bits(folder, whole)
        if killed >= 50 and half_done >= 12:
            return
    raise AssertionError(f"only {killed} kills met a running process, {half_done} in the middle of the steps")


def test_killed_before_any_operation_on_a_file(
    tmp_path: Path, small: Dataset, small_data: Dataset, processes: Any
) -> None:
    """The moments at which a record could be left in pieces, one after the other, none left out."""
    whole = undisturbed(tmp_path, small, **FEW)
    records, operation, ended = 0, 0, PLANNED
    while ended == PLANNED:
        out = tmp_path / f"{operation}"
        ended = killed_after(60, processes, run_until, operation, out)
        assert ended in (PLANNED, 0)
        for folder in folders(out):
            records += 1
            if assert_readable(folder) != "finished":
                resume(folder)
            assert_same_bits(folder, whole)
        operation += 1
    assert operation > 30
    assert records > 20


def test_killed_before_any_operation_on_a_file_while_it_is_resumed(
    tmp_path: Path, small: Dataset, small_data: Dataset, processes: Any
) -> None:
    whole = undisturbed(tmp_path, small, **FEW)
    stopped = stopped_at(2, tmp_path / "stopped", small, "article", **FEW)
    operation, ended = 0, PLANNED
    while ended == PLANNED:
        folder = Path(shutil.copytree(stopped, tmp_path / f"{operation}" / stopped.name))
        ended = killed_after(60, processes, run_until, operation, folder.parent, folder)
        assert ended in (PLANNED, 0)
        if assert_readable(folder) != "finished":
            resume(folder)
        assert_same_bits(folder, whole)
        operation += 1
    assert operation > 30


def test_a_killed_run_says_what_it_is(tmp_path: Path, small: Dataset, small_data: Dataset, processes: Any) -> None:
    process = processes.Process(target=run_in_process, args=(tmp_path,))
    process.start()
    deadline = time.monotonic() + 60
    while not (folders(tmp_path) and (folders(tmp_path)[0] / "checkpoint.safetensors").exists()):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    (folder,) = folders(tmp_path)
    assert in_use(folder)
    process.kill()
    process.join()
    manifest = manifest_of(folder)
    assert (manifest["status"], manifest["verdict"], manifest["end"]) == ("running", None, None)
    assert not in_use(folder)
    assert json.dumps(manifest["files"]).count("safetensors") == 1
    repeated = replay(folder)
    assert repeated.verdict == "BITWISE"
    assert repeated.steps == len(list(read_record(folder).steps()))


def test_two_runs_that_start_at_the_same_instant_leave_two_records(tmp_path: Path, processes: Any) -> None:
    together = [processes.Process(target=run_in_process, args=(tmp_path,)) for _ in range(6)]
    for process in together:
        process.start()
    for process in together:
        process.join()
    assert [process.exitcode for process in together] == [0] * 6
    records = folders(tmp_path)
    assert len(records) == 6
    for folder in records:
        assert assert_readable(folder) == "finished"
        assert_same_bits(folder, records[0])
