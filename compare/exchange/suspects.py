"""Naming a mistake that a trace shows only by its effect.

Where the operation that went wrong has all its inputs recorded, `diagnose` re-enacts the mistakes in it alone. Otherwise
each mistake of the catalogue is planted into the manual network, in every operation of its kind and in each one alone,
which then takes the port's steps: a mistake that reproduces every recorded tensor up to the finding is a suspect.
"""

from collections.abc import Iterator
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

HISTORY = 10  # steps at most that are taken again from the last whole start


def reenacted(bundle: Bundle, taken: list[Taken], bounds: list[dict[str, Bound]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the suspects, best first, and the mistakes that are ruled out.

    `taken` are the steps from one whose start is known to that of the finding, `bounds` what they allow. Nothing is
    ruled out that has no effect on the recorded tensors or cannot be made here.
    """
    found: dict[str, Explanation] = {}
    ruled_out: list[str] = []
    for mistake in CATALOGUE.values():
        if mistake.precision or mistake.fitted or "Network" in mistake.on:
            continue
        residuals = [residual(bundle, side, taken, bounds) for side in sides(bundle, mistake, taken)]
        fitting = [r for r in residuals if r is not None]
        if fitting:
            found[mistake.name] = Explanation(mistake.name, mistake.about, min(fitting))
        elif residuals:
            ruled_out.append(mistake.name)
    return [suspect(e) for e in sorted(found.values(), key=lambda e: e.residual)], ruled_out


def sides(bundle: Bundle, mistake: Mistake, taken: list[Taken]) -> Iterator[tuple[Side, Planted]]:
    """Yield manual sides with the mistake in them: at every operation of its kind, then at each alone."""
    experiment, first = bundle.experiment, taken[0]
    start = {name: first.completed[name] for name in bundle.initial} | first.start.parameters

    def fresh() -> Side:
        side = build_manual(experiment, start)
        side.optimizer.state = {key: value.copy() for key, value in first.state_before.items()}
        return side

    places = [layer.name for layer in experiment.layers if layer.kind in mistake.on]
    if not places or mistake.companion:
        side = fresh()
        batches = [bundle.batch(taken[0].number)]
        try:
            yield side, plant(mistake, experiment, side, batches, bundle.classes)
        except DescriptionError:
            return
        return
    kinds, common = {layer.name: layer.kind for layer in experiment.layers}, common_facts(experiment, bundle.classes)
    for chosen in [places, *([place] for place in places if len(places) > 1)]:
        side = fresh()
        planted = Planted(mistake, chosen[0], "", "")
        for name in chosen:
            if mistake.key == "input" and name == experiment.layers[0].name:
                continue  # the first layer gives no gradient for its input
            side.network.layers[name] = PlantedLayer(
                side.network.layers[name], name, planted, side.network, kinds, common
            )
        yield side, planted


def residual(
    bundle: Bundle, spoiled: tuple[Side, Planted], taken: list[Taken], bounds: list[dict[str, Bound]]
) -> float | None:
    """Return the largest share of what is allowed that a planted network leaves; None where it leaves more.

    None, too, for a mistake that has no effect in these steps: that explains nothing.
    """
    side, planted = spoiled
    largest = 0.0
    for step, allowed in zip(taken, bounds, strict=True):
        take_over(side, step)
        try:
            trace = manual_step(side, planted, *bundle.batch(step.number))
        except Exception:  # a mistake that this network cannot carry: shapes that do not fit, an overflow
            return None
        for name, bound in allowed.items():
            left = distance(trace[name], step.port[name]) if trace[name].shape == step.port[name].shape else np.inf
            if not left <= 2 * bound.value:
                return None
            largest = max(largest, left / bound.value if bound.value else 0.0)
    return largest if planted.first_effect is not None else None


def take_over(side: Side, step: Taken) -> None:
    """Write what is known of the port before a step into a planted network."""
    for name, array in step.start.parameters.items():
        side.network.parameters[name][...] = array
    for key, array in step.start.state.items():
        side.optimizer.state[key] = array.copy()


def manual_step(side: Side, planted: Planted, x: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """Let a planted network take a step; return its trace."""
    if planted.spoil_batch:
        x, target = planted.spoil_batch(x, target)
    side.network.loss(x, target)
    side.network.backward()
    side.optimizer.step()
    return side.network.trace()
