"""Kinks: where rounding decides on which side of 0 a ReLU's input lies, and only there, a disagreement is explained.

The kinks are made: the bias of a unit is set to minus the rest of its sum for one example, so that what is left of its
pre-activation is rounding; the manual side adds up in another order, and a unit is taken where the two sides part.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

import compare
import manual
from compare.agreement.kinks import Explanation, Kink, explanation, find_kinks
from compare.agreement.verdict import Verdict
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment, Layer, Loss, Optimizer, Training
from compare.experiment.streams import batches
from compare.lockstep.loop import Loop, Step

Array = np.ndarray[Any, Any]
DTYPES = ["float32", "float64"]
HIDDEN, EXAMPLE = 12, 1


class Backwards(manual.Linear):
    """Adds its inputs up one after the other, from the last to the first."""

    def forward(self, x: Array) -> Array:
        self.x = x
        z = np.zeros((len(x), self.out_features), x.dtype)
        for i in reversed(range(self.in_features)):
            z += x[:, i : i + 1] * self.parameters["weight"][:, i]
        return z + self.parameters["bias"]


def experiment(dtype: str, **optimizer: Any) -> Experiment:
    """784-12-10, three examples a step: small, so that one unit's choice is not drowned."""
    layers = (
        Layer("Linear", arguments={"in_features": 784, "out_features": HIDDEN}),
        Layer("ReLU"),
        Layer("Linear", arguments={"in_features": HIDDEN, "out_features": 10}),
    )
    options: dict[str, Any] = {"lr": 0.1} | optimizer
    training = Training(steps=3, batch_size=3, dtype=dtype, mode="lockstep")  # pyright: ignore[reportArgumentType]
    return Experiment(
        "kinked", layers, loss=Loss("CrossEntropyLoss"), optimizer=Optimizer(**options),
        training=training,
    )  # fmt: skip


def batch(loop: Loop, number: int) -> Array:
    """The inputs of the step of that number, from 1."""
    rows = next(islice(batches(loop.experiment, len(loop.dataset.train_images)), number - 1, None))[1]
    return loop.batch(rows)[0]


def on_either_side(loop: Loop, x: Array) -> tuple[Array, Array]:
    """linear1's output on both sides for inputs x, without a trace of it left in the manual layer's cache."""
    network = loop.manual.network
    loop.reference.network.load(network.parameters)
    theirs = loop.reference.network.layers[0](torch.tensor(x)).detach().numpy()
    return copy.deepcopy(network.layers["linear1"]).forward(x), theirs


def put_on_the_kink(loop: Loop, number: int) -> list[int]:
    """Move biases so that in step `number` the two sides part at EXAMPLE of these units, and nowhere else."""
    x, bias = batch(loop, number), loop.manual.network.parameters["linear1.bias"]
    weight = loop.manual.network.parameters["linear1.weight"].astype(np.float64)
    before = bias.copy()
    bias[...] = -(x[EXAMPLE].astype(np.float64) @ weight.T)
    mine, theirs = on_either_side(loop, x)
    parted = (mine[EXAMPLE] > 0) != (theirs[EXAMPLE] > 0)
    assert parted.any(), "rounding went the same way on both sides at all units"
    bias[...] = np.where(parted, bias, before)
    mine, theirs = on_either_side(loop, x)
    assert np.argwhere((mine > 0) != (theirs > 0)).tolist() == [[EXAMPLE, unit] for unit in np.flatnonzero(parted)]
    return [int(unit) for unit in np.flatnonzero(parted)]


class Kinked:
    """What `begin` and `watchers` do: a kink is made for one step. Keeps the units."""

    def __init__(self, step: int, also: Callable[[Loop], None] | None = None):
        self.step, self.also = step, also
        self.units: list[int] = []

    def begin(self, loop: Loop) -> None:
        self.loop = loop
        if self.also:
            self.also(loop)
        if self.step == 1:
            self.units = put_on_the_kink(loop, 1)

    def watch(self, step: Step) -> None:
        if step.number == self.step - 1:
            self.units = put_on_the_kink(self.loop, self.step)


