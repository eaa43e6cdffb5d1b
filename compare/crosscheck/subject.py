"""The candidate: what kind of derivation it is, and how it is run on given arrays, each time from the same start."""

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from compare.crosscheck.given import Arrays, Given
from compare.experiment.description import DescriptionError
from compare.language import stored

Lay = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Fault:
    """Something that forbids a comparison of values: the tensor, and what is wrong with it in a sentence."""

    tensor: str
    sentence: str
    named: str = ""


@dataclass
class Outcome:
    """What a run gave: its tensors by name, whatever they are, and the faults that it showed."""

    tensors: dict[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    drawn: Arrays = field(default_factory=dict)


def leaves(value: Any) -> list[Any]:
    """Return the parts of a nested tuple or list in order; of anything else, itself."""
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, tuple | list) else [value]


def named(count: int, name: str = "output") -> list[str]:
    """Return the names of that many outputs: output, or output0, output1."""
    return [name] if count == 1 else [f"{name}{i}" for i in range(count)]


def describe(error: BaseException) -> str:
    """Return an exception in a few words."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def positional(function: Callable[..., Any]) -> tuple[int, int] | None:
    """Return how many positional arguments a function needs and how many it takes; None where it cannot be told."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    most = 99 if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(plain)
    return sum(p.default is p.empty for p in plain), most


def gradient_names(given: Given, frozen: Iterable[str]) -> list[str]:
    """Return the inputs that have a gradient: those of a floating dtype that are not held fixed."""
    return [name for name, array in given.inputs.items() if array.dtype.kind == "f" and name not in frozen]


