"""Kinks: where a ReLU's input is nearer to 0 than rounding can tell, two correct networks may take different sides;
likewise where two numbers of a pooling window are nearer to each other.

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
from compare.agreement.operations import restore, resume
from compare.agreement.step_check import StepCheck
from compare.agreement.trace import Trace
from compare.experiment.description import Experiment, Layer

KINKED = ("ReLU", "LeakyReLU", "MaxPool2d")


@dataclass(frozen=True)
class Kink:
    """A unit whose pre-activation lies on different sides of 0 on the two sides, or a window with another winner."""

    step: int
    layer: str
    example: int
    unit: int
    value: float  # on the manual side
    reference: float
    bound: float  # how far rounding may move it
    tensor: str = ""  # which the explanation brings together most
    apart: float | None = None  # by how many u it differed
    left: float | None = None  # and by how many it differs with the other side's choice


@dataclass(frozen=True)
class Explanation:
    """What is left of a disagreement when the pass is computed again with the other side's choices."""

    apart: set[str]  # the tensors that still differ by more than the carried bound
    tensor: str  # the one that it brings together most, with its error before and after, in u
    before: float
    after: float


class ForcedSlope:
    """A ReLU or LeakyReLU whose sides are given, not decided."""

    def __init__(self, off: np.ndarray, slope: float):
        self.off, self.slope = off, slope

    def forward(self, z: np.ndarray) -> np.ndarray:
        """Return z where the unit is on, its slope times z where it is off."""
        return np.where(self.off, self.slope * z if self.slope else 0, z)

    backward = forward


class ForcedPool:
    """A MaxPool2d whose winners are given, not decided: those of another input."""

    def __init__(self, pool: Any, other: np.ndarray):
        self.pool, self.other = pool, other

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return what stands where the other input has its winners."""
        self.pool.forward(self.other)
        return self.pool.take(x)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return the gradient, which goes to those winners."""
        return self.pool.backward(grad_output)


def forced(layer: Layer, theirs: np.ndarray) -> Any:
    """Return the layer with the choices that the reference's input leads to."""
    if layer.kind == "MaxPool2d":
        return ForcedPool(layer.build(), theirs)
    slope = layer.arguments.get("negative_slope", 0.01) if layer.kind == "LeakyReLU" else 0.0
    return ForcedSlope(theirs <= 0, slope)


def find_kinks(
    step: int, experiment: Experiment, mine: Trace, theirs: Trace, bounds: Mapping[str, float]
) -> list[Kink]:
    """Return every unit for which the two sides choose differently, in the order of the pass."""
    kinks, before = [], "input"
    for layer in experiment.layers:
        if layer.kind in KINKED and before != "input":
            find = pool_kinks if layer.kind == "MaxPool2d" else side_kinks
            kinks += find(step, layer, mine[before], theirs[before], bounds[before])
        before = f"{layer.name}.output"
    return kinks


def side_kinks(step: int, layer: Layer, mine: np.ndarray, theirs: np.ndarray, bound: float) -> list[Kink]:
    """Return the units that are on for one side and off for the other."""
    kinks = []
    for where in np.argwhere((mine <= 0) != (theirs <= 0)):
        place = tuple(int(i) for i in where)
        unit = int(np.ravel_multi_index(place[1:], mine.shape[1:]))
        kinks.append(Kink(step, layer.name, place[0], unit, float(mine[place]), float(theirs[place]), bound))
    return kinks


def pool_kinks(step: int, layer: Layer, mine: np.ndarray, theirs: np.ndarray, bound: float) -> list[Kink]:
    """Return the windows whose largest number stands elsewhere for the other side.

    The kink's values are by how much the manual side's winner is larger than the reference's, on either side.
    """
    pool = layer.build()
    own, other = pool.forward(mine), pool.forward(theirs)
    winners_of_theirs = pool.take(mine)
    pool.forward(mine)
    winners_of_mine = pool.take(theirs)
    kinks = []
    for where in np.argwhere((winners_of_theirs != own) | (winners_of_mine != other)):
        place = tuple(int(i) for i in where)
        unit = int(np.ravel_multi_index(place[1:], own.shape[1:]))
        ahead, behind = own[place] - winners_of_theirs[place], winners_of_mine[place] - other[place]
        kinks.append(Kink(step, layer.name, place[0], unit, float(ahead), float(behind), 2 * bound))
    return kinks


def explanation(
    experiment: Experiment, network: Any, mine: Trace, theirs: Trace, state_before: Trace, kinks: list[Kink]
) -> Explanation | None:
    """Return what is left when the pass is computed again with the reference's sides.

    None where there is nothing to explain, or a kink is farther from 0 than rounding can move it. How much closer the
    two sides come is told beside the verdict: in float32 the carried bound may be too wide to ask for much.
    """
    if not kinks or any(abs(kink.value) > kink.bound or abs(kink.reference) > kink.bound for kink in kinks):
        return None
    choices, before = {}, "input"
    for layer in experiment.layers:
        if layer.kind in KINKED:
            choices[layer.name] = forced(layer, theirs[before])
        before = f"{layer.name}.output"
    trace = forced_trace(experiment, network, mine, state_before, choices)
    bounds = carried_bounds(experiment, trace, state_before)
    apart = {
        name for name, array in trace.items()
        if not np.linalg.norm(np.ravel(array.astype(np.float64) - theirs[name])) <= bounds[name]
    }  # fmt: skip
    check = StepCheck(experiment.training.dtype)
    before, after = check.errors(mine, theirs), check.errors(trace, theirs)
    nearer = max(after, key=lambda name: before[name] / max(after[name], 1.0))
    return Explanation(apart, nearer, before[nearer], after[nearer])


def forced_trace(
    experiment: Experiment, network: Any, start: Trace, state_before: Trace, choices: Mapping[str, Any]
) -> Trace:
    """Return the step computed again from what `start` started with, with these layers in the places of their names."""
    layers = copy.deepcopy(dict(network.layers))
    restore(layers, start)
    layers |= choices
    parameters = {name: start[name] for name in network.parameters}
    again = manual.Network(layers, copy.deepcopy(network.loss_function), parameters)
    optimizer = getattr(manual, experiment.optimizer.kind)(again, **experiment.optimizer.options(list(parameters)))
    resume(optimizer, state_before)
    again.loss(start["input"], start["target"])
    again.backward()
    optimizer.step()
    return again.trace()
