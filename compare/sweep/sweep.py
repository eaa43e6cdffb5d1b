"""Running the cells of a sweep that are not finished yet, and keeping what came of them in its folder.

sweep_<name>/sweep.json           the cells with their results, and the summary; written anew about once a second
sweep_<name>/cells/<key>/         cell.toml, stderr.txt, and the record of the run
"""

import json
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from compare.records.folder import only_writer
from compare.records.schema import RecordError
from compare.sweep.backends import Backend, SweepError, backend
from compare.sweep.cells import SEED, Cell
from compare.sweep.grid import Grid
from compare.sweep.summary import summarised, word
from compare.sweep.worker import Row, Task, finished_record, row, row_of_record, work

SCHEMA_VERSION = 1
WRITE_SECONDS = 1.0
POOLS = 2  # a pool that breaks is made anew once, for what it left


@dataclass
class Sweep:
    """A sweep and what has come of its cells so far."""

    grid: Grid
    cells: Sequence[Cell]
    folder: Path
    rows: dict[int, Row] = field(default_factory=dict)  # by the cell's number
    skipped: int = 0  # cells that had been finished before
    interrupted: bool = False
    written: float = 0.0

    @property
    def exit_status(self) -> int:
        """1 if a cell diverges, else 3 if one could not be run or said nothing, else 0; 130 where interrupted."""
        words = {word(row) for row in self.rows.values()}
        if self.interrupted:
            return 130
        return 1 if "DIVERGES" in words else 0 if words <= {"AGREES", "EXPLAINED"} else 3

    @property
    def records(self) -> list[Path]:
        """The folders of the records that lie on this machine."""
        found = [Path(row["record"]) for row in self.rows.values() if row["record"] and not row["elsewhere"]]
        return [record for record in found if record.is_dir()]

    def to_json(self) -> dict[str, Any]:
        """Return the sweep as JSON data: cells, and the summary over the seeds."""
        known = [(cell, self.rows[cell.number]) for cell in self.cells if cell.number in self.rows]
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.grid.name,
            "about": self.grid.about,
            "folder": str(self.folder),
            "varies": [key for key, values in self.grid.axes.items() if len(values) > 1 and key != SEED],
            "total": len(self.cells),
            "skipped": self.skipped,
            "interrupted": self.interrupted,
            "cells": [{"cell": cell.number, "axes": cell.axes, "seed": cell.seed, **row} for cell, row in known],
            "summary": summarised([cell for cell, _ in known], [row for _, row in known]),
        }

    def task(self, cell: Cell) -> Task:
        """Return a cell as it is sent to a worker."""
        folder = (self.folder / "cells" / cell.key).resolve()
        return Task(cell.number, cell.key, cell.config, str(folder), str(Path.cwd()), os.getpid())

    def add(self, row: Row) -> None:
        """Note a cell's row, with its record's folder as it is seen from here."""
        here = self.folder / "cells" / row["key"] / Path(row["record"] or "none").name
        row["elsewhere"] = row["record"] is not None and not here.is_dir()
        if row["record"] and not row["elsewhere"]:
            row["record"] = str(here)
        self.rows[row["cell"]] = row

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder while the sweep runs. Raises SweepError if another process does, or it cannot be made."""
        with ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(only_writer(self.folder, "sweep"))
            except OSError as failure:
                raise SweepError(f"{self.folder}: cannot be written ({failure.strerror}).") from None
            except RecordError as taken:
                raise SweepError(str(taken)) from None
            yield

    def write(self, now: bool = False) -> None:
        """Write sweep.json, unless that was done a moment ago. Raises SweepError."""
        if not now and time.monotonic() - self.written < WRITE_SECONDS:
            return
        self.write_text("sweep.json", json.dumps(self.to_json(), indent=1, default=str) + "\n")
        self.written = time.monotonic()

    def write_text(self, name: str, content: str) -> None:
        """Write a file of the sweep's folder in one move: it is never half written. Raises SweepError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            beside = self.folder / f"{name}.new"
            beside.write_text(content, encoding="utf-8")
            beside.replace(self.folder / name)
        except OSError as failure:
            raise SweepError(f"{self.folder / name}: cannot be written ({failure.strerror}).") from None


def prepare(grid: Grid, cells: Sequence[Cell], out: Path) -> Sweep:
    """Return the sweep in its folder, with the rows of the cells that are finished already."""
    sweep = Sweep(grid, cells, out / f"sweep_{grid.name}")
    elsewhere = rows_elsewhere(sweep.folder / "sweep.json")
    for cell in cells:
        task = sweep.task(cell)
        record = finished_record(Path(task.folder), task.config)
        found = row_of_record(task, record) if record else elsewhere.get(cell.key)
        if found is not None:
            sweep.add(found | {"cell": cell.number})
    sweep.skipped = len(sweep.rows)
    return sweep


def rows_elsewhere(file: Path) -> dict[str, Row]:
    """Return the finished rows, by key, whose records lie on workers with disks of their own."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["cells"]
        return {row["key"]: row for row in rows if row["elsewhere"] and row["status"] == "finished"}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def run_sweep(
    sweep: Sweep,
    *,
    workers: int | None = None,
    place: Backend = "loky",
    address: str | None = None,
    progress: Callable[[Sweep], None] = lambda _: None,
) -> None:
    """Run the cells that are not finished; keep sweep.json. Ctrl-C ends what is running.

    Raises SweepError where there are no workers, another process runs this sweep, or the folder cannot be written.
    """
    with sweep.held():
        sweep.write(now=True)
        run_remaining(sweep, workers, place, address, progress)


def run_remaining(
    sweep: Sweep, workers: int | None, place: Backend, address: str | None, progress: Callable[[Sweep], None]
) -> None:
    """Run the cells that are not finished, in a sweep that is held."""
    reason = "It was not run yet."
    try:
        for _ in range(POOLS if remaining(sweep) else 0):
            with backend(place, address, workers):
                reason = run_pool(sweep, progress)
            if not remaining(sweep):
                break
    except KeyboardInterrupt:
        sweep.interrupted, reason = True, "The sweep was interrupted."
    finally:
        for task in remaining(sweep):
            sweep.add(row(task, "interrupted" if sweep.interrupted else "failed", reason))
        sweep.write(now=True)


def run_pool(sweep: Sweep, progress: Callable[[Sweep], None]) -> str:
    """Run the remaining cells on one pool of workers; return why it broke, "" if it did not."""
    progress(sweep)
    try:
        with closing(results(remaining(sweep))) as rows:
            for found in rows:
                sweep.add(found)
                sweep.write()
                progress(sweep)
    except (SweepError, KeyboardInterrupt):
        raise
    except Exception as broken:  # of the pool: a cell never raises
        return f"The pool of workers broke ({type(broken).__name__}: {broken}). Start the sweep again to run this cell."
    return ""


def results(tasks: Sequence[Task]) -> Generator[Row, None, None]:
    """Yield the rows of the tasks as they come, or all at the end where the backend can do no better (Ray)."""
    one_by_one: Any = {"batch_size": 1}
    try:
        parallel = Parallel(return_as="generator_unordered", **one_by_one)
    except ValueError:
        parallel = Parallel(**one_by_one)
    found: Any = parallel(delayed(work)(task) for task in tasks)
    yield from found


def remaining(sweep: Sweep) -> list[Task]:
    """Return the tasks of the cells that have no row yet."""
    return [sweep.task(cell) for cell in sweep.cells if cell.number not in sweep.rows]
