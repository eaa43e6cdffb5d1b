"""What the bound of an operation is computed from, and what a rule for one must tell.

A rule tells two different things of an operation y = f(x):
    forward, backward               how much its own rounding may change each element of its results: |error| <= bound
    carry_forward, carry_backward   how far two correct results may differ, by norm, when their inputs differ by a given
                                    norm and each adds its own rounding
Joined step after step the latter bound the difference of two correct networks at any tensor (`carried`). Where they
are not known, the whole step is run on numbers that carry their errors (`running`).
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

import manual
from compare.experiment.description import build_layer


@dataclass(frozen=True)
class LayerOperation:
    """A layer at one step, as the manual side recorded it; all arrays in float64, exactly as they were."""

    name: str
    kind: str
    x: np.ndarray  # its input
    y: np.ndarray  # its output
    grad_output: np.ndarray | None  # dC/dy; None where the backward pass does not reach
    parameters: Mapping[str, np.ndarray] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    buffers: Mapping[str, np.ndarray] = field(default_factory=dict)  # before the step
    drawn: Mapping[str, np.ndarray] = field(default_factory=dict)  # at random, in this forward pass

    def layer(self, own: Any = None) -> Any:
        """Return manual's layer of this kind, or a copy of the layer given, with the parameters it had at this step."""
        layer = copy.deepcopy(own) if own is not None else build_layer(self.kind, self.arguments)
        for key, array in self.parameters.items():
            layer.parameters[key] = array
        for key, array in self.buffers.items():
            layer.buffers[key] = array
        if self.drawn:
            layer.replay(self.drawn)
        return layer

    @property
    def dy(self) -> np.ndarray:
        """dC/dy, of a layer that the backward pass reaches."""
        if self.grad_output is None:
            raise ValueError(f"The backward pass does not reach {self.name}.")
        return self.grad_output


@dataclass(frozen=True)
class LossOperation:
    """The loss at one step: prediction (N, K), target as one-hot or real array (N, K), or labels (N,) for NLLLoss.

    `given` is the target as the loss was given it.
    """

    kind: str
    prediction: np.ndarray
    target: np.ndarray
    value: float
    arguments: Mapping[str, Any] = field(default_factory=dict)
    given: np.ndarray | None = None

    def loss(self) -> Any:
        """Return manual's loss of this kind."""
        return getattr(manual, self.kind)(**self.arguments)

    def divisor(self, default: str = "mean", per_example: bool = False) -> int:
        """Return what the sum is divided by; `per_example` where "mean" is over the N examples."""
        n, size = len(self.prediction), self.prediction.size
        return {"sum": 1, "batchmean": n, "mean": n if per_example else size}[self.arguments.get("reduction", default)]


@dataclass(frozen=True)
class UpdateOperation:
    """The update of one parameter at one step: its value before, its gradient, its state before ({}: first step)."""

    name: str
    parameter: np.ndarray
    gradient: np.ndarray
    state: Mapping[str, np.ndarray]
    options: Mapping[str, Any]  # lr, momentum, ..., weight_decay of this parameter


class LayerRule(Protocol):
    """A layer's rounding. Keys of the backward results: "input" and the parameters' names."""

    bound_kind: str  # "derived", or "measured" on the layer itself

    def forward(self, op: LayerOperation, u: float) -> np.ndarray:
        """Bound the rounding error of every element of y."""
        ...

    def backward(self, op: LayerOperation, u: float) -> dict[str, np.ndarray]:
        """Bound the rounding error of every element of the gradients for the input and the parameters."""
        ...

    def bounds(self, op: LayerOperation, u: float) -> dict[str, np.ndarray]:
        """Return the bounds of all results: "output", the gradients, updated buffers."""
        ...


class DerivedRounding:
    """What the rules have in common whose bounds are derived by hand."""

    bound_kind = "derived"

    def forward(self, op: LayerOperation, u: float) -> np.ndarray:
        """Bound the rounding error of every element of y."""
        raise NotImplementedError

    def backward(self, op: LayerOperation, u: float) -> dict[str, np.ndarray]:
        """Bound the rounding error of every element of the gradients."""
        raise NotImplementedError

    def bounds(self, op: LayerOperation, u: float) -> dict[str, np.ndarray]:
        """Return the bounds of all results."""
        gradients = self.backward(op, u) if op.grad_output is not None else {}
        return {"output": self.forward(op, u), **gradients}


class NormRule(Protocol):
    """How far a layer carries a difference on, by norm: only layers with a derivation of their own tell."""

    def carry_forward(self, op: LayerOperation, dx: float, u: float) -> float:
        """Bound the difference of y, by norm, where x differs by `dx` in norm."""
        ...

    def carry_backward(self, op: LayerOperation, dx: float, dg: float, u: float) -> dict[str, float]:
        """Bound the difference of the gradients, by norm, where x differs by `dx` and dC/dy by `dg`."""
        ...


class LossRule(Protocol):
    """A loss's rounding."""

    def forward(self, op: LossOperation, u: float) -> float:
        """Bound the rounding error of the loss."""
        ...

    def backward(self, op: LossOperation, u: float) -> np.ndarray:
        """Bound the rounding error of every element of the gradient for the prediction."""
        ...


class LossNormRule(Protocol):
    """How far a loss carries a difference on."""

    def carry(self, op: LossOperation, dx: float, u: float) -> tuple[float, float]:
        """Bound the difference of the loss, and by norm that of its gradient, where the prediction differs by `dx`."""
        ...
