"""Which benchmarks are run, and the machine they ran on."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from compare.benchmark.child import run_python
from compare.benchmark.growth import measure_growth, measure_sweep
from compare.benchmark.layers import measure_layers
from compare.benchmark.limit import measure_limit
from compare.benchmark.lockstep import measure_lockstep
from compare.benchmark.memory import measure_memory
from compare.benchmark.recording import measure_recording
from compare.benchmark.selection import ALL, Selection
from compare.benchmark.startup import measure_startup
from compare.benchmark.step import measure_steps
from compare.experiment import datasets
from compare.experiment.classes import require_known
from compare.lockstep.run import threads
from compare.records.environment import environment, version

THREADS = 1  # for NumPy's BLAS and for torch, each
OTHERS = ("jax", "jaxlib", "tinygrad", "autograd", "micrograd", "scipy")  # whose versions matter here alone
# What changes NumPy's BLAS from what a user's machine would have: not in a measurement.
TUNED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")

BENCHMARKS: dict[str, Callable[[bool, Selection], list[dict[str, Any]]]] = {
    "step": lambda quick, chosen: measure_steps(datasets.load(), quick, chosen),
    "limit": lambda quick, chosen: measure_limit(datasets.load(), quick, chosen),
    "lockstep": lambda quick, _: measure_lockstep(datasets.load(), quick),
    "growth": lambda quick, chosen: measure_growth(datasets.load(), quick, chosen),
    "sweep": lambda quick, _: measure_sweep(quick),
    "recording": lambda quick, _: measure_recording(datasets.load(), quick),
    "layers": lambda quick, _: measure_layers(quick),
    "startup": lambda quick, _: measure_startup(quick),
    "memory": lambda quick, _: measure_memory(quick),
}


def run_benchmarks(names: list[str] | None, quick: bool, selection: Selection = ALL) -> dict[str, Any]:
    """Run these benchmarks (all without any); return what they measured, as JSON data: a list of rows for each.

    Rows have their "case", their "target" and whether it was "met". `quick` takes few and short rounds: a first
    impression. Raises DescriptionError for an unknown name.
    """
    names = names or list(BENCHMARKS)
    for name in names:
        require_known("benchmark", name, tuple(BENCHMARKS))
    chosen = [name for name in BENCHMARKS if name in names]
    if any(variable in os.environ for variable in TUNED):
        return run_untuned(chosen, quick, selection)
    results: dict[str, Any] = {}
    for name in chosen:
        selection.tell(name)
        with threads(THREADS):
            results[name] = BENCHMARKS[name](quick, selection)
    with threads(THREADS):
        here = environment()
    here["packages"] |= {name: version(name) for name in OTHERS}
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    return {"quick": quick, "threads": THREADS, "date": today, "environment": here, **results}


def run_untuned(names: list[str], quick: bool, selection: Selection) -> dict[str, Any]:
    """Run the benchmarks in a process without the variables that tune NumPy's BLAS."""
    options = ["--quick"] if quick else []
    for option in ("network", "batch", "dtype"):
        if value := getattr(selection, option):
            options += [f"--{option}", str(value)]
    selection.tell(f"measuring in a process without {' and '.join(TUNED)}")
    return json.loads(run_python("-m", "compare", "bench", *names, *options, "--json", without=TUNED).stdout)
