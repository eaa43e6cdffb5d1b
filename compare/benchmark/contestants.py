"""The two training loops without any check: manual's, and plain PyTorch's as anyone would write it.

Both walk through the same rows of the same uint8 pixels, scaled as each batch is taken, from the same initial weights,
and subtract the gradients of the same cost, C = 1/(2N) * sum over examples and outputs of (prediction - target)^2.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

import manual
from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import DTypeName, Experiment, Initial, Layer, Optimizer, Training
from compare.experiment.networks import parameter_shapes
from compare.experiment.streams import batches, initial_parameters

LR = 0.5

Step = Callable[[np.ndarray], float | torch.Tensor]  # from the rows of a batch to its loss


def describe(hidden: int, batch_size: int, dtype: DTypeName, **training: int | str) -> Experiment:
    """Return the experiment that a benchmark trains: 784-hidden-10, sigmoids, squared error, lockstep alone."""
    options = {"mode": "lockstep", "epochs": 1000, **training}  # epochs: more than any benchmark walks
    return Experiment(
        "benchmark",
        (
            Layer("Linear", arguments={"in_features": 784, "out_features": hidden}),
            Layer("Sigmoid"),
            Layer("Linear", arguments={"in_features": hidden, "out_features": 10}),
            Layer("Sigmoid"),
        ),
        optimizer=Optimizer(lr=LR),
        initial=Initial("xavier_uniform", "zeros"),
        training=Training(batch_size=batch_size, dtype=dtype, **options),
    )


def initial(experiment: Experiment) -> dict[str, np.ndarray]:
    """Return the initial parameters, the same at every call."""
    return initial_parameters(experiment, parameter_shapes(experiment))


def rows_of(experiment: Experiment, dataset: Dataset) -> Iterator[np.ndarray]:
    """Yield the rows of every batch, each epoch in an order of its own."""
    return (rows for _, rows in batches(experiment, len(dataset.train_images)))


def manual_step(experiment: Experiment, dataset: Dataset) -> Step:
    """Return manual's training step."""
    (_, first), _, (_, second), _ = ((layer.kind, layer.arguments) for layer in experiment.layers)
    layers = [manual.Linear(**first), manual.Sigmoid(), manual.Linear(**second), manual.Sigmoid()]
    network = manual.Network(layers, manual.SquaredError(), initial(experiment))
    optimizer = manual.SGD(network, lr=LR)
    images, labels, dtype = dataset.train_images, dataset.train_labels, experiment.training.dtype

    def step(rows: np.ndarray) -> float:
        x, target = take_batch(images, labels, rows, dtype, experiment.data)
        loss = network.loss(x, target)
        network.backward()
        optimizer.step()
        return loss

    return step


def torch_step(experiment: Experiment, dataset: Dataset) -> Step:
    """Return plain PyTorch's training step, in its quicker ways: a fused loss, one-hot rows looked up, no `.item()`."""
    (_, first), _, (_, second), _ = ((layer.kind, layer.arguments) for layer in experiment.layers)
    dtype = getattr(torch, experiment.training.dtype)
    model = nn.Sequential(nn.Linear(**first), nn.Sigmoid(), nn.Linear(**second), nn.Sigmoid()).to(dtype)
    with torch.no_grad():
        for weight, start in zip(model.parameters(), initial(experiment).values(), strict=True):
            weight.copy_(torch.from_numpy(start))
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    squared_error = nn.MSELoss(reduction="sum")
    images, labels = torch.tensor(dataset.train_images).flatten(1), torch.tensor(dataset.train_labels)
    one_hot = torch.eye(10, dtype=dtype)

    def step(rows: np.ndarray) -> torch.Tensor:
        batch = torch.from_numpy(rows)
        x, target = images[batch].to(dtype) / 255, one_hot[labels[batch]]
        optimizer.zero_grad(set_to_none=True)
        loss = squared_error(model(x), target) / (2 * len(x))
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
