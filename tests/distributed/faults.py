"""Faults of a distributed reference, and a look into its ranks, which import this file to be sent its classes."""

import torch
import torch.distributed
from torch import nn

from reference import ShardLoss


class MeanOfMeans(ShardLoss):
    """Each shard's own mean, as one gets who forgets that shards differ in size: averaged without their weights."""

    def scale(self, prediction: torch.Tensor, target: torch.Tensor, ranks: int) -> float:
        own = ShardLoss.divisor(self, prediction, target) * len(prediction) / len(target)
        return 1 / own if own else 0.0


class WithoutTheFactor(ShardLoss):
    """The share of each rank in the whole batch's loss: the average is the W-th part of the gradient."""

    def scale(self, prediction: torch.Tensor, target: torch.Tensor, ranks: int) -> float:
        return super().scale(prediction, target, 1)


class LastIsForgotten(ShardLoss):
    """The last rank adds nothing to the average."""

    def scale(self, prediction: torch.Tensor, target: torch.Tensor, ranks: int) -> float:
        last = torch.distributed.get_rank() == ranks - 1
        return super().scale(prediction, target, ranks) * (0.0 if last else 1.0)


class OwnWay(nn.Linear):
    """A layer that on rank 1 is moved, by as little as there is, at the third forward pass."""

    passes = 0

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        if self.passes == 3 and torch.distributed.get_rank() == 1:
            with torch.no_grad():
                self.weight[0, 0] = torch.nextafter(self.weight[0, 0], torch.tensor(torch.inf, dtype=self.weight.dtype))
        return super().forward(input)


class OwnRate(float):
    """A learning rate that is another number on rank 1."""

    def __reduce__(self):
        return rate_of_rank, (float(self),)


def rate_of_rank(lr: float) -> float:
    return lr * (2 if torch.distributed.get_rank() == 1 else 1)


class OwnGradient(nn.Linear):
    """A layer whose weight's gradient is moved on rank 1 after it has been averaged."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        output = super().forward(input)
        if torch.distributed.is_initialized() and torch.distributed.get_rank() == 1:
            later = torch.autograd.Variable._execution_engine.queue_callback
            output.register_hook(lambda _: later(lambda: later(self.move)))  # behind what averages
        return output

    def move(self) -> None:
        assert self.weight.grad is not None
        self.weight.grad[0, 0] += 1


class Threads(nn.Tanh):
    """A layer whose outputs are how many threads torch has there."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return input * 0 + torch.get_num_threads()
