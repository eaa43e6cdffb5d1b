"""The optimizer that stands for those of all ranks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from reference.distributed.network import DistributedNetwork
from reference.optimizers import Optimizer


class DistributedOptimizer(Optimizer):
    """torch.optim's optimizer on every rank, with the interface of one: its own state is that of rank 0.

    The ranks take each step from the same averaged gradient; that they come to the same weights and the same state, to
    the bit, is compared at every step.
    """

    def __init__(
        self,
        kind: str,
        network: DistributedNetwork,
        weight_decay: float | Mapping[str, float] | None = None,
        **options: Any,
    ):
        self.changed_micro: int | None = None
        self.changed_lr: float | None = None
        self.loaded: tuple[dict[str, np.ndarray], float | None] | None = None
        self.ranks = network
        super().__init__(kind, network, weight_decay, **options)
        network.tell("optimize", kind=kind, weight_decay=weight_decay, options=options)
        self.changed_micro = None  # the ranks begin at 0 by themselves

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return self.torch_optimizer.param_groups[0]["lr"]

    @lr.setter
    def lr(self, lr: float) -> None:
        """Set the learning rate of the next update, here and on every rank."""
        Optimizer.lr.__set__(self, lr)
        self.changed_lr = lr

    @property
    def micro(self) -> int:
        """How many calls of `step` there have been; set, the schedules of all ranks are taken to where they stand."""
        return self.calls

    @micro.setter
    def micro(self, calls: int) -> None:
        Optimizer.micro.__set__(self, calls)
        self.changed_micro = calls

    def load(self, state: Mapping[str, np.ndarray], lr: float | None = None) -> None:
        """Copy `state` into the optimizer here, and at the next step into every rank's, in place of all of its own."""
        super().load(state, lr)
        self.loaded = {name: np.array(array) for name, array in state.items()}, lr

    def step(self) -> None:
        """Let every rank take a step with the averaged gradients; take over what rank 0 has come to."""
        answer = self.ranks.tell("step", load=self.loaded, micro=self.changed_micro, lr=self.changed_lr)[0]
        self.loaded, self.changed_micro, self.changed_lr = None, None, None
        self.calls += 1
        with torch.no_grad():
            for name, array in answer["weights"].items():
                self.network.weights[name].copy_(torch.from_numpy(array))
        self.torch_optimizer.state.clear()
        for name, own in answer["state"].items():
            if own:
                self.torch_optimizer.state[self.network.weights[name]] = tensors_of(own)
        self.accumulated, self.clipped = tensors_of(answer["accumulated"]), tensors_of(answer["clipped"])
        self.lr_used, rates = answer["rates"]
        for group, lr in zip(self.torch_optimizer.param_groups, rates, strict=True):
            group["lr"] = lr


def tensors_of(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Return the arrays as tensors."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
