"""Optimizers: those of torch.optim, with their state by name."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from reference.network import Network, to_numpy


class Optimizer:
    """torch.optim's optimizer of the name `kind` over the weights of a network.

    `weight_decay` may be a mapping from parameter names to numbers: one parameter group for each number.
    """

    def __init__(self, kind: str, network: Network, weight_decay: float | Mapping[str, float] = 0.0, **options: Any):
        self.name = kind.lower()
        self.network = network
        decays = weight_decay if isinstance(weight_decay, Mapping) else dict.fromkeys(network.weights, weight_decay)
        groups: dict[float, list[torch.nn.Parameter]] = {}
        for name, weight in network.weights.items():
            groups.setdefault(decays.get(name, 0.0), []).append(weight)
        self.torch_optimizer: torch.optim.Optimizer = getattr(torch.optim, kind)(
            [{"params": weights, "weight_decay": decay} for decay, weights in groups.items()], **options
        )

    def step(self) -> None:
        """Update every weight once, with the gradients of the last backward pass."""
        self.torch_optimizer.step()

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Copy `state` ("linear1.weight.momentum_buffer" -> array) into the optimizer, in place of its own."""
        for name, weight in self.network.weights.items():
            own = self.torch_optimizer.state[weight]
            for key, array in state.items():
                parameter, _, kind = key.rpartition(".")
                if parameter != name:
                    continue
                if own.get(kind) is None:
                    own[kind] = torch.tensor(array, device=weight.device)
                else:
                    own[kind].copy_(torch.from_numpy(array))

    def trace(self) -> dict[str, np.ndarray]:
        """Return the state and the updated weights by name, as they follow each other in a step."""
        trace = {}
        for name, weight in self.network.weights.items():
            for key, value in self.torch_optimizer.state.get(weight, {}).items():
                if value is not None:
                    trace[f"{self.name}.{name}.{key}"] = to_numpy(value)
        for name, weight in self.network.weights.items():
            trace[f"{name}.updated"] = to_numpy(weight)
        return trace
