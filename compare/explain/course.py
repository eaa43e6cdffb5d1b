"""The course of a training, for one image: at chosen steps the weights, and what autograd makes of the image with them.

Both sides are trained in lockstep as `compare.run` trains them. Before each chosen step the weights are kept, and the
reference is given the one image, alone: its outputs, its cost and every gradient are autograd's, of a batch of N = 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.experiment.networks import build_reference_network
from compare.experiment.streams import count_steps
from compare.explain.moment import chosen_sample
from compare.lockstep.loop import Loop
from compare.lockstep.run import threads
from reference import Network

Arrays = dict[str, np.ndarray]


class CourseError(Exception):
    """A course that cannot be recorded: says what was asked for, and what there is. Exit status 3."""


@dataclass(frozen=True)
class Instant:
    """One chosen step: the weights before it, and autograd's numbers for the image with these weights.

    `autograd` holds, in the order of a trace, every layer's output (K,), the loss, then backwards the gradient of every
    output (K,) and of every parameter, in the parameter's shape.
    """

    step: int  # from 1
    parameters: Arrays
    autograd: Arrays


@dataclass(frozen=True)
class Course:
    """The image, uint8 (H, W), its label, and what was kept at the chosen steps, in their order."""

    experiment: Experiment
    sample: int  # its place among the training images
    image: np.ndarray
    label: int
    instants: tuple[Instant, ...]


def record_course(experiment: Experiment, dataset: Dataset, steps: Sequence[int], sample: int) -> Course:
    """Train the experiment in lockstep up to the last of `steps` (from 1); return what is kept at each of them.

    `sample` is the image's place among the training images. Raises CourseError where there is no such step, or the two
    sides part; DescriptionError for an image that there is not, and for what cannot be run.
    """
    wanted = sorted(set(steps))
    if not wanted or wanted[0] < 1:
        raise CourseError(f"The steps to keep are {list(steps)}; wanted at least one, each of them 1 or above.")
    sample = chosen_sample(sample, dataset)
    total = count_steps(experiment, len(dataset.train_images))
    if wanted[-1] > total:
        raise CourseError(
            f"{experiment.name} is trained for {total} steps; found step {wanted[-1]} among those to keep."
        )
    loop = Loop(experiment.changed("training", mode="lockstep", steps=wanted[-1]), dataset)
    x, label = take_batch(
        dataset.train_images, dataset.train_labels, [sample], experiment.training.dtype, experiment.data
    )
    instants = []
    with threads(experiment.training.threads), np.errstate(all="ignore"):
        witness = build_reference_network(experiment, loop.initial)
        for step in loop:
            if step.finding:
                raise CourseError(f"The training cannot be shown beyond step {step.number}: {step.finding.reason}")
            if step.number in wanted:
                instants.append(Instant(step.number, copies(loop.weights_before), seen(witness, loop, x, label)))
    return Course(experiment, sample, dataset.train_images[sample], int(label[0]), tuple(instants))


def seen(network: Network, loop: Loop, x: np.ndarray, label: np.ndarray) -> Arrays:
    """Return autograd's numbers for the image (1, ...) with the weights before the step, without the batch's axis."""
    network.load(loop.weights_before)
    network.loss(x, label)
    network.backward()
    given = {"input", "target", *loop.weights_before}
    trace = {name: array for name, array in network.trace().items() if name not in given}
    own = {name: array[0] if name.removesuffix(".grad").endswith(".output") else array for name, array in trace.items()}
    return copies(own)


def copies(arrays: Arrays) -> Arrays:
    """Return copies of the arrays, which live on in the network."""
    return {name: np.array(array, order="C") for name, array in arrays.items()}