def run(kinked: Kinked, given: Experiment, layers: dict[str, Any] | None = None) -> compare.Outcome:
    layers = {"linear1": Backwards(784, HIDDEN)} | (layers or {})
    return compare.run(given, layers=layers, begin=kinked.begin, watchers=[kinked.watch])


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "weight_decay": 0.01, "decays": "weights"}])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_kink_is_explained_and_listed(dtype: str, options: dict[str, Any], step: int, small_data: Dataset) -> None:
    kinked = Kinked(step)
    outcome = run(kinked, experiment(dtype, **options))
    assert outcome.verdict is Verdict.EXPLAINED
    assert outcome.exit_status == 0
    assert outcome.finding is None
    assert outcome.tally.steps == 3
    kinks = outcome.tally.kinks
    assert [(k.step, k.layer, k.example, k.unit) for k in kinks] == [(step, "relu1", EXAMPLE, u) for u in kinked.units]
    for kink in kinks:
        assert (kink.value > 0) != (kink.reference > 0)
        assert 0 < max(abs(kink.value), abs(kink.reference)) <= kink.bound
        assert kink.bound < 0.1
        assert kink.apart is not None
        assert kink.left is not None
        assert kink.left < 64 < kink.apart
    document = json.loads(json.dumps(outcome.to_json(), allow_nan=False))
    assert [set(entry) for entry in document["kinks"]] == [
        {"step", "layer", "example", "unit", "value", "reference", "bound", "tensor", "apart", "left"}
    ] * len(kinks)
    assert document["verdict"] == "EXPLAINED"
    assert document["divergence"] is None


def test_the_values_are_those_of_the_two_sides(small_data: Dataset) -> None:
    seen = {}

    def keep(step: Step) -> None:
        if step.kinks:
            seen.update(mine=step.manual["linear1.output"].copy(), theirs=step.reference["linear1.output"].copy())

    kinked = Kinked(2)
    outcome = compare.run(
        experiment("float32"), layers={"linear1": Backwards(784, HIDDEN)}, begin=kinked.begin,
        watchers=[kinked.watch, keep],
    )  # fmt: skip
    assert outcome.tally.kinks
    for kink in outcome.tally.kinks:
        place = kink.example, kink.unit
        assert (kink.value, kink.reference) == (float(seen["mine"][place]), float(seen["theirs"][place]))


# With a mistake beside it, a kink excuses nothing


class BiasMean(manual.Linear):
    def backward(self, grad_output: Array) -> Array | None:
        gradient = super().backward(grad_output)
        self.gradients["bias"] = grad_output.mean(axis=0)
        return gradient


class BackwardsWithoutBiasGradient(Backwards):
    def backward(self, grad_output: Array) -> Array | None:
        gradient = super().backward(grad_output)
        self.gradients["bias"] = self.gradients["bias"] * 0
        return gradient


class Leaky(manual.ReLU):
    def backward(self, grad_output: Array) -> Array:
        return np.where(self.off, 0.01 * grad_output, grad_output)


class Ascending(manual.SGD):
    def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
        return -super().direction(name, parameter, gradient)


def ascending(loop: Loop) -> None:
    loop.manual.optimizer = Ascending(loop.manual.network, lr=0.1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("layers", "also", "tensor"),
    [
        ({"linear2": BiasMean(HIDDEN, 10)}, None, "linear2.bias.grad"),
        ({"linear1": BackwardsWithoutBiasGradient(784, HIDDEN)}, None, "linear1.bias.grad"),
        ({"relu1": Leaky()}, None, "linear1.output.grad"),
        ({}, ascending, "linear1.weight.updated"),
    ],
    ids=["layer above", "layer below", "the ReLU itself", "optimizer"],
)
def test_a_mistake_beside_a_kink_diverges(
    layers: dict[str, Any], also: Any, tensor: str, dtype: str, small_data: Dataset
) -> None:
    kinked = Kinked(1, also)
    outcome = run(kinked, experiment(dtype), copy.deepcopy(layers))
    assert kinked.units
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.exit_status == 1
    assert outcome.tally.kinks == []
    assert outcome.finding is not None
    assert (outcome.finding.step, outcome.finding.tensor) == (1, tensor)


