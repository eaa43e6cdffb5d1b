"""What the page is about: the networks that it can show, and the weight that it begins with."""

import re
from dataclasses import dataclass

from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment, Layer
from compare.explain.course import Course
from manual.losses import divisor

ACTIVATIONS = ("Sigmoid", "Tanh", "ReLU")
LOSSES = ("SquaredError", "MSELoss", "BCELoss", "CrossEntropyLoss")
PRESETS = "article, article-one-layer, article-cross-entropy and relu"
MOST_UNITS = 512  # in one layer, as far as they can be told apart in the picture


class ExplainerError(Exception):
    """A page could not be made: says why and what to do. Exit status 3."""


@dataclass(frozen=True)
class Subject:
    """A network as the page describes it to its script.

    `layers` have name, kind and, where it is a Linear, inputs, outputs and bias; `loss` has kind (a mean squared error
    is a SquaredError too), factor and divisor; `lr` is the learning rate, `plain` whether the update is w - lr g.
    """

    layers: tuple[dict, ...]
    loss: dict
    lr: float
    plain: bool
    classes: tuple[str, ...]

    @property
    def linears(self) -> list[dict]:
        """The layers with weights, in order."""
        return [layer for layer in self.layers if layer["kind"] == "Linear"]

    @property
    def activations(self) -> list[str]:
        """The class of the activation after each of the linear layers, "" where there is none."""
        following = [*self.layers[1:], {"kind": ""}]
        pairs = zip(self.layers, following, strict=True)
        return [after["kind"].replace("Linear", "") for layer, after in pairs if layer["kind"] == "Linear"]


def subject_of(experiment: Experiment, dataset: Dataset) -> Subject:
    """Return the experiment's network for the page. Raises ExplainerError where the page cannot show it."""
    if why := obstacle(experiment, dataset):
        raise ExplainerError(
            f"{experiment.name} has no page of its own: {why}. There is one for networks of Linear layers with at most "
            f"one of {', '.join(ACTIVATIONS)} after each, and of the presets for {PRESETS}."
        )
    outputs = len(dataset.classes)
    kind, arguments, optimizer = experiment.loss.kind, experiment.loss.arguments, experiment.optimizer
    squared = kind in ("SquaredError", "MSELoss")
    reduction = arguments.get("reduction", "batchmean" if kind == "SquaredError" else "mean")
    loss = {
        "kind": "SquaredError" if squared else kind,
        "factor": float(arguments.get("factor", 0.5)) if kind == "SquaredError" else 1.0,
        "divisor": divisor(reduction, (1,) if kind == "CrossEntropyLoss" else (1, outputs)),
    }
    plain = optimizer.kind == "SGD" and not (optimizer.momentum or optimizer.weight_decay or optimizer.arguments)
    layers = tuple(described(layer) for layer in experiment.layers)
    return Subject(layers, loss, optimizer.lr, plain, dataset.classes)


def described(layer: Layer) -> dict:
    """Return a layer as the page's script knows it."""
    known = {"name": layer.name, "kind": layer.kind}
    if layer.kind != "Linear":
        return known
    sizes = {"inputs": layer.arguments["in_features"], "outputs": layer.arguments["out_features"]}
    return known | sizes | {"bias": layer.arguments.get("bias", True)}


def obstacle(experiment: Experiment, dataset: Dataset) -> str:
    """Return what keeps the experiment from being shown, as the end of a sentence; "" for nothing."""
    kinds = [layer.kind for layer in experiment.layers]
    for layer, before in zip(experiment.layers, ["", *kinds], strict=False):
        if layer.kind not in ("Linear", *ACTIVATIONS):
            return f"{layer.name} is a {layer.kind}"
        if layer.kind in ACTIVATIONS and before != "Linear":
            return f"{layer.name} does not stand behind a Linear"
        if layer.kind == "Linear" and layer.arguments["out_features"] > MOST_UNITS:
            return f"{layer.name} has {layer.arguments['out_features']} units, more than the {MOST_UNITS} of a picture"
    kind, arguments = experiment.loss.kind, experiment.loss.arguments
    if kind not in LOSSES:
        return f"its loss is {kind}"
    if arguments.keys() - {"reduction", "factor"} or arguments.get("reduction") == "none":
        return f"its {kind} has other options than a reduction to one number"
    if kind == "CrossEntropyLoss" and kinds[-1] != "Linear":
        return f"a {kinds[-1]} stands between the last Linear and the softmax of CrossEntropyLoss"
    if experiment.training.dtype != "float64":
        return f"it computes in {experiment.training.dtype}, the page in float64"
    if experiment.data.form != "flat" or len(dataset.classes) != 10:
        return f"it is given {experiment.data.form} of {len(dataset.classes)} classes, not the pixels of ten"
    return ""


def first_choice(course: Course, weight: str | None) -> dict:
    """Return the parameter that the page shows first: the one asked for, or the one with the steepest first gradient.

    `weight` is written as in the trace, linear1.weight[12,350] or linear1.bias[3]. Raises ExplainerError for another.
    """
    first = course.instants[0]
    if weight is None:
        tensor = next(name for name in first.parameters if name.endswith(".weight"))
        gradient = abs(first.autograd[f"{tensor}.grad"])
        return {"tensor": tensor, "index": [int(i) for i in divmod(int(gradient.argmax()), gradient.shape[1])]}
    read = re.fullmatch(r"([\w.]+)\[(\d+)(?:\s*,\s*(\d+))?\]", weight.strip())
    tensor, index = (read[1], [int(n) for n in read.groups()[1:] if n]) if read else (weight, [])
    shape = first.parameters[tensor].shape if tensor in first.parameters else ()
    if len(index) != len(shape) or not shape or any(i >= size for i, size in zip(index, shape, strict=True)):
        known = {name: array.shape for name, array in first.parameters.items()}
        raise ExplainerError(
            f"There is no weight {weight!r} in {course.experiment.name}. Wanted one such as {next(iter(known))}[0,0], "
            f"counted from 0, of: {', '.join(f'{name} {size}' for name, size in known.items())}."
        )
    return {"tensor": tensor, "index": index}
