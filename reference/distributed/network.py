"""The network that stands for all ranks: whole batches go in, the tensors of whole batches come out."""

import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from reference.distributed.alike import checksums, first_unlike
from reference.distributed.group import DistributedError, group_of
from reference.distributed.shards import ShardLoss, shards
from reference.network import Arrays, Network, to_numpy


class DistributedNetwork(Network):
    """The network on several ranks, with the interface of one: its own layers hold what rank 0 has.

    Gradients of parameters are those that DistributedDataParallel averages; outputs and their gradients are put
    together from the shards. What the ranks must have alike (weights, averaged gradients) is compared at every step.
    """

    def __init__(self, layers: Mapping[str, nn.Module], loss: ShardLoss, parameters: Arrays, ranks: int):
        """Start the ranks, or join those that there are, and build the network on each. Raises DistributedError."""
        super().__init__(layers, loss, parameters)
        self.group, self.ranks = group_of(ranks), ranks
        self.number = next(self.group.numbers)
        weakref.finalize(self, self.group.forgotten.append, self.number)
        given = {name: to_numpy(weight) for name, weight in self.weights.items()}
        self.tell("build", layers=dict(layers), loss=loss, parameters=given)
        self.loaded = False

    def tell(self, command: str, each: list[dict[str, Any]] | None = None, **common: Any) -> list[Any]:
        """Give the ranks a command for this network; return their answers, in which what must be alike is alike."""
        answers = self.group.tell(command, self.number, each=each, **common)
        if answers[0] is not None:
            for rank, answer in enumerate(answers[1:], start=1):
                self.require_alike(answers[0]["checksums"], answer["checksums"], f"rank {rank}", "rank 0")
        return answers

    def require_alike(self, one: Mapping[str, int], other: Mapping[str, int], who: str, whom: str) -> None:
        """Raise DistributedError, naming the first tensor, unless the two have the same to the bit."""
        if name := first_unlike(one, other):
            raise DistributedError(
                f"The ranks of the distributed reference are not alike: {who} has another {name} than {whom}; wanted "
                "the same to the bit. Nothing can be held against a reference that does not agree with itself."
            )

    def load(self, parameters: Arrays, buffers: Arrays | None = None) -> None:
        """Copy `parameters` into the layers here, and at the next forward pass into those of every rank."""
        super().load(parameters, buffers)
        self.loaded = True

    def seed(self, generators: Mapping[str, np.random.Generator]) -> None:
        """Give the layers that draw at random their generators; every rank draws for the whole batch."""
        super().seed(generators)
        self.tell("seed", names=list(generators))

    def loss(self, x: np.ndarray, target: np.ndarray) -> float:
        """Run the forward pass, each rank on its shard of the batch; return the loss of the whole batch, S / D."""
        self.input, self.target = torch.tensor(x), torch.tensor(target)
        weights = {name: to_numpy(weight) for name, weight in self.weights.items()}
        answers = self.tell(
            "loss",
            [{"x": x[shard], "shard": shard} for shard in shards(len(x), self.ranks)],
            target=target,
            examples=len(x),
            parameters=weights if self.loaded else None,
            generators={name: generator.bit_generator.state for name, generator in self.generators.items()},
        )
        self.loaded = False
        self.require_alike(checksums(weights), answers[0]["checksums"], "rank 0", "the one that was loaded")
        generators = self.generators
        for name, state in answers[0]["generators"].items():
            generators[name].bit_generator.state = state
        self.outputs = [torch.from_numpy(o) for o in whole([answer["outputs"] for answer in answers])]
        self.drawn = {
            key: torch.from_numpy(np.concatenate([answer["drawn"][key] for answer in answers]))
            for key in answers[0]["drawn"]
        }
        self.value = torch.stack([torch.tensor(answer["sum"]) for answer in answers]).sum() / answers[0]["divisor"]
        return self.value.item()

    def backward(self) -> None:
        """Run the backward pass, in which the ranks average the gradients of the parameters."""
        answers = self.tell("backward")
        found = whole([answer["outputs"] for answer in answers])
        for output, gradient in zip(self.outputs, found, strict=True):
            output.grad = None if gradient is None else torch.from_numpy(gradient)
        for name, weight in self.weights.items():
            gradient = answers[0]["gradients"].get(name)
            weight.grad = None if gradient is None else torch.from_numpy(gradient)

    def drawn_by(self, name: str) -> dict[str, torch.Tensor]:
        """Return what the layer drew in the last forward pass, for the whole batch, by full names."""
        return {key: tensor for key, tensor in self.drawn.items() if key.startswith(f"{name}.")}


def whole(parts: list[list[Any]]) -> list[Any]:
    """Return the arrays of whole batches, from those of every rank's shard in the same order; None stays None."""
    return [None if own[0] is None else np.concatenate(own) for own in zip(*parts, strict=True)]
