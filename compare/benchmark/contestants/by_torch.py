"""Plain PyTorch, as anyone would write it, in its quicker ways: eager with each of SGD's updates, and compiled.

A fused loss, one-hot rows looked up, no `.item()`.
"""

from collections.abc import Callable
from shutil import which
from typing import Any

import numpy as np
import torch
from torch import nn

from compare.benchmark.contestants.contestant import Contestant, NotMeasured
from compare.benchmark.networks import initial
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from reference.network import build_layer


def eager(**update: bool) -> Callable[[Experiment, Dataset], Contestant]:
    """Return the eager contestant whose SGD has this update: foreach=False, foreach=True or fused=True."""
    return lambda experiment, dataset: by_torch(experiment, dataset, lambda model: model, update)


def compiled(experiment: Experiment, dataset: Dataset) -> Contestant:
    """Return the contestant whose network torch.compile has made machine code of. Raises NotMeasured."""
    if not any(which(compiler) for compiler in ("g++", "clang++", "cl")):
        raise NotMeasured("torch.compile needs a C++ compiler; there is none")
    torch.compiler.reset()  # of the networks before: torch keeps but eight, and then runs without
    return by_torch(experiment, dataset, torch.compile, {"fused": True})


def by_torch(
    experiment: Experiment, dataset: Dataset, prepared: Callable[[Any], Any], update: dict[str, bool]
) -> Contestant:
    """Return PyTorch's training step, with a network that is `prepared` and this update of SGD's."""
    dtype = getattr(torch, experiment.training.dtype)
    model = nn.Sequential(*(build_layer(x.kind, dict(x.arguments)) for x in experiment.layers)).to(dtype)
    with torch.no_grad():
        for weight, start in zip(model.parameters(), initial(experiment).values(), strict=True):
            weight.copy_(torch.from_numpy(start))
    optimizer = torch.optim.SGD(model.parameters(), lr=experiment.optimizer.lr, **update)
    images, labels = torch.tensor(dataset.train_images), torch.tensor(dataset.train_labels).long()
    images = images.flatten(1) if experiment.data.form == "flat" else images[:, None]
    one_hot = torch.eye(10, dtype=dtype)
    labelled = experiment.loss.kind == "CrossEntropyLoss"
    cost, squares = nn.CrossEntropyLoss(), nn.MSELoss(reduction="sum")
    network = prepared(model)

    def step(rows: np.ndarray) -> torch.Tensor:
        batch = torch.from_numpy(rows)
        x, label = images[batch].to(dtype) / 255, labels[batch]
        optimizer.zero_grad(set_to_none=True)
        output = network(x)
        loss = cost(output, label) if labelled else squares(output, one_hot[label]) / (2 * len(x))
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Contestant(step, lambda: [weight.detach().numpy() for weight in model.parameters()])
