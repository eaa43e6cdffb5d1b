"""Whether a layer leaves alone what it is given: inputs forward, gradients backward."""

import copy
from typing import Any

import numpy as np

from compare.agreement.trace import Breach


def changed_in_place(network: Any, x: np.ndarray, target: np.ndarray) -> Breach | None:
    """Return the first tensor that a layer changes in place, found on copies of the layers; None if there is none.

    Layers that cannot be copied are not examined.
    """
    try:
        layers, loss = copy.deepcopy(dict(network.layers)), copy.deepcopy(network.loss_function)
    except TypeError:
        return None
    given, tensor = np.array(x), "input"
    for name, layer in layers.items():
        before = given.copy()
        output = layer.forward(given)
        if not np.array_equal(before, given, equal_nan=True):
            return Breach(tensor, f"{name}.forward changes its input in place.", f"{name}.forward", "input-changed-in-place")
        if not isinstance(output, np.ndarray):
            return None  # the structural checks have better words for it
        given, tensor = output, f"{name}.output"
    if loss.forward(given, target) is None:
        return None
    gradient = loss.backward()
    for name, layer in reversed(layers.items()):
        if not isinstance(gradient, np.ndarray):
            return None
        before = gradient.copy()
        following = layer.backward(gradient)
        if not np.array_equal(before, gradient, equal_nan=True):
            message = f"{name}.backward changes the gradient that it is given in place."
            return Breach(f"{name}.output.grad", message, f"{name}.backward", "input-changed-in-place")
        gradient = following
    return None