class LayerSubject:
    """An object with forward and backward, and parameters, gradients and buffers if it has any."""

    kind = "layer"
    frozen: tuple[str, ...] = ()

    def __init__(self, candidate: Any, training: bool = True):
        self.candidate, self.training = candidate, training
        self.name = type(candidate).__name__
        self.parameters: Arrays = arrays_of(candidate, "parameters")
        self.buffers: Arrays = arrays_of(candidate, "buffers")
        self.drawer = self.fresh() if training and hasattr(candidate, "replay") else None
        self.outputs = 1

    def fresh(self) -> Any:
        """Return a copy of the candidate as it was given."""
        layer = copy.deepcopy(self.candidate)
        if hasattr(layer, "training"):
            layer.training = self.training
        return layer

    def draw(self, given: Given) -> Given:
        """Return the arrays with what the layer draws on them, where it draws anything."""
        if self.drawer is None:
            return given
        load(self.drawer, "parameters", given.parameters)
        try:
            self.drawer.forward(*given.cast(np.float64).inputs.values())
        except Exception:
            return given  # it will raise again where that is told
        return replace(given, drawn=dict(self.drawer.drawn))

    def count(self, given: Given) -> None:
        """Note how many outputs there are; one where the forward pass raises, which is found out later."""
        outcome = Outcome()
        made = self.forward(self.loaded(given), given, outcome)
        self.outputs = 1 if outcome.faults else len(leaves(made))

    def loaded(self, given: Given, layer: Any = None) -> Any:
        """Return a fresh copy, or the layer given, with these parameters and buffers."""
        layer = self.fresh() if layer is None else layer
        load(layer, "parameters", given.parameters)
        load(layer, "buffers", given.buffers)
        if given.drawn:
            layer.replay(dict(given.drawn))
        return layer

    def output_names(self) -> list[str]:
        """Return what the outputs are called."""
        return named(self.outputs)

    def run(self, given: Given, layer: Any = None, lay: Lay = np.copy) -> Outcome:
        """Run forward and backward on copies of the arrays; `lay` makes them, and says how they lie in memory."""
        outcome, layer = Outcome(), self.loaded(given, layer)
        before, given = given, given.each(lay)
        made = self.forward(layer, given, outcome)
        if outcome.faults:
            return outcome
        outcome.tensors |= zip(self.output_names(), leaves(made), strict=False)
        self.unchanged("forward", given.inputs, before.inputs, outcome)
        for name in given.buffers:
            outcome.tensors[name] = getattr(layer, "buffers", {}).get(name)
        if given.upstream or self.kind == "loss":
            self.backward(layer, given, outcome)
            above = dict(zip(named(len(given.upstream), "grad_output"), given.upstream, strict=True))
            wanted = dict(zip(above, before.upstream, strict=True))
            self.unchanged("backward", {**given.inputs, **above}, {**before.inputs, **wanted}, outcome)
        return outcome

    def again(self, first: Given, then: Given) -> Outcome:
        """Run one object twice, on other arrays first: nothing may be left of them."""
        layer = self.fresh()
        self.run(first, layer)
        return self.run(then, layer)

    def forward(self, layer: Any, given: Given, outcome: Outcome) -> Any:
        """Return what forward makes of the inputs; a fault where it raises."""
        try:
            return layer.forward(*given.inputs.values())
        except Exception as error:
            outcome.faults.append(Fault(self.output_names()[0], f"{self.name}.forward raised {describe(error)}"))
            return None

    def backward(self, layer: Any, given: Given, outcome: Outcome) -> None:
        """Add the gradients; a fault where backward raises."""
        names = gradient_names(given, self.frozen)
        try:
            takes = positional(layer.backward) if len(given.upstream) != 1 else None
            apart = takes is None or takes[1] >= len(given.upstream)
            returned = layer.backward(*given.upstream) if apart else layer.backward(given.upstream)
        except Exception as error:
            tensor = f"{[*names, *given.parameters][0]}.grad" if names or given.parameters else "backward"
            outcome.faults.append(Fault(tensor, f"{self.name}.backward raised {describe(error)}"))
            return
        outcome.tensors |= self.matched(returned, given, names, outcome)
        gradients = getattr(layer, "gradients", None) or {}
        outcome.tensors |= {f"{name}.grad": gradients.get(name) for name in given.parameters}

    def matched(self, returned: Any, given: Given, names: list[str], outcome: Outcome) -> dict[str, Any]:
        """Return what backward returned under the inputs' names; integer inputs have no gradient."""
        if isinstance(returned, Mapping):
            return {f"{name}.grad": returned.get(name) for name in names}
        if not isinstance(returned, tuple | list):
            returned = [returned]
            if len(names) > 1:
                sentence = f"{self.name}.backward returned {kind_of_value(returned[0])}; wanted a tuple of {len(names)}"
                outcome.faults.append(Fault(f"{names[1]}.grad", f"{sentence} gradients, one for each input."))
                return {f"{names[0]}.grad": returned[0]}
        if len(returned) == len(given.inputs):
            pairs = dict(zip(given.inputs, returned, strict=True))
        else:
            pairs = dict(zip(names, returned, strict=False))
        return {f"{name}.grad": pairs.get(name) for name in names}

    def unchanged(self, direction: str, after: Arrays, before: Arrays, outcome: Outcome) -> None:
        """Add a fault for every array that the pass changed in place."""
        for name, array in after.items():
            if not np.array_equal(array, before[name], equal_nan=array.dtype.kind == "f"):
                who = f"{self.name}.{direction}"
                if name.startswith("grad_output"):
                    sentence = stored("{operation} changes the gradient that it is given in place.", operation=who)
                else:
                    sentence = stored("{operation} changes its input {name!r} in place.", operation=who, name=name)
                outcome.faults.append(Fault(name, sentence, "input-changed-in-place"))

    def scalar(self, given: Given, tensor: str, index: tuple[int, ...]) -> Callable[[Any], Any]:
        """Return <grad_output, forward> as a function of what is added to one element of an input or a parameter."""

        def value(change: Any) -> Any:
            at = given.cast(np.complex128 if isinstance(change, complex) else np.float64)
            array = at.arrays()[tensor]
            array[index] += change
            made = leaves(self.loaded(at).forward(*at.inputs.values()))
            return np.asarray(sum(np.sum(dy * y) for dy, y in zip(at.upstream, made, strict=False))).item()

        return value


class LossSubject(LayerSubject):
    """An object with forward(prediction, target) and backward()."""

    kind = "loss"
    frozen = ("target",)

    def output_names(self) -> list[str]:
        """One scalar."""
        return ["loss"]

    def scalar(self, given: Given, tensor: str, index: tuple[int, ...]) -> Callable[[Any], Any]:
        """Return the loss as a function of what is added to one element of the prediction or a parameter."""
        return super().scalar(replace(given, upstream=given.upstream or (np.ones(()),)), tensor, index)

    def backward(self, layer: Any, given: Given, outcome: Outcome) -> None:
        """Add the gradient for the prediction."""
        first = next(iter(given.inputs))
        try:
            returned = layer.backward(*given.upstream)
        except Exception as error:
            outcome.faults.append(Fault(f"{first}.grad", f"{self.name}.backward raised {describe(error)}"))
            return
        outcome.tensors |= self.matched(returned, given, gradient_names(given, self.frozen), outcome)
        gradients = getattr(layer, "gradients", None) or {}
        outcome.tensors |= {f"{name}.grad": gradients.get(name) for name in given.parameters}


