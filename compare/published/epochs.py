"""What a network is worth at the end of each epoch, while it is trained: in lockstep, or by the manual side alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import manual
from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.experiment.networks import build_manual
from compare.experiment.streams import batches
from compare.lockstep.loop import Loop, Step, train_alone
from compare.lockstep.run import threads

BLOCK = 10_000  # images that go through the network at a time


class AtEpochEnds:
    """Watches a run, and keeps what `measure` says of the manual network at the end of each epoch.

    `begin` is for the run's `begin`, the object itself for its watchers.
    """

    def __init__(self, measure: Callable[[Any, Dataset], Any]):
        self.measure, self.measured = measure, []

    def begin(self, loop: Loop) -> None:
        """Note the network and its data."""
        self.loop = loop
        self.per_epoch = -(-len(loop.dataset.train_images) // loop.experiment.training.batch_size)

    def __call__(self, step: Step) -> None:
        """Measure, if the epoch is over."""
        if step.number % self.per_epoch == 0:
            self.measured.append(self.measure(self.loop.manual.network, self.loop.dataset))


def trained_alone(
    experiment: Experiment,
    dataset: Dataset,
    initial: Mapping[str, np.ndarray],
    measure: Callable[[Any, Dataset], Any],
    show: Callable[[int], None] = lambda _: None,
) -> list[Any]:
    """Train the manual side alone; return what `measure` says of it at the end of each epoch. `show` takes the step."""
    training, images, labels = experiment.training, dataset.train_images, dataset.train_labels
    per_epoch, measured = -(-len(images) // training.batch_size), []
    with threads(training.threads):
        side = build_manual(experiment, initial)
        for number, (_, rows) in enumerate(batches(experiment, len(images)), start=1):
            train_alone(side, *take_batch(images, labels, rows, training.dtype, experiment.data))
            if number % per_epoch == 0:
                measured.append(measure(side.network, dataset))
                show(number)
    return measured


def outputs_of(network: Any, images: np.ndarray, labels: np.ndarray, experiment: Experiment) -> np.ndarray:
    """Return what the network makes of all these images, (N, K)."""
    starts, dtype = range(0, len(images), BLOCK), experiment.training.dtype
    blocks = (take_batch(images, labels, slice(n, n + BLOCK), dtype, experiment.data)[0] for n in starts)
    return np.concatenate([network.predict(x) for x in blocks])


@dataclass(frozen=True)
class Score:
    """The mean loss over a set of images, and the share of them that is classified wrong."""

    loss: float
    error: float


def score_of(network: Any, images: np.ndarray, labels: np.ndarray, experiment: Experiment) -> Score:
    """Return the network's score over all these images, the loss in the dtype of the run."""
    outputs = outputs_of(network, images, labels, experiment)
    loss = getattr(manual, experiment.loss.kind)(**experiment.loss.arguments)
    return Score(float(loss.forward(outputs, labels)), float(np.mean(outputs.argmax(axis=1) != labels)))
