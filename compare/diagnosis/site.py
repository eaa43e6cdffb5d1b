"""The site of a mistake: one operation at one step, and all that a wrong computation of it might look at.

The same site serves twice: a mistake is planted with the live arrays of a training step, and re-enacted with those that
a trace recorded. So a mistake is declared once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Arrays = Mapping[str, np.ndarray]


class Neighbour(NamedTuple):
    """A layer of the same network: its class, its input and its output."""

    kind: str
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Site:
    """An operation with its inputs and its right results.

    Keys of `right`, by the kind of operation:
        a layer      "output", "input" (the gradient for its input), its parameters' names for their gradients, its
                     buffers' names for their values after the step
        the loss     "value", "gradient"
        an update    "updated", and the names of the optimizer's state: "momentum_buffer", "exp_avg"
        the batch    "input", "target"
    """

    name: str  # of the layer or the parameter; "loss", "batch"
    kind: str  # the class: "Linear", "CrossEntropyLoss", "SGD"; "Batch"
    x: np.ndarray  # a layer's input, the loss's prediction, the parameter before the update, the batch's input
    right: Arrays
    y: np.ndarray | None = None  # a layer's output
    dy: np.ndarray | None = None  # the gradient from above; an update's gradient; None in a forward pass
    parameters: Arrays = field(default_factory=dict)  # a layer's
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of a layer's or a loss's constructor
    buffers: Arrays = field(default_factory=dict)  # a layer's, before the step
    drawn: Arrays = field(default_factory=dict)  # what a layer drew at random in this forward pass
    training: bool = True
    target: np.ndarray | None = None  # the loss's, as rows (N, K); the batch's, as labels
    labels: np.ndarray | None = None  # the loss's, where the batch has integer labels
    state: Arrays = field(default_factory=dict)  # an update's, before it
    options: Mapping[str, Any] = field(default_factory=dict)  # the optimizer's, for this parameter
    lr: float = 0.0
    classes: int = 0  # of the data
    nominal: int = 0  # the batch size of the description; the last batch of an epoch may be shorter
    neighbours: Mapping[str, Neighbour] = field(default_factory=dict)  # all layers of the network, by name
    preceding: tuple[np.ndarray, np.ndarray] | None = None  # input and output of the layer before
    previous: "Site | None" = None  # the same operation one step before
    loss_after_update: Callable[[], float] | None = None
    parameters_agree: bool = False  # in a re-enactment: the gradients of the weights below come out right all the same
    found: np.ndarray | None = None  # in a re-enactment: the wrong tensor that is to be explained
    noise: np.ndarray | float = 0.0  # in a re-enactment: how far rounding alone may part `found` from the right tensor

    @property
    def n(self) -> int:
        """N, the number of examples in the batch."""
        return len(self.x)

    @property
    def k(self) -> int:
        """K, the number of outputs of an example."""
        return int(self.x[0].size)
