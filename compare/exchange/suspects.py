"""Naming a mistake that a trace shows only by its effect.

Where the operation that went wrong has all its inputs recorded, `diagnose` re-enacts the mistakes in it alone.
Otherwise, and inside a layer made of layers, each mistake of the catalogue is planted into the manual network, in every
operation of its kind and in each one alone, which then takes the port's steps: a mistake that reproduces every tensor
that is to be explained is a suspect.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

import manual
from compare.agreement.operations import own_tensors, preparation, restore, resume
from compare.diagnosis.evidence import Evidence
from compare.diagnosis.mistakes import CATALOGUE, Mistake
from compare.diagnosis.plant import (
    Planted,
    PlantedLayer,
    PlantedLoss,
    PlantedOptimizer,
    batch_spoiler,
    guilty_operation,
    in_optimizer,
    plant,
)
from compare.diagnosis.reenactment import Explanation, suspect
from compare.exchange.bundle import Batch, Bundle
from compare.exchange.companions import distance
from compare.exchange.judging import Bound
from compare.exchange.steps import Taken
from compare.experiment.description import DescriptionError, Experiment, Layer
from compare.experiment.networks import Side, build_manual

HISTORY = 10  # steps at most that are taken again
Bounds = dict[str, Bound]


@dataclass(frozen=True)
class Spoiled:
    """A manual side with a mistake in it, and the operations in which it is."""

    side: Side
    planted: Planted
    where: str


def reenacted(
    bundle: Bundle, taken: list[Taken], bounds: list[Bounds], within: str = ""
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the suspects, best first, each with where it was made, and the mistakes that are ruled out.

    `taken` are the steps from one whose start is known to that of the finding, `bounds` what they allow. Nothing is
    ruled out that cannot be made here. `within`: only mistakes in the layers inside this one.
    """
    found: list[dict[str, Any]] = []
    ruled_out: list[str] = []
    inside = {leaf.kind for name, leaf in bundle.experiment.leaves() if name.startswith(f"{within}.")}
    present = inside if within else kinds(bundle.experiment)
    for mistake in CATALOGUE.values():
        if mistake.precision or mistake.fitted or not present.intersection(mistake.on):
            continue  # these look at the wrong tensor itself, or cannot be made here
        tried = [(residual(bundle, way, taken, bounds), way) for way in ways(bundle, mistake, taken[0], within)]
        fitting = [(left, way.where) for left, way in tried if left is not None]
        if fitting:
            left, where = min(fitting)
            found.append({**suspect(Explanation(mistake.name, mistake.about, left)), "where": where})
        elif any(way.planted.first_effect is not None for _, way in tried):
            ruled_out.append(mistake.name)
    return sorted(found, key=lambda entry: entry["residual"]), ruled_out


def kinds(experiment: Experiment) -> set[str]:
    """Return the kinds of operations in a step: layers, those inside others, loss, optimizer and its preparation."""
    before = preparation(experiment)
    asked = {
        "Accumulation": before["accumulate"] > 1,
        "Clipping": before["max_norm"] is not None or before["clip_value"] is not None,
        "Schedule": before["schedule"] is not None,
    }
    layers = {layer.kind for layer in (*experiment.layers, *(leaf for _, leaf in experiment.leaves()))}
    own = {"Batch", experiment.loss.kind, experiment.optimizer.kind}
    return layers | own | {kind for kind, used in asked.items() if used}


def right_step(bundle: Bundle, first: Taken, side: Side) -> Evidence:
    """Return the evidence of the step as a correct side takes it."""
    batch = bundle.batch(first.number)
    side.network.loss(batch.x, batch.target)
    side.network.backward()
    side.optimizer.step()
    trace = {name: np.array(array) for name, array in side.network.trace().items()}
    return Evidence(bundle.experiment, trace, trace, first.state_before, classes=bundle.classes)


