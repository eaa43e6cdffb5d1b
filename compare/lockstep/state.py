"""The state of a loop between two steps: everything that the steps to come depend on, as arrays and plain data.

Weights, buffers, the state of both optimizers, how far their schedules have come, the generators of everything that is
drawn at random, and what the judge has learnt. A loop that is given it goes on with the same bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from compare.agreement.operations import MICRO, resume, state_of
from compare.experiment.networks import Side, drawing_layers
from compare.lockstep.loop import Loop

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class LoopState:
    """A loop's state after `taken` steps. `arrays` have names of the form side/kind/tensor."""

    taken: int
    arrays: Arrays
    facts: dict[str, Any]  # JSON data


def state_of_loop(loop: Loop, taken: int) -> LoopState:
    """Return a copy of the state of a loop that has taken so many steps."""
    network, free = loop.manual.network, loop.trained_reference
    parts: dict[str, Mapping[str, np.ndarray]] = {
        "manual/parameters": network.parameters,
        "manual/buffers": network.buffers,
        "manual/state": state_of(loop.manual.optimizer),
        "free/parameters": {name: as_array(weight) for name, weight in free.network.weights.items()},
        "free/buffers": {name: as_array(buffer) for name, buffer in free.network.buffers.items()},
        "free/state": free.optimizer.state,
    }
    arrays = {
        f"{part}/{name}": np.array(array, order="C") for part, own in parts.items() for name, array in own.items()
    }
    references = {"reference": loop.reference, "free": free}
    facts = {
        "generators": {
            "manual": {name: layer.rng.bit_generator.state for name, layer in drawing_layers(network.layers)},
            **{side: states(pair.network.generators) for side, pair in references.items()},
        },
        "schedules": {side: [pair.optimizer.micro, pair.optimizer.lr] for side, pair in references.items()},
        "cleared": loop.judge.cleared,
    }
    return LoopState(taken, arrays, facts)


def restore_loop(loop: Loop, state: LoopState) -> None:
    """Put a new loop of the same experiment into a state; ValueError, KeyError or TypeError if it does not fit."""
    network, free = loop.manual.network, loop.trained_reference
    copy_into(network.parameters, part(state, "manual/parameters"))
    copy_into(network.buffers, part(state, "manual/buffers"))
    before = part(state, "manual/state")
    if int(before[MICRO]) != state.taken:
        raise ValueError(f"manual's optimizer has taken {before[MICRO]} steps, the loop {state.taken}")
    for kept in (before, part(state, "free/state")):
        require_state(kept, network.parameters)
    resume(loop.manual.optimizer, before)
    require_like(free.network.weights, part(state, "free/parameters"))
    require_like(free.network.buffers, part(state, "free/buffers"))
    free.network.load(part(state, "free/parameters"), part(state, "free/buffers"))
    for name, pair in (("reference", loop.reference), ("free", free)):
        micro, lr = state.facts["schedules"][name]
        if micro != state.taken:
            raise ValueError(f"the {name} optimizer has taken {micro} steps, the loop {state.taken}")
        settle(pair, micro, float(lr), state.facts["generators"][name])
    free.optimizer.load(part(state, "free/state"))
    for name, layer in drawing_layers(network.layers):
        layer.rng.bit_generator.state = state.facts["generators"]["manual"][name]
    loop.judge.cleared = {str(name): float(error) for name, error in state.facts["cleared"].items()}
    loop.taken = state.taken


def settle(side: Side, micro: int, lr: float, generators: Mapping[str, Any]) -> None:
    """Give a reference its count of steps, the learning rate of the next one, and its generators."""
    side.optimizer.micro = micro
    side.optimizer.lr = lr
    for name, generator in side.network.generators.items():
        generator.bit_generator.state = generators[name]


def part(state: LoopState, prefix: str) -> Arrays:
    """Return the arrays of one part of the state, by tensor."""
    prefix = f"{prefix}/"
    return {name.removeprefix(prefix): array for name, array in state.arrays.items() if name.startswith(prefix)}


def states(generators: Mapping[str, np.random.Generator]) -> dict[str, Any]:
    """Return the generators' states by name."""
    return {name: generator.bit_generator.state for name, generator in generators.items()}


def copy_into(arrays: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray]) -> None:
    """Copy values into the arrays of the same names, which keep their memory."""
    require_like(arrays, values)
    for name, array in arrays.items():
        np.copyto(array, values[name])


def require_like(tensors: Mapping[str, Any], values: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless names, shapes and dtypes are equal."""
    wanted = {name: (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")) for name, tensor in tensors.items()}
    found = {name: (array.shape, str(array.dtype)) for name, array in values.items()}
    if found != wanted:
        name = next(name for name in {**wanted, **found} if wanted.get(name) != found.get(name))
        raise ValueError(f"{name}: found {found.get(name)}; wanted {wanted.get(name)}")


def require_state(state: Mapping[str, np.ndarray], parameters: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless an optimizer's state is of numbers, for each parameter of its shape or one in all."""
    for name, array in state.items():
        owner = parameters.get(name.rpartition(".")[0])
        shaped = owner is not None and array.shape in ((), owner.shape) and array.dtype.kind == "f"
        if name != MICRO and not shaped:
            raise ValueError(f"{name}: found {array.shape}, {array.dtype}; wanted the state of a parameter")


def as_array(tensor: Any) -> np.ndarray:
    """Return a tensor of torch as an array on the CPU."""
    return tensor.detach().cpu().numpy()
