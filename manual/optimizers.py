"""Gradient descent: what is done with the gradients. An update always subtracts.

Here is what all optimizers share, and SGD; `adaptive.py` has those that measure each parameter's own gradients.
"""

import inspect
from collections.abc import Mapping
from typing import Any, Protocol, TypedDict, Unpack

import numpy as np

from manual.checks import Array
from manual.clipping import clip_grad_norm_, clip_grad_value_
from manual.schedules import Schedule, require_count, schedule_of

OPTIONS: dict[str, dict[str, Any]] = {}  # of every optimizer by class name: option -> default


class Trained(Protocol):
    """What an optimizer needs of a network: its parameters and their gradients, by the same names."""

    parameters: dict[str, Array]
    gradients: dict[str, Array]


class Training(TypedDict, total=False):
    """What every optimizer takes beside torch's options: see Optimizer."""

    schedule: Schedule | Mapping[str, Any] | None
    accumulate: int
    max_norm: float | None
    norm_type: float
    clip_value: float | None


def require_range(option: str, value: float, below: float = np.inf) -> None:
    """Raise ValueError unless the option's value is a number from 0 to below `below`."""
    if not 0 <= value < below:  # not so for NaN
        wanted = "of at least 0" if below == np.inf else f"from 0 to below {below:g}"
        raise ValueError(f"{option} is {value}; wanted a number {wanted}.")


