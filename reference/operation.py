"""One operation alone, on inputs given to it: what autograd says of a single layer, loss or update."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from reference.losses import build_loss
from reference.network import Arrays, build_layer, to_numpy


class LayerOracle:
    """A layer in float64, and its derivatives by autograd."""

    def __init__(self, kind: str, arguments: dict[str, Any]):
        self.layer = build_layer(kind, arguments).to(torch.float64)

    def differentiate(
        self, x: np.ndarray, parameters: Arrays, grad_output: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the output, and the gradients by name: "input" and the parameters' own ({} without grad_output)."""
        leaves = {"input": torch.tensor(x, requires_grad=True)}
        leaves |= {key: torch.tensor(array, requires_grad=True) for key, array in parameters.items()}
        output = torch.func.functional_call(
            self.layer, {key: leaf for key, leaf in leaves.items() if key != "input"}, (leaves["input"],)
        )
        if grad_output is None:
            return to_numpy(output), {}
        gradients = torch.autograd.grad(output, list(leaves.values()), torch.tensor(grad_output))
        return to_numpy(output), {key: to_numpy(g) for key, g in zip(leaves, gradients, strict=True)}


class LossOracle:
    """A loss in float64, and its derivative by autograd."""

    def __init__(self, kind: str, arguments: dict[str, Any]):
        self.loss: nn.Module = build_loss(kind, arguments)

    def differentiate(self, prediction: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss and its gradient for the prediction (N, K)."""
        leaf = torch.tensor(prediction, requires_grad=True)
        value = self.loss(leaf, torch.tensor(target))
        (gradient,) = torch.autograd.grad(value, leaf)
        return value.item(), to_numpy(gradient)


def update(
    kind: str, options: Mapping[str, Any], parameter: np.ndarray, gradient: np.ndarray, state: Arrays
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the updated parameter and the new state of one step of torch.optim's optimizer `kind`, in float64.

    `options` are torch's, the learning rate of this step among them; `state` has torch's keys, {} before the first.
    """
    weight = nn.Parameter(torch.tensor(parameter))
    weight.grad = torch.tensor(gradient)
    optimizer: torch.optim.Optimizer = getattr(torch.optim, kind)([weight], **options)
    # torch counts steps in float32, whatever the weights are in.
    before = {k: torch.tensor(array, dtype=torch.float32 if k == "step" else None) for k, array in state.items()}
    optimizer.state[weight].update(before)
    optimizer.step()
    after = {key: to_numpy(value) for key, value in optimizer.state[weight].items() if value is not None}
    return to_numpy(weight), after