def ways(bundle: Bundle, mistake: Mistake, first: Taken, within: str) -> Iterator[Spoiled]:
    """Yield manual sides with the mistake in them: everywhere in operations of its kind, then in each one alone."""
    experiment = bundle.experiment
    common = Evidence(experiment, {}, {}, classes=bundle.classes).common

    def fresh() -> Side:
        side = build_manual(experiment, {name: first.completed[name] for name in bundle.parameters})
        restore(side.network.layers, first.completed)
        resume(side.optimizer, first.state_before)
        return side

    if mistake.companion:
        side = fresh()
        with suppress(DescriptionError):  # this network does not admit it
            planted = plant(mistake, side, right_step(bundle, first, fresh()))
            yield Spoiled(side, planted, planted.operation)
    elif "Batch" in mistake.on:
        planted = Planted(mistake, "batch", "", "batch")
        planted.spoil_batch = batch_spoiler(planted, common)
        yield Spoiled(fresh(), planted, planted.operation)
    elif in_optimizer(mistake):
        alone = [] if mistake.everywhere else list(bundle.parameters)
        for where in ["", *alone]:
            side, planted = fresh(), Planted(replace(mistake, everywhere=not where), where, "", "optimizer.step")
            side.optimizer = PlantedOptimizer(side.optimizer, planted, common)
            yield Spoiled(side, planted, f"optimizer.step of {where}" if where else "optimizer.step")
    elif experiment.loss.kind in mistake.on:
        side, planted = fresh(), Planted(mistake, "loss", "", guilty_operation(mistake, "loss"))
        side.network.loss_function = PlantedLoss(side.network.loss_function, planted, side, experiment, common)
        yield Spoiled(side, planted, planted.operation)
    else:
        yield from in_layers(experiment, mistake, fresh, common, within)


def in_layers(
    experiment: Experiment, mistake: Mistake, fresh: Callable[[], Side], common: Mapping[str, Any], within: str
) -> Iterator[Spoiled]:
    """Yield sides with the mistake in all layers of its kind, those inside others too, then in each one alone."""
    skipped = experiment.layers[0].name if mistake.key == "input" else ""  # it gives no gradient for its input
    every = {layer.name: layer for layer in experiment.layers} | dict(experiment.leaves())
    found = [name for name, layer in every.items() if layer.kind in mistake.on and name != skipped]
    if within:
        found = [name for name in found if name.startswith(f"{within}.")]
    for chosen in [found, *([name] for name in found if len(found) > 1)]:
        if chosen:
            side, planted = fresh(), Planted(mistake, chosen[0], "", "")
            for name in chosen:
                replace_layer(side.network, experiment.layers, name, planted, common)
            yield Spoiled(side, planted, ", ".join(guilty_operation(mistake, name) for name in chosen))


def replace_layer(
    network: Any, described: tuple[Layer, ...], name: str, planted: Planted, common: Mapping[str, Any]
) -> None:
    """Put the mistake into a layer, which may lie inside others: there it sees nothing of its neighbours."""
    outer, _, rest = name.partition(".")
    layers = network.layers
    if rest:
        inner = next(layer for layer in described if layer.name == outer).inner
        replace_layer(layers[outer], inner, rest, planted, common)
        return
    surroundings: Any = network
    if not isinstance(network, manual.Network):
        surroundings = SimpleNamespace(layers={name: layers[name]}, outputs=[None], input=None)
    facts: Any = SimpleNamespace(layers=described)
    layers[name] = PlantedLayer(layers[name], name, planted, surroundings, facts, common)


def residual(bundle: Bundle, spoiled: Spoiled, taken: list[Taken], bounds: list[Bounds]) -> float | None:
    """Return the largest relative difference that a planted network leaves; None where it is more than rounding.

    None, too, for a mistake that has no effect in these steps: that explains nothing.
    """
    largest = 0.0
    for step, allowed in zip(taken, bounds, strict=True):
        take_over(spoiled.side, step)
        try:
            trace = manual_step(spoiled, bundle.batch(step.number))
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
    """Write what is known of the port before a step, and the masks of the step, into a planted network."""
    for name, array in step.start.parameters.items():
        side.network.parameters[name][...] = array
    for name, layer in side.network.layers.items():
        for key in getattr(layer, "buffers", {}):
            if (known := step.start.buffers.get(f"{name}.{key}")) is not None:
                layer.buffers[key] = known.copy()
        if drawn := own_tensors(step.expected, name, "drawn"):
            layer.replay(drawn)
    for key, array in step.start.state.items():
        side.optimizer.state[key] = array.copy()


def manual_step(spoiled: Spoiled, batch: Batch) -> dict[str, np.ndarray]:
    """Let a planted network take a step; return its trace."""
    side, x, target = spoiled.side, batch.x, batch.target
    if spoiled.planted.spoil_batch:
        x, target = spoiled.planted.spoil_batch(x, target)
    side.network.loss(x, target)
    side.network.backward()
    side.optimizer.step()
    return side.network.trace()