class Optimizer:
    """What all optimizers do at a step, whatever their rule: gather, clip, update, and move the learning rate on.

        accumulate=k            of k calls of `step` only the last updates, with the average of k gradients   (246)
        max_norm=, norm_type=   the gradients are shortened to this norm over all parameters together    (241, 242)
        clip_value=             or each of their elements is held within +-clip_value                         (243)
        schedule=               the learning rate of every update is the schedule's                     (237 to 240)

    `weight_decay` is one number for all parameters, as in torch, or a mapping from parameter names to numbers for
    chosen ones: {"linear1.weight": 1e-4}. `maximize` climbs instead of descending. The updates are made in place, in
    the arrays of `network.parameters`.

    `state` holds what is kept from step to step under torch's names ("linear1.weight.exp_avg"), the running sum of
    gradients too ("linear1.weight.accumulated"). `micro` counts the calls of `step`; who restores parameters, state and
    `micro` goes on as if nothing had happened.

    `previous` holds the parameters as they were before the last step, so that a network's trace shows both sides of an
    update. Who traces nothing sets `keeps_previous` to False and is spared the copy.
    """

    name: str  # in the trace: "adam.linear1.weight.exp_avg"

    def __init_subclass__(cls) -> None:
        """Enter the options and their defaults, as the signature has them, into OPTIONS."""
        if "name" not in vars(cls):
            return  # a variant of one of those here
        OPTIONS[cls.__name__] = {
            name: parameter.default
            for made in (cls, Optimizer)
            for name, parameter in inspect.signature(made.__init__).parameters.items()
            if parameter.default is not parameter.empty
        }

    def __init__(
        self,
        network: Trained,
        lr: float,
        weight_decay: float | Mapping[str, float],
        maximize: bool,
        *,
        schedule: Schedule | Mapping[str, Any] | None = None,
        accumulate: int = 1,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        clip_value: float | None = None,
    ):
        """Raise ValueError for a negative or non-finite value, or an unknown parameter."""
        kind = type(self).__name__
        if not isinstance(weight_decay, Mapping):
            weight_decay = dict.fromkeys(network.parameters, weight_decay)
        require_range(f"{kind}: lr", lr)
        for name, decay in weight_decay.items():
            require_range(f"{kind}: weight_decay of {name}", decay)
        if unknown := weight_decay.keys() - network.parameters.keys():
            raise ValueError(
                f"{kind}: weight_decay names {sorted(unknown)}; the network has {list(network.parameters)}."
            )
        require_count(f"{kind}: accumulate", accumulate)
        if max_norm is not None and clip_value is not None:
            raise ValueError(f"{kind}: max_norm and clip_value both clip; wanted one of them.")
        for option, limit in (("max_norm", max_norm), ("clip_value", clip_value), ("norm_type", norm_type)):
            if limit is not None and not limit > 0:
                raise ValueError(f"{kind}: {option} is {limit}; wanted a number above 0.")
        self.network = network
        # Plain numbers: a NumPy scalar would impose its own dtype on the update.
        self.base_lr, self.maximize = float(lr), maximize
        self.weight_decay = {name: float(decay) for name, decay in weight_decay.items()}
        self.schedule = None if schedule is None else schedule_of(schedule)
        self.accumulate, self.micro = int(accumulate), 0
        self.max_norm, self.norm_type, self.clip_value = max_norm, norm_type, clip_value
        self.state: dict[str, Array] = {}
        self.previous = {name: np.empty_like(p) for name, p in network.parameters.items()}
        self.keeps_previous = True
        self.clipped: dict[str, Array] = {}  # at the last step; {} where nothing was clipped
        self.lr_used = self.lr

    @property
    def lr(self) -> float:
        """The learning rate of the next update; it moves on as its schedule says, after each update."""
        return self.schedule.lr(self.micro // self.accumulate, self.base_lr) if self.schedule else self.base_lr

    @lr.setter
    def lr(self, lr: float) -> None:
        """Set the learning rate; under a schedule, the one that the schedule starts from."""
        self.base_lr = float(lr)

    def step(self) -> None:
        """Take in the gradients of the network's last backward pass; update every parameter, if it is time."""
        parameters, gradients = self.network.parameters, self.network.gradients
        if gradients.keys() != parameters.keys():
            raise RuntimeError(
                f"{type(self).__name__}.step needs gradients: call network.loss(x, target) and network.backward() "
                "first."
            )
        if self.keeps_previous:
            for name, parameter in parameters.items():
                np.copyto(self.previous[name], parameter)
        self.lr_used = self.lr
        if self.accumulate > 1:
            gradients = self.gathered(gradients)
        self.clipped = {}
        if self.micro % self.accumulate == self.accumulate - 1:
            if self.max_norm is not None or self.clip_value is not None:
                gradients = self.clipped = self.clip(gradients)
            for name, parameter in parameters.items():
                self.update(name, parameter, gradients[name])
        self.micro += 1
        self.network.updated_by = self  # pyright: ignore[reportAttributeAccessIssue] - a Network's trace asks for it

    def gathered(self, gradients: Mapping[str, Array]) -> dict[str, Array]:
        """Return the running sum of gradients / k, this micro-batch's among them; the first starts it anew."""
        for name, gradient in gradients.items():
            key = f"{name}.accumulated"
            if self.micro % self.accumulate == 0:
                self.state[key] = gradient / self.accumulate
            else:
                self.state[key] += gradient / self.accumulate  # (246)
        return {name: self.state[f"{name}.accumulated"] for name in gradients}

    def clip(self, gradients: Mapping[str, Array]) -> dict[str, Array]:
        """Return the gradients clipped, by norm or by value: copies."""
        clipped = {name: gradient.copy() for name, gradient in gradients.items()}
        if self.max_norm is not None:
            clip_grad_norm_(clipped, self.max_norm, self.norm_type)
        elif self.clip_value is not None:
            clip_grad_value_(clipped, self.clip_value)
        return clipped

    def update(self, name: str, parameter: Array, gradient: Array) -> None:
        """Update one parameter in place: p <- p - rate * direction."""
        if self.maximize:
            gradient = -gradient  # (220)
        direction = self.direction(name, parameter, gradient)
        parameter -= self.rate(name) * direction  # (19)

    def decayed(self, name: str, parameter: Array, gradient: Array) -> Array:
        """Return the gradient with the weight decay's part in it."""
        decay = self.weight_decay.get(name, 0.0)
        return gradient + decay * parameter if decay else gradient  # (20)

    def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
        """Return what the rate multiplies, of the parameter's shape; moves the parameter's state on.

        `state` is read and written by its keys alone, so that who looks on may put in values of his own.
        """
        raise NotImplementedError

    def rate(self, name: str) -> float:
        """Return what the direction is multiplied by: the learning rate, unless the rule corrects it."""
        return self.lr

    def trace(self) -> dict[str, Array]:
        """Return what the step made, by name, in its order: gradients gathered and clipped, state, parameters."""
        parameters, trace = self.network.parameters, {}
        if self.accumulate > 1:
            trace |= {f"{name}.grad.accumulated": self.state[f"{name}.accumulated"] for name in parameters}
        trace |= {f"{name}.grad.clipped": gradient for name, gradient in self.clipped.items()}
        if self.schedule and parameters:
            trace[f"{self.name}.lr"] = np.full_like(next(iter(parameters.values())), self.lr_used, shape=())
        trace |= {f"{self.name}.{k}": value for k, value in self.state.items() if not k.endswith(".accumulated")}
        return trace | {f"{name}.updated": p for name, p in parameters.items()}


class SGD(Optimizer):
    """Stochastic gradient descent, as torch.optim.SGD: for each parameter p with gradient g = dC/dp

    g <- g + weight_decay * p                                   (20), the derivative of (250)
    v <- momentum * v + (1 - dampening) * g     (first: v = g)  (21)
    g <- g + momentum * v  if nesterov, else  v                 (22)
    p <- p - lr * g                                             (19)
    """

    name = "sgd"

    def __init__(
        self,
        network: Trained,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float | Mapping[str, float] = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **training: Unpack[Training],
    ):
        """Raise ValueError for a negative or non-finite value, Nesterov without momentum, or an unknown parameter."""
        super().__init__(network, lr, weight_decay, maximize, **training)
        require_range("SGD: momentum", momentum)
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError("SGD: Nesterov's look-ahead needs momentum above 0 and dampening 0.")
        self.momentum, self.dampening, self.nesterov = float(momentum), float(dampening), nesterov

    def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
        """Return g or v; moves the momentum buffer on."""
        gradient = self.decayed(name, parameter, gradient)
        if not self.momentum:
            return gradient
        key = f"{name}.momentum_buffer"
        if key not in self.state:
            self.state[key] = gradient.copy()
        else:
            self.state[key] *= self.momentum  # (21)
            self.state[key] += (1 - self.dampening) * gradient if self.dampening else gradient
        if self.nesterov:
            return gradient + self.momentum * self.state[key]  # (22)
        return self.state[key]
