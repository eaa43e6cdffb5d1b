"""How fast it is, against what one would use instead."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from compare.commands.app import Json, Quiet, app, dump, progress_line

Benchmark = Literal[
    "step", "limit", "lockstep", "growth", "sweep", "recording", "layers", "startup", "memory"
]  # fmt: skip


@app.command
def bench(
    *names: Benchmark,
    network: str = "",
    batch: int = 0,
    dtype: Literal["", "float32", "float64"] = "",
    quick: Annotated[bool, Parameter(negative="")] = False,
    write: Path | None = None,
    from_: Annotated[Path | None, Parameter(name="--from")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Measure speed and memory against what one would use instead: interleaved, one thread each, medians, ratios.

    Exit status 1 if a contestant turns out to compute another step than manual: it is not timed.

    Parameters
    ----------
    names
        step, limit, lockstep, growth, sweep, recording, layers, startup, memory; all without any.
    network
        Of step and limit, measure this network alone: 784-10, 784-30-10, 784-100-10, 784-256-128-10 or lenet.
    batch
        Of step and limit, measure this batch size alone.
    dtype
        Of step and limit, measure this dtype alone.
    quick
        Fewer rounds: a first impression, noisier.
    write
        Write benchmarks.json, benchmarks.md and benchmarks.svg into this folder.
    from_
        Measure nothing: show, or write, the results in this JSON file.
    quiet
        Do not say what is being measured.
    """
    from compare.benchmark import Selection, read_results, run_benchmarks, show, write_results

    if from_ is not None:
        results = read_results(from_)
    else:
        tell = progress_line(quiet or json)
        results = run_benchmarks(list(names) or None, quick, Selection(network, batch, dtype, tell))
        tell("")
    written = write_results(results, write) if write is not None else []
    if json:
        print(dump(results))
    elif write is None:
        show(results)
    else:
        print("\n".join(str(file) for file in written))
    return 1 if any(row.get("unequal") for row in results.get("step", [])) else 0
