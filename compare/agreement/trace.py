"""The trace of a step: the ordered list of its named tensors, and what must hold of two traces before values count."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from compare.language import stored

Trace = Mapping[str, np.ndarray]
Stage = Literal["data", "parameters", "forward", "loss", "backward", "update"]


@dataclass(frozen=True)
class Place:
    """Where a tensor stands: the stage of the step, and the operation that makes it."""

    stage: Stage
    operation: str


OPTIMIZERS = ("sgd", "adagrad", "rmsprop", "adam", "adamw", "adadelta")  # the first word of their state's names
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
DRAWN = "mask"  # drawn at random in a forward pass: mask, mask0, ...


@functools.cache
def place(tensor: str) -> Place:
    """Return the stage and the operation of a tensor, from its name alone.

    The gradient of a layer's output is made by the backward pass of what follows that layer, which the name does not
    tell: `places` knows the layers' order and does.
    """
    if tensor in ("input", "target"):
        return Place("data", "batch")
    if tensor == "loss":
        return Place("loss", "loss.forward")
    parts = tensor.split(".")
    layer, last = parts[0], parts[-1]
    if layer in OPTIMIZERS or last in ("accumulated", "clipped"):
        return Place("update", "optimizer.step")
    if last == "output" or last.startswith(DRAWN):
        return Place("forward", f"{layer}.forward")
    if last == "updated":
        statistic = any(part in BUFFERS for part in parts[-2:-1])
        return Place("forward", f"{layer}.forward") if statistic else Place("update", "optimizer.step")
    if last == "grad":
        return Place("backward", f"{layer}.backward")
    return Place("parameters", "initial")


def places(tensors: list[str], layers: list[str]) -> dict[str, Place]:
    """Return the place of every tensor of a trace, for a network of these layers in order."""
    followed_by = dict(zip(layers, [*layers[1:], "loss"], strict=True))
    found = {tensor: place(tensor) for tensor in tensors}
    for layer, following in followed_by.items():
        if (name := f"{layer}.output.grad") in found:
            found[name] = Place("backward", f"{following}.backward")
    return found


@dataclass(frozen=True)
class Breach:
    """A structural difference: the tensor, and what is wrong with it in a sentence. Values were not compared."""

    tensor: str
    message: str
    operation: str = ""  # the guilty one, where it is not the one that makes the tensor
    named: str = ""  # the mistake of the catalogue that this is


def structural_breach(manual: Trace, reference: Trace) -> Breach | None:
    """Return the first structural difference in the order of the trace, or None.

    Equal names both ways, equal shapes without broadcasting, equal dtypes, at least one tensor. (Finite values are the
    step check's affair: a sum of squares sees them for nothing. Shared memory: `shared_memory`.)
    """
    if not manual:
        return Breach("", stored("The trace is empty: nothing was compared."))
    for name, array in manual.items():
        if name not in reference:
            message = stored("The manual side has {tensor}; the reference has no tensor of that name.", tensor=name)
            return Breach(name, message)
        other = reference[name]
        if array is None or not isinstance(array, np.ndarray):
            kind = type(array).__name__
            message = stored("{tensor} is {kind} on the manual side; wanted an array.", tensor=name, kind=kind)
            return Breach(name, message)
        if array.shape != other.shape:
            return Breach(
                name,
                stored(
                    "{tensor} has shape {manual} on the manual side, {reference} on the reference's.",
                    tensor=name, manual=array.shape, reference=other.shape,
                ),
            )  # fmt: skip
        if array.dtype != other.dtype:
            return Breach(
                name,
                stored(
                    "{tensor} has dtype {manual} on the manual side, {reference} on the reference's.",
                    tensor=name, manual=array.dtype, reference=other.dtype,
                ),
            )  # fmt: skip
    for name in reference:
        if name not in manual:
            message = stored("The reference has {tensor}; the manual side has no tensor of that name.", tensor=name)
            return Breach(name, message)
    return None


def shared_memory(manual: Trace, reference: Trace) -> Breach | None:
    """Return the first tensor that lies in the same memory on both sides, where every comparison would pass."""
    for name, array in manual.items():
        if np.shares_memory(array, reference[name]):
            return Breach(
                name,
                stored(
                    "{tensor} is the same memory on both sides: it would agree whatever either computes.", tensor=name
                ),
                named="reference-shares-memory",
            )
    return None


def first_non_finite(manual: Trace, reference: Trace) -> Breach | None:
    """Return the first tensor with a value that is not finite, on either side."""
    for name, array in manual.items():
        for values, mine in ((array, True), (reference.get(name), False)):
            if values is not None and not np.all(np.isfinite(values)):
                where = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
                element, value = f"{name}{list(where)}", values[where]
                if mine:
                    message = stored("{element} is {value} on the manual side.", element=element, value=value)
                else:
                    message = stored("{element} is {value} on the reference.", element=element, value=value)
                return Breach(name, message)
    return None
