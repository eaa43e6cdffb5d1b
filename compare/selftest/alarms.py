"""The reverse of planting: correct implementations that add up in other orders. None may raise an alarm."""

from collections.abc import Callable
from typing import Any

import numpy as np

import manual
from compare.agreement.verdict import Verdict
from compare.experiment import datasets
from compare.experiment.files import read_experiment
from compare.lockstep.loop import Loop
from compare.lockstep.run import threads
from compare.lockstep.tally import Tally


class ReversedSums(manual.Linear):
    """Adds the inputs up from the last to the first, in two blocks."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return Z, summed in another order."""
        self.x, weight, half = x, self.parameters["weight"], self.in_features // 2
        z = x[:, half:][:, ::-1] @ weight[:, half:][:, ::-1].T
        return z + x[:, :half][:, ::-1] @ weight[:, :half][:, ::-1].T + self.parameters["bias"]


class ShuffledBatch(manual.Linear):
    """Sums the gradients over the examples in another order."""

    def backward(self, grad_output: np.ndarray) -> np.ndarray | None:
        """Fill in gradients of permuted examples."""
        order = np.random.default_rng(len(grad_output)).permutation(len(grad_output))
        grad_input = super().backward(grad_output)
        dy, x = grad_output[order], self.x[order]
        self.gradients = {"weight": dy.T @ x, "bias": dy.sum(axis=0)}
        return grad_input


class WithoutBLAS(manual.Linear):
    """Sums by einsum, in NumPy's own loops, not BLAS's."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return Z."""
        self.x = x
        return np.einsum("ni,oi->no", x, self.parameters["weight"]) + self.parameters["bias"]

    def backward(self, grad_output: np.ndarray) -> np.ndarray | None:
        """Fill in the gradients."""
        self.gradients = {
            "weight": np.einsum("no,ni->oi", grad_output, self.x),
            "bias": np.einsum("no->o", grad_output),
        }
        return np.einsum("no,oi->ni", grad_output, self.parameters["weight"]) if self.needs_input_gradient else None


VARIANTS: dict[str, Callable[..., Any]] = {
    "as it is": manual.Linear,
    "sums reversed": ReversedSums,
    "batch shuffled": ShuffledBatch,
    "without BLAS": WithoutBLAS,
}

# (preset, variant, dtype, steps, threads): 2 x 2,400 steps of 23 tensors, and 2 x 150 of 35
TRIALS = [
    *[("article", variant, dtype, 600, 1) for variant in VARIANTS for dtype in ("float64", "float32")],
    *[("relu", "sums reversed", dtype, 75, 1) for dtype in ("float64", "float32")],
    *[("relu", "as it is", dtype, 75, 2) for dtype in ("float64", "float32")],
]


def false_alarms() -> tuple[int, int, list[dict[str, Any]]]:
    """Return the number of false alarms, of tensors compared, and a row for each trial."""
    dataset, alarms, checks, rows = datasets.load(), 0, 0, []
    for preset, variant, dtype, steps, count in TRIALS:
        changes = {"training": {"dtype": dtype, "steps": steps, "mode": "lockstep", "threads": count}}
        experiment = read_experiment(preset, changes)
        layers = {x.name: VARIANTS[variant](**x.arguments) for x in experiment.layers if x.kind == "Linear"}
        tally = Tally(experiment)
        with threads(count):
            for step in Loop(experiment, dataset, layers):
                tally.add(step)
        alarms += tally.verdict not in (Verdict.AGREES, Verdict.EXPLAINED)
        checks += tally.checks + tally.audited
        rows.append({
            "preset": preset, "variant": variant, "dtype": dtype, "threads": count, "steps": tally.steps,
            "checks": tally.checks, "audited": tally.audited, "verdict": str(tally.verdict),
            "kinks": len(tally.kinks),
        })  # fmt: skip
    return alarms, checks, rows
