"""What one waits for before anything happens: `backproof --help`, and the data."""

import statistics
from typing import Any

from compare.benchmark.child import run_python
from compare.benchmark.rounds import met, seconds_of
from compare.experiment.datasets import load_mnist

HELP = ("-m", "compare", "--help")  # the same as `backproof --help`
HEAVY = ("torch", "torchvision", "sklearn", "scipy")
HELP_TARGET, LOAD_TARGET = {"at_most": 0.4}, {"at_most": 0.2}


def measure_startup(quick: bool) -> list[dict[str, Any]]:
    """Return the seconds of `backproof --help` in a process of its own, and of `load_mnist()` in this one."""
    helped, loaded = [], []
    for _ in range(2 if quick else 15):
        helped.append(seconds_of(lambda: run_python(*HELP)))
        loaded.append(seconds_of(load_mnist))
    help_ = timed("backproof --help", helped, HELP_TARGET)
    heavy = heavy_imports()
    return [help_ | {"imports": heavy, "met": help_["met"] and not heavy}, timed("load_mnist()", loaded, LOAD_TARGET)]


def timed(case: str, seconds: list[float], target: dict[str, float]) -> dict[str, Any]:
    """Return the median and the range of the rounds."""
    median = statistics.median(seconds)
    return {
        "case": case,
        "seconds": median,
        "range": [min(seconds), max(seconds)],
        "rounds": len(seconds),
        "target": target,
        "met": met(median, target),
    }


def heavy_imports() -> list[str]:
    """Return the heavy packages that `backproof --help` imports: none, if all is well."""
    listing = run_python("-X", "importtime", *HELP).stderr
    imported = {line.rpartition("|")[2].strip() for line in listing.splitlines()}
    return [package for package in HEAVY if package in imported]
