"""M. Nielsen, Neural Networks and Deep Learning: two initialisations of 784-30-10, and the network of chapter 1."""

from itertools import pairwise
from typing import Any

import numpy as np

from compare.experiment.datasets import Dataset
from compare.experiment.description import Data, Experiment, Initial, Layer, Loss, Optimizer, Training
from compare.published.comparison import Comparison, equal_count
from compare.published.epochs import AtEpochEnds, outputs_of
from compare.published.reproduction import Reproduction
from compare.published.runs import Runs
from compare.published.source import figures

SIZES, EPOCHS, TRAINED, SEED = (784, 30, 10), 30, 50_000, 12345678
DECAY = 5.0 / TRAINED  # lambda / n


def linear(inputs: int, outputs: int) -> Layer:
    """Return a layer of weights and biases."""
    return Layer("Linear", arguments={"in_features": inputs, "out_features": outputs})


def initialised(name: str, epochs_before: int) -> Experiment:
    """Return the experiment of one of the two initialisations.

    The cost is summed over the outputs and averaged over the batch. Its delta for the outputs, (a - y) / (a (1 - a)),
    times the slope of their sigmoid, a (1 - a), is the book's a - y.
    """
    return Experiment(
        f"nielsen-{name}",
        (linear(*SIZES[:2]), Layer("Sigmoid"), linear(*SIZES[1:]), Layer("Sigmoid")),
        loss=Loss("BCELoss", {"reduction": "batchmean"}),
        optimizer=Optimizer("SGD", lr=0.1, weight_decay=DECAY, decays="weights"),
        initial=Initial("given"),
        data=Data(divisor=256.0, train=TRAINED, score_on="held-out"),
        training=Training(
            epochs=EPOCHS, batch_size=10, seed=SEED, mode="lockstep", order="python-shuffle",
            epochs_before=epochs_before,
        ),
    )  # fmt: skip


EXPERIMENTS = {"default": initialised("default", 0), "large": initialised("large", EPOCHS)}


def drawn() -> dict[str, dict[str, np.ndarray]]:
    """Return the initial parameters of both networks, drawn from one stream: of each all biases, then all weights."""
    rng = np.random.RandomState(SEED)
    made = {}
    for name in EXPERIMENTS:
        biases = [rng.randn(units, 1) for units in SIZES[1:]]
        weights = [rng.randn(units, inputs) for inputs, units in pairwise(SIZES)]
        if name == "default":
            weights = [weight / np.sqrt(weight.shape[1]) for weight in weights]
        pairs = enumerate(zip(weights, biases, strict=True), start=1)
        made[name] = {
            key: array
            for n, (weight, bias) in pairs
            for key, array in ((f"linear{n}.weight", weight), (f"linear{n}.bias", bias[:, 0].copy()))
        }
    return made


def right_answers(experiment: Experiment) -> Any:
    """Return the function that counts the scored images that a network classifies right."""

    def measure(network: Any, dataset: Dataset) -> int:
        outputs = outputs_of(network, dataset.test_images, dataset.test_labels, experiment)
        return int((outputs.argmax(axis=1) == dataset.test_labels).sum())

    return measure


def weight_initialization(runs: Runs) -> Reproduction:
    """Return the 60 counts of the two initialisations beside ours."""
    source, initial, made = figures("nielsen"), drawn(), list[Comparison]()
    published = source["weight initialization, 784-30-10"]
    for name, experiment in EXPERIMENTS.items():
        ends = AtEpochEnds(right_answers(experiment))
        runs.run(experiment, name, initial=initial[name], begin=ends.begin, watchers=[ends])
        pairs = enumerate(zip(published[name], ends.measured, strict=True), start=1)
        made += [equal_count(f"{name}, epoch {n}, right of 10,000", theirs, ours) for n, (theirs, ours) in pairs]
    return Reproduction(
        name="nielsen-initialization",
        source=source["source"],
        recipe=tuple(published["recipe"]),
        differs=(
            "The weight decay is part of the gradient, W - eta (sum of gradients / m + lambda/n W); in the book the "
            "weights are shrunk first. The two are equal but for rounding, which changes no count.",
        ),
        comparisons=tuple(made),
        runs=tuple(runs.made),
    )
