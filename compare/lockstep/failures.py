"""When the manual side raises: a layer of the user's own may, and the user is told where, not shown our frames."""

import traceback
from typing import Any

import numpy as np

from compare.agreement.trace import Trace, places
from compare.agreement.verdict import Finding, Verdict
from compare.language import stored


def finding_of(error: Exception, number: int, network: Any, reference: Trace) -> Finding:
    """Return the finding of an exception that the manual network's pass raised: stage, operation, tensor.

    A layer may have raised because the one before it handed on a tensor that is none, or of the wrong shape: then that
    one is guilty, which a look at the reference's tensors of the same names tells.
    """
    direction, layer, made = walked(error, network)
    for name, tensor in made.items():
        if fault := unlike(name, tensor, reference.get(name)):
            where = places([*reference, name], list(network.layers))[name]
            return Finding(number, Verdict.DIVERGES, where.stage, name, where.operation, fault)
    names = {id(value): name for name, value in network.layers.items()}
    owner = names.get(id(layer), "loss")
    if owner == "loss":
        last = next(reversed(network.layers))
        stage, tensor = ("loss", "loss") if direction == "forward" else ("backward", f"{last}.output.grad")
    elif direction == "forward":
        stage, tensor = "forward", f"{owner}.output"
    else:
        stage, tensor = "backward", wrong_gradient(network, owner)
    operation = f"{owner}.{direction}"
    message = stored("{operation} raised {kind}: {error}", operation=operation, kind=type(error).__name__, error=error)
    return Finding(number, Verdict.DIVERGES, stage, tensor, operation, message)


def walked(error: Exception, network: Any) -> tuple[str, Any, dict[str, Any]]:
    """Return the direction in which the network was walking when the error came, the layer, and what had been made."""
    direction, layer, made = "forward", None, {}
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_locals.get("self") is network and frame.f_code.co_name in ("forward", "backward", "loss"):
            layer = frame.f_locals.get("layer")
            outputs = frame.f_locals.get("outputs", network.outputs)
            made |= {f"{name}.output": output for name, output in zip(network.layers, outputs, strict=False)}
            if frame.f_code.co_name == "backward":
                direction = "backward"
                made |= {f"{name}.output.grad": gradient for name, gradient in network.output_gradients.items()}
    return direction, layer, made


def unlike(name: str, tensor: Any, wanted: np.ndarray | None) -> str:
    """Return what is wrong with a tensor of the manual side, beside the reference's; "" if nothing is."""
    if not isinstance(tensor, np.ndarray):
        return stored("{tensor} is {kind}; wanted an array.", tensor=name, kind=type(tensor).__name__)
    if wanted is None:
        return ""
    if tensor.shape != wanted.shape:
        found = tensor.shape
        return stored("{tensor} has shape {found}; wanted {wanted}.", tensor=name, found=found, wanted=wanted.shape)
    if tensor.dtype != wanted.dtype:
        found = tensor.dtype
        return stored("{tensor} has dtype {found}; wanted {wanted}.", tensor=name, found=found, wanted=wanted.dtype)
    return ""


def partial_trace(network: Any) -> dict[str, np.ndarray]:
    """Return what the manual side had computed when it raised; {} if the forward pass was not through."""
    if not network.outputs:
        return {}
    trace = {"input": network.input, "target": network.target, **network.parameters}
    trace |= {f"{name}.output": output for name, output in zip(network.layers, network.outputs, strict=True)}
    trace["loss"] = network.value
    for name, gradient in network.output_gradients.items():
        trace[f"{name}.output.grad"] = gradient
        for key, own in getattr(network.layers[name], "gradients", {}).items():
            trace[f"{name}.{key}.grad"] = own
    return {name: array for name, array in trace.items() if isinstance(array, np.ndarray)}


def wrong_gradient(network: Any, owner: str) -> str:
    """Return the gradient that the layer got wrong: a parameter's of the wrong shape, else that for its input."""
    layer = network.layers[owner]
    for key, parameter in getattr(layer, "parameters", {}).items():
        gradient = getattr(layer, "gradients", {}).get(key)
        if getattr(gradient, "shape", None) != parameter.shape:
            return f"{owner}.{key}.grad"
    names = list(network.layers)
    position = names.index(owner)
    return f"{names[position - 1]}.output.grad" if position else f"{owner}.output.grad"
