"""The two networks of one description: manual's and reference's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import manual
import reference
from compare.experiment.batches import classes_of, example_shape, take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import DescriptionError, Experiment, Layer
from compare.experiment.streams import stream


@dataclass
class Side:
    """One side of the comparison: a network and its optimizer, manual's or reference's."""

    network: Any
    optimizer: Any


def manual_layers(experiment: Experiment) -> dict[str, Any]:
    """Return manual's layers by name."""
    return {layer.name: layer.build() for layer in experiment.layers}


def parameter_shapes(experiment: Experiment) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter by name."""
    network = manual.Network(manual_layers(experiment), manual.SquaredError())
    return {name: array.shape for name, array in network.parameters.items()}


def build_manual(
    experiment: Experiment, parameters: Mapping[str, np.ndarray], replaced: Mapping[str, Any] | None = None
) -> Side:
    """Return manual's side. `replaced` puts layers of the user's own in the places of these names ("loss" too)."""
    layers, replaced = manual_layers(experiment), dict(replaced or {})
    loss = replaced.pop("loss", None) or getattr(manual, experiment.loss.kind)(**experiment.loss.arguments)
    if unknown := replaced.keys() - layers.keys():
        raise DescriptionError(f"There are no layers {sorted(unknown)} to replace; the network has {list(layers)}.")
    network = manual.Network(layers | replaced, loss, parameters)
    for name, layer in drawing_layers(network.layers):
        layer.rng = stream(experiment.training.seed, f"drawn {name}")
    optimizer = getattr(manual, experiment.optimizer.kind)
    return Side(network, optimizer(network, **experiment.optimizer.options(list(network.parameters))))


def drawing_layers(layers: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the layers that draw at random, those inside residual connections too, with their full names."""
    for name, layer in layers.items():
        if isinstance(getattr(layer, "layers", None), Mapping):
            yield from drawing_layers(layer.layers, f"{prefix}{name}.")
        elif hasattr(layer, "drawn") and hasattr(layer, "rng"):
            yield f"{prefix}{name}", layer


def reference_layer(layer: Layer) -> Any:
    """Return reference's layer. Raises DescriptionError where torch has no such thing, or not these arguments."""
    try:
        return reference.build_layer(layer.reference or layer.kind, dict(layer.arguments))
    except (AttributeError, TypeError, ValueError) as wrong:
        raise DescriptionError(f"layer {layer.name}: torch makes nothing of {layer.reference!r}: {wrong}") from None


def require_same_parameters(experiment: Experiment, theirs: Mapping[str, Any], mine: Mapping[str, np.ndarray]) -> None:
    """Raise DescriptionError unless both sides have the same parameters: a user's layer may not be torch's."""
    found = {name: tuple(weight.shape) for name, weight in theirs.items()}
    wanted = {name: array.shape for name, array in mine.items()}
    if found != wanted:
        raise DescriptionError(
            f"{experiment.name}: the manual layers have the parameters {wanted}, the reference {found}; "
            "wanted the same."
        )