@pytest.mark.parametrize("dtype", DTYPES)
def test_wrong_data_beside_a_kink_diverges(dtype: str, small_data: Dataset) -> None:
    def shift_labels(loop: Loop) -> None:
        loss = loop.manual.network.loss
        loop.manual.network.loss = lambda x, target: loss(x, (target + 1) % 10)

    outcome = run(Kinked(1, shift_labels), experiment(dtype))
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.finding is not None
    assert outcome.finding.tensor == "target"


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_fault_between_the_operations_beside_a_kink_diverges(dtype: str, small_data: Dataset) -> None:
    """The reference descends twice as fast: no operation is wrong by itself, and no kink accounts for it."""

    def hasten(loop: Loop) -> None:
        for group in loop.reference.optimizer.torch_optimizer.param_groups:
            group["lr"] *= 2

    kinked = Kinked(1, hasten)
    outcome = run(kinked, experiment(dtype))
    assert kinked.units
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.tally.kinks == []
    assert outcome.finding is not None
    assert outcome.finding.tensor == "linear1.weight.updated"
    assert "between the operations" in outcome.finding.reason


# Away from 0


class Threshold(manual.ReLU):
    """On from `limit` instead of from 0, forward and backward alike."""

    def __init__(self, limit: float):
        self.limit = limit

    def forward(self, z: Array) -> Array:
        self.off = z <= self.limit
        return np.where(self.off, 0, z).astype(z.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("limit", [0.5, -0.5, 0.02, -0.02])
def test_a_mask_that_is_wrong_away_from_0_is_never_explained(limit: float, dtype: str, small_data: Dataset) -> None:
    given = experiment(dtype).changed("training", steps=30, batch_size=20)
    outcome = compare.run(given, layers={"linear1": Backwards(784, HIDDEN), "relu1": Threshold(limit)})
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.finding is not None
    assert outcome.finding.operation == "relu1.forward"
    assert outcome.tally.kinks == []


@pytest.mark.parametrize("dtype", DTYPES)
def test_only_the_mask_of_the_backward_pass_wrong_away_from_0(dtype: str, small_data: Dataset) -> None:
    class Generous(manual.ReLU):
        def backward(self, grad_output: Array) -> Array:
            return grad_output * ~self.off + grad_output * (self.z > -0.01) * self.off

        def forward(self, z: Array) -> Array:
            self.z = z
            return super().forward(z)

    given = experiment(dtype).changed("training", steps=60, batch_size=20)
    outcome = compare.run(given, layers={"linear1": Backwards(784, HIDDEN), "relu1": Generous()})
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.finding is not None
    assert (outcome.finding.operation, outcome.finding.tensor) == ("relu1.backward", "linear1.output.grad")


# The two functions by themselves


def explained(**given: Any) -> bool:
    """Whether nothing is apart any more once the pass is computed with the other side's choice."""
    found = explanation(**given)
    return found is not None and not found.apart


@pytest.fixture
def asked(small_data: Dataset, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `explained` is asked in a step with a kink, by the names of its arguments: copies, as they then were."""
    names, calls = ("experiment", "network", "mine", "theirs", "state_before", "kinks"), []

    def keep(*given: Any) -> Explanation | None:
        calls.append(dict(zip(names, copy.deepcopy(given), strict=True)))
        return explanation(*given)

    monkeypatch.setattr("compare.agreement.verdict.explanation", keep)
    loop = Loop(experiment("float32"), small_data, {"linear1": Backwards(784, HIDDEN)})
    put_on_the_kink(loop, 1)
    assert next(iter(loop)).kinks
    return calls[0]


def test_explained_needs_kinks_within_their_bounds(asked: dict[str, Any]) -> None:
    kinks = asked.pop("kinks")
    assert explained(**asked, kinks=kinks)
    assert not explained(**asked, kinks=[])
    assert not explained(**asked, kinks=[replace(kinks[0], value=kinks[0].bound * 1.01), *kinks[1:]])
    assert not explained(**asked, kinks=[*kinks[:-1], replace(kinks[-1], reference=-kinks[-1].bound * 1.01)])


def test_explained_needs_the_whole_step_to_agree_afterwards(asked: dict[str, Any]) -> None:
    """Every tensor of the other side counts, the updated parameters too; any one off spoils the explanation."""
    for name, array in asked["theirs"].items():
        if np.issubdtype(array.dtype, np.inexact):
            off = array + np.asarray(0.7, array.dtype)
            if name == "linear1.output":  # else the sides themselves change
                off = np.where(array > 0, off, array)
            assert not explained(**asked | {"theirs": asked["theirs"] | {name: off}}), name


def test_it_is_told_how_much_closer_the_two_sides_come(asked: dict[str, Any]) -> None:
    found = explanation(**asked)
    assert found is not None
    assert found.before > 1000  # u: a unit that is on for one side alone
    assert found.after < 64
    assert found.tensor.endswith((".grad", ".updated", "momentum_buffer"))


def test_explaining_changes_nothing(asked: dict[str, Any]) -> None:
    before = copy.deepcopy({key: asked[key] for key in ("mine", "theirs", "state_before")})
    parameters = copy.deepcopy(asked["network"].parameters)
    assert explained(**asked)
    for key, trace in before.items():
        for name, array in trace.items():
            np.testing.assert_array_equal(asked[key][name], array)
    for name, array in parameters.items():
        np.testing.assert_array_equal(asked["network"].parameters[name], array)


def test_kinks_are_found_in_the_order_of_the_pass() -> None:
    layers = tuple(
        Layer(kind, arguments={"in_features": 784 if i == 0 else 4, "out_features": 4} if kind == "Linear" else {})
        for i, kind in enumerate(["Linear", "ReLU", "Linear", "ReLU"])
    )
    given = Experiment("two", layers)
    z1, z2 = np.array([[1.0, -1, 2, 3], [0, 1, 1, 1]]), np.array([[-1.0, 1, 1, 1], [1, 1, 1, -2]])
    other1, other2 = z1.copy(), z2.copy()
    other1[1, 0], other2[0, 0], other2[1, 3] = 1e-9, 1e-8, 3e-8  # from 0, which is off; from -1; from -2
    mine, theirs = {"linear1.output": z1, "linear2.output": z2}, {"linear1.output": other1, "linear2.output": other2}
    bounds = {"linear1.output": 1e-7, "linear2.output": 1e-6}
    assert find_kinks(5, given, mine, theirs, bounds) == [
        Kink(5, "relu1", 1, 0, 0.0, 1e-9, 1e-7),
        Kink(5, "relu2", 0, 0, -1.0, 1e-8, 1e-6),
        Kink(5, "relu2", 1, 3, -2.0, 3e-8, 1e-6),
    ]
    assert find_kinks(5, given, mine, mine, bounds) == []


@pytest.mark.parametrize("reordered", [False, True])
def test_a_correct_relu_network_in_float32_is_left_in_peace(reordered: bool) -> None:
    """Three hundred steps of the preset on the real digits: whatever kinks there are, none is a divergence."""
    layers = {"linear1": WithoutBLAS(784, 256)} if reordered else None
    outcome = compare.run("relu", layers=layers, dtype="float32", steps=300, mode="lockstep")
    assert outcome.verdict in (Verdict.AGREES, Verdict.EXPLAINED)
    assert outcome.exit_status == 0
    assert outcome.tally.steps == 300
    assert (outcome.verdict is Verdict.EXPLAINED) == bool(outcome.tally.kinks)
    assert all(max(abs(k.value), abs(k.reference)) <= k.bound for k in outcome.tally.kinks)


class WithoutBLAS(manual.Linear):
    def forward(self, x: Array) -> Array:
        self.x = x
        halves = [
            np.matmul(x[:, part], self.parameters["weight"][:, part].T) for part in (slice(400, None), slice(400))
        ]
        return halves[0] + halves[1] + self.parameters["bias"]
