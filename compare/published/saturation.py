"""Why output units of a one-layer sigmoid network never learn: computed from the images and the weights.

A unit k has z = w.x + b and learns through the factor a (1 - a) of its delta, which is next to nothing where z is far
from 0. Images of digits share their bright pixels, so the images' mean m is a large part of each: what moves z for one
image moves it for all, by about the mean z = w.m + b. A unit is out of reach when its z is far below 0 for all images:

    it may begin there     weights drawn from [-r, r] give the mean z a standard deviation of r sqrt((|m|^2 + 1) / 3)
    it may be thrown there from z near 0, where a (1 - a) is 1/4 and the error 1/2, the images of the K - 1 other digits
                           push the unit down and those of its own up: a step of gradient descent moves the mean z by
                           lr (1 - 2/K) 1/8 (|m|^2 + 1) down
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.experiment.networks import build_manual

BLOCK = 10_000  # images that go through the network at a time
SILENT = 0.01  # a mean activation below this on its own digit's images: the unit does not answer
WEIGHT, BIAS = "linear1.weight", "linear1.bias"
Parameters = dict[str, np.ndarray]


@dataclass(frozen=True)
class Look:
    """The output units (K,) of a network at one moment; z, factor and gradient are of all training images."""

    z: np.ndarray  # mean pre-activation
    spread: np.ndarray  # its standard deviation over the images
    factor: np.ndarray  # mean a (1 - a)
    gradient: np.ndarray  # norm of the gradient of the unit's weights
    own_z: np.ndarray  # mean pre-activation on the training images of the unit's own digit
    own: np.ndarray  # mean activation on the test images of the unit's own digit
    answers: np.ndarray  # on how many test images it is the largest
    recall: np.ndarray  # the share of its own digit's test images on which it is

    @property
    def stuck(self) -> np.ndarray:
        """Which units do not answer to their own digit."""
        return self.own < SILENT


def look_at(experiment: Experiment, parameters: Parameters, dataset: Dataset) -> Look:
    """Return what the units of the network with these parameters do, by manual's own passes."""
    network = build_manual(experiment, parameters).network
    z, activations, gradient, count = [], [], 0.0, len(dataset.train_images)
    for x, target in blocks(experiment, dataset.train_images, dataset.train_labels):
        network.loss(x, target)
        gradient = gradient + network.backward()[WEIGHT] * (len(x) / count)  # the loss is a mean over the block
        trace = network.trace()
        z.append(trace["linear1.output"].copy())
        activations.append(trace["sigmoid1.output"].copy())
    pre, a, labels = np.concatenate(z), np.concatenate(activations), dataset.test_labels
    test = blocks(experiment, dataset.test_images, labels)
    answer = np.concatenate([network.predict(x) for x, _ in test])
    largest, units = answer.argmax(axis=1), range(answer.shape[1])
    return Look(
        pre.mean(axis=0),
        pre.std(axis=0),
        (a * (1 - a)).mean(axis=0),
        np.linalg.norm(gradient, axis=1),
        np.array([pre[dataset.train_labels == k, k].mean() for k in units]),
        np.array([answer[labels == k, k].mean() for k in units]),
        np.bincount(largest, minlength=len(units)),
        np.array([(largest[labels == k] == k).mean() for k in units]),
    )


def blocks(experiment: Experiment, images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield inputs and targets of all images, a block at a time."""
    for start in range(0, len(images), BLOCK):
        rows = slice(start, start + BLOCK)
        yield take_batch(images, labels, rows, experiment.training.dtype, experiment.data)


@dataclass(frozen=True)
class Shared:
    """What the training images have in common."""

    mean: np.ndarray  # the mean image (D,)
    size: float  # the mean squared norm of an image

    @classmethod
    def of(cls, experiment: Experiment, dataset: Dataset) -> "Shared":
        """Return it for the training images."""
        inputs = [x for x, _ in blocks(experiment, dataset.train_images, dataset.train_labels)]
        count = len(dataset.train_images)
        mean = np.sum([x.sum(axis=0) for x in inputs], axis=0) / count
        return cls(mean, float(sum(np.square(x).sum() for x in inputs) / count))

    @property
    def common(self) -> float:
        """|m|^2 + 1: the squared norm of the mean image, and the bias's constant input."""
        return float(self.mean @ self.mean) + 1

    def start_spread(self, limit: float) -> float:
        """The standard deviation of the mean z over units whose weights and bias are drawn from [-limit, limit]."""
        return limit * float(np.sqrt(self.common / 3))

    def first_push(self, lr: float, classes: int = 10) -> float:
        """How far a step from z near 0 moves the mean z of a unit down: lr (1 - 2/K) 1/8 (|m|^2 + 1)."""
        return lr * (1 - 2 / classes) / 8 * self.common


@dataclass
class Course:
    """The mean z (K,) of the units from step to step: w.m + b, which costs next to nothing to follow."""

    mean: np.ndarray
    path: list[np.ndarray] = field(default_factory=list)

    def add(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Note the mean z with these weights."""
        self.path.append(weight @ self.mean + bias)

    @property
    def largest_fall(self) -> np.ndarray:
        """How far the mean z of each unit fell in one step, at most."""
        return -np.diff(self.path, axis=0).min(axis=0)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation, with mean ranks where values are equal; NaN where one side is constant."""
    x, y = ((np.less.outer(v, v).sum(axis=0) + np.less_equal.outer(v, v).sum(axis=0)) / 2 for v in (a, b))
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size else float("nan")