def reference_layers(experiment: Experiment, parameters: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return reference's layers by name. Raises DescriptionError where they have not these parameters."""
    layers = {x.name: reference_layer(x) for x in experiment.layers}
    for x in experiment.layers:
        own = {n: p for n, p in parameters.items() if n.startswith(f"{x.name}.")}
        theirs = {f"{x.name}.{n}": p for n, p in layers[x.name].named_parameters()}
        require_same_parameters(experiment, theirs, own)
    return layers


def build_reference(experiment: Experiment, parameters: Mapping[str, np.ndarray]) -> Side:
    """Return reference's side, on the experiment's device. Raises DescriptionError where torch has no such device."""
    return with_optimizer(experiment, build_reference_network(experiment, parameters), reference.Optimizer)


def build_reference_network(experiment: Experiment, parameters: Mapping[str, np.ndarray]) -> reference.Network:
    """Return reference's network alone. Raises as `build_reference` does.

    Who does not train it is spared torch's optimizers, which take half as long to import as all the rest of torch.
    """
    layers = reference_layers(experiment, parameters)
    loss = reference.build_loss(experiment.loss.kind, dict(experiment.loss.arguments))
    try:
        network = reference.Network(layers, loss, parameters, experiment.training.device)
    except (RuntimeError, AssertionError, TypeError) as unavailable:
        if experiment.training.device == "cpu":
            raise
        reason = str(unavailable).splitlines()[0]
        raise DescriptionError(f"training.device is {experiment.training.device!r}; torch says: {reason}") from None
    seed_dropouts(experiment, network)
    return network


def build_trained_reference(experiment: Experiment, parameters: Mapping[str, np.ndarray]) -> Side:
    """Return reference's side for training: on as many processes as the experiment says.

    Raises DistributedError where they cannot be started.
    """
    ranks = experiment.training.world_size
    if ranks == 1:
        return build_reference(experiment, parameters)
    loss = reference.ShardLoss(experiment.loss.kind, experiment.loss.arguments)
    network = reference.DistributedNetwork(reference_layers(experiment, parameters), loss, parameters, ranks)
    seed_dropouts(experiment, network)
    return with_optimizer(experiment, network, reference.DistributedOptimizer)


def seed_dropouts(experiment: Experiment, network: Any) -> None:
    """Give the layers of reference's network that draw at random the streams that manual's draw from."""
    seed = experiment.training.seed
    network.seed({n: stream(seed, f"drawn {n}") for n, layer in experiment.leaves() if layer.kind == "Dropout"})


def with_optimizer(experiment: Experiment, network: Any, optimizer: Any) -> Side:
    """Return the side of a network of reference's, its optimizer built by `optimizer`."""
    options = experiment.optimizer.options(list(network.weights))
    return Side(network, optimizer(experiment.optimizer.kind, network, **options))


def check_data(experiment: Experiment, dataset: Dataset) -> None:
    """Raise DescriptionError unless the network fits the data: as many outputs as classes, a batch no larger."""
    try:
        outputs = manual.fit(manual_layers(experiment), example_shape(experiment.data, dataset))
    except ValueError as misfit:
        raise DescriptionError(f"layers do not fit: {misfit}") from None
    last = experiment.layers[-1]
    classes = len(classes_of(experiment.data, dataset))
    if experiment.loss.kind == "BCELoss" and last.kind not in ("Sigmoid",) and not last.reference:
        raise DescriptionError(f"BCELoss wants outputs from 0 to 1, as of a Sigmoid; the last layer is a {last.kind}.")
    if outputs is not None and outputs != (classes,):
        raise DescriptionError(
            f"{last.name} gives {manual.describe(outputs)}, but {dataset.name} has {classes} classes: "
            "the last layer needs one output a class."
        )
    if experiment.training.batch_size > len(dataset.train_images):
        raise DescriptionError(
            f"training.batch_size is {experiment.training.batch_size}; wanted at most {len(dataset.train_images)}, "
            f"the number of {dataset.name}'s training images."
        )
    if experiment.training.world_size > 1:
        check_examples_apart(experiment, dataset)


def check_examples_apart(experiment: Experiment, dataset: Dataset) -> None:
    """Raise DescriptionError where a layer mixes the examples of a batch, so that shards would not add up to it.
    The layers that are asked have weights of their own.
    """
    layers = {x.name: reference_layer(x) for x in experiment.layers}
    images, labels, training = dataset.train_images, dataset.train_labels, experiment.training
    x, _ = take_batch(images, labels, slice(0, 2), training.dtype, experiment.data)
    mixing = reference.mixing_layer(layers, x)
    if mixing is not None:
        raise DescriptionError(
            f"layer {mixing} mixes the examples of a batch (as a Softmax over dimension 0 does, or a recurrent layer "
            f"without batch_first): with a training.world_size of {training.world_size} each process has its own "
            f"examples alone. Set training.world_size to 1, or let it work on each example by itself."
        )
    if not any(True for layer in layers.values() for _ in layer.parameters()):
        raise DescriptionError(
            f"{experiment.name} has no weights; wanted some with a training.world_size of {training.world_size}, for "
            f"there are no gradients to average. Set training.world_size to 1."
        )
