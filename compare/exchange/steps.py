"""What is known of the port before each step, and what the reference makes of the step.

The port is trusted for nothing: before each step the reference takes over its parameters and optimizer state, bit for
bit, wherever they are recorded, so that the step is a proof of its own. Where they are not, the reference goes on by
itself, and the step proves less.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from compare.agreement.trace import Trace
from compare.exchange.bundle import Bundle
from compare.exchange.companions import SHADOWS, Arrays, OwnRounding, Probe, Shadow, scatter, take_over, take_step
from compare.exchange.recorded import Recorded
from compare.experiment.description import Experiment
from compare.experiment.networks import Side, build_reference


@dataclass(frozen=True)
class Start:
    """What is known of the port before a step: parameters and optimizer state by name, and whether that is all."""

    parameters: Arrays
    state: Arrays
    whole: bool  # all parameters are known: the step is proved on its own
    state_whole: bool


@dataclass(frozen=True)
class Taken:
    """A step: what the port recorded, what the reference computed, and what is known of both."""

    number: int
    port: Trace  # as recorded
    reference: Trace
    completed: Trace  # the port's tensors, those not recorded filled in with the reference's
    known: frozenset[str]  # names whose values in `completed` are the port's own: recorded, or known beforehand
    state_before: Trace
    start: Start
    measured: Mapping[str, float]  # how far rounding may part the two sides, by norm; {} where that is not needed
    shadows: list[Arrays]
    probed: list[tuple[Probe, Arrays]]
    expected: Trace  # what the port must have started from, bit for bit

    @property
    def complete(self) -> bool:
        """Whether every tensor of the step is recorded or known."""
        return self.known >= self.reference.keys() and self.start.whole and self.start.state_whole


def pre_activations(experiment: Experiment) -> dict[str, str]:
    """Return for every ReLU the tensor it is given: units that may be on different sides of 0 on the two sides."""
    found, before = {}, "input"
    for layer in experiment.layers:
        if layer.kind == "ReLU":
            found[layer.name] = before
        before = f"{layer.name}.output"
    return found


class Walk:
    """The steps of a recorded trace, with the reference, and its companions where the trace is not complete."""

    def __init__(self, bundle: Bundle, recorded: Recorded):
        self.bundle, self.recorded = bundle, recorded
        experiment, initial = bundle.experiment, bundle.initial
        self.side = build_reference(experiment, initial)
        self.optimizer = f"{self.side.optimizer.name}."
        self.rounding = OwnRounding(experiment, {layer.name: layer.build() for layer in experiment.layers})
        companions = not self.everything_is_recorded()
        self.shadows = [Shadow(experiment, initial, seed) for seed in range(SHADOWS * companions)]
        unseen = [name for name in initial if not any(f"{name}.grad" in at for at in recorded.sources.values())]
        self.crossable = set(pre_activations(experiment).values())
        self.probes = [Probe(experiment, initial, n, scaled) for n in unseen for scaled in (True, False)]

    def everything_is_recorded(self) -> bool:
        """Whether no step up to the last that is recorded lacks a tensor that it computes."""
        computed = [n for n in self.bundle.names if n not in ("input", "target", *self.bundle.initial)]
        without_gap = len(self.recorded.sources) == self.recorded.last_step
        return without_gap and all(
            at.keys() >= set(self.computed_at(step, computed)) for step, at in self.recorded.sources.items()
        )

    def computed_at(self, step: int, computed: list[str]) -> list[str]:
        """Return the tensors that a recorded step has to have to be complete."""
        after = self.recorded.sources.get(step + 1, {})
        return [n for n in computed if not (n.endswith(".updated") and n.removesuffix(".updated") in after)]

    def __iter__(self) -> Iterator[Taken]:
        """Yield every step up to the last that is recorded."""
        for number in range(1, self.recorded.last_step + 1):
            yield self.take(number)

    def start(self, number: int) -> Start:
        """Return what is known of the port before a step."""
        if number == 1:
            return Start(dict(self.bundle.initial), {}, True, True)
        before = self.recorded.read(number - 1)
        parameters = {n: before[f"{n}.updated"] for n in self.bundle.initial if f"{n}.updated" in before}
        own = {name for name in self.bundle.names if name.startswith(self.optimizer)}
        state = {name.removeprefix(self.optimizer): before[name] for name in own if name in before}
        whole = parameters.keys() >= self.bundle.initial.keys()
        return Start(parameters, state, whole, len(state) == len(own))

    def take(self, number: int) -> Taken:
        """Let the reference and its companions take a step."""
        start, (x, target) = self.start(number), self.bundle.batch(number)
        sides = [self.side, *(s.side for s in self.shadows), *(p.side for p in self.probes)]
        if number > 1:
            for side in sides:
                take_over(side, start.parameters, start.state)
        state_before = self.own_state(self.side, number)
        theirs = take_step(self.side, x, target)
        theirs = {name: theirs[name] for name in self.bundle.names if name in theirs}
        port = self.recorded.read(number)
        expected = {"input": x, "target": target, **start.parameters}
        shadows: list[Arrays] = []
        if self.shadows:
            bounds = self.rounding.allowed(theirs, state_before)
            keep = {*port, *(self.crossable if start.whole else ())}
            shadows = [shadow.step(x, target, bounds, keep) for shadow in self.shadows]
        return Taken(
            number, port, theirs, {**theirs, **port}, frozenset({*port, *expected}), state_before, start,
            scatter(shadows, theirs) if shadows else {}, shadows,
            [(probe, probe.step(x, target, port)) for probe in self.probes], expected,
        )  # fmt: skip

    def own_state(self, side: Side, number: int) -> dict[str, Any]:
        """Return the optimizer's state before a step, by parameter and key."""
        if number == 1:
            return {}
        trace = side.optimizer.trace()
        prefix = self.optimizer
        return {n.removeprefix(prefix): np.array(a) for n, a in trace.items() if n.startswith(prefix)}
