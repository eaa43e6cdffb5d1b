"""architecture.json: the network, its loss and its optimizer, in words that a program elsewhere can follow."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

import manual
from compare.agreement.trace import places
from compare.experiment.classes import layer_class
from compare.experiment.description import Experiment, Layer
from compare.experiment.files import to_document

FORMAT, SCHEMA_VERSION = "backproof exchange", 1

LOSSES = {
    "SquaredError": "{factor} times the sum over examples n and outputs k of (prediction[n,k] - target[n,k])^2",
    "MSELoss": "the sum over examples n and outputs k of (prediction[n,k] - target[n,k])^2",
    "CrossEntropyLoss": "minus the sum over examples n of log(softmax of the outputs of n, at the label of n)",
    "NLLLoss": "minus the sum over examples n of prediction[n, label of n]; predictions are logarithms",
    "BCELoss": "minus the sum over n and k of target log(prediction) + (1 - target) log(1 - prediction)",
}
PER_EXAMPLE = ("CrossEntropyLoss", "NLLLoss")  # "mean" divides these by N, not by N*K
CONVENTION = (
    "The division enters at one place alone, the loss's gradient for the prediction ({last}.output.grad); the "
    "gradient of a parameter is a plain sum over the batch. A gradient is dC/d(tensor); an update subtracts it."
)


def architecture(experiment: Experiment, steps: int, trace: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the document. `trace` is a step of the reference: the names, shapes and order of all tensors."""
    training, last = experiment.training, experiment.layers[-1].name
    parameters = {name: trace[name].shape for name in trace if f"{name}.updated" in trace}
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "name": experiment.name,
        "about": experiment.about,
        "steps": steps,
        "batch_size": training.batch_size,
        "dtype": training.dtype,
        "input": {"shape": list(trace["input"].shape[1:]), "values": "pixel / 255, row by row"},
        "target": described_target(experiment, trace["target"]),
        "layers": [described_layer(layer, trace, parameters) for layer in experiment.layers],
        "loss": described_loss(experiment, last),
        "optimizer": described_optimizer(experiment, list(parameters)),
        "tensors": tensors(experiment, trace),
        "experiment": to_document(experiment),
    }


def described_target(experiment: Experiment, target: np.ndarray) -> dict[str, Any]:
    """Return what the targets are."""
    if experiment.loss.kind in PER_EXAMPLE:
        return {"dtype": target.dtype.name, "values": "the label of each example, counted from 0"}
    words = "the label of each example, counted from 0; for the loss a row of zeros with 1 at the label"
    return {"dtype": target.dtype.name, "values": words}


def described_layer(
    layer: Layer, trace: Mapping[str, np.ndarray], parameters: Mapping[str, tuple[int, ...]]
) -> dict[str, Any]:
    """Return a layer: name, kind, arguments, what it computes, its parameters and the shape of an example's output."""
    own = [{"name": n, "shape": list(shape)} for n, shape in parameters.items() if n.startswith(f"{layer.name}.")]
    return {
        "name": layer.name,
        "kind": layer.reference or layer.kind,
        "arguments": dict(layer.arguments),
        "about": inspect.getdoc(layer_class(layer.kind)) or "",
        "parameters": own,
        "output_shape": list(trace[f"{layer.name}.output"].shape[1:]),
    }


def described_loss(experiment: Experiment, last: str) -> dict[str, Any]:
    """Return the loss: kind, arguments, its formula in words and its convention."""
    kind, arguments = experiment.loss.kind, dict(experiment.loss.arguments)
    reduction = arguments.get("reduction", "batchmean" if kind == "SquaredError" else "mean")
    by = {"sum": "not divided", "batchmean": "divided by N, the number of examples of the batch", "mean": "averaged"}
    divided = by[reduction]
    if reduction == "mean":
        over_examples = kind in PER_EXAMPLE
        divided = by["batchmean"] if over_examples else "divided by N*K, the number of elements of the prediction"
    documented = inspect.getdoc(getattr(manual, kind)) or kind
    formula = LOSSES.get(kind, documented.splitlines()[0]).format(factor=arguments.get("factor", 0.5))
    return {
        "kind": kind,
        "arguments": arguments,
        "formula": f"C = {formula}, {divided}.",
        "convention": CONVENTION.format(last=last),
        "about": documented,
    }


def described_optimizer(experiment: Experiment, parameters: list[str]) -> dict[str, Any]:
    """Return the optimizer with everything that its update depends on; the weight decay parameter by parameter."""
    optimizer = experiment.optimizer
    options = optimizer.options(parameters)
    documented = inspect.getdoc(getattr(manual, optimizer.kind)) or optimizer.kind
    return {"kind": optimizer.kind, **options, "decays": optimizer.decays, "about": documented}


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
            "shape": shape_of(name, array, batch, where[name].stage),
        }
        for name, array in trace.items()
    ]


def shape_of(name: str, array: np.ndarray, batch: int, stage: str) -> list[int | str]:
    """Return a tensor's shape, with "N" where it follows the batch."""
    follows = name in ("input", "target") or name.endswith((".output", ".output.grad"))
    shape: list[int | str] = list(array.shape)
    return ["N", *shape[1:]] if follows and shape and shape[0] == batch and stage != "parameters" else shape
