"""One layer, one loss, one optimizer's step at a time: manual's against PyTorch's, eager, differentiated by autograd.

A call is a forward pass and a backward pass. What is timed is the CPU time of the one thread that computes: these are
short calls, and the wall clock would tell what else the machine does.
"""

from collections.abc import Callable
from time import thread_time
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

import manual
from compare.benchmark.entries import LAYERS, LOSSES, OPTIMIZERS, WEIGHTS, Entry
from compare.benchmark.rounds import compared, seconds_of, take_turns
from compare.experiment.description import build_layer
from reference.losses import SquaredError
from reference.network import build_layer as build_torch_layer

DTYPES: tuple[Literal["float32", "float64"], ...] = ("float32", "float64")
TARGET = {"at_least": 1.0}
ROUNDS, SECONDS = 25, 2e-3  # of a round: as many calls as fit in, at least one

TENSORS = ("input", "upstream", "target", "weight", "gradient")
Call = Callable[[], Any]
Contestants = dict[str, Call]


def measure_layers(quick: bool) -> list[dict[str, Any]]:
    """Return the seconds of a call on both sides, and how many times longer PyTorch's takes, entry by entry."""
    rows = []
    for dtype in DTYPES:
        races = [(f"{entry}, {dtype}", layer_race(entry, dtype)) for entry in LAYERS]
        races += [(f"{entry}, {dtype}", loss_race(entry, dtype)) for entry in LOSSES]
        races += [(f"{kind}.step() of 784-100-10, {dtype}", step_race(kind, dtype)) for kind in OPTIMIZERS]
        for case, race in races:
            rows += measure_race(case, race, quick)
    return rows


def measure_race(case: str, race: Contestants, quick: bool) -> list[dict[str, Any]]:
    """Return one row for each of torch's contestants, held against manual's in the same rounds."""
    for call in race.values():
        call()  # not counted
    calls = 1 if quick else max(1, round(SECONDS / seconds_of(race["torch"], thread_time)))
    contestants = {name: repeated(call, calls) for name, call in race.items()}
    seconds = take_turns(contestants, 3 if quick else ROUNDS)
    return [
        compared(case, {name: seconds[name] for name in (other, "manual")}, other, "manual", TARGET)
        for other in race
        if other != "manual"
    ]


def repeated(call: Call, calls: int) -> Callable[[], float]:
    """Return what makes so many calls, and returns the seconds a call."""
    return lambda: seconds_of(lambda: [call() for _ in range(calls)], thread_time) / calls


def drawn(what: str, shape: tuple[int, ...], dtype: str) -> Any:
    """Return normal numbers, each time the same, but others for other tensors of the same shape."""
    return np.random.default_rng([TENSORS.index(what), *shape]).normal(size=shape).astype(dtype)


def integers(below: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return indices or labels, the same for the same shape."""
    return np.random.default_rng(shape).integers(below, size=shape)


def layer_race(entry: Entry, dtype: Literal["float32", "float64"]) -> Contestants:
    """Return a layer's two contestants. Each returns the output, the gradient for the input, and the weights'."""
    own, other = build_layer(entry.kind, entry.arguments), torch_layer(entry).to(getattr(torch, dtype))
    x = integers(entry.indices, entry.shape) if entry.indices else drawn("input", entry.shape, dtype)
    for name, weight in other.named_parameters():
        own.parameters[name] = weight.detach().numpy().copy()
    for name, buffer in getattr(own, "buffers", {}).items():
        own.buffers[name] = buffer.astype(dtype) if buffer.ndim else buffer
    if entry.first:
        own.needs_input_gradient = False
    leaf = torch.tensor(x, requires_grad=not entry.first and not entry.indices)
    given = drawn("upstream", own.forward(x).shape, dtype)
    upstream, weights = torch.tensor(given), dict(other.named_parameters())

    def by_hand() -> Any:
        y = own.forward(x)
        return y, own.backward(given), getattr(own, "gradients", {})

    def by_autograd() -> Any:
        leaf.grad = None
        for weight in weights.values():
            weight.grad = None
        y = other(leaf)
        y.backward(upstream)
        return y, leaf.grad, weights

    return {"torch": by_autograd, "manual": by_hand}


def torch_layer(entry: Entry) -> nn.Module:
    """Return the layer as torch.nn has it; Dropout draws by torch's own generator."""
    return nn.Dropout(**entry.arguments) if entry.kind == "Dropout" else build_torch_layer(entry.kind, entry.arguments)


def loss_race(entry: Entry, dtype: str) -> Contestants:
    """Return a loss's two contestants. Each returns the loss and the gradient for the prediction."""
    own = getattr(manual, entry.kind)(**entry.arguments)
    other = (SquaredError if entry.kind == "SquaredError" else getattr(nn, entry.kind))(**entry.arguments)
    prediction, target = drawn("input", entry.shape, dtype), drawn("target", entry.shape, dtype)
    if entry.target == "labels":
        target = integers(entry.shape[1], entry.shape[:1])
    if entry.target == "probabilities":
        prediction, target = (1 / (1 + np.exp(-array)) for array in (prediction, target))
    leaf, wanted = torch.tensor(prediction, requires_grad=True), torch.tensor(target)

    def by_hand() -> Any:
        return own.forward(prediction, target), own.backward()

    def by_autograd() -> Any:
        leaf.grad = None
        loss = other(leaf, wanted)
        loss.backward()
        return loss, leaf.grad

    return {"torch": by_autograd, "manual": by_hand}


def step_race(kind: str, dtype: str) -> Contestants:
    """Return an optimizer's three contestants: torch's loop over weights, its `foreach`, and manual's."""
    own = SimpleNamespace(
        parameters={name: drawn("weight", shape, dtype) for name, shape in WEIGHTS.items()},
        gradients={name: drawn("gradient", shape, dtype) for name, shape in WEIGHTS.items()},
    )
    race: Contestants = {}
    for name, foreach in (("torch", False), ("torch foreach", True)):
        weights = [nn.Parameter(torch.tensor(array)) for array in own.parameters.values()]
        for weight, gradient in zip(weights, own.gradients.values(), strict=True):
            weight.grad = torch.tensor(gradient)
        race[name] = stepping(getattr(torch.optim, kind)(weights, foreach=foreach, **OPTIMIZERS[kind]), weights)
    return race | {"manual": stepping(getattr(manual, kind)(own, **OPTIMIZERS[kind]), list(own.parameters.values()))}


def stepping(optimizer: Any, weights: list[Any]) -> Call:
    """Return what takes a step, and returns the weights."""

    def step() -> list[Any]:
        optimizer.step()
        return weights

    return step
