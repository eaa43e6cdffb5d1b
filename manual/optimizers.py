"""Gradient descent: what is done with the gradients. An update always subtracts."""

from collections.abc import Mapping

import numpy as np

from manual.checks import Array
from manual.network import Network


class SGD:
    """Stochastic gradient descent, as torch.optim.SGD: for each parameter p with gradient g = dC/dp

        g <- g + weight_decay * p                                   (20)
        v <- momentum * v + (1 - dampening) * g     (first: v = g)  (21)
        g <- g + momentum * v  if nesterov, else  v                 (22)
        p <- p - lr * g                                             (19)

    `weight_decay` is one number for all parameters, as in torch, or a mapping from parameter names to numbers for
    chosen ones: {"linear1.weight": 1e-4}. The updates are made in place, in the arrays of `network.parameters`.
    """

    name = "sgd"

    def __init__(
        self,
        network: Network,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float | Mapping[str, float] = 0.0,
        nesterov: bool = False,
    ):
        """Raise ValueError for a negative or non-finite value, Nesterov without momentum, or an unknown parameter."""
        if not isinstance(weight_decay, Mapping):
            weight_decay = dict.fromkeys(network.parameters, weight_decay)
        options = {"lr": lr, "momentum": momentum}
        options |= {f"weight_decay of {name}": decay for name, decay in weight_decay.items()}
        for option, value in options.items():
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"SGD: {option} is {value}; wanted a number of at least 0.")
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError("SGD: Nesterov's look-ahead needs momentum above 0 and dampening 0.")
        if unknown := weight_decay.keys() - network.parameters.keys():
            raise ValueError(f"SGD: weight_decay names {sorted(unknown)}; the network has {list(network.parameters)}.")
        self.network = network
        # Plain numbers: a NumPy scalar would impose its own dtype on the update.
        self.lr, self.momentum, self.dampening, self.nesterov = float(lr), float(momentum), float(dampening), nesterov
        self.weight_decay = {name: float(decay) for name, decay in weight_decay.items()}
        self.state: dict[str, Array] = {}  # "linear1.weight.momentum_buffer" -> v
        self.previous = {name: np.empty_like(p) for name, p in network.parameters.items()}

    def step(self) -> None:
        """Update every parameter once, with the gradients of the network's last backward pass."""
        gradients = self.network.gradients
        if gradients.keys() != self.network.parameters.keys():
            raise RuntimeError("SGD.step needs gradients: call network.loss(x, target) and network.backward() first.")
        for name, parameter in self.network.parameters.items():
            np.copyto(self.previous[name], parameter)  # so that the trace can show both sides of the update
            parameter -= self.lr * self.direction(name, parameter, gradients[name])  # (19)
        self.network.updated_by = self

    def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
        """Return what lr multiplies, of the parameter's shape; moves the momentum buffer on."""
        if decay := self.weight_decay.get(name, 0.0):
            gradient = gradient + decay * parameter  # (20)
        if not self.momentum:
            return gradient
        key = f"{name}.momentum_buffer"
        if key not in self.state:
            self.state[key] = gradient.copy()
        else:
            self.state[key] *= self.momentum  # (21)
            self.state[key] += (1 - self.dampening) * gradient
        if self.nesterov:
            return gradient + self.momentum * self.state[key]  # (22)
        return self.state[key]

    def trace(self) -> dict[str, Array]:
        """Return the state and the updated parameters by name, as they follow each other in a step."""
        state = {f"{self.name}.{key}": value for key, value in self.state.items()}
        return state | {f"{name}.updated": p for name, p in self.network.parameters.items()}
