"""What is known of the port before each step, and what the reference makes of the step.

The port is trusted for nothing: before each step the reference takes over its parameters and optimizer state, bit for
bit, wherever they are recorded, so that the step is a proof of its own. Where they are not, the reference goes on by
itself, and the step proves less. What the export gives for every step, masks among it, is given to both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from compare.agreement.kinks import KINKED
from compare.agreement.trace import Trace
from compare.exchange.bundle import Bundle
from compare.exchange.companions import (
    SHADOWS,
    Arrays,
    OwnRounding,
    Probe,
    Shadow,
    buffer_after,
    own_state,
    scatter,
    state_keys,
    take_over,
    take_step,
)
from compare.exchange.recorded import Recorded
from compare.experiment.description import Experiment
from compare.experiment.networks import build_reference


@dataclass(frozen=True)
class Start:
    """What is known of the port before a step: parameters, buffers, optimizer state; and whether that is all."""

    parameters: Arrays
    buffers: Arrays
    state: Arrays
    whole: bool  # all parameters are known: the step is proved on its own
    buffers_whole: bool
    state_whole: bool

    def determines(self, name: str, stage: str) -> bool:
        """Whether enough is known for a tensor to come out as the port's: an update needs the state, too."""
        if buffer_after(name):
            return self.whole and self.buffers_whole
        return self.whole and (stage != "update" or self.state_whole)


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
        start = self.start
        return self.known >= self.reference.keys() and start.whole and start.buffers_whole and start.state_whole


def pre_activations(experiment: Experiment) -> dict[str, str]:
    """Return for every layer with kinks the tensor it is given: the two sides may choose differently in it."""
    found, before = {}, "input"
    for layer in experiment.layers:
        if layer.kind in KINKED and before != "input":
            found[layer.name] = before
        before = f"{layer.name}.output"
    return found


class Walk:
    """The steps of a recorded trace, with the reference, and its companions where the trace is not complete."""

    def __init__(self, bundle: Bundle, recorded: Recorded):
        self.bundle, self.recorded = bundle, recorded
        experiment, initial = bundle.experiment, bundle.parameters
        self.side = build_reference(experiment, initial)
        self.rounding = OwnRounding(experiment, {layer.name: layer.build() for layer in experiment.layers})
        companions = not self.everything_is_recorded()
        self.shadows = [Shadow(experiment, initial, seed) for seed in range(SHADOWS * companions)]
        unseen = [name for name in initial if not any(f"{name}.grad" in at for at in recorded.sources.values())]
        self.crossable = set(pre_activations(experiment).values())
        self.probes = [Probe(experiment, initial, n, scaled) for n in unseen for scaled in (True, False)]

    def everything_is_recorded(self) -> bool:
        """Whether no step up to the last that is recorded lacks a tensor that it computes."""
        without_gap = len(self.recorded.sources) == self.recorded.last_step
        return without_gap and all(
            self.recorded.given(step) >= set(self.bundle.computed(step)) for step in self.recorded.sources
        )

    def __iter__(self) -> Iterator[Taken]:
        """Yield every step up to the last that is recorded."""
        for number in range(1, self.recorded.last_step + 1):
            yield self.take(number)

    def start(self, number: int) -> Start:
        """Return what is known of the port before a step."""
        bundle = self.bundle
        if number == 1:
            return Start(dict(bundle.parameters), dict(bundle.buffers), {}, True, True, True)
        before = self.recorded.read(number - 1)
        parameters, buffers = (
            {name: before[f"{name}.updated"] for name in initial if f"{name}.updated" in before}
            for initial in (bundle.parameters, bundle.buffers)
        )
        own = state_keys(self.side.optimizer.name, bundle.computed(number - 1))
        state = {key: before[name] for name, key in own.items() if name in before}
        # How many updates there have been is known whatever is recorded: the reference has counted them itself.
        needed = {key for key in own.values() if not key.endswith(".step")}
        return Start(
            parameters, buffers, state, parameters.keys() >= bundle.parameters.keys(),
            buffers.keys() >= bundle.buffers.keys(), state.keys() >= needed,
        )  # fmt: skip

    def take(self, number: int) -> Taken:
        """Let the reference and its companions take a step."""
        start, batch = self.start(number), self.bundle.batch(number)
        sides = [self.side, *(s.side for s in self.shadows), *(p.side for p in self.probes)]
        if number > 1:
            for side in sides:
                take_over(side, start.parameters, start.buffers, start.state)
        state_before = own_state(self.side)
        theirs = take_step(self.side, batch)
        theirs = {name: theirs[name] for name in self.bundle.names if name in theirs}
        port = self.recorded.read(number)
        expected = {**batch.tensors, **start.parameters, **start.buffers}
        shadows: list[Arrays] = []
        if self.shadows:
            bounds = self.rounding.of_step(theirs, state_before)
            keep = {*port, *(self.crossable if start.whole else ())}
            shadows = [shadow.step(batch, bounds, keep) for shadow in self.shadows]
        return Taken(
            number, port, theirs, {**theirs, **port}, frozenset({*port, *expected}), state_before, start,
            scatter(shadows, theirs) if shadows else {}, shadows,
            [(probe, probe.step(batch, port)) for probe in self.probes], expected,
        )  # fmt: skip
