"""The operations of a recorded step, cut out of its trace: each with the inputs it really had.

Everything comes from the trace of the manual side, never from a layer's own cache: a stale cache must show.
"""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from compare.agreement.rounding import LayerOperation, LossOperation, UpdateOperation
from compare.agreement.trace import BUFFERS, DRAWN, Trace, place
from compare.experiment.description import Experiment

MICRO = "micro"  # in a recorded state: how many steps the optimizer has taken
PREPARATION = {"schedule": None, "accumulate": 1, "max_norm": None, "norm_type": 2.0, "clip_value": None}


def widened(array: np.ndarray) -> np.ndarray:
    """Return an array of floats in float64, exactly; integers as they are. In the order that torch can take."""
    return np.array(array, np.float64 if np.asarray(array).dtype.kind in "fc" else None, order="C", copy=None)


def layer_operations(experiment: Experiment, trace: Trace) -> list[LayerOperation]:
    """Return the layers' operations in forward order."""
    operations, x = [], widened(trace["input"])
    for layer in experiment.layers:
        name = layer.name
        y, gradient = widened(trace[f"{name}.output"]), trace.get(f"{name}.output.grad")
        operations.append(
            LayerOperation(
                name, layer.kind, x, y, None if gradient is None else widened(gradient),
                own_tensors(trace, name, "parameters"), layer.arguments, own_tensors(trace, name, "buffers"),
                own_tensors(trace, name, "drawn"),
            )
        )  # fmt: skip
        x = y
    return operations


def own_tensors(trace: Trace, layer: str, kind: str) -> dict[str, np.ndarray]:
    """Return the layer's parameters, its buffers before the step, or what it drew, by the layer's own names."""
    prefix = f"{layer}."
    return {
        name.removeprefix(prefix): widened(array)
        for name, array in trace.items()
        if name.startswith(prefix) and own_kind(name) == kind
    }


@functools.cache
def own_kind(name: str) -> str:
    """Return whether a tensor is one of a layer's parameters, buffers, things drawn, or "" for none of these."""
    last = name.rpartition(".")[2]
    if last.startswith(DRAWN):
        return "drawn"
    if place(name).stage != "parameters":
        return ""
    return "buffers" if last in BUFFERS else "parameters"


def loss_operation(experiment: Experiment, trace: Trace) -> LossOperation:
    """Return the loss's operation; labels become one-hot rows but for NLLLoss, which takes them as they are."""
    prediction, given = widened(trace[f"{experiment.layers[-1].name}.output"]), trace["target"]
    target = given
    if np.issubdtype(given.dtype, np.integer):
        if experiment.loss.kind != "NLLLoss":
            target = one_hot_rows(given, prediction.shape)
    else:
        target = given = widened(given)
    loss = experiment.loss
    return LossOperation(loss.kind, prediction, target, float(trace["loss"]), loss.arguments, given)


def restore(layers: Mapping[str, Any], trace: Trace) -> None:
    """Give layers that are to repeat a recorded forward pass the statistics they had, and what they drew, in it."""
    for name, layer in layers.items():
        for key in getattr(layer, "buffers", {}):
            layer.buffers[key] = trace[f"{name}.{key}"].copy()
        if drawn := own_tensors(trace, name, "drawn"):
            layer.replay(drawn)


def one_hot_rows(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the targets of labels (N, ...) as rows (N, K, ...); a label that is no class has a row of zeros."""
    rows = np.arange(shape[1]) == labels[..., None]
    return np.moveaxis(rows, -1, 1).astype(np.float64)


def updated_parameters(trace: Trace) -> list[str]:
    """Return the names of the parameters that the step updated."""
    names = [name.removesuffix(".updated") for name in trace if name.endswith(".updated")]
    return [name for name in names if own_kind(name) == "parameters"]


def state_of(optimizer: Any) -> dict[str, np.ndarray]:
    """Return a copy of the state of manual's optimizer, with the count of its steps: what `resume` takes."""
    return {key: value.copy() for key, value in optimizer.state.items()} | {MICRO: np.asarray(optimizer.micro)}


def resume(optimizer: Any, state_before: Trace) -> None:
    """Give a new optimizer of manual the state, and the count of steps, that another had before a step."""
    optimizer.state = {key: value.copy() for key, value in state_before.items() if key != MICRO}
    optimizer.micro = int(state_before.get(MICRO, 0))


def preparation(experiment: Experiment) -> dict[str, Any]:
    """Return the options of what an optimizer does before its rule: schedule, accumulate, max_norm, ..."""
    given = experiment.optimizer.options([])
    return {key: given.get(key, default) for key, default in PREPARATION.items()}


def updates_now(experiment: Experiment, state_before: Trace) -> bool:
    """Whether the step updates the parameters: the last of as many as accumulate their gradients."""
    count = preparation(experiment)["accumulate"]
    return int(state_before.get(MICRO, 0)) % count == count - 1


def entering(trace: Trace, name: str) -> np.ndarray:
    """Return the gradient of a parameter as it enters the optimizer's rule: clipped, accumulated, or as it is."""
    keys = (f"{name}.grad.clipped", f"{name}.grad.accumulated", f"{name}.grad")
    return widened(next(trace[key] for key in keys if key in trace))


def update_operations(
    experiment: Experiment, trace: Trace, state_before: Mapping[str, np.ndarray]
) -> list[UpdateOperation]:
    """Return the update of every parameter; none at a step that only accumulates.

    `state_before` is the optimizer's state before the step, by name.
    """
    if not updates_now(experiment, state_before):
        return []
    names = updated_parameters(trace)
    given: dict[str, Any] = experiment.optimizer.options(names)
    decays = given.pop("weight_decay")
    options = {key: value for key, value in given.items() if key not in PREPARATION}
    if (rate := trace.get(f"{experiment.optimizer.kind.lower()}.lr")) is not None:
        options["lr"] = float(rate)
    operations = []
    for name in names:
        state = {
            key.removeprefix(f"{name}."): widened(array)
            for key, array in state_before.items()
            if key.startswith(f"{name}.") and not key.endswith(".accumulated")
        }
        own = {**options, "weight_decay": decays.get(name, 0.0)}
        operations.append(UpdateOperation(name, widened(trace[name]), entering(trace, name), state, own))
    return operations
