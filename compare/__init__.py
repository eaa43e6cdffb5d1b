"""Holds a hand-derived network against autograd: identical weights, the same batches, every tensor of every step.

import compare
outcome = compare.run("article", steps=200)
outcome.verdict, outcome.to_json()["worst"]
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compare.agreement.verdict import Verdict
    from compare.experiment.description import DescriptionError, Experiment
    from compare.lockstep.outcome import Outcome
    from compare.proof import run

__all__ = ["DescriptionError", "Experiment", "Outcome", "Verdict", "run"]

HOMES = {
    "DescriptionError": "compare.experiment.description",
    "Experiment": "compare.experiment.description",
    "Outcome": "compare.lockstep.outcome",
    "Verdict": "compare.agreement.verdict",
    "run": "compare.proof",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `backproof --help` must not wait for torch."""
    if name not in HOMES:
        raise AttributeError(f"module 'compare' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(HOMES[name]), name)
