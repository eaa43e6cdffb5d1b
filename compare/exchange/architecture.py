"""architecture.json: the network, its loss and its optimizer, in words that a program elsewhere can follow."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

import manual
from compare.agreement.operations import own_kind
from compare.agreement.trace import places
from compare.exchange.formulas import PER_EXAMPLE, every_option, loss_formula, update_formula
from compare.experiment.classes import layer_class
from compare.experiment.description import Data, Experiment, Layer
from compare.experiment.files import to_document

FORMAT, SCHEMA_VERSION = "backproof exchange", 1

INPUTS = {
    "flat": "pixel / {divisor:.17g}, row by row",
    "image": "pixel / {divisor:.17g}, one channel, row by row",
    "rows": "pixel / {divisor:.17g}, a sequence of the image's rows",
    "levels": "whole numbers: pixel times {levels} / 256, rounded down, row by row",
    "tokens": "whole numbers: first the label + {levels}, then brightnesses, 0 to {last}, of {side} x {side} blocks "
    "of the image, row by row; the last of them is left out",
}
CONVENTION = (
    "The division enters at one place alone, the loss's gradient for the prediction ({last}.output.grad); the "
    "gradient of a parameter is a plain sum over the batch. A gradient is dC/d(tensor); an update subtracts it."
)


def architecture(experiment: Experiment, steps: int, trace: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the document. `trace` is a step of the reference with an update: names, shapes and order of all tensors.

    Where gradients are gathered over several steps it is the first that updates, which has all tensors that there are.
    """
    training, last = experiment.training, experiment.layers[-1].name
    parameters = [name for name in trace if own_kind(name) == "parameters"]
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "name": experiment.name,
        "about": experiment.about,
        "steps": steps,
        "batch_size": training.batch_size,
        "dtype": training.dtype,
        "input": described_input(experiment.data, trace["input"]),
        "target": described_target(experiment, trace["target"]),
        "layers": described_layers(experiment.layers, "", trace, trace["input"].shape[1:]),
        "loss": described_loss(experiment, last),
        "optimizer": described_optimizer(experiment, parameters),
        "tensors": tensors(experiment, trace),
        "experiment": to_document(experiment),
    }


def described_input(data: Data, x: np.ndarray) -> dict[str, Any]:
    """Return what one example of the input is."""
    numbers = {"levels": data.levels, "last": data.levels - 1, "side": data.side, "divisor": data.divisor}
    words = INPUTS[data.form].format(**numbers)
    return {"form": data.form, "shape": list(x.shape[1:]), "dtype": x.dtype.name, "values": words}


def described_target(experiment: Experiment, target: np.ndarray) -> dict[str, Any]:
    """Return what the targets are."""
    words = "the label of each example, counted from 0"
    if experiment.data.form == "tokens":
        words = "for each position of each example, one example after the other, the token that follows it"
    if experiment.loss.kind not in PER_EXAMPLE:
        words += "; for the loss a row of zeros with 1 at the label"
    return {"dtype": target.dtype.name, "values": words}


def described_layers(
    layers: tuple[Layer, ...], prefix: str, trace: Mapping[str, np.ndarray], shape: tuple[int, ...] | None
) -> list[dict[str, Any]]:
    """Return layers in order: full name, kind, arguments, what each computes, its tensors, its output's shape.

    A Residual has its own layers, in order, under "layers". `shape` is that of one example's input, None if not known.
    """
    described = []
    for layer in layers:
        name = f"{prefix}{layer.name}"
        output = trace.get(f"{name}.output")
        after = manual.fit({layer.name: layer.build()}, shape) if output is None else output.shape[1:]
        described.append({
            "name": name,
            "kind": layer.reference or layer.kind,
            "arguments": {key: value for key, value in layer.arguments.items() if layer.kind != "Residual"},
            "about": inspect.getdoc(layer_class(layer.kind)) or "",
            **{kind: own_shapes(name, kind, trace) for kind in ("parameters", "buffers", "drawn")},
            **({"layers": described_layers(layer.inner, f"{name}.", trace, shape)} if layer.inner else {}),
            "output_shape": None if after is None else list(after),
        })  # fmt: skip
        shape = after
    return described


def own_shapes(layer: str, kind: str, trace: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return name and shape of a layer's parameters, buffers, or masks drawn; the first dimension of those is "N"."""
    names = [name for name in trace if name.startswith(f"{layer}.") and own_kind(name) == kind]
    batch = len(trace["input"])
    return [{"name": name, "shape": shape_of(name, trace[name], batch)} for name in names]


def described_loss(experiment: Experiment, last: str) -> dict[str, Any]:
    """Return the loss: kind, arguments, its formula in words and its convention."""
    kind = experiment.loss.kind
    return {
        "kind": kind,
        "arguments": dict(experiment.loss.arguments),
        "formula": loss_formula(experiment),
        "convention": CONVENTION.format(last=last),
        "about": inspect.getdoc(getattr(manual, kind)) or kind,
    }


def described_optimizer(experiment: Experiment, parameters: list[str]) -> dict[str, Any]:
    """Return the optimizer with everything that its update depends on; the weight decay parameter by parameter."""
    optimizer = experiment.optimizer
    return {
        "kind": optimizer.kind,
        **every_option(experiment, parameters),
        "decays": optimizer.decays,
        "formula": update_formula(experiment),
        "about": inspect.getdoc(getattr(manual, optimizer.kind)) or optimizer.kind,
    }


def tensors(experiment: Experiment, trace: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return every named tensor of a step, in the order in which the step makes them: N is the size of the batch."""
    where = places(list(trace), [layer.name for layer in experiment.layers])
    batch = len(trace["input"])
    return [
        {
            "name": name,
            "stage": where[name].stage,
            "operation": where[name].operation,
            "dtype": array.dtype.name,
            "shape": shape_of(name, array, batch),
        }
        for name, array in trace.items()
    ]


def shape_of(name: str, array: np.ndarray, batch: int) -> list[int | str]:
    """Return a tensor's shape, with "N" where it follows the batch, "49 N" where N examples have 49 rows each."""
    follows = name in ("input", "target") or name.endswith((".output", ".output.grad")) or own_kind(name) == "drawn"
    shape: list[int | str] = list(array.shape)
    if not follows or not shape or len(array) % batch:
        return shape
    times = len(array) // batch
    return ["N" if times == 1 else f"{times} N", *shape[1:]]
