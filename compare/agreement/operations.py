"""The operations of a recorded step, cut out of its trace: each with the inputs it really had.

Everything comes from the trace of the manual side, never from a layer's own cache: a stale cache must show.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from compare.agreement.rounding import LayerOperation, LossOperation, UpdateOperation
from compare.agreement.trace import Trace
from compare.experiment.description import Experiment


def widened(array: np.ndarray) -> np.ndarray:
    """Return the array in float64, exactly."""
    return np.asarray(array, np.float64)


def layer_operations(experiment: Experiment, trace: Trace) -> list[LayerOperation]:
    """Return the layers' operations in forward order."""
    operations, x = [], widened(trace["input"])
    for layer in experiment.layers:
        y, gradient = widened(trace[f"{layer.name}.output"]), trace.get(f"{layer.name}.output.grad")
        prefix = f"{layer.name}."
        parameters = {
            name.removeprefix(prefix): widened(array)
            for name, array in trace.items()
            if name.startswith(prefix) and name.count(".") == 1 and name != f"{layer.name}.output"
        }
        operations.append(
            LayerOperation(
                layer.name,
                layer.kind,
                x,
                y,
                None if gradient is None else widened(gradient),
                parameters,
                layer.arguments,
            )
        )
        x = y
    return operations


def loss_operation(experiment: Experiment, trace: Trace) -> LossOperation:
    """Return the loss's operation; labels become one-hot rows but for NLLLoss, which takes them as they are."""
    prediction, target = widened(trace[f"{experiment.layers[-1].name}.output"]), trace["target"]
    if np.issubdtype(target.dtype, np.integer):
        if experiment.loss.kind != "NLLLoss":
            target = np.eye(prediction.shape[1])[target]
    else:
        target = widened(target)
    return LossOperation(experiment.loss.kind, prediction, target, float(trace["loss"]), experiment.loss.arguments)


def update_operations(
    experiment: Experiment, trace: Trace, state_before: Mapping[str, np.ndarray]
) -> list[UpdateOperation]:
    """Return the update of every parameter. `state_before` is the optimizer's state before the step, by name."""
    names = [name.removesuffix(".updated") for name in trace if name.endswith(".updated")]
    options: dict[str, Any] = experiment.optimizer.options(names)
    decays = options.pop("weight_decay")
    operations = []
    for name in names:
        state = {
            key.removeprefix(f"{name}."): widened(array)
            for key, array in state_before.items()
            if key.startswith(f"{name}.")
        }
        gradient = widened(trace[f"{name}.grad"])
        own = {**options, "weight_decay": decays.get(name, 0.0)}
        operations.append(UpdateOperation(name, widened(trace[name]), gradient, state, own))
    return operations
