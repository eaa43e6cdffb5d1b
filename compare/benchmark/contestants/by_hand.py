"""manual's training step; and the usual teaching kind, a Python loop over the examples of a batch."""

import numpy as np

from compare.benchmark.contestants.contestant import Contestant, Weights
from compare.benchmark.networks import initial
from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.experiment.networks import build_manual


def by_manual(experiment: Experiment, dataset: Dataset) -> Contestant:
    """Return manual's training step, from taking the batch to the update; no trace is asked for, and none kept."""
    side = build_manual(experiment, initial(experiment))
    network, optimizer = side.network, side.optimizer
    optimizer.keeps_previous = False
    images, labels, dtype, data = *pixels(dataset), experiment.training.dtype, experiment.data

    def step(rows: np.ndarray) -> float:
        x, target = take_batch(images, labels, rows, dtype, data)
        loss = network.loss(x, target)
        network.backward()
        optimizer.step()
        return loss

    return Contestant(step, lambda: list(network.parameters.values()))


def pixels(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the images, uint8, and the labels."""
    return dataset.train_images, dataset.train_labels


def by_example(experiment: Experiment, dataset: Dataset) -> Contestant:
    """Return a step that takes one example after another, a column vector each, and adds up the gradients.

    Scaled inputs and one-hot columns are made beforehand, as those programs do; the loss is not computed.
    """
    dtype, lr = experiment.training.dtype, experiment.optimizer.lr
    parameters = list(initial(experiment).values())
    weights, biases = parameters[::2], [bias[:, None] for bias in parameters[1::2]]
    images, labels = pixels(dataset)
    columns, targets = images.reshape(len(images), -1, 1), np.eye(10, dtype=dtype)[:, :, None]

    def gradients(x: np.ndarray, target: np.ndarray) -> tuple[Weights, Weights]:
        activations = [x]
        for weight, bias in zip(weights, biases, strict=True):
            z = np.dot(weight, activations[-1]) + bias
            activations.append(1 / (1 + np.exp(-z)))
        of_weights, of_biases = [], []
        error = activations[-1] - target
        for layer in reversed(range(len(weights))):
            a = activations[layer + 1]
            delta = error * a * (1 - a)
            of_biases.insert(0, delta)
            of_weights.insert(0, np.dot(delta, activations[layer].T))
            error = np.dot(weights[layer].T, delta)
        return of_weights, of_biases

    def step(rows: np.ndarray) -> None:
        sums = [np.zeros_like(w) for w in weights], [np.zeros_like(b) for b in biases]
        batch = np.divide(columns[rows], 255, dtype=dtype)
        for x, label in zip(batch, labels[rows], strict=True):
            found = gradients(x, targets[label])
            sums = tuple([s + g for s, g in zip(*pair, strict=True)] for pair in zip(sums, found, strict=True))
        rate = lr / len(rows)
        for kind, total in zip((weights, biases), sums, strict=True):
            kind[:] = [w - rate * g for w, g in zip(kind, total, strict=True)]

    def all_weights() -> Weights:
        return [array for w, b in zip(weights, biases, strict=True) for array in (w, b[:, 0])]

    return Contestant(step, all_weights)
