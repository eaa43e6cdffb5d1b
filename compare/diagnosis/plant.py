"""Planting: a mistake of the catalogue is put into the manual side, so that a whole run goes with it."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

import numpy as np

from compare.agreement.operations import preparation, state_of
from compare.agreement.trace import BUFFERS
from compare.diagnosis.evidence import Evidence
from compare.diagnosis.mistakes import CATALOGUE, Mistake
from compare.diagnosis.planted import Planted
from compare.diagnosis.planted_layers import InPlaceLayer, PlantedLayer, PlantedLoss, batch_spoiler
from compare.diagnosis.planted_optimizer import PlantedOptimizer
from compare.experiment.batches import take_batch
from compare.experiment.classes import nearest
from compare.experiment.datasets import Dataset
from compare.experiment.description import DescriptionError, Experiment
from compare.experiment.networks import Side, build_manual, parameter_shapes
from compare.experiment.streams import batches, initial_parameters
from manual.optimizers import OPTIONS


def find_mistake(name: str) -> Mistake:
    """Return the mistake of that name; DescriptionError, with the nearest name, if there is none."""
    if name not in CATALOGUE:
        raise DescriptionError(
            f"There is no mistake {name!r}.{nearest(name, CATALOGUE)} See `backproof list mistakes`."
        )
    return CATALOGUE[name]


def plant(mistake: Mistake, side: Side, right: Evidence) -> Planted:
    """Put the mistake into the manual side, at the first operation of the network where it can be made.

    `right` is what correct steps of the run come to: see `correct_steps`. Raises DescriptionError where no operation of
    the network admits the mistake.
    """
    where, experiment, network = choose_site(mistake, right), right.experiment, side.network
    if "Network" in mistake.on:
        return plant_in_network(mistake, where, experiment, side)
    planted = Planted(mistake, where, spoiled_tensor(mistake, where, experiment), guilty_operation(mistake, where))
    common = right.common
    if "Batch" in mistake.on:
        planted.spoil_batch = batch_spoiler(planted, common)
    elif in_optimizer(mistake):
        side.optimizer = PlantedOptimizer(side.optimizer, planted, common)
    elif where == "loss":
        network.loss_function = PlantedLoss(network.loss_function, planted, side, experiment, common)
    else:
        names = list(network.layers)
        network.layers[where] = PlantedLayer(network.layers[where], where, planted, network, experiment, common)
        if mistake.companion:
            below = names[names.index(where) - 1]
            for key in ("weight", "bias"):
                partner = replace(CATALOGUE[mistake.companion], key=key, wrong=lambda s, k=key: 0.5 * s.right[k])
                layer = network.layers[below]
                network.layers[below] = PlantedLayer(
                    layer, below, Planted(partner, below, "", ""), network, experiment, common
                )
    return planted


def in_optimizer(mistake: Mistake) -> bool:
    """Whether the optimizer makes the mistake: its rule, or what it does before."""
    return any(kind in OPTIONS or kind in ("Accumulation", "Clipping", "Schedule") for kind in mistake.on)


def plant_in_network(mistake: Mistake, where: str, experiment: Experiment, side: Side) -> Planted:
    """Plant a mistake that no single operation makes."""
    if where == "reference":
        first = next(iter(side.network.parameters))
        return Planted(mistake, where, first, "initial", calls=1, first_effect=1, share_memory=True)
    victim = experiment.layers[0].name
    side.network.layers[where] = InPlaceLayer(side.network.layers[where])
    return Planted(mistake, where, f"{victim}.output", f"{where}.forward", calls=1, first_effect=1)


def choose_site(mistake: Mistake, evidence: Evidence) -> str:
    """Return the name of the first operation where the mistake can be made, by trying it on some correct steps.

    The last of them is tried first: some mistakes need a step before, and others the first of all. Raises
    DescriptionError where there is none.
    """
    experiment, possible = evidence.experiment, []
    if "Network" in mistake.on:
        return site_in_network(mistake, experiment)
    step: Evidence | None = evidence
    while step:
        for name, site in step.sites.items():
            if site.kind not in mistake.on or spoiled_tensor(mistake, name, experiment) not in step.manual:
                continue  # the lowest layer with weights gives no gradient for its input
            with np.errstate(all="ignore"):
                ways = mistake.ways(site)
            if ways and not np.array_equal(ways[0], site.right[mistake.key]):
                return name
            if ways:
                possible.append(name)
        step = step.previous
    if possible:
        return possible[0]
    raise DescriptionError(
        f"The mistake {mistake.name} cannot be made in {experiment.name}: it needs {' or '.join(mistake.on)}"
        f"{', or options that this experiment does not use' if in_optimizer(mistake) else ''} ({mistake.about})"
    )


def site_in_network(mistake: Mistake, experiment: Experiment) -> str:
    """Return the same for a mistake that no single operation makes."""
    if mistake.name == "reference-shares-memory":
        return "reference"
    names = [layer.name for layer in experiment.layers]
    if len(names) < 2:
        raise DescriptionError(f"{mistake.name} needs two layers; {experiment.name} has {len(names)}.")
    return names[1]


def operations_of(experiment: Experiment) -> set[str]:
    """Return the kinds of the operations that a step has: what a mistake can be made in."""
    kinds = {layer.kind for layer in experiment.layers} | {experiment.loss.kind, experiment.optimizer.kind}
    kinds |= {"Batch", "Network"}
    before = preparation(experiment)
    kinds |= {"Accumulation"} if before["accumulate"] > 1 else set()
    kinds |= {"Schedule"} if before["schedule"] else set()
    return kinds | ({"Clipping"} if before["max_norm"] is not None or before["clip_value"] is not None else set())


def correct_steps(
    experiment: Experiment, dataset: Dataset, initial: Mapping[str, np.ndarray] | None = None
) -> Evidence:
    """Return the evidence of the first steps of a correct run, as many as make two updates: the last with those before.

    Of accumulated gradients there is one more, with which a sum begins anew. `initial` are the parameters to start
    from, without it those that the experiment tells of.
    """
    parameters = initial or initial_parameters(experiment, parameter_shapes(experiment))
    side = build_manual(experiment, parameters)
    evidence, count = None, 2 * preparation(experiment)["accumulate"]
    count += count > 2
    for _, rows in islice(batches(experiment, len(dataset.train_images)), count):
        x, target = take_batch(
            dataset.train_images, dataset.train_labels, rows, experiment.training.dtype, experiment.data
        )
        state_before = state_of(side.optimizer)
        side.network.loss(x, target)
        side.network.backward()
        side.optimizer.step()
        trace = {name: np.array(array) for name, array in side.network.trace().items()}
        evidence = Evidence(experiment, trace, trace, state_before, frozenset(), len(dataset.classes), evidence)
    if evidence is None:
        raise ValueError("A mistake is planted with the first batches of a run; there are none.")
    return evidence


def spoiled_tensor(mistake: Mistake, where: str, experiment: Experiment) -> str:
    """Return the first tensor in the order of the trace that a mistake at `where` spoils."""
    names = ["", *(layer.name for layer in experiment.layers)]
    kind = experiment.optimizer.kind.lower()
    match mistake.key:
        case "input" | "target" if where == "batch":
            return mistake.key
        case "value":
            return "loss"
        case "gradient":
            return f"{names[-1]}.output.grad"
        case "output":
            return f"{where}.output"
        case "input":
            return f"{names[names.index(where) - 1]}.output.grad"
        case "updated":
            return f"{where}.updated"
        case key if key in BUFFERS:
            return f"{where}.{key}.updated"
        case "accumulated" | "clipped" | "lr":
            return where
        case key if in_optimizer(mistake):
            return f"{kind}.{where}.{key}"
        case key:
            return f"{where}.{key}.grad"


def guilty_operation(mistake: Mistake, where: str) -> str:
    """Return the operation that a mistake at `where` makes go wrong."""
    if where == "batch":
        return "batch"
    if in_optimizer(mistake):
        return "optimizer.step"
    return f"{where}.{'forward' if mistake.key in ('output', 'value', *BUFFERS) else 'backward'}"
