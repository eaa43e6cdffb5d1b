"""The two networks of one description: manual's, reference's, and the batches that both are given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import manual
import reference
from compare.experiment.datasets import Dataset
from compare.experiment.description import DescriptionError, Experiment, Layer


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
    optimizer = getattr(manual, experiment.optimizer.kind)
    return Side(network, optimizer(network, **experiment.optimizer.options(list(network.parameters))))


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


def build_reference(experiment: Experiment, parameters: Mapping[str, np.ndarray]) -> Side:
    """Return reference's side, on the experiment's device. Raises DescriptionError where torch has no such device."""
    layers = {x.name: reference_layer(x) for x in experiment.layers}
    loss = reference.build_loss(experiment.loss.kind, dict(experiment.loss.arguments))
    for x in experiment.layers:
        own = {n: p for n, p in parameters.items() if n.startswith(f"{x.name}.")}
        theirs = {f"{x.name}.{n}": p for n, p in layers[x.name].named_parameters()}
        require_same_parameters(experiment, theirs, own)
    try:
        network = reference.Network(layers, loss, parameters, experiment.training.device)
    except (RuntimeError, AssertionError, TypeError) as unavailable:
        if experiment.training.device == "cpu":
            raise
        reason = str(unavailable).splitlines()[0]
        raise DescriptionError(f"training.device is {experiment.training.device!r}; torch says: {reason}") from None
    options = experiment.optimizer.options(list(network.weights))
    return Side(network, reference.Optimizer(experiment.optimizer.kind, network, **options))


def check_data(experiment: Experiment, dataset: Dataset) -> None:
    """Raise DescriptionError unless the network fits the data: as many outputs as classes, a batch no larger."""
    try:
        outputs = manual.fit(manual_layers(experiment), (dataset.train_images[0].size,))
    except ValueError as misfit:
        raise DescriptionError(f"layers do not fit: {misfit}") from None
    last = experiment.layers[-1]
    if experiment.loss.kind == "BCELoss" and last.kind not in ("Sigmoid",) and not last.reference:
        raise DescriptionError(f"BCELoss wants outputs from 0 to 1, as of a Sigmoid; the last layer is a {last.kind}.")
    if outputs is not None and outputs != (len(dataset.classes),):
        raise DescriptionError(
            f"{last.name} gives {manual.describe(outputs)}, but {dataset.name} has {len(dataset.classes)} classes: "
            "the last layer needs one output a class."
        )
    if experiment.training.batch_size > len(dataset.train_images):
        raise DescriptionError(
            f"training.batch_size is {experiment.training.batch_size}; wanted at most {len(dataset.train_images)}, "
            f"the number of {dataset.name}'s training images."
        )


def take_batch(images: np.ndarray, labels: np.ndarray, rows: Any, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (N, 784) in [0, 1] and labels (N,) of these rows; pixels stay uint8 until here."""
    pixels = images[rows]
    return np.divide(pixels.reshape(len(pixels), -1), 255, dtype=dtype), labels[rows]
