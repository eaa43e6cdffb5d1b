"""Which benchmarks are run, and the machine they ran on."""

from collections.abc import Callable
from typing import Any

from compare.benchmark.layers import measure_layers
from compare.benchmark.lockstep import measure_lockstep
from compare.benchmark.memory import measure_memory
from compare.benchmark.recording import measure_recording
from compare.benchmark.startup import measure_startup
from compare.benchmark.step import measure_steps
from compare.experiment import datasets
from compare.experiment.classes import require_known
from compare.lockstep.run import threads
from compare.records.environment import environment

THREADS = 1  # for NumPy's BLAS and for torch, each

BENCHMARKS: dict[str, Callable[[bool], list[dict[str, Any]]]] = {
    "step": lambda quick: measure_steps(datasets.load(), quick),
    "lockstep": lambda quick: measure_lockstep(datasets.load(), quick),
    "recording": lambda quick: measure_recording(datasets.load(), quick),
    "layers": measure_layers,
    "startup": measure_startup,
    "memory": measure_memory,
}


def run_benchmarks(names: list[str] | None, quick: bool) -> dict[str, Any]:
    """Run these benchmarks (all without any); return what they measured, as JSON data: a list of rows for each.

    Every row has its "case", its "target" and whether it was "met". `quick` takes few and short rounds: a first
    impression. Raises DescriptionError for an unknown name.
    """
    names = names or list(BENCHMARKS)
    for name in names:
        require_known("benchmark", name, tuple(BENCHMARKS))
    with threads(THREADS):
        results: dict[str, Any] = {name: BENCHMARKS[name](quick) for name in BENCHMARKS if name in names}
        return {"quick": quick, "threads": THREADS, "environment": environment(), **results}
