"""Naming a mistake that a trace shows only by its effect.

Where the operation that went wrong has all its inputs recorded, `diagnose` re-enacts the mistakes in it alone.
Otherwise each mistake of the catalogue is planted into the manual network, in every operation of its kind and in each
one alone, which then takes the port's steps: a mistake that reproduces every recorded tensor up to the finding is a
suspect.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from compare.diagnosis.mistakes import CATALOGUE, Mistake
from compare.diagnosis.plant import Planted, PlantedLayer, common_facts, plant
from compare.diagnosis.reenactment import Explanation, suspect
from compare.exchange.bundle import Bundle
from compare.exchange.companions import distance
from compare.exchange.judging import Bound
from compare.exchange.steps import Taken
from compare.experiment.description import DescriptionError
from compare.experiment.networks import Side, build_manual

HISTORY = 10  # steps at most that are taken again
Bounds = dict[str, Bound]


@dataclass(frozen=True)
class Spoiled:
    """A manual side with a mistake in it, and the operations in which it is."""

    side: Side
    planted: Planted
    where: str


def reenacted(bundle: Bundle, taken: list[Taken], bounds: list[Bounds]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the suspects, best first, each with where it was made, and the mistakes that are ruled out.

    `taken` are the steps from one whose start is known to that of the finding, `bounds` what they allow. Nothing is
    ruled out that cannot be made here.
    """
    found: list[dict[str, Any]] = []
    ruled_out: list[str] = []
    for mistake in CATALOGUE.values():
        if mistake.precision or mistake.fitted or "Network" in mistake.on:
            continue  # these look at the wrong tensor itself, or are no operation's
        tried = [(residual(bundle, way, taken, bounds), way.where) for way in ways(bundle, mistake, taken[0])]
        fitting = [(left, where) for left, where in tried if left is not None]
        if fitting:
            left, where = min(fitting)
            found.append({**suspect(Explanation(mistake.name, mistake.about, left)), "where": where})
        elif tried:
            ruled_out.append(mistake.name)
    return sorted(found, key=lambda entry: entry["residual"]), ruled_out


def ways(bundle: Bundle, mistake: Mistake, first: Taken) -> Iterator[Spoiled]:
    """Yield manual sides with the mistake in them: at every layer of its kind, then at each alone; or where it fits."""
    experiment = bundle.experiment
    start = {name: first.reference[name] for name in bundle.initial} | first.start.parameters

    def fresh() -> Side:
        side = build_manual(experiment, start)
        side.optimizer.state = {key: value.copy() for key, value in first.state_before.items()}
        return side

    skipped = experiment.layers[0].name if mistake.key == "input" else ""  # it gives no gradient for its input
    places = [layer.name for layer in experiment.layers if layer.kind in mistake.on and layer.name != skipped]
    if not places or mistake.companion:
        side = fresh()
        try:
            planted = plant(mistake, experiment, side, [bundle.batch(first.number)], bundle.classes)
        except DescriptionError:  # this network does not admit it
            return
        yield Spoiled(side, planted, planted.operation)
        return
    kinds, common = {layer.name: layer.kind for layer in experiment.layers}, common_facts(experiment, bundle.classes)
    direction = "forward" if mistake.key == "output" else "backward"
    for chosen in [places, *([place] for place in places if len(places) > 1)]:
        side, planted = fresh(), Planted(mistake, chosen[0], "", "")
        layers = side.network.layers
        for name in chosen:
            layers[name] = PlantedLayer(layers[name], name, planted, side.network, kinds, common)
        yield Spoiled(side, planted, ", ".join(f"{name}.{direction}" for name in chosen))


def residual(bundle: Bundle, spoiled: Spoiled, taken: list[Taken], bounds: list[Bounds]) -> float | None:
    """Return the largest relative difference that a planted network leaves; None where it is more than rounding.

    None, too, for a mistake that has no effect in these steps: that explains nothing.
    """
    largest = 0.0
    for step, allowed in zip(taken, bounds, strict=True):
        take_over(spoiled.side, step)
        try:
            trace = manual_step(spoiled, *bundle.batch(step.number))
        except Exception:  # a mistake that this network cannot carry: shapes that do not fit, an overflow
            return None
        for name, bound in allowed.items():
            port = step.port[name]
            left = distance(trace[name], port) if trace[name].shape == port.shape else np.inf
            # Once for each of the two: the port may be as far from the reference on one side as this on the other.
            if not left <= 2 * bound.value:
                return None
            size = float(np.linalg.norm(np.ravel(np.asarray(port, np.float64))))
            largest = max(largest, left / size if size else 0.0)
    return largest if spoiled.planted.first_effect is not None else None


def take_over(side: Side, step: Taken) -> None:
    """Write what is known of the port before a step into a planted network."""
    for name, array in step.start.parameters.items():
        side.network.parameters[name][...] = array
    for key, array in step.start.state.items():
        side.optimizer.state[key] = array.copy()


def manual_step(spoiled: Spoiled, x: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """Let a planted network take a step; return its trace."""
    side = spoiled.side
    if spoiled.planted.spoil_batch:
        x, target = spoiled.planted.spoil_batch(x, target)
    side.network.loss(x, target)
    side.network.backward()
    side.optimizer.step()
    return side.network.trace()
