"""The network: an nn.Sequential of named layers and a loss, which keeps what autograd finds at every layer."""

import contextlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from reference.layers import DEFAULTS, OURS, Residual

Arrays = Mapping[str, np.ndarray]


def build_layer(kind: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return torch.nn's layer of that name ("Linear"), or what a dotted name in torch makes of these arguments.

    "torch.nn.SiLU" is a module class; "torch.nn.functional.silu" a function, wrapped in a module. A Residual's layers
    are tables: {"kind", "name", "reference", and the arguments}. Raises AttributeError for a name that torch does not
    have.
    """
    if kind == "Residual":
        return build_residual(arguments["layers"])
    if kind in OURS:
        return OURS[kind](**arguments)
    arguments = {**DEFAULTS.get(kind, {}), **arguments}
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


def build_residual(tables: Sequence[Mapping[str, Any]]) -> Residual:
    """Return a residual connection around the layers of these tables."""
    residual = Residual()
    for table in tables:
        arguments = {key: value for key, value in table.items() if key not in ("kind", "name", "reference")}
        residual.add_module(table["name"], build_layer(table.get("reference") or table["kind"], arguments))
    return residual


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
        self.buffers = dict(self.layers.named_buffers())  # "batchnorm1d1.running_mean" -> Tensor
        self.drawing = {name for name in layers if any(hasattr(m, "drawn") for m in self.module(name).modules())}
        self.buffers_before = self.copies(self.buffers)
        self.views: dict[str, np.ndarray] = {}
        self.load(parameters)

    @torch.no_grad()
    def load(self, parameters: Arrays, buffers: Arrays | None = None) -> None:
        """Copy `parameters`, and `buffers` if given (name -> array), into the layers."""
        for name, weight in self.weights.items():
            weight.copy_(torch.from_numpy(parameters[name]))
        for name, array in (buffers or {}).items():
            self.buffers[name].copy_(torch.from_numpy(np.asarray(array)))

    def seed(self, generators: Mapping[str, np.random.Generator]) -> None:
        """Give the layers that draw at random their generators, by the layers' full names."""
        for name, generator in generators.items():
            self.layers.get_submodule(name).rng = generator  # pyright: ignore[reportArgumentType]

    @property
    def generators(self) -> dict[str, np.random.Generator]:
        """The generators of the layers that draw at random, by the layers' full names."""
        found = {name: getattr(module, "rng", None) for name, module in self.layers.named_modules()}
        return {name: rng for name, rng in found.items() if isinstance(rng, np.random.Generator)}

    def module(self, name: str) -> nn.Module:
        """Return the layer of this name."""
        return self.layers.get_submodule(name)

    @property
    def weight_arrays(self) -> dict[str, np.ndarray]:
        """The weights as arrays by name: views of torch's memory on the CPU, copies from another device."""
        if self.device.type != "cpu":
            return {name: to_numpy(weight) for name, weight in self.weights.items()}
        if not self.views:  # made once: training changes the weights in place
            self.views = {name: to_numpy(weight) for name, weight in self.weights.items()}
        return self.views

    @staticmethod
    def copies(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return copies of tensors by name."""
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}

    def share(self, parameters: Arrays) -> None:
        """Take the arrays' own memory for the weights: the mistake that `load` is careful not to make."""
        for name, weight in self.weights.items():
            weight.data = torch.from_numpy(parameters[name])
        self.views = {}

    def loss(self, x: np.ndarray, target: np.ndarray) -> float:
        """Run the forward pass on copies of the batch; return the loss. Every layer's output will keep its gradient."""
        self.input, self.target = torch.tensor(x, device=self.device), torch.tensor(target, device=self.device)
        self.buffers_before = self.copies(self.buffers)
        self.value = self.loss_function(self.forward(self.input), self.target)
        return self.value.item()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last layer's output; keep every layer's, which will keep its gradient."""
        self.outputs: list[torch.Tensor] = []
        output = x
        for layer in self.layers:
            output = layer(output)
            if output.requires_grad:
                output.retain_grad()
            self.outputs.append(output)
        return output

    def backward(self) -> None:
        """Let autograd run the backward pass of the last loss."""
        for weight in self.weights.values():
            weight.grad = None
        self.value.backward()

    @torch.no_grad()
    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the last layer's output (N, K) for the inputs x (N, ...), in evaluation."""
        self.layers.eval()
        try:
            return self.layers(torch.tensor(x, device=self.device)).cpu().numpy()
        finally:
            self.layers.train()

    def drawn_by(self, name: str) -> dict[str, torch.Tensor]:
        """Return what the layer drew in the last forward pass, by full names."""
        layer = self.module(name)
        drawn: dict[str, torch.Tensor] = {}
        for path, module in layer.named_modules():
            own: Mapping[str, torch.Tensor] = getattr(module, "drawn", {})
            drawn |= {".".join(filter(None, (name, path, key))): tensor for key, tensor in own.items()}
        return drawn

    def trace(self) -> dict[str, np.ndarray]:
        """Return every named tensor from the data to the gradients, in the order in which a step makes them.

        The arrays are views of torch's memory on the CPU, copies from another device.
        """
        trace = {"input": to_numpy(self.input), "target": to_numpy(self.target)}
        trace |= self.weight_arrays
        trace |= {name: to_numpy(buffer) for name, buffer in self.buffers_before.items()}
        for name, output in zip(self.names, self.outputs, strict=True):
            if name in self.drawing:
                trace |= {key: to_numpy(tensor) for key, tensor in self.drawn_by(name).items()}
            trace[f"{name}.output"] = to_numpy(output)
            if self.buffers:
                trace |= {f"{k}.updated": to_numpy(b) for k, b in self.buffers.items() if k.startswith(f"{name}.")}
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
