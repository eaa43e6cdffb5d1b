"""Many runs at once: a grid of experiments, in parallel, and one table."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from compare.commands.app import Json, Quiet, Whole, app, dump, progress_line, refuse


@app.command
def sweep(
    file: str,
    *,
    workers: Whole | None = None,
    backend: Literal["loky", "dask", "ray"] = "loky",
    address: str | None = None,
    out: Path = Path("results"),
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Run a grid of experiments in parallel, skip what is finished, end in one table.

    Exit status: 0 every cell agrees, 1 one diverges, 2 usage, 3 one could not be run or said nothing, 130 interrupted.

    Parameters
    ----------
    file
        A TOML file with [grid] and [set], or a sweep of the package: optimizers.
    workers
        Cells run at the same time; one a core without it.
    backend
        loky: processes on this machine. dask, ray: on this machine, or on the cluster at --address.
    address
        The cluster's scheduler: tcp://host:8786 for Dask, host:6379 for Ray.
    out
        The folder in which the sweep's folder, sweep_NAME, is made.
    dry_run
        List the cells and stop.
    quiet
        Print the counts alone.
    """
    if workers is not None and workers < 1:
        return refuse(f"--workers is {workers}; wanted at least 1.")
    if address and backend == "loky":
        return refuse("--address is that of a cluster: say --backend dask or --backend ray with it.")
    if address and workers:
        return refuse("--workers is for workers on this machine; the cluster at --address has its own.")
    from compare.sweep.cells import cells_of, heading, label
    from compare.sweep.grid import read_grid
    from compare.sweep.sweep import prepare, run_sweep

    grid = read_grid(file)
    made = prepare(grid, cells_of(grid), out)
    words = {key: heading(key, grid.axes) for key in grid.axes}, label
    if dry_run:
        list_cells(made, json, *words)
        return 0
    show = progress_line(quiet or json)
    run_sweep(made, workers=workers, place=backend, address=address, progress=lambda sweep: show(progress_of(sweep)))
    show("")
    from compare.views.sweep import as_markdown, counts_line, show_sweep, write_report

    result = made.to_json()
    made.write_text("table.md", as_markdown(result, *words))
    if json:
        print(dump(result))
    elif quiet:
        print(counts_line(result))
    else:
        show_sweep(result, *words)
    advice = write_report(made.records, made.folder / "report.html")
    if advice and not (quiet or json):
        print(f"backproof: {advice}", file=sys.stderr)
    return made.exit_status


def list_cells(sweep: Any, as_json: bool, headings: dict[str, str], labels: Any) -> None:
    """Print the cells of a sweep, and which of them are finished."""
    from compare.views.sweep import show_cells

    status = {number: row["status"] for number, row in sweep.rows.items()}
    cells = [
        {"cell": cell.number, "axes": cell.axes, "key": cell.key, "status": status.get(cell.number, "")}
        for cell in sweep.cells
    ]
    if as_json:
        print(dump({"name": sweep.grid.name, "folder": str(sweep.folder), "cells": cells}))
    else:
        show_cells(sweep.to_json(), cells, headings, labels)


def progress_of(sweep: Any) -> str:
    """Return how far a sweep is: 5 of 24 cells, 4 agree, 1 not."""
    agreeing = sum(row["verdict"] in ("AGREES", "EXPLAINED") for row in sweep.rows.values())
    done = len(sweep.rows)
    return f"{done} of {len(sweep.cells)} cells, {agreeing} agree" + (f", {done - agreeing} not" * (done > agreeing))
