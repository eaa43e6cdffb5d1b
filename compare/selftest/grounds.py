"""Where the self-test plants: small networks that between them admit every mistake, and the networks on MNIST."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from compare.diagnosis.evidence import Evidence
from compare.diagnosis.mistakes import Mistake
from compare.diagnosis.plant import choose_site, correct_steps, operations_of
from compare.experiment import datasets
from compare.experiment.datasets import Dataset
from compare.experiment.description import DescriptionError, Experiment
from compare.experiment.files import from_document, read_experiment
from compare.selftest.networks import NETWORKS

MNIST_IMAGES = 205  # a slice of the real digits, so that the short last batch of an epoch comes soon
MNIST_PRESETS = ("article", "article-cross-entropy", "relu")
LARGER_PRESETS = ("batchnorm", "adam", "lenet", "attention-rows", "lstm-rows")  # the quicker ones first


@dataclass(frozen=True)
class Ground:
    """A network and the data that it trains on."""

    experiment: Experiment
    dataset: Dataset

    @cached_property
    def right(self) -> Evidence:
        """What correct steps come to."""
        return correct_steps(self.experiment, self.dataset)

    def admits(self, mistake: Mistake) -> bool:
        """Whether the mistake can be made in the network."""
        if not operations_of(self.experiment) & {*mistake.on}:
            return False
        try:
            choose_site(mistake, self.right)
        except DescriptionError:
            return False
        return True

    def computed_in(self, dtype: str) -> "Ground":
        """Return the same in another precision."""
        return Ground(self.experiment.changed("training", dtype=dtype), self.dataset)


def small_dataset(classes: int, side: int = 4) -> Dataset:
    """Return 40 random images of side x side pixels: generic, none blank, more than one batch and a short one."""
    rng = np.random.default_rng(20)
    images, labels = rng.integers(1, 255, (40, side, side)).astype(np.uint8), rng.permutation(np.arange(40) % classes)
    names = tuple(str(c) for c in range(classes))
    return Dataset("small", images, labels, images[:10], labels[:10], names, {})


def linear(inputs: int, outputs: int) -> dict:
    """Return the table of a linear layer."""
    return {"kind": "Linear", "in_features": inputs, "out_features": outputs}


def small(name: str, layers: list[dict], loss: dict, optimizer: dict, batch_size: int, classes: int) -> Ground:
    """Return a small network, without a square where nature has none, on its data."""
    document = {
        "name": name, "layers": layers, "loss": loss, "optimizer": optimizer,
        "training": {"batch_size": batch_size, "epochs": 2, "mode": "lockstep", "seed": 3},
    }  # fmt: skip
    return Ground(from_document(document, name), small_dataset(classes))


FORMS = {1: "flat", 2: "rows", 3: "image"}  # by the number of dimensions of an example


def from_table(table: Mapping[str, Any]) -> Ground:
    """Return a small network of `networks` on its data: see there."""
    form = "levels" if "indices" in table else FORMS[len(table["shape"])]
    document = {
        "name": table["name"], "layers": table["layers"], "loss": table["loss"], "optimizer": table["optimizer"],
        "data": {"form": form, "levels": table.get("indices", 8)},
        "training": {"batch_size": table["batch_size"], "epochs": 2, "mode": "lockstep", "seed": 3},
    }  # fmt: skip
    return Ground(from_document(document, table["name"]), small_dataset(table["classes"], table["side"]))


def activated(kind: str, *sizes: int) -> list[dict]:
    """Return linear layers of these sizes with activations between them."""
    layers: list[dict] = []
    for inputs, outputs in pairwise(sizes):
        layers += [linear(inputs, outputs), {"kind": kind}]
    return layers[:-1]


def small_grounds() -> list[Ground]:
    """Return the small networks. The square layer 5-5 lets forgotten transpositions through."""
    sigmoid = [*activated("Sigmoid", 16, 5, 5, 3), {"kind": "Sigmoid"}]
    softmax = [*activated("Sigmoid", 16, 5, 5, 5), {"kind": "LogSoftmax", "dim": 1}]
    decayed = {"lr": 0.3, "weight_decay": 0.02, "decays": "weights"}
    nesterov = {"lr": 0.3, "momentum": 0.8, "nesterov": True}
    return [
        small("sigmoid-squared-error", sigmoid, {"kind": "SquaredError"}, {"lr": 0.3}, 7, 3),
        small(
            "tanh-mse-momentum", activated("Tanh", 16, 5, 5, 3), {"kind": "MSELoss"}, {"lr": 0.3, "momentum": 0.9}, 7, 3
        ),
        small(
            "relu-cross-entropy-nesterov", activated("ReLU", 16, 5, 5, 3), {"kind": "CrossEntropyLoss"}, nesterov, 7, 3
        ),
        small("sigmoid-bce", sigmoid, {"kind": "BCELoss", "reduction": "batchmean"}, {"lr": 0.3}, 7, 3),
        small("sigmoid-nll-decay", softmax, {"kind": "NLLLoss"}, decayed, 5, 5),
        *(from_table(table) for table in NETWORKS),
    ]


def mnist_dataset() -> Dataset:
    """Return the first real digits."""
    whole = datasets.load()
    n = MNIST_IMAGES
    return replace(whole, train_images=whole.train_images[:n], train_labels=whole.train_labels[:n])


def mnist_grounds() -> list[Ground]:
    """Return the presets on real digits: the three of the layers it began with, and of others with smaller batches."""
    dataset, digits = mnist_dataset(), {"mode": "lockstep", "epochs": 2}
    presets = [(name, digits) for name in MNIST_PRESETS]
    presets += [(name, {**digits, "batch_size": 20}) for name in LARGER_PRESETS]
    return [Ground(read_experiment(name, {"training": changes}), dataset) for name, changes in presets]
