"""What the page is about: the networks that it can show, and the weight that it begins with."""

from dataclasses import dataclass

from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment, Layer
from compare.explain.course import Course
from compare.explain.selection import select
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


def first_choice(course: Course, weight: str | None, step: int) -> dict:
    """Return what the page shows first: the instant of a step, and the weight asked for.

    Of several weights, and where none is named of the first layer's, it is the one with the steepest gradient. Raises
    DescriptionError for one that there is not.
    """
    shown = next((n for n, instant in enumerate(course.instants) if instant.step == step), 0)
    instant = course.instants[shown]
    selection = select(next(iter(instant.parameters)) if weight is None else weight, instant.parameters)
    gradient = instant.autograd[f"{selection.parameter}.grad"]
    index = max(selection.indices(gradient.shape), key=lambda place: abs(gradient[place]))
    return {"tensor": selection.parameter, "index": list(index), "instant": shown}
