"""Holds a hand-derived network against autograd: identical weights, the same batches, every tensor of every step.

import compare
outcome = compare.run("article", steps=200)
outcome.verdict, outcome.to_json()["worst"]

compare.explain("article", weight="linear1.weight[23,272]")
compare.crosscheck(MyLayer(), torch.nn.functional.silu, input_shape=("batch", "n"))
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compare.agreement.verdict import Verdict
    from compare.crosscheck.check import crosscheck
    from compare.crosscheck.result import DerivationError, Result
    from compare.experiment.description import DescriptionError, Experiment
    from compare.explain.explanation import explain
    from compare.lockstep.outcome import Outcome
    from compare.proof import run
    from compare.records.reading import read_record
    from compare.records.replay import Repetition, replay
    from compare.records.resume import resume
    from compare.records.schema import RecordError

__all__ = [
    "DerivationError", "DescriptionError", "Experiment", "Outcome", "RecordError", "Repetition", "Result", "Verdict",
    "crosscheck", "explain", "read_record", "replay", "resume", "run",
]  # fmt: skip

HOMES = {
    "DerivationError": "compare.crosscheck.result",
    "DescriptionError": "compare.experiment.description",
    "Experiment": "compare.experiment.description",
    "Outcome": "compare.lockstep.outcome",
    "RecordError": "compare.records.schema",
    "Repetition": "compare.records.replay",
    "Result": "compare.crosscheck.result",
    "Verdict": "compare.agreement.verdict",
    "crosscheck": "compare.crosscheck.check",
    "explain": "compare.explain.explanation",
    "read_record": "compare.records.reading",
    "replay": "compare.records.replay",
    "resume": "compare.records.resume",
    "run": "compare.proof",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `backproof --help` must not wait for torch."""
    if name not in HOMES:
        raise AttributeError(f"module 'compare' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(HOMES[name]), name)
