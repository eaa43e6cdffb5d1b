"""One rank: a process with the network inside DistributedDataParallel, and its optimizer, on one shard of each batch.

It is started by `group`, is told what to do on its standard input and answers on its standard output, in pickles. It
ends when its input does, that is when the process that started it has ended, in whatever way.
"""

import contextlib
import datetime
import os
import pickle
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from reference.distributed.alike import checksums
from reference.distributed.shards import RowsOf, ShardLoss, rows_of
from reference.network import Network, to_numpy
from reference.optimizers import Optimizer


class Walk(nn.Module):
    """A network's walk through its layers, as the one module that DistributedDataParallel wraps."""

    def __init__(self, network: Network):
        super().__init__()
        self.layers, self.walk = network.layers, network.forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last layer's output."""
        return self.walk(x)


class Replica:
    """A network on one rank. Each method answers one command; what all ranks must have alike it tells as checksums."""

    def __init__(self, rank: int, ranks: int):
        self.rank, self.ranks = rank, ranks

    def build(self, layers: Mapping[str, nn.Module], loss: ShardLoss, parameters: Mapping[str, np.ndarray]) -> None:
        """Build the network, and DistributedDataParallel around it, which compares its shapes over all ranks."""
        self.network, self.shard_loss = Network(layers, loss, parameters), loss
        self.parallel = DistributedDataParallel(Walk(self.network))

    def seed(self, names: list[str]) -> None:
        """Let these layers draw for the whole batch and take this rank's rows."""
        self.drawing = {name: RowsOf() for name in names}
        self.network.seed(self.drawing)  # pyright: ignore[reportArgumentType] - it has the one method that is used

    def optimize(self, kind: str, weight_decay: Any, options: Mapping[str, Any]) -> None:
        """Build the optimizer."""
        self.optimizer = Optimizer(kind, self.network, weight_decay, **options)

    def loss(
        self,
        x: np.ndarray,
        target: np.ndarray,
        shard: slice,
        examples: int,
        parameters: Mapping[str, np.ndarray] | None,
        generators: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Run the forward pass on this rank's rows x; the target is that of the whole batch of so many examples.

        Returned are the sum of the loss's terms, the divisor, the outputs and what was drawn.
        """
        network = self.network
        if parameters is not None:
            network.load(parameters)
        for name, state in generators.items():
            self.drawing[name].generator = generator_in(state)
            self.drawing[name].shard, self.drawing[name].examples = shard, examples
        whole = torch.tensor(target)
        prediction = self.parallel(torch.tensor(x))
        total = network.loss_function(prediction, whole[rows_of(shard, examples, len(whole))])
        network.value = total * self.shard_loss.scale(prediction, whole, self.ranks)
        return {
            "sum": to_numpy(total),
            "divisor": self.shard_loss.divisor(prediction, whole),
            "outputs": [to_numpy(output) for output in network.outputs],
            "drawn": {key: to_numpy(t) for name in network.names for key, t in network.drawn_by(name).items()},
            "generators": {name: self.drawing[name].generator.bit_generator.state for name in generators},
            "checksums": checksums({name: to_numpy(weight) for name, weight in network.weights.items()}),
        }

    def backward(self) -> dict[str, Any]:
        """Run the backward pass, in which DistributedDataParallel averages the gradients of the parameters.

        Those of the outputs, which are this rank's alone, are returned as the whole batch has them, without the W.
        """
        network = self.network
        network.backward()
        gradients = {n: to_numpy(w.grad) for n, w in network.weights.items() if w.grad is not None}
        found = [None if output.grad is None else to_numpy(output.grad / self.ranks) for output in network.outputs]
        return {
            "outputs": found,
            "gradients": gradients if self.rank == 0 else {},
            "checksums": checksums({f"{name}.grad": gradient for name, gradient in gradients.items()}),
        }

    def step(
        self, load: tuple[Mapping[str, np.ndarray], float | None] | None, micro: int | None, lr: float | None
    ) -> dict[str, Any]:
        """Let the optimizer take a step, after taking over what is given: a state, a count of steps, a rate."""
        optimizer = self.optimizer
        if micro is not None:
            optimizer.micro = micro
        if lr is not None:
            optimizer.lr = lr
        if load is not None:
            optimizer.load(*load)
        optimizer.step()
        state = optimizer.torch_optimizer.state
        answer = {
            "weights": arrays_of(self.network.weights),
            "state": {name: arrays_of(state.get(weight, {})) for name, weight in self.network.weights.items()},
            "accumulated": arrays_of(optimizer.accumulated),
            "clipped": arrays_of(optimizer.clipped),
            "rates": (optimizer.lr_used, [group["lr"] for group in optimizer.torch_optimizer.param_groups]),
        }
        kept = {f"{name}.{key}": array for name, own in answer["state"].items() for key, array in own.items()}
        kept |= {f"{name}.accumulated": array for name, array in answer["accumulated"].items()}
        kept |= {f"{name}.updated": array for name, array in answer["weights"].items()}
        return {"checksums": checksums(kept), **(answer if self.rank == 0 else {})}


def arrays_of(tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the tensors as arrays, without what is none."""
    return {name: to_numpy(tensor) for name, tensor in tensors.items() if tensor is not None}


def generator_in(state: Mapping[str, Any]) -> np.random.Generator:
    """Return a generator in the state of another."""
    bits = getattr(np.random, state["bit_generator"])()
    bits.state = state
    return np.random.Generator(bits)


def answer_commands(rank: int, ranks: int, asked: BinaryIO, answers: BinaryIO) -> bool:
    """Answer one command after the other until there are no more; return whether it came to that.

    Networks are known by numbers. An error in a forward pass is an answer like others. After one in a command in which
    the ranks wait for each other this rank ends, so that the others do not wait for ever.
    """
    replicas: dict[int, Replica] = {}
    while True:
        try:
            command, network, common, forgotten = pickle.load(asked)
            arguments = common | pickle.load(asked)
        except EOFError:
            return True
        for number in forgotten:
            replicas.pop(number, None)
        if network not in replicas:
            replicas[network] = Replica(rank, ranks)
        try:
            answer = getattr(replicas[network], command)(**arguments)
        except Exception as error:
            answer = error if isinstance(error, RuntimeError) else RuntimeError(f"{type(error).__name__}: {error}")
        pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()
        if isinstance(answer, RuntimeError) and command != "loss":
            return False


def main(rank: int, ranks: int, folder: Path, patience: float) -> None:
    """Join the other ranks, through a file in the folder, and answer commands.

    Where no more of them can come, whoever asked has ended, perhaps without a chance to remove the folder.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library may print must not stand among the answers
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=(folder / "store").as_uri(), rank=rank, world_size=ranks,
        timeout=datetime.timedelta(seconds=patience),
    )  # fmt: skip
    pickle.dump("ready", answers)
    answers.flush()
    with contextlib.suppress(BrokenPipeError):  # nobody is left to be answered
        if not answer_commands(rank, ranks, asked, answers):
            return
    shutil.rmtree(folder, ignore_errors=True)


def run() -> NoReturn:
    """Be the rank that the command line says; end at once, without waiting for ranks that may have ended."""
    rank, ranks, folder, patience = sys.argv[1:]
    try:
        main(int(rank), int(ranks), Path(folder), float(patience))
    except Exception as wrong:
        print(f"{type(wrong).__name__}: {wrong}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    run()
