"""A whole network, judged tensor by tensor in the order of a step.

The first tensor that is wrong was made by one operation, from tensors that are right: that operation alone is then
explained, as crosscheck explains a layer or a loss.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

import manual
import reference
from compare.crosscheck.cause import Cause, explain
from compare.crosscheck.drawing import Spec
from compare.crosscheck.given import Arrays, Given
from compare.crosscheck.oracle import LayerOracle
from compare.crosscheck.search import Plan
from compare.crosscheck.subject import Fault, Lay, LayerSubject, LossSubject, Outcome
from compare.crosscheck.trial import Failure, Tester, Trial
from compare.exercise.entries import Entry, preset_of
from compare.exercise.netsheet import tensors_of
from compare.exercise.process import Process
from compare.exercise.settings import ENDS, small_sizes
from compare.exercise.subjects import odd, sent
from compare.experiment.classes import build_layer
from compare.language import stored


def small_layers(entry: Entry) -> list[tuple[str, str, dict[str, Any]]]:
    """Return name, kind and arguments of the network's layers, with few units."""
    layers = list(preset_of(entry).layers)
    linear = [layer.name for layer in layers if layer.kind == "Linear"]
    found, sizes = [], small_sizes(entry)
    for layer in layers:
        arguments = dict(layer.arguments)
        if layer.kind == "Linear":
            place = linear.index(layer.name)
            arguments |= {"in_features": sizes[place], "out_features": sizes[place + 1]}
        found.append((layer.name, layer.kind, arguments))
    return found


class NetworkSubject(LayerSubject):
    """Manual's network: what it makes of a batch, under the names of a step."""

    kind = "network"
    frozen = ("input", "target")

    def __init__(self, entry: Entry):
        self.entry, self.name, self.training, self.outputs, self.drawer = entry, entry.kind, True, 1, None
        self.loss = preset_of(entry).loss
        self.candidate = self.made({})
        self.parameters, self.buffers = {n: p.copy() for n, p in self.candidate.parameters.items()}, {}

    def made(self, parameters: Arrays) -> Any:
        """Return the network with these parameters."""
        layers = {name: build_layer(kind, arguments) for name, kind, arguments in small_layers(self.entry)}
        cost = getattr(manual, self.loss.kind)(**self.loss.arguments)
        return manual.Network(layers, cost, dict(parameters) or None)

    def count(self, given: Given) -> None:
        """There is one output: the cost."""

    def run(self, given: Given, layer: Any = None, lay: Lay = np.copy) -> Outcome:
        """Run forward and backward."""
        network = self.made(given.parameters)
        network.loss(*given.inputs.values())
        network.backward()
        trace = network.trace()
        return Outcome({"loss": trace["loss"]} | {n: trace[n] for n in tensors_of(preset_of(self.entry))})

    def again(self, first: Given, then: Given) -> Outcome:
        """A new network knows nothing of another."""
        return self.run(then)


class AnsweredNetwork(NetworkSubject):
    """The answer to a network."""

    def __init__(self, entry: Entry, process: Process):
        super().__init__(entry)
        self.process, self.before = process, None

    def run(self, given: Given, layer: Any = None, lay: Lay = np.copy) -> Outcome:
        """Run manual's forward pass, and the answer's backward pass in its process."""
        facts, arrays = sent(given, self.before)
        told, found = self.process.ask(facts, arrays)
        outcome = Outcome({"loss": super().run(given).tensors["loss"]})
        names = tensors_of(preset_of(self.entry))
        if "raised" in told:
            sentence = stored("{operation} raised {error}: {says}", operation=f"{self.name}.backward",
                              error=told["raised"], says=told.get("says", ""))  # fmt: skip
            outcome.faults.append(Fault(names[0], sentence))
            return outcome
        outcome.tensors |= {name: found.get(name) for name in names}
        outcome.faults += odd({name: name for name in names}, told.get("kinds", {}), found)
        return outcome

    def again(self, first: Given, then: Given) -> Outcome:
        """Run one object of the process twice."""
        self.before = first
        try:
            return self.run(then)
        finally:
            self.before = None

    def returned(self, given: Given) -> list[str]:
        """Return the names of the tensors that the answer gives, and of those that it has to give."""
        tensors = self.run(given).tensors
        return [
            name for name in tensors_of(preset_of(self.entry))
            if not name.endswith(".output.grad") or (name in tensors and tensors[name] is not None)
        ]  # fmt: skip


