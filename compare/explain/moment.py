"""A moment: a network at one step of its training, one image gone through it and back, by hand and by autograd."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import reference
from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import DescriptionError, Experiment
from compare.experiment.examples import load_examples
from compare.experiment.networks import (
    Side,
    build_manual,
    build_reference_network,
    check_data,
    drawing_layers,
    parameter_shapes,
    reference_layer,
)
from compare.experiment.streams import batches, count_steps, initial_parameters
from compare.lockstep.run import threads

Trace = Mapping[str, np.ndarray]


class ExplainError(Exception):
    """A step that cannot be explained, since training did not come to it in one piece. Exit status 3."""


@dataclass(frozen=True)
class Moment:
    """What there is to explain. The traces hold copies; `manual` itself has taken the step.

    Where a layer mixes the examples of a batch (BatchNorm1d), an image has no cost of its own: then the image stands
    first among the others of the step's batch, and the cost is the batch's.
    """

    experiment: Experiment
    dataset: Dataset
    step: int  # from 1: the weights are those before it
    sample: int  # the image's place among the training images
    label: int
    pixels: np.ndarray  # (28, 28), uint8
    alone: bool  # whether the batch is this one image
    manual: Side
    trace: Trace  # the manual side's, up to the updated parameters
    autograd: Trace  # the reference's, up to the gradients
    loss: float
    lr: float  # of this step


def moment(experiment: Experiment, step: int = 1, sample: int | None = None) -> Moment:
    """Train the manual network up to a step, and send one image through it and through the reference, and back.

    Everything is computed in float64, without other processes, on the CPU. `sample` counts the training images from 0;
    without it the first zero is taken, as in the tutorial. Raises DescriptionError for a step or an image that there is
    not, DataError for data that cannot be had, ExplainError where training overflowed on the way.
    """
    experiment = experiment.changed("training", dtype="float64", world_size=1, device="cpu")
    dataset = load_examples(experiment.data)
    check_data(experiment, dataset)
    if experiment.loss.arguments.get("reduction") == "none":
        raise DescriptionError(
            "loss.reduction is none, so that every example has a cost of its own; wanted one number to derive: mean, "
            "sum or batchmean."
        )
    sample = chosen_sample(sample, dataset)
    with threads(experiment.training.threads), np.errstate(all="ignore"):
        manual = trained(experiment, dataset, step)
        rows, alone = batch_of(experiment, dataset, step, sample)
        x, target = take_batch(dataset.train_images, dataset.train_labels, rows, "float64", experiment.data)
        drawn = {name: layer.rng.bit_generator.state for name, layer in drawing_layers(manual.network.layers)}
        loss = manual.network.loss(x, target)
        if not math.isfinite(loss):
            earlier = " or an earlier --step" if step > 1 else ""
            raise ExplainError(
                f"{experiment.name}: the cost of image {sample} at step {step} is {loss}, of which there is no "
                f"gradient. Look at another --sample{earlier}."
            )
        autograd = by_autograd(experiment, manual, drawn, x, target)
        manual.network.backward()
        lr = float(manual.optimizer.lr)
        manual.optimizer.step()
    trace = {name: np.array(array) for name, array in manual.network.trace().items()}
    label, pixels = int(dataset.train_labels[sample]), dataset.train_images[sample]
    return Moment(experiment, dataset, step, sample, label, pixels, alone, manual, trace, autograd, loss, lr)


def chosen_sample(sample: int | None, dataset: Dataset) -> int:
    """Return the image that is meant; the first zero where none is named."""
    if sample is None:
        return int(np.argmin(dataset.train_labels))  # the first of the lowest class
    if not 0 <= sample < len(dataset.train_images):
        raise DescriptionError(
            f"--sample is {sample}; wanted one of {dataset.name}'s training images, 0 to "
            f"{len(dataset.train_images) - 1:,}."
        )
    return sample


def trained(experiment: Experiment, dataset: Dataset, step: int) -> Side:
    """Return manual's side as it is before a step. Raises DescriptionError for a step that there is not."""
    examples = len(dataset.train_images)
    require_step(experiment, examples, step)
    side = build_manual(experiment, initial_parameters(experiment, parameter_shapes(experiment)))
    images, labels, data = dataset.train_images, dataset.train_labels, experiment.data
    for _, (_, rows) in zip(range(step - 1), batches(experiment, examples), strict=False):
        side.network.loss(*take_batch(images, labels, rows, "float64", data))
        side.network.backward()
        side.optimizer.step()
    return side


def require_step(experiment: Experiment, examples: int, step: int) -> None:
    """Raise DescriptionError unless training on so many examples has this step."""
    last = count_steps(experiment, examples)
    if not 1 <= step <= last:
        raise DescriptionError(f"--step is {step:,}; {experiment.name} has the steps 1 to {last:,}.")


def batch_of(experiment: Experiment, dataset: Dataset, step: int, sample: int) -> tuple[np.ndarray, bool]:
    """Return the rows to send through the network, the sample first, and whether it is the only one."""
    layers = {layer.name: reference_layer(layer) for layer in experiment.layers}
    x, _ = take_batch(dataset.train_images, dataset.train_labels, slice(0, 2), "float64", experiment.data)
    alone = np.array([sample])
    if experiment.data.form == "tokens" or reference.mixing_layer(layers, x) is None:
        return alone, True
    _, rows = next(batches(experiment, len(dataset.train_images), step - 1))
    others = rows[rows != sample][: len(rows) - 1]
    return np.concatenate([alone, others]), False


def by_autograd(
    experiment: Experiment, manual: Side, drawn: Mapping[str, Any], x: np.ndarray, target: np.ndarray
) -> Trace:
    """Return the reference's trace of the pass that the manual side has just made, from the same weights.

    `drawn` are the states that the generators of the layers that draw had before it.
    """
    network = build_reference_network(experiment, manual.network.parameters)
    network.load(manual.network.parameters, manual.network.buffers_before)
    for name, generator in network.generators.items():
        generator.bit_generator.state = drawn[name]
    network.loss(x, target)
    network.backward()
    return {name: np.array(array) for name, array in network.trace().items()}
