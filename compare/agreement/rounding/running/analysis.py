"""A whole layer, loss or update of manual, run on numbers that carry their errors."""

import copy
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

import manual
from compare.agreement.rounding.operations import LayerOperation, LossOperation, UpdateOperation
from compare.agreement.rounding.running.bounded import Bounded

Results = dict[str, np.ndarray]


def exact(array: Any, u: float) -> Any:
    """Return a floating array as numbers without an error; anything else (labels, indices, counters) as it is."""
    if isinstance(array, Bounded):
        return array
    array = np.asarray(array)
    return Bounded.exact(array, u) if array.dtype.kind == "f" and array.ndim else array


def carry_errors(layer: Any, u: float) -> Any:
    """Return a copy of the layer whose parameters and buffers are numbers that carry their errors."""
    layer = copy.deepcopy(layer)
    for tensors in (getattr(layer, "parameters", {}), getattr(layer, "buffers", {})):
        for key, array in list(tensors.items()):
            tensors[key] = exact(array, u)
    return layer


def layer_errors(layer: Any, inputs: Sequence[np.ndarray], grad_output: np.ndarray | None, u: float) -> Results:
    """Return the bound on the rounding error of every result of a layer: "output", "input", parameters, buffers.

    Of several inputs the gradients are "input0", "input1", ... Raises TypeError where the layer's code does something
    that there is no rounding rule for.
    """
    own = carry_errors(layer, u)
    results: dict[str, Any] = {"output": own.forward(*(exact(x, u) for x in inputs))}
    results |= getattr(own, "buffers", {})
    if grad_output is not None:
        given = own.backward(exact(grad_output, u))
        gradients = {"input": given} if not isinstance(given, tuple) else {f"input{i}": g for i, g in enumerate(given)}
        results |= gradients | {key: own.gradients[key] for key in getattr(own, "parameters", {})}
    return {key: np.array(result.error) for key, result in results.items() if isinstance(result, Bounded)}


def loss_errors(loss: Any, prediction: np.ndarray, target: np.ndarray, u: float) -> Results:
    """Return the bounds on the rounding errors of the loss, "value", and of the first delta, "gradient"."""
    own = copy.deepcopy(loss)
    value = own.forward(exact(prediction, u), exact(target, u))
    return {"value": np.array(value.error), "gradient": np.array(own.backward().error)}


def update_errors(
    optimizer: type, options: Mapping[str, Any], parameter: np.ndarray, gradient: np.ndarray, state: Any, u: float
) -> Results:
    """Return the bounds on the rounding errors of "updated" and of every entry of the optimizer's state."""
    network = SimpleNamespace(parameters={"p": exact(parameter, u)}, gradients={"p": exact(gradient, u)})
    own = optimizer(network, **options)
    own.state = {f"p.{key}": array.copy() if key == "step" else exact(array, u) for key, array in state.items()}
    own.step()
    results = {key.removeprefix("p."): value for key, value in own.state.items()} | {"updated": network.parameters["p"]}
    return {key: errors(value) for key, value in results.items()}


def clipping_errors(gradients: Mapping[str, np.ndarray], options: Mapping[str, Any], u: float) -> Results:
    """Return the bounds on the rounding errors of clipped gradients, by parameter."""
    clipped = {name: exact(gradient, u).copy() for name, gradient in gradients.items()}
    if options["max_norm"] is not None:
        manual.clip_grad_norm_(clipped, options["max_norm"], options["norm_type"])
    if options["clip_value"] is not None:
        manual.clip_grad_value_(clipped, options["clip_value"])
    return {name: errors(gradient) for name, gradient in clipped.items()}


def errors(result: Any) -> np.ndarray:
    """Return the errors of a result; 0 for a counter."""
    return np.array(result.error) if isinstance(result, Bounded) else np.zeros(np.shape(result))


class RunningRounding:
    """The rule of a layer of manual: the layer itself, run on numbers that carry their errors."""

    bound_kind = "derived"

    def bounds(self, op: LayerOperation, u: float) -> Results:
        """Bound the rounding error of every result."""
        return layer_errors(op.layer(), [op.x], op.grad_output, u)

    def forward(self, op: LayerOperation, u: float) -> np.ndarray:
        """Bound the rounding error of every element of y."""
        return layer_errors(op.layer(), [op.x], None, u)["output"]

    def backward(self, op: LayerOperation, u: float) -> Results:
        """Bound the rounding errors of the gradients."""
        bounds = self.bounds(op, u)
        return {key: bounds[key] for key in ("input", *op.parameters) if key in bounds}


class RunningLoss:
    """The rule of a loss of manual."""

    def forward(self, op: LossOperation, u: float) -> float:
        """Bound the rounding error of the loss."""
        return float(loss_errors(op.loss(), op.prediction, target_of(op), u)["value"])

    def backward(self, op: LossOperation, u: float) -> np.ndarray:
        """Bound the rounding error of every element of the first delta."""
        return loss_errors(op.loss(), op.prediction, target_of(op), u)["gradient"]


class RunningUpdate:
    """The rule of an optimizer of manual."""

    def __init__(self, kind: str):
        self.optimizer: type = getattr(manual, kind)

    def state(self, op: UpdateOperation, u: float) -> Results:
        """Bound the rounding error of every entry of the new state."""
        bounds = update_errors(self.optimizer, op.options, op.parameter, op.gradient, op.state, u)
        return {key: bound for key, bound in bounds.items() if key != "updated"}

    def updated(self, op: UpdateOperation, u: float) -> np.ndarray:
        """Bound the rounding error of every updated weight."""
        return update_errors(self.optimizer, op.options, op.parameter, op.gradient, op.state, u)["updated"]


def target_of(op: LossOperation) -> np.ndarray:
    """Return the target as the loss was given it."""
    return op.target if op.given is None else op.given
