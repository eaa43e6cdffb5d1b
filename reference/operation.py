"""One operation alone, on inputs given to it: what autograd says of a single layer, loss or update."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from reference.layers import Dropout
from reference.losses import build_loss
from reference.network import Arrays, build_layer, to_numpy
from reference.optimizers import build_schedule


class LayerOracle:
    """A layer in float64, and its derivatives by autograd."""

    def __init__(self, kind: str, arguments: dict[str, Any]):
        self.layer = build_layer(kind, arguments).to(torch.float64)

    def differentiate(
        self,
        x: np.ndarray,
        parameters: Arrays,
        grad_output: np.ndarray | None,
        buffers: Arrays | None = None,
        drawn: Arrays | None = None,
    ) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return the output, the gradients by name ("input" and the parameters' own), and the updated buffers.

        `buffers` are those before, `drawn` what a layer drew at random, to be used again. There are no gradients
        without grad_output, and none for integers.
        """
        given = torch.tensor(x, requires_grad=x.dtype.kind == "f")
        leaves = {"input": given} if given.requires_grad else {}
        leaves |= {key: torch.tensor(array, requires_grad=True) for key, array in parameters.items()}
        moved = {key: torch.tensor(array) for key, array in (buffers or {}).items()}
        replay(self.layer, drawn or {})
        tensors = {key: leaf for key, leaf in leaves.items() if key != "input"} | moved
        output = torch.func.functional_call(self.layer, tensors, (given,))
        after = {key: to_numpy(buffer) for key, buffer in moved.items()}
        if grad_output is None:
            return to_numpy(output), {}, after
        gradients = torch.autograd.grad(output, list(leaves.values()), torch.tensor(grad_output))
        return to_numpy(output), {key: to_numpy(g) for key, g in zip(leaves, gradients, strict=True)}, after


def replay(layer: nn.Module, drawn: Arrays) -> None:
    """Let the parts of a layer that draw at random use these numbers, by the parts' names: "mask", "dropout1.mask"."""
    for path, module in layer.named_modules():
        if isinstance(module, Dropout):
            prefix = f"{path}." if path else ""
            own = {key.removeprefix(prefix): torch.tensor(a) for key, a in drawn.items() if key.startswith(prefix)}
            module.replay(own)


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


def clip(
    gradients: Arrays, max_norm: float | None, norm_type: float, clip_value: float | None
) -> dict[str, np.ndarray]:
    """Return the gradients as torch.nn.utils clips them, by norm over all together or by value, in float64."""
    weights = {name: nn.Parameter(torch.tensor(gradient)) for name, gradient in gradients.items()}
    for name, weight in weights.items():
        weight.grad = torch.tensor(gradients[name])
    if max_norm is not None:
        nn.utils.clip_grad_norm_(weights.values(), max_norm, norm_type)
    if clip_value is not None:
        nn.utils.clip_grad_value_(weights.values(), clip_value)
    return {name: to_numpy(weight.grad) for name, weight in weights.items() if weight.grad is not None}


def rate(schedule: Mapping[str, Any], lr: float, updates: int) -> float:
    """Return the learning rate that torch's schedule of this description comes to after so many updates."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    made = build_schedule(optimizer, schedule)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")  # no step is taken
        for _ in range(updates):
            made.step()
    return optimizer.param_groups[0]["lr"]
