"""What can be exercised: every layer, loss and optimizer of manual, and whole networks; how each is made and tried."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import Any

from compare.experiment.classes import LAYERS, LOSSES, OPTIMIZERS
from compare.experiment.description import DescriptionError, Experiment
from compare.experiment.files import preset_names, read_experiment

Shape = tuple[int | str, ...]

WRITTEN_OUT = {"Linear", "Sigmoid", "Tanh", "ReLU"}  # what a network's lines can be written of
COSTS = {"SquaredError", "CrossEntropyLoss"}
TWO_LAYERS = (
    {"kind": "Linear", "name": "linear1", "in_features": 4, "out_features": 7},
    {"kind": "Tanh", "name": "tanh1"},
    {"kind": "Linear", "name": "linear2", "in_features": 7, "out_features": 4},
)


@dataclass(frozen=True)
class Entry:
    """An exercise: what is to be derived, and the inputs that an answer is tried on."""

    name: str  # as it is typed: "linear", "article"
    kind: str  # the class, "Linear"; of a network, "Article"
    group: str  # "layer", "loss", "optimizer", "network"
    shape: Shape = ("batch", "n")
    arguments: Mapping[str, Any] = field(default_factory=dict)
    indices: int = 0
    between: tuple[float, float] | None = None
    target: str = ""


SIZES: dict[str, tuple[Shape, dict[str, Any]]] = {
    "Linear": (("batch", 3), {"in_features": 3, "out_features": 4}),
    "Flatten": (("batch", 2, 3, 4), {}),
    "Conv2d": (("batch", 2, 4, 5), {"in_channels": 2, "out_channels": 3, "kernel_size": (2, 3), "stride": (1, 2)}),
    "MaxPool2d": (("batch", 1, 5, 6), {"kernel_size": (2, 3), "stride": 1}),
    "AvgPool2d": (("batch", 1, 5, 6), {"kernel_size": (2, 3), "stride": 1}),
    "ELU": (("batch", "n"), {"alpha": 1.7}),
    "LeakyReLU": (("batch", "n"), {"negative_slope": 0.3}),
    "Softplus": (("batch", "n"), {"beta": 0.7}),
    "Dropout": (("batch", "n"), {"p": 0.3}),
    "BatchNorm1d": ((5, 3), {"num_features": 3}),
    "BatchNorm2d": ((4, 3, 2, 5), {"num_features": 3}),
    "LayerNorm": (("batch", 6), {"normalized_shape": 6}),
    "RMSNorm": (("batch", 6), {"normalized_shape": 6, "eps": 1e-5}),
    "GroupNorm": (("batch", 6, 4), {"num_groups": 2, "num_channels": 6}),
    "Embedding": (("batch", "n"), {"num_embeddings": 6, "embedding_dim": 4}),
    "Positions": (("batch", 3, 4), {"length": 6, "features": 4}),
    "RNN": (("time", "batch", 3), {"input_size": 3, "hidden_size": 4}),
    "LSTM": (("time", "batch", 3), {"input_size": 3, "hidden_size": 4}),
    "GRU": (("time", "batch", 3), {"input_size": 3, "hidden_size": 4}),
    "MultiheadAttention": (("time", "batch", 6), {"embed_dim": 6, "num_heads": 2}),
    "Residual": (("batch", 4), {"layers": TWO_LAYERS}),
    "SGD": (("n", 3), {"lr": 0.3, "momentum": 0.8, "weight_decay": 0.05}),
    "Adagrad": (("n", 3), {"lr": 0.3, "lr_decay": 0.2, "weight_decay": 0.05, "eps": 0.1}),
    "RMSprop": (("n", 3), {"lr": 0.05, "alpha": 0.7, "eps": 0.01, "weight_decay": 0.05}),
    "Adadelta": (("n", 3), {"lr": 0.7, "rho": 0.6, "eps": 0.001, "weight_decay": 0.05}),
    "Adam": (("n", 3), {"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.01, "weight_decay": 0.05}),
    "AdamW": (("n", 3), {"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.01, "weight_decay": 0.3}),
}
LIKE, LABELS, PROBABILITIES = "like", "labels", "probabilities"
GOALS: dict[str, tuple[str, tuple[float, float] | None]] = {  # of losses: the target, where predictions lie
    "BCELoss": (LIKE, (0.01, 0.99)),
    "BCEWithLogitsLoss": (PROBABILITIES, None),
    "NLLLoss": (LABELS, (-6.0, -0.01)),
    "CrossEntropyLoss": (LABELS, None),
    "KLDivLoss": (PROBABILITIES, (-6.0, -0.01)),
    "MultiMarginLoss": (LABELS, None),
}


@cache
def entries() -> dict[str, Entry]:
    """Return everything that can be exercised, by the name that is typed for it."""
    found: dict[str, Entry] = {}
    for kind in LAYERS:
        shape, arguments = SIZES.get(kind, (("batch", "n"), {}))
        indices = arguments.get("num_embeddings", 0)
        found[kind.lower()] = Entry(kind.lower(), kind, "layer", shape, arguments, indices)
    for kind in LOSSES:
        target, between = GOALS.get(kind, (LIKE, None))
        found[kind.lower()] = Entry(kind.lower(), kind, "loss", between=between, target=target)
    for kind in OPTIMIZERS:
        found[kind.lower()] = Entry(kind.lower(), kind, "optimizer", *SIZES[kind])
    for name in preset_names():
        if is_written_out(preset(name)):
            kind = "".join(part.capitalize() for part in name.split("-"))
            if kind.lower() not in {entry.kind.lower() for entry in found.values()}:
                found[name] = Entry(name, kind, "network")
            else:  # relu is a layer, too
                found[f"{name}-network"] = Entry(f"{name}-network", f"{kind}Network", "network")
    return found


def is_written_out(experiment: Experiment) -> bool:
    """Whether the forward pass of a network can be written line by line."""
    return {layer.kind for layer in experiment.layers} <= WRITTEN_OUT and experiment.loss.kind in COSTS


def preset_of(entry: Entry) -> Experiment:
    """Return the experiment whose network is exercised."""
    return preset(entry.name.removesuffix("-network"))


@cache
def preset(name: str) -> Experiment:
    """Return a preset, read once."""
    return read_experiment(name)


def find_entry(name: str) -> Entry:
    """Return the exercise of this name, whatever its case. Raises DescriptionError, with the nearest, for no such."""
    known = entries()
    if name.lower() in known:
        return known[name.lower()]
    close = get_close_matches(name.lower(), list(known), n=3, cutoff=0.5)
    if close:
        hint = f"Did you mean {' or '.join(shown_name(known[key]) for key in close)}?"
    else:
        hint = "`backproof exercise` lists what there is."
    raise DescriptionError(f"There is no exercise {name!r}. {hint}")


def shown_name(entry: Entry) -> str:
    """Return an exercise's name as a list shows it: Linear, article."""
    return entry.name if entry.group == "network" else entry.kind
