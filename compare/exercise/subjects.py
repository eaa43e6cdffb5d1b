"""An answer as crosscheck sees it: forward is manual's own, here; backward runs in the answer's process, there.

The process is given the arrays of a trial and gives arrays back. What it says of anything else is not asked.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from compare.crosscheck.given import Given
from compare.crosscheck.subject import (
    Fault,
    Lay,
    LayerSubject,
    LossSubject,
    Outcome,
    UpdateSubject,
    gradient_names,
)
from compare.exercise.process import Process
from compare.language import stored

Data = dict[str, Any]


def sent(given: Given, before: Given | None = None) -> tuple[Data, dict[str, np.ndarray]]:
    """Return the request of one run: 0/inputs/000 is an array of its first pass.

    `before` is a pass of the same object that comes first.
    """
    passes = [given] if before is None else [before, given]
    arrays: dict[str, np.ndarray] = {}
    for number, each in enumerate(passes):
        for group, values in (("inputs", each.inputs.values()), ("above", each.upstream)):
            arrays |= {f"{number}/{group}/{place:03d}": array for place, array in enumerate(values)}
        for group in ("parameters", "buffers", "drawn"):
            arrays |= {f"{number}/{group}/{name}": array for name, array in getattr(each, group).items()}
    return {"passes": len(passes)}, arrays


def odd(wanted: Mapping[str, str], kinds: Mapping[str, str], found: Mapping[str, np.ndarray]) -> list[Fault]:
    """Return a fault for every tensor that came as something else than an array."""
    return [
        Fault(tensor, stored("{tensor} came as {kind}; wanted an array of real numbers.", tensor=tensor,
                             kind=kinds[own]))
        for tensor, own in wanted.items() if own not in found and kinds.get(own, "None") != "None"
    ]  # fmt: skip


def uncalled_for(who: str, given: Given, kinds: Mapping[str, str]) -> list[Fault]:
    """Return a fault for every gradient of a parameter that is not there: a bias, with bias=False."""
    names = [own.removeprefix("gradients/") for own in kinds if own.startswith("gradients/")]
    return [
        Fault(f"{name}.grad", stored("{who} has no parameter {name!r}, and got a gradient for it.", who=who, name=name))
        for name in names if name not in given.parameters
    ]  # fmt: skip


class Answered:
    """What the answers to a layer and to a loss have in common; mixed into the subjects of crosscheck."""

    process: Process
    before: Given | None = None

    def backward(self: Any, layer: Any, given: Given, outcome: Outcome) -> None:
        """Add the gradients that the process makes."""
        facts, arrays = sent(given, self.before)
        facts["training"] = self.training
        told, found = self.process.ask(facts, arrays)
        names = gradient_names(given, self.frozen)
        if "raised" in told:
            tensor = f"{[*names, *given.parameters][0]}.grad"
            sentence = stored("{operation} raised {error}: {says}", operation=f"{self.name}.backward",
                              error=told["raised"], says=told.get("says", ""))  # fmt: skip
            outcome.faults.append(Fault(tensor, sentence))
            return
        kinds = told.get("kinds", {})
        wanted = {f"{name}.grad": "0" for name in names[:1]}
        wanted |= {f"{name}.grad": f"gradients/{name}" for name in given.parameters}
        outcome.tensors |= {tensor: found.get(own) for tensor, own in wanted.items()}
        outcome.faults += odd(wanted, kinds, found)
        outcome.faults += uncalled_for(self.name, given, kinds)
        for place, array in enumerate([*given.inputs.values(), *given.upstream]):
            count = len(given.inputs)
            now = found.get(f"inputs/{place}" if place < count else f"above/{place - count}")
            if now is not None and now.shape == array.shape and now.dtype == array.dtype:
                array[...] = now  # so that crosscheck sees what backward has changed in place

    def again(self: Any, first: Given, then: Given) -> Outcome:
        """Run one object of the process twice, on other arrays first."""
        self.before = first
        try:
            return self.run(then)
        finally:
            self.before = None


class AnsweredLayer(Answered, LayerSubject):
    """The answer to a layer."""

    def __init__(self, own: Any, process: Process):
        super().__init__(own)
        self.process = process


class AnsweredLoss(Answered, LossSubject):
    """The answer to a loss."""

    def __init__(self, own: Any, process: Process):
        super().__init__(own)
        self.process = process


class AnsweredUpdate(UpdateSubject):
    """The answer to an optimizer: all of its steps run in the process."""

    def __init__(self, own: Any, arguments: Mapping[str, Any], process: Process):
        super().__init__(own, arguments)
        self.process = process

    def run(self, given: Given, layer: Any = None, lay: Lay = np.copy) -> Outcome:
        """Take a step with each of the gradients."""
        outcome, names = Outcome(), list(given.inputs)
        arrays = {f"0/parameters/{name}": array for name, array in given.inputs.items()}
        for place, gradient in enumerate(given.upstream):
            arrays[f"0/above/{place // len(names) + 1}.{names[place % len(names)]}"] = gradient
        told, found = self.process.ask({}, arrays)
        if "raised" in told:
            sentence = stored("{operation} raised {error}: {says}", operation=f"{self.name}.step",
                              error=told["raised"], says=told.get("says", ""))  # fmt: skip
            outcome.faults.append(Fault(f"step1.{names[0]}.updated", sentence))
            return outcome
        outcome.tensors |= found
        for name in told.get("changed", []):
            sentence = stored("{who}.step changes the gradient of {name!r} in place.", who=self.name, name=name)
            outcome.faults.append(Fault(f"{name}.grad", sentence, "input-changed-in-place"))
        return outcome
