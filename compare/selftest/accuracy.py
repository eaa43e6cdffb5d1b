"""What the accuracy makes of a planted mistake: the manual network alone, trained with it to the end."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from compare.diagnosis.mistakes import Mistake
from compare.diagnosis.plant import correct_steps, find_mistake, plant
from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.experiment.networks import build_manual, parameter_shapes
from compare.experiment.streams import batches, initial_parameters
from compare.lockstep.loop import Loop, train_alone
from compare.lockstep.metrics import predict
from compare.lockstep.run import threads
from compare.selftest.run import Trial, watch

# Those of manual/derivation/confusions.md, in its order.
CONFUSIONS = (
    "delta-doubled", "delta-halved",
    "delta-divided-by-outputs", "delta-summed-instead-of-averaged", "delta-averaged-twice", "weight-gradient-averaged",
    "weight-gradient-reshaped", "weight-reshaped-backward", "random-feedback-weights",
    "derivative-taken-of-activation", "derivative-formula-with-pre-activation", "sigmoid-derivative-without-rest",
    "activation-derivative-missing", "pre-activation-in-weight-gradient",
    "bias-gradient-averaged", "bias-gradient-last-example", "bias-gradient-one-for-all", "bias-gradient-zero",
    "updated-weight-used",
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What one training with a mistake in it comes to, by accuracy and by a lockstep run."""

    mistake: str | None  # None: the correct network
    seed: int
    accuracies: list[float]  # on the test images, after each of the steps asked for
    found: Trial | None  # what a lockstep run says of the same mistake; None for the correct network


def measure(
    experiment: Experiment,
    dataset: Dataset,
    seeds: Sequence[int],
    after: Sequence[int],
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[Measured]:
    """Yield for the correct network and for every mistake of CONFUSIONS, from each seed, what the training comes to.

    Accuracies are taken after the steps `after`, which ascend; the last of them is the training's end.
    """
    for name in (None, *CONFUSIONS):
        for seed in seeds:
            progress(f"{name or 'correct'}, seed {seed}")
            seeded = experiment.changed("training", seed=seed, mode="lockstep")
            mistake = find_mistake(name) if name else None
            with threads(1), np.errstate(all="ignore"):
                found = watch(Loop(seeded, dataset, mistake=mistake), mistake) if mistake else None
                yield Measured(name, seed, accuracies(seeded, dataset, mistake, after), found)


def accuracies(experiment: Experiment, dataset: Dataset, mistake: Mistake | None, after: Sequence[int]) -> list[float]:
    """Train the manual network alone, with the mistake in it; return the test accuracies after these steps."""
    side = build_manual(experiment, initial_parameters(experiment, parameter_shapes(experiment)))
    planted = plant(mistake, side, correct_steps(experiment, dataset)) if mistake else None
    measured, training = [], experiment.training
    for number, (_, rows) in enumerate(batches(experiment, len(dataset.train_images)), start=1):
        x, target = take_batch(dataset.train_images, dataset.train_labels, rows, training.dtype, experiment.data)
        if planted and planted.spoil_batch:
            x, target = planted.spoil_batch(x, target)
        train_alone(side, x, target)
        if number in after:
            predicted, truth = predict(side.network, dataset, training.dtype, experiment.data)
            measured.append(float(np.mean(predicted == truth)))
        if number == after[-1]:
            break
    return measured
