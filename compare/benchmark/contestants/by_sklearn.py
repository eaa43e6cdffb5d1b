"""scikit-learn's `MLPClassifier.partial_fit`, one batch a call: solver sgd, no momentum, no penalty.

It has a loss of its own, which cannot be chosen: sigmoids in the hidden layers, then softmax and cross-entropy, the
mean over the batch. So the step that it must compute is manual's for that network: see `twin`.
"""

from dataclasses import replace
from typing import Any, cast

import numpy as np

from compare.benchmark.contestants.contestant import Contestant, Weights
from compare.benchmark.networks import initial, sizes_of
from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment, Loss


def twin(experiment: Experiment) -> Experiment:
    """Return the description of what scikit-learn trains instead: no last sigmoid, and cross-entropy."""
    return replace(experiment, layers=experiment.layers[:-1], loss=Loss("CrossEntropyLoss"))


def by_sklearn(experiment: Experiment, dataset: Dataset) -> Contestant:
    """Return scikit-learn's training step."""
    from sklearn.neural_network import MLPClassifier  # brings a second BLAS: see DESIGN, only when it is measured

    size, dtype = experiment.training.batch_size, experiment.training.dtype
    network = MLPClassifier(
        hidden_layer_sizes=[outputs for _, outputs in sizes_of(experiment)[:-1]], activation="logistic", solver="sgd",
        alpha=0.0, batch_size=cast("Any", size), learning_rate_init=experiment.optimizer.lr, momentum=0.0,
        nesterovs_momentum=False, shuffle=False,
    )  # fmt: skip
    images, labels = dataset.train_images, dataset.train_labels
    network.partial_fit(*take_batch(images, labels, slice(0, size), dtype), classes=np.arange(10))  # makes its arrays
    start = list(initial(experiment).values())
    for mine, weight in zip(network.coefs_, start[::2], strict=True):
        mine[...] = weight.T
    for mine, bias in zip(network.intercepts_, start[1::2], strict=True):
        mine[...] = bias

    def step(rows: np.ndarray) -> None:
        network.partial_fit(*take_batch(images, labels, rows, dtype))

    def weights() -> Weights:
        pairs = zip(network.coefs_, network.intercepts_, strict=True)
        return [array for weight, bias in pairs for array in (weight.T, bias)]

    return Contestant(step, weights)
