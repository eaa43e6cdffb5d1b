"""Optimizers: those of torch.optim, with their state by name, torch's schedules, clipping, and accumulation."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import lr_scheduler

from reference.network import Network, to_numpy

# torch's names of what an optimizer keeps, in the order in which a step needs them.
STATE = (
    "step", "sum", "square_avg", "grad_avg", "momentum_buffer", "acc_delta", "exp_avg", "exp_avg_sq", "max_exp_avg_sq",
)  # fmt: skip


def build_schedule(optimizer: torch.optim.Optimizer, description: Mapping[str, Any]) -> lr_scheduler.LRScheduler:
    """Return torch's schedule of a description: {"kind": "StepLR", "step_size": 5}; SequentialLR's own are nested."""
    arguments = dict(description)
    kind = arguments.pop("kind")
    if kind == "SequentialLR":
        arguments["schedulers"] = [build_schedule(optimizer, inner) for inner in arguments.pop("schedules")]
    return getattr(lr_scheduler, kind)(optimizer, **arguments)


class Optimizer:
    """torch.optim's optimizer of the name `kind` over the weights of a network.

    `weight_decay` may be a mapping from parameter names to numbers: one parameter group for each number; None is
    torch's default. With `accumulate` = k every k-th call of `step` updates, with what k backward passes of loss / k
    add up to. `max_norm` and `clip_value` clip, `schedule` is a description for `build_schedule`. The weights' own
    gradients are those of the last backward pass before and after a step.
    """

    def __init__(
        self,
        kind: str,
        network: Network,
        weight_decay: float | Mapping[str, float] | None = None,
        *,
        schedule: Mapping[str, Any] | None = None,
        accumulate: int = 1,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        clip_value: float | None = None,
        **options: Any,
    ):
        self.name, self.network = kind.lower(), network
        self.torch_optimizer: torch.optim.Optimizer = getattr(torch.optim, kind)(
            parameter_groups(network, weight_decay), **options
        )
        self.initial_sum = options.get("initial_accumulator_value", 0.0)
        self.torch_optimizer.state.clear()  # Adagrad's, which it makes before it has seen a gradient
        self.description, self.schedule = schedule, None
        self.accumulate, self.max_norm, self.norm_type, self.clip_value = accumulate, max_norm, norm_type, clip_value
        self.accumulated: dict[str, torch.Tensor] = {}
        self.clipped: dict[str, torch.Tensor] = {}
        self.given_lr: float | None = None
        self.micro = 0
        self.lr_used = self.lr

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return self.torch_optimizer.param_groups[0]["lr"]

    @lr.setter
    def lr(self, lr: float) -> None:
        """Set the learning rate of the next update."""
        for group in self.torch_optimizer.param_groups:
            group["lr"] = lr

    @property
    def micro(self) -> int:
        """How many calls of `step` there have been; set, the schedule is taken to where it then stands."""
        return self.calls

    @micro.setter
    def micro(self, calls: int) -> None:
        self.calls = calls
        if self.description is None:
            return
        for group in self.torch_optimizer.param_groups:
            group["lr"] = group.get("initial_lr", group["lr"])
        self.schedule = build_schedule(self.torch_optimizer, self.description)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")  # the optimizer's were before
            for _ in range(calls // self.accumulate):
                self.schedule.step()

    def step(self) -> None:
        """Take in the gradients of the last backward pass; update every weight, if it is time."""
        own = {name: weight.grad for name, weight in self.network.weights.items() if weight.grad is not None}
        self.lr_used, self.clipped = self.lr, {}
        if self.accumulate > 1:
            for name, gradient in own.items():
                before = self.accumulated[name] if self.calls % self.accumulate else torch.zeros_like(gradient)
                self.accumulated[name] = before + gradient / self.accumulate
        self.calls += 1
        if self.calls % self.accumulate == 0:
            self.update(self.accumulated if self.accumulate > 1 else own)
            for name, gradient in own.items():
                self.network.weights[name].grad = gradient

    def update(self, gradients: Mapping[str, torch.Tensor]) -> None:
        """Update every weight with its gradient, clipped where that is asked for; move the schedule on."""
        weights = {name: self.network.weights[name] for name in gradients}
        clips = self.max_norm is not None or self.clip_value is not None
        for name, weight in weights.items():
            weight.grad = gradients[name].clone() if clips else gradients[name]
            if self.name == "adagrad" and not self.torch_optimizer.state.get(weight):
                start = torch.full_like(weight, self.initial_sum, requires_grad=False)
                self.torch_optimizer.state[weight] = {"step": torch.tensor(0.0), "sum": start}
        if self.max_norm is not None:
            clip_grad_norm_(weights.values(), self.max_norm, self.norm_type)
        if self.clip_value is not None:
            clip_grad_value_(weights.values(), self.clip_value)
        if clips:
            self.clipped = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
        self.torch_optimizer.step()
        if self.schedule:
            for group in self.torch_optimizer.param_groups:
                group["lr"] = group["lr"] if self.given_lr is None else self.given_lr
            self.schedule.step()

    def load(self, state: Mapping[str, np.ndarray], lr: float | None = None) -> None:
        """Copy `state` ("linear1.weight.momentum_buffer" -> array) into the optimizer, in place of all of its own.

        With `lr`, the rate that another uses at the coming step, the schedule makes the rate after it from that one.
        """
        self.given_lr = lr
        self.accumulated, self.clipped = {}, {}
        self.torch_optimizer.state.clear()
        for full, array in state.items():
            name, _, key = full.rpartition(".")
            weight = self.network.weights[name]
            # torch counts steps on the CPU, wherever the weights are.
            copied = torch.tensor(array, device="cpu" if key == "step" else weight.device)
            if key == "accumulated":
                self.accumulated[name] = copied
            else:
                self.torch_optimizer.state[weight][key] = copied

    @property
    def state(self) -> dict[str, np.ndarray]:
        """Everything that is kept from one step to the next, by name, as copies: what `load` takes."""
        kept = {f"{name}.accumulated": to_numpy(gradient) for name, gradient in self.accumulated.items()}
        for name, weight in self.network.weights.items():
            own = self.torch_optimizer.state.get(weight, {})
            kept |= {f"{name}.{key}": to_numpy(value) for key, value in own.items() if value is not None}
        return {name: array.copy() for name, array in kept.items()}

    def trace(self) -> dict[str, np.ndarray]:
        """Return what the step made, by name, in its order: gradients gathered and clipped, state, weights."""
        weights, trace = self.network.weights, {}
        trace |= {f"{name}.grad.accumulated": to_numpy(g) for name, g in self.accumulated.items()}
        trace |= {f"{name}.grad.clipped": to_numpy(g) for name, g in self.clipped.items()}
        if self.description is not None:
            trace[f"{self.name}.lr"] = torch.tensor(self.lr_used, dtype=self.network.dtype).numpy()
        for name, weight in weights.items():
            state = self.torch_optimizer.state.get(weight, {})
            for key in STATE:
                if (value := state.get(key)) is not None:
                    trace[f"{self.name}.{name}.{key}"] = to_numpy(value)
        return trace | {f"{name}.updated": weight for name, weight in self.network.weight_arrays.items()}


def parameter_groups(network: Network, weight_decay: float | Mapping[str, float] | None) -> list[dict[str, Any]]:
    """Return torch's parameter groups: one for each weight decay, one in all where none is given."""
    if weight_decay is None:
        return [{"params": list(network.weights.values())}]
    decays = weight_decay if isinstance(weight_decay, Mapping) else dict.fromkeys(network.weights, weight_decay)
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for name, weight in network.weights.items():
        groups.setdefault(decays.get(name, 0.0), []).append(weight)
    return [{"params": weights, "weight_decay": decay} for decay, weights in groups.items()]