class Carrier:
    """What an optimizer is made from: parameters and their gradients by name, as manual.Network has them."""

    def __init__(self, parameters: Arrays):
        self.parameters = dict(parameters)
        self.gradients: dict[str, np.ndarray] = {}
        self.updated_by: Any = None


class UpdateSubject(LayerSubject):
    """An optimizer's class: made from a network (or from its dict of parameters), with step()."""

    kind = "update"

    def __init__(self, candidate: Callable[..., Any], arguments: Mapping[str, Any]):
        self.candidate, self.arguments = candidate, dict(arguments)
        self.name = getattr(candidate, "__name__", type(candidate).__name__)
        self.parameters, self.buffers, self.outputs, self.drawer = {}, {}, 1, None
        try:
            first = next(iter(inspect.signature(candidate).parameters), "network")
        except (TypeError, ValueError):
            first = "network"
        self.takes_network = not first.startswith("param")

    def count(self, given: Given) -> None:
        """An update has one output a parameter and step, whatever it is."""

    def run(self, given: Given, layer: Any = None, lay: Lay = np.copy) -> Outcome:
        """Make the optimizer and take a step with each of the gradients."""
        outcome, given = Outcome(), given.each(lay)
        network = Carrier(given.inputs)
        names = list(given.inputs)
        tensor = f"step1.{names[0]}.updated"
        try:
            optimizer = self.candidate(network if self.takes_network else network.parameters, **self.arguments)
        except Exception as error:
            outcome.faults.append(Fault(tensor, f"{self.name} cannot be made: {describe(error)}"))
            return outcome
        for step in range(1, len(given.upstream) // len(names) + 1):
            gradients = given.upstream[(step - 1) * len(names) : step * len(names)]
            network.gradients = {name: np.copy(g) for name, g in zip(names, gradients, strict=True)}
            try:
                self.step(optimizer, network)
            except Exception as error:
                sentence = f"{self.name}.step raised {describe(error)}"
                outcome.faults.append(Fault(f"step{step}.{names[0]}.updated", sentence))
                return outcome
            for key, array in (getattr(optimizer, "state", None) or {}).items():
                if isinstance(array, np.ndarray | np.generic | float | int):
                    outcome.tensors[f"step{step}.{key}"] = np.array(array)
            for name, gradient in zip(names, gradients, strict=True):
                if not np.array_equal(network.gradients[name], gradient):
                    sentence = stored("{who}.step changes the gradient of {name!r} in place.", who=self.name, name=name)
                    outcome.faults.append(Fault(f"{name}.grad", sentence, "input-changed-in-place"))
            outcome.tensors |= {f"step{step}.{n}.updated": copy.copy(p) for n, p in network.parameters.items()}
        return outcome

    def step(self, optimizer: Any, network: Carrier) -> None:
        """Take one step, in whichever way the optimizer wants to be told the gradients."""
        needed = (positional(optimizer.step) or (0, 0))[0]
        arguments = ((), (network.gradients,), (network.parameters, network.gradients))[min(needed, 2)]
        returned = optimizer.step(*arguments)
        if isinstance(returned, Mapping) and returned.keys() == network.parameters.keys():
            network.parameters = dict(returned)

    def again(self, first: Given, then: Given) -> Outcome:
        """A new optimizer knows nothing of another."""
        self.run(first)
        return self.run(then)


def strided(array: np.ndarray) -> np.ndarray:
    """Return a copy that does not lie in one piece: every second element of a larger array."""
    return np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array.copy()


def arrays_of(candidate: Any, attribute: str) -> Arrays:
    """Return a dict of arrays that the candidate has, {} if it has none. Raises DescriptionError for anything else."""
    held = getattr(candidate, attribute, None)
    if held is None or callable(held):
        return {}
    if not isinstance(held, Mapping) or not all(isinstance(value, np.ndarray) for value in held.values()):
        raise DescriptionError(
            f"{type(candidate).__name__}.{attribute} is {kind_of_value(held)}; wanted a dict of arrays by name."
        )
    return {name: np.array(value) for name, value in held.items()}


def load(layer: Any, attribute: str, arrays: Arrays) -> None:
    """Put arrays into the layer's dict, and wherever else the layer holds the array that they replace."""
    if not arrays:
        return
    held = getattr(layer, attribute)
    for name, array in arrays.items():
        for other, value in vars(layer).items() if hasattr(layer, "__dict__") else ():
            if value is held[name]:
                setattr(layer, other, array)
        held[name] = array


def kind_of_value(value: Any) -> str:
    """Return what a value is, in a word or two."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return stored("an array of shape {shape}", shape=value.shape)
    return f"a {type(value).__name__}"
