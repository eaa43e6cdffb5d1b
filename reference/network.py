"""The network: an nn.Sequential of named layers and a loss, which keeps what autograd finds at every layer."""

import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

Arrays = Mapping[str, np.ndarray]


def build_layer(kind: str, arguments: dict[str, Any]) -> nn.Module:
    """Return torch.nn's layer of that name ("Linear"), or what a dotted name in torch makes of these arguments.

    "torch.nn.SiLU" is a module class; "torch.nn.functional.silu" a function, wrapped in a module. Raises AttributeError
    for a name that torch does not have.
    """
    if kind == "LogSoftmax":
        arguments = {"dim": -1, **arguments}  # torch leaves it open, and warns
    found: Any = nn
    for name in kind.split("."):
        found = torch if name == "torch" and found is nn else getattr(found, name)
    if isinstance(found, type):
        return found(**arguments)
    if not callable(found):
        raise TypeError(f"it is a {type(found).__name__}, neither a module class nor a function")
    with contextlib.suppress(ValueError):  # of some functions the signature is not known
        inspect.signature(found).bind(None, **arguments)
    function: Any = found
    return Function(function, arguments)


class Function(nn.Module):
    """A layer without weights, made of a function of torch."""

    def __init__(self, function: Callable[..., torch.Tensor], arguments: dict[str, Any]):
        super().__init__()
        self.function, self.arguments = function, arguments

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return function(x, **arguments)."""
        return self.function(x, **self.arguments)


class Network:
    """An nn.Sequential of named layers, a loss, and the initial weights copied in from NumPy arrays.

    Copied, for torch.from_numpy alone would share the memory: then both sides of a comparison would hold the same
    numbers whatever either computes.
    """

    def __init__(self, layers: Mapping[str, nn.Module], loss: nn.Module, parameters: Arrays, device: str = "cpu"):
        dtype = torch.from_numpy(next(iter(parameters.values()))).dtype if parameters else torch.float64
        self.layers = nn.Sequential()
        for name, layer in layers.items():
            self.layers.add_module(name, layer)
        self.layers.to(device=device, dtype=dtype)
        self.loss_function = loss.to(device=device)
        self.device, self.dtype = torch.device(device), dtype
        self.weights = dict(self.layers.named_parameters())  # "linear1.weight" -> nn.Parameter
        self.names = list(layers)
        self.weights_of = {name: [w for w in self.weights if w.startswith(f"{name}.")] for name in layers}
        self.load(parameters)

    @torch.no_grad()
    def load(self, parameters: Arrays) -> None:
        """Copy `parameters` (name -> array) into the layers."""
        for name, weight in self.weights.items():
            weight.copy_(torch.from_numpy(parameters[name]))

    def share(self, parameters: Arrays) -> None:
        """Take the arrays' own memory for the weights: the mistake that `load` is careful not to make."""
        for name, weight in self.weights.items():
            weight.data = torch.from_numpy(parameters[name])

    def loss(self, x: np.ndarray, target: np.ndarray) -> float:
        """Run the forward pass on copies of the batch; return the loss. Every layer's output will keep its gradient."""
        self.input, self.target = torch.tensor(x, device=self.device), torch.tensor(target, device=self.device)
        self.outputs: list[torch.Tensor] = []
        output = self.input
        for layer in self.layers:
            output = layer(output)
            if output.requires_grad:
                output.retain_grad()
            self.outputs.append(output)
        self.value = self.loss_function(output, self.target)
        return self.value.item()

    def backward(self) -> None:
        """Let autograd run the backward pass of the last loss."""
        for weight in self.weights.values():
            weight.grad = None
        self.value.backward()

    @torch.no_grad()
    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the last layer's output (N, K) for the inputs x (N, ...)."""
        return self.layers(torch.tensor(x, device=self.device)).cpu().numpy()

    def trace(self) -> dict[str, np.ndarray]:
        """Return every named tensor from the data to the gradients, in the order in which a step makes them.

        The arrays are views of torch's memory on the CPU, copies from another device.
        """
        trace = {"input": to_numpy(self.input), "target": to_numpy(self.target)}
        trace |= {name: to_numpy(weight) for name, weight in self.weights.items()}
        for name, output in zip(self.names, self.outputs, strict=True):
            trace[f"{name}.output"] = to_numpy(output)
        trace["loss"] = to_numpy(self.value)
        for name, output in zip(reversed(self.names), reversed(self.outputs), strict=True):
            if output.grad is None:
                break  # below the first layer with weights autograd has nothing to find
            trace[f"{name}.output.grad"] = to_numpy(output.grad)
            for weight in self.weights_of[name]:
                if (gradient := self.weights[weight].grad) is not None:
                    trace[f"{weight}.grad"] = to_numpy(gradient)
        return trace


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Return the tensor as an array: the same memory on the CPU, a copy from another device."""
    own = tensor.detach()
    return own.numpy() if own.device.type == "cpu" else own.cpu().numpy()
