"""Kinks: where a ReLU's input is nearer to 0 than rounding can tell, two correct networks may take different sides.

Such a disagreement is explained, not tolerated: the pass is computed again with the other side's choice, and only if
that removes the disagreement altogether is it accepted, with every unit listed.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import manual
from compare.agreement.carried import carried_bounds
from compare.agreement.trace import Trace
from compare.experiment.description import Experiment


@dataclass(frozen=True)
class Kink:
    """A unit whose pre-activation lies on different sides of 0 on the two sides."""

    step: int
    layer: str
    example: int
    unit: int
    value: float  # on the manual side
    reference: float
    bound: float  # how far rounding may move it


class ForcedReLU:
    """A ReLU whose sides are given, not decided."""

    def __init__(self, off: np.ndarray):
        self.off = off

    def forward(self, z: np.ndarray) -> np.ndarray:
        """Return z where the unit is on."""
        return np.where(self.off, 0, z)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return the gradient where the unit is on."""
        return np.where(self.off, 0, grad_output)


def find_kinks(
    step: int, experiment: Experiment, mine: Trace, theirs: Trace, bounds: Mapping[str, float]
) -> list[Kink]:
    """Return every unit that is on for one side and off for the other, in the order of the pass."""
    kinks, before = [], "input"
    for layer in experiment.layers:
        if layer.kind == "ReLU":
            m, r = mine[before], theirs[before]
            for where in np.argwhere((m <= 0) != (r <= 0)):
                example, unit = int(where[0]), int(np.ravel_multi_index(tuple(where[1:]), m.shape[1:]))
                place = tuple(int(i) for i in where)
                kinks.append(Kink(step, layer.name, example, unit, float(m[place]), float(r[place]), bounds[before]))
        before = f"{layer.name}.output"
    return kinks


def still_apart(
    experiment: Experiment, network: Any, mine: Trace, theirs: Trace, state_before: Trace, kinks: list[Kink]
) -> set[str] | None:
    """Return the tensors that differ from the reference's although the pass is computed again with its sides.

    None where there is nothing to explain, or a kink is farther from 0 than rounding can move it.
    """
    if not kinks or any(abs(kink.value) > kink.bound or abs(kink.reference) > kink.bound for kink in kinks):
        return None
    off, before = {}, "input"
    for layer in experiment.layers:
        if layer.kind == "ReLU":
            off[layer.name] = theirs[before] <= 0
        before = f"{layer.name}.output"
    trace = forced_trace(experiment, network, mine, state_before, off)
    bounds = carried_bounds(experiment, trace, state_before)
    return {
        name for name, array in trace.items()
        if not np.linalg.norm(np.ravel(array.astype(np.float64) - theirs[name])) <= bounds[name]
    }  # fmt: skip


def forced_trace(
    experiment: Experiment, network: Any, start: Trace, state_before: Trace, off: Mapping[str, np.ndarray]
) -> Trace:
    """Return the step computed again, from the batch and parameters of `start`, with each ReLU's side as `off` says."""
    layers = copy.deepcopy(dict(network.layers)) | {name: ForcedReLU(where) for name, where in off.items()}
    parameters = {name: start[name] for name in network.parameters}
    again = manual.Network(layers, copy.deepcopy(network.loss_function), parameters)
    optimizer = getattr(manual, experiment.optimizer.kind)(again, **experiment.optimizer.options(list(parameters)))
    optimizer.state = {key: value.copy() for key, value in state_before.items()}
    again.loss(start["input"], start["target"])
    again.backward()
    optimizer.step()
    return again.trace()
