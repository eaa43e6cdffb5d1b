"""The networks that are raced, and what all contestants have in common: the cost, the data, the initial weights.

Sigmoid layers under C = 1/(2N) * sum over examples and outputs of (prediction - target)^2; LeNet as its preset has it,
but for the momentum: all contestants take plain gradient descent.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from compare.experiment.classes import require_known
from compare.experiment.datasets import Dataset
from compare.experiment.description import DTypeName, Experiment, Initial, Layer, Optimizer, Training
from compare.experiment.files import read_experiment
from compare.experiment.networks import parameter_shapes
from compare.experiment.streams import batches, initial_parameters

LR = 0.5
SIZES: dict[str, tuple[int, ...]] = {
    "784-10": (784, 10),
    "784-30-10": (784, 30, 10),
    "784-100-10": (784, 100, 10),
    "784-256-128-10": (784, 256, 128, 10),
}
NETWORKS = (*SIZES, "lenet")
BATCHES = (1, 10, 64, 512)
DTYPES: tuple[DTypeName, ...] = ("float32", "float64")


def describe(network: str, batch_size: int, dtype: DTypeName, **training: int | str) -> Experiment:
    """Return the experiment that a benchmark trains, lockstep alone. Raises DescriptionError for an unknown network."""
    require_known("network", network, NETWORKS)
    options = {"mode": "lockstep", "epochs": 100_000, **training}  # epochs: more than any benchmark walks
    settings = Training(batch_size=batch_size, dtype=dtype, **options)
    if network == "lenet":
        preset = read_experiment("lenet")
        return replace(preset, optimizer=Optimizer(lr=preset.optimizer.lr), training=settings)
    return sigmoids(SIZES[network], settings)


def sigmoids(sizes: tuple[int, ...], training: Training) -> Experiment:
    """Return the description of a network of sigmoid layers of these sizes."""
    layers = [
        layer
        for inputs, outputs in pairwise(sizes)
        for layer in (Layer("Linear", arguments={"in_features": inputs, "out_features": outputs}), Layer("Sigmoid"))
    ]
    start = Initial("xavier_uniform", "zeros")
    return Experiment("benchmark", tuple(layers), optimizer=Optimizer(lr=LR), initial=start, training=training)


def initial(experiment: Experiment) -> dict[str, np.ndarray]:
    """Return the initial parameters, the same at every call."""
    return initial_parameters(experiment, parameter_shapes(experiment))


def sizes_of(experiment: Experiment) -> list[tuple[int, int]]:
    """Return inputs and outputs of every linear layer."""
    linear = (layer.arguments for layer in experiment.layers if layer.kind == "Linear")
    return [(arguments["in_features"], arguments["out_features"]) for arguments in linear]


def is_dense(experiment: Experiment) -> bool:
    """Whether the network is made of linear layers and sigmoids alone."""
    return all(layer.kind in ("Linear", "Sigmoid") for layer in experiment.layers)


def rows_of(experiment: Experiment, dataset: Dataset) -> Iterator[np.ndarray]:
    """Yield the rows of every batch, each epoch in an order of its own."""
    return (rows for _, rows in batches(experiment, len(dataset.train_images)))
