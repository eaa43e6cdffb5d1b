"""What can befall a run, by the command line: a full disk, a folder that cannot be written, Ctrl-C, an overflow."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compare.experiment.datasets import Dataset
from compare.records.reading import read_record
from compare.records.resume import resume
from tests.records.conftest import assert_same_bits, make, manifest_of

NOBODY = 65534


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    output: str
    error: str


def command_in_process(words: list[str], folder: Path, before: Callable[[], None] | None) -> None:
    """Run the command line in this process, its output in files."""
    for number, name in ((1, "output"), (2, "error")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = ["backproof", *words]
    if before:
        before()
    from compare.cli import main

    main()


def command(
    processes: Any,
    *words: str,
    before: Callable[[], None] | None = None,
    meanwhile: Callable[[Any], None] | None = None,
) -> Ended:
    """Run a command to its end; `before` is called in its process, `meanwhile` with that process, here."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = processes.Process(target=command_in_process, args=(list(words), folder, before))
        process.start()
        if meanwhile:
            meanwhile(process)
        process.join(120)
        assert process.exitcode is not None
        return Ended(process.exitcode, (folder / "output").read_text(), (folder / "error").read_text())


def records_in(out: Path) -> list[Path]:
    return sorted(path for path in out.iterdir() if not path.name.startswith(".")) if out.exists() else []


def one_message(ended: Ended) -> str:
    """The command has said one thing, in one line, on standard error, and has shown no traceback."""
    assert "Traceback" not in ended.error
    (line,) = ended.error.strip().splitlines()
    return line


# ---------------------------------------------------------------------------------------------------------- a full disk


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Give a folder on a disk of its own, of this size, where that is permitted; else the folder itself."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    try:
        yield folder
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", folder], check=True)


class FilesUpTo:
    """Limits the size of the files that a process may write: the same refusal, without a disk of one's own."""

    def __init__(self, size: int):
        self.size = size

    def __call__(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))


def test_a_disk_that_is_full_at_the_start(tmp_path: Path, processes: Any) -> None:
    ended = command(processes, "run", "--steps", "5", "--out", str(tmp_path / "out"), before=FilesUpTo(10_000))
    assert ended.status == 3
    assert "cannot be written" in one_message(ended)
    assert list((tmp_path / "out").iterdir()) == []  # what had been begun has been taken away


def test_a_disk_that_fills_up_in_the_middle(
    tmp_path: Path, small: Dataset, small_data: Dataset, processes: Any
) -> None:
    out = tmp_path / "out"
    earlier = make(out, small, steps=3)
    kept = {path: path.read_bytes() for path in earlier.rglob("*") if path.is_file()}
    steps = ("--steps", "300", "--checkpoint-every", "0.05", "--mode", "lockstep", "--seed", "5")
    ended = command(processes, "run", *steps, "--out", str(out), before=FilesUpTo(300_000))  # of a checkpoint 390,000
    assert ended.status == 3
    message = one_message(ended)
    assert "cannot be written further" in message
    assert "backproof resume" in message
    assert {path: path.read_bytes() for path in earlier.rglob("*") if path.is_file()} == kept
    (folder,) = [path for path in records_in(out) if path != earlier]
    record = read_record(folder)
    assert record.status == "failed"
    assert 0 < len(list(record.steps())) < 300
    whole = make(tmp_path / "whole", small, steps=300, checkpoint_every=0.05, mode="lockstep")
    resume(folder)  # there is room again
    assert_same_bits(folder, whole)


def test_a_real_disk_that_is_full(tmp_path: Path, small: Dataset, small_data: Dataset, processes: Any) -> None:
    """Where a disk of its own may be mounted it is one of 1 MB; elsewhere the limit is again the process's own."""
    with small_disk(tmp_path / "disk", "1M") as out:
        mounted = os.path.ismount(out)
        earlier = make(out, small, steps=3)  # takes 600 kB of it
        before = None if mounted else FilesUpTo(150_000)
        ended = command(processes, "run", "--steps", "30", "--out", str(out), before=before)
        assert ended.status == 3
        assert "No space left" in one_message(ended) if mounted else "File too large" in one_message(ended)
        assert read_record(earlier).status == "finished"
        for folder in records_in(out):
            read_record(folder)


def test_standard_output_that_is_full(processes: Any) -> None:
    ended = command(processes, "list", before=ToFull())
    assert ended.status == 3
    assert "standard output" in one_message(ended)


class ToFull:
    """Makes every write to standard output fail, as on a full disk."""

    def __call__(self) -> None:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


# ------------------------------------------------------------------------------------- folders that cannot be written


