"""Whether a layer leaves alone what it is given: inputs forward, gradients backward."""

import copy
from typing import Any

import numpy as np

from compare.agreement.trace import Breach
from compare.language import stored


class Guard:
    """A layer that is watched: what it changes in place is noted."""

    def __init__(self, inner: Any, name: str, below: str, notes: list[Breach]):
        self.inner, self.name, self.below, self.notes = inner, name, below, notes

    def __getattr__(self, name: str) -> Any:
        """Everything else is the layer's own."""
        return getattr(self.inner, name)

    def forward(self, x: Any) -> Any:
        """Return the layer's output; note a change of x."""
        message = stored("{operation} changes its input in place.", operation=f"{self.name}.forward")
        return self.watch("forward", self.below, message, x)

    def backward(self, grad_output: Any) -> Any:
        """Return the layer's gradient; note a change of the one given."""
        operation = f"{self.name}.backward"
        message = stored("{operation} changes the gradient that it is given in place.", operation=operation)
        return self.watch("backward", f"{self.name}.output.grad", message, grad_output)

    def watch(self, direction: str, tensor: str, message: str, given: Any) -> Any:
        """Call the layer, and compare what it was given with a copy taken before; the message is for a change."""
        before = np.array(given)
        result = getattr(self.inner, direction)(given)
        if not np.array_equal(before, given, equal_nan=True):
            self.notes.append(Breach(tensor, message, f"{self.name}.{direction}", "input-changed-in-place"))
        return result


def changed_in_place(network: Any, x: np.ndarray, target: np.ndarray) -> Breach | None:
    """Return the first tensor that a layer changes in place, found on a copy of the network; None if there is none.

    A network that cannot be copied is not examined, and one that raises will raise again where it is compared.
    """
    notes: list[Breach] = []
    try:
        watched, below = copy.deepcopy(network), "input"
        for name, layer in list(watched.layers.items()):
            watched.layers[name] = Guard(layer, name, below, notes)
            below = f"{name}.output"
        watched.loss(x.copy(), target.copy())
        watched.backward()
    except Exception:
        return notes[0] if notes else None
    return notes[0] if notes else None