class NetworkOracle(LayerOracle):
    """The same network of torch, differentiated by autograd; of its tensors those of these names."""

    def __init__(self, entry: Entry, names: list[str]):
        super().__init__(None, f"torch's {entry.name}", True)
        self.entry, self.tensors, self.loss = entry, names, True

    def __call__(
        self, given: Given, outputs: int, upstream: Any = None, dtype: torch.dtype = torch.float64
    ) -> tuple[Given, dict[str, np.ndarray]]:
        """Return the arrays, and the cost and the gradients by name."""
        layers = {name: reference.build_layer(kind, arguments) for name, kind, arguments in small_layers(self.entry)}
        loss = preset_of(self.entry).loss
        kind = np.float32 if dtype == torch.float32 else np.float64
        at = given.cast(kind)
        network = reference.Network(layers, reference.build_loss(loss.kind, dict(loss.arguments)), at.parameters)
        network.loss(*at.inputs.values())
        network.backward()
        trace = network.trace()
        return given, {name: np.array(trace[name], np.float64) for name in ("loss", *self.tensors)}


def plan_of(subject: NetworkSubject) -> Plan:
    """Return how a network's inputs are drawn: a batch, targets that add up to 1 a row, weights."""
    inputs = {"input": Spec(("batch", ENDS)), "target": Spec((), kind="probabilities")}
    return Plan(inputs, {name: Spec(p.shape) for name, p in subject.parameters.items()})


def explain_operation(entry: Entry, failure: Failure, trial: Trial) -> Cause:
    """Return the cause of a wrong gradient of a network: that of the one operation that makes it."""
    if failure.check != "values" or failure.found is None or not failure.tensor.endswith(".grad"):
        return Cause()
    layers = small_layers(entry)
    owner, _, key = failure.tensor.removesuffix(".grad").rpartition(".")
    place = next(i for i, (name, _, _) in enumerate(layers) if name == owner)
    whole = whole_trace(entry, trial.given)
    if key == "output" and place + 1 == len(layers):
        return explain_loss(entry, failure, trial, whole[f"{owner}.output"])
    place += key == "output"  # the gradient of an output is made by what comes after it
    name, kind, arguments = layers[place]
    x = whole[f"{layers[place - 1][0]}.output"] if place else trial.given.inputs["input"]
    own = {n.removeprefix(f"{name}."): p for n, p in trial.given.parameters.items() if n.startswith(f"{name}.")}
    given = Given({"input": x}, own, {}, (whole[f"{name}.output.grad"],))
    layer = build_layer(kind, arguments)
    oracle = LayerOracle(reference.build_layer(kind, arguments).to(torch.float64), f"torch.nn.{kind}", True)
    tensor = "input.grad" if key == "output" else f"{key}.grad"
    return explained(failure, tensor, given, trial, Tester(LayerSubject(layer), oracle), kind, arguments)


def shared_origin(entry: Entry, trial: Trial) -> Failure | None:
    """Return the failure of the first delta where it is not given, and all that is made of it is off by one factor.

    A backward pass is linear in its first delta: what that one is multiplied by, everything is.
    """
    first = tensors_of(preset_of(entry))[0]
    names = [name for name in trial.wanted if name.endswith(".grad")]
    failures = {failure.tensor: failure for failure in trial.failures if failure.check == "values"}
    if first in names or set(failures) != set(names):
        return None
    pairs = [(np.asarray(f.found, np.float64), np.asarray(f.wanted, np.float64)) for f in failures.values()]
    if not all(own.shape == right.shape for own, right in pairs):
        return None  # one is missing
    wanted, found = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (1, 0))
    factor = float(found @ wanted / (wanted @ wanted))
    if not all(np.allclose(own, factor * right, rtol=1e-6, atol=0) for own, right in pairs):
        return None
    delta = whole_trace(entry, trial.given)[first]
    return Failure(first, "", trial.dtype, found=factor * delta, wanted=delta)


def explain_loss(entry: Entry, failure: Failure, trial: Trial, prediction: np.ndarray) -> Cause:
    """Return the cause of a wrong first delta."""
    loss = preset_of(entry).loss
    arguments = dict(loss.arguments)
    given = Given({"prediction": prediction, "target": trial.given.inputs["target"]})
    subject = LossSubject(getattr(manual, loss.kind)(**arguments))
    oracle = LayerOracle(reference.build_loss(loss.kind, arguments), f"torch's {loss.kind}", True, ("target",))
    return explained(failure, "prediction.grad", given, trial, Tester(subject, oracle), loss.kind, arguments)


def explained(
    failure: Failure, tensor: str, given: Given, trial: Trial, tester: Tester, kind: str, arguments: Mapping[str, Any]
) -> Cause:
    """Return the cause of a failure, told of one operation."""
    given, wanted = tester.oracle(given, 1)
    alone = Trial(given, trial.dtype, wanted)
    cause = explain(replace(failure, tensor=tensor, wanted=wanted[tensor]), alone, tester, kind, arguments)
    return replace(cause, at_kink=False)  # it was manual's own operation that was asked, and that agrees


def whole_trace(entry: Entry, given: Given) -> dict[str, np.ndarray]:
    """Return every tensor of a step of manual's network."""
    network = NetworkSubject(entry).made(given.parameters)
    network.loss(*given.inputs.values())
    network.backward()
    return dict(network.trace())