class AsNobody:
    """Gives up the rights of a superuser, to whom no folder is closed."""

    def __call__(self) -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others may enter: those of pytest are closed to them."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_results_folder_that_is_read_only(open_folder: Path, processes: Any) -> None:
    open_folder.chmod(0o555)
    ended = command(processes, "run", "--steps", "5", "--out", str(open_folder), before=AsNobody())
    open_folder.chmod(0o755)
    assert ended.status == 3
    assert "Permission denied" in one_message(ended)
    assert str(open_folder) in ended.error
    assert list(open_folder.iterdir()) == []


def test_a_record_that_is_read_only_can_be_read_and_replayed_but_not_resumed(
    open_folder: Path, small: Dataset, small_data: Dataset, processes: Any
) -> None:
    seen: list[int] = []
    folder = make(
        open_folder, small, watchers=[lambda step: seen.append(step.number)], stop=lambda: len(seen) == 5,
        checkpoint_every=0.0,
    )  # fmt: skip
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    ended = command(processes, "replay", str(folder), "--quiet", before=AsNobody())
    assert (ended.status, ended.output.strip()) == (0, "BITWISE"), ended.error
    ended = command(processes, "resume", str(folder), before=AsNobody())
    folder.chmod(0o755)
    assert ended.status == 3
    assert "Permission denied" in one_message(ended)
    assert manifest_of(folder)["status"] == "interrupted"


# ------------------------------------------------------------------------------------------------------------- Ctrl-C


def signals(out: Path, *numbers: int, between: float = 0.0) -> Callable[[Any], None]:
    """Return what waits until the record has its first lines, and then sends these signals."""

    def send(process: Any) -> None:
        deadline = time.monotonic() + 60
        while not any(folder.joinpath("checkpoint.safetensors").exists() for folder in records_in(out)):
            assert time.monotonic() < deadline
            assert process.is_alive()
            time.sleep(0.01)
        for number in numbers:
            os.kill(process.pid, number)
            time.sleep(between)

    return send


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, small: Dataset) -> Path:
    """The record of the same run, undisturbed."""
    return make(tmp_path_factory.mktemp("whole"), small, steps=800, checkpoint_every=0.05, mode="lockstep")


@pytest.mark.parametrize(
    "numbers",
    [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGINT, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)],
    ids=["once", "terminated", "twice", "both"],
)
def test_ctrl_c_leaves_a_record_that_is_resumed_to_the_same_bits(
    numbers: tuple[int, ...], tmp_path: Path, whole: Path, processes: Any
) -> None:
    out = tmp_path / "out"
    steps = ("--steps", "800", "--seed", "5", "--checkpoint-every", "0.05", "--mode", "lockstep")
    ended = command(processes, "run", *steps, "--out", str(out), meanwhile=signals(out, *numbers))
    assert ended.status == 130
    assert "Traceback" not in ended.error
    (folder,) = records_in(out)
    record = read_record(folder)
    assert record.status == "interrupted"
    taken = len(list(record.steps()))
    assert 0 < taken < 800
    if len(numbers) == 1:
        assert record.outcome is not None
        assert record.outcome["steps"] == record.manifest["steps"] == taken
    ended = command(processes, "resume", str(folder), "--quiet")
    assert (ended.status, ended.output.strip()) == (0, "AGREES")
    assert_same_bits(folder, whole)


# ---------------------------------------------------------------------------------------------------------- overflows


@pytest.mark.parametrize("mode", ["both", "lockstep", "independent"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_learning_rate_of_a_million_is_inconclusive_and_names_the_first_tensor(
    mode: str, dtype: str, tmp_path: Path, processes: Any
) -> None:
    words = ("run", "relu", "--lr", "1e6", "--steps", "300", "--mode", mode, "--dtype", dtype)
    ended = command(processes, *words, "--out", str(tmp_path))
    assert ended.status == 3
    assert "Traceback" not in ended.error
    assert "INCONCLUSIVE" in ended.output
    (folder,) = records_in(tmp_path)
    record = read_record(folder)
    assert (record.status, record.manifest["verdict"]) == ("finished", "INCONCLUSIVE")
    assert record.outcome is not None
    finding = record.outcome["divergence"]
    assert finding["tensor"] in finding["reason"]
    assert "nan" in finding["reason"] or "inf" in finding["reason"]
    if (folder / "divergence").exists():
        with (
            np.load(folder / "divergence" / "manual.npz") as mine,
            np.load(folder / "divergence" / "reference.npz") as theirs,
        ):
            spoiled = [
                name for name in mine.files if not np.isfinite(mine[name]).all() or not np.isfinite(theirs[name]).all()
            ]
        assert finding["tensor"] == spoiled[0]
    else:  # nothing is compared there, and no traces are kept: it was an output or a weight before it was the loss
        assert mode == "independent"
        assert finding["tensor"] != "loss"
    ended = command(processes, "replay", str(folder), "--quiet")
    assert (ended.status, ended.output.strip()) == (0, "BITWISE")
