"""When the manual side raises: a layer of the user's own may, and the user is told where, not shown our frames."""

import traceback
from typing import Any

import numpy as np

from compare.agreement.verdict import Finding, Verdict


def finding_of(error: Exception, number: int, network: Any) -> Finding:
    """Return the finding of an exception that the manual network's pass raised: stage, operation, tensor."""
    direction, layer = walked(error, network)
    names = {id(value): name for name, value in network.layers.items()}
    owner = names.get(id(layer), "loss")
    if owner == "loss":
        last = next(reversed(network.layers))
        stage, tensor = ("loss", "loss") if direction == "forward" else ("backward", f"{last}.output.grad")
    elif direction == "forward":
        stage, tensor = "forward", f"{owner}.output"
    else:
        stage, tensor = "backward", wrong_gradient(network, owner)
    message = f"{owner}.{direction} raised {type(error).__name__}: {error}"
    return Finding(number, Verdict.DIVERGES, stage, tensor, f"{owner}.{direction}", message)


def walked(error: Exception, network: Any) -> tuple[str, Any]:
    """Return the direction in which the network was walking when the error came, and the layer it was at."""
    direction, layer = "forward", None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_locals.get("self") is network and frame.f_code.co_name in ("forward", "backward"):
            direction, layer = frame.f_code.co_name, frame.f_locals.get("layer")
    return direction, layer


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
