"""Data and descriptions of worked miniatures: a handful of numbers in the place of images."""

import hashlib
from typing import Any

import numpy as np

from compare.experiment.datasets import Dataset
from compare.experiment.description import Data, Experiment, Layer, Loss, Training
from compare.experiment.optimizer import Optimizer
from compare.lockstep.loop import Step
from compare.published.reproduction import Table

AS_THEY_ARE = Data(divisor=1.0)


def dataset_of(name: str, inputs: np.ndarray, targets: np.ndarray) -> Dataset:
    """Return a data set of these inputs (N, D) and targets, labels (N,) or outputs (N, K)."""
    images = inputs[:, None, :]
    classes = targets.shape[1] if targets.ndim == 2 else int(targets.max()) + 1
    digests = {
        key: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        for key, array in (("inputs", inputs), ("targets", targets))
    }
    return Dataset(name, images, targets, images, targets, tuple(map(str, range(classes))), digests)


def description(
    name: str, layers: list[tuple[str, dict[str, Any]]], loss: Loss, optimizer: Optimizer, examples: int, steps: int = 1
) -> Experiment:
    """Return the experiment of a miniature: all its examples in one batch, in lockstep."""
    made = tuple(Layer(kind=kind, arguments=arguments) for kind, arguments in layers)
    training = Training(steps=steps, batch_size=examples, mode="lockstep", order="stored")
    return Experiment(name, made, loss=loss, optimizer=optimizer, data=AS_THEY_ARE, training=training)


def what_the_run_says(planted: str, step: Step) -> Table:
    """Return what a run says of a mistake that was planted into it: where it was found, and as what."""
    finding = step.finding
    named = ", ".join(suspect["name"] for suspect in finding.suspects) if finding else ""
    row = (planted, str(finding.verdict) if finding else "", finding.tensor if finding else "", named)
    return Table("What the run says of the planted mistake", ("planted", "verdict", "first tensor", "named"), (row,))
