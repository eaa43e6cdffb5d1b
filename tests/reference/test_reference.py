"""The PyTorch side: the numbers of the manual side, in memory of its own, under the same names in the same order."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

import manual
import reference

Array = np.ndarray[Any, Any]
N, FEATURES, HIDDEN, K = 7, 6, 5, 3  # no two alike

LOSSES: list[tuple[str, dict[str, Any]]] = [
    ("SquaredError", {}),
    ("SquaredError", {"reduction": "mean", "factor": 0.3}),
    ("MSELoss", {}),
    ("MSELoss", {"reduction": "batchmean"}),
    ("BCELoss", {"reduction": "batchmean"}),
    ("CrossEntropyLoss", {"reduction": "sum"}),
    ("NLLLoss", {"reduction": "batchmean"}),
]
OPTIONS: list[dict[str, Any]] = [
    {"lr": 0.3},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": {"linear1.weight": 0.02}},
]


@dataclass
class Pair:
    """The same network on both sides, from the same initial parameters."""

    loss: tuple[str, dict[str, Any]] = ("SquaredError", {})
    options: dict[str, Any] = field(default_factory=lambda: {"lr": 0.3})
    bias: bool = True
    dtype: str = "float64"

    def __post_init__(self) -> None:
        kind, arguments = self.loss
        layers: list[tuple[str, dict[str, Any]]] = [
            ("Linear", {"in_features": FEATURES, "out_features": HIDDEN, "bias": self.bias}),
            ("Tanh", {}),
            ("Linear", {"in_features": HIDDEN, "out_features": K, "bias": self.bias}),
        ]
        if kind == "NLLLoss":
            layers.append(("LogSoftmax", {"dim": -1}))
        elif kind != "CrossEntropyLoss":
            layers.append(("Sigmoid", {}))
        by_hand = manual.name_layers([getattr(manual, k)(**a) for k, a in layers])
        rng = np.random.default_rng(3)
        shapes = manual.Network(by_hand, manual.SquaredError()).parameters
        self.parameters = {n: rng.normal(size=p.shape).astype(self.dtype) for n, p in shapes.items()}
        self.manual = manual.Network(by_hand, getattr(manual, kind)(**arguments), self.parameters)
        modules = {name: reference.build_layer(k, a) for name, (k, a) in zip(by_hand, layers, strict=True)}
        self.reference = reference.Network(modules, reference.build_loss(kind, arguments), self.parameters)
        self.sgd = manual.SGD(self.manual, **self.options)
        self.torch_sgd = reference.Optimizer("SGD", self.reference, **self.options)

    def step(self, seed: int) -> tuple[dict[str, Array], dict[str, Array]]:
        """Take a step on both sides; return everything either recorded, copied: before the update, then after."""
        traces = []
        for network, optimizer in ((self.manual, self.sgd), (self.reference, self.torch_sgd)):
            network.loss(*self.batch(seed))
            network.backward()
            before = {name: np.array(array) for name, array in network.trace().items()}
            optimizer.step()
            traces.append(before | {name: np.array(array) for name, array in optimizer.trace().items()})
        return traces[0], traces[1]

    def batch(self, seed: int) -> tuple[Array, Array]:
        rng = np.random.default_rng(seed)
        return rng.normal(size=(N, FEATURES)).astype(self.dtype), rng.integers(0, K, N)


def spelled(loss: tuple[str, dict[str, Any]]) -> str:
    return f"{loss[0]}({', '.join(f'{k}={v}' for k, v in loss[1].items())})"


# ------------------------------------------------------------------------------------------------- numbers and names


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("loss", LOSSES, ids=spelled)
def test_both_sides_name_and_order_their_tensors_alike_and_agree_on_them(loss: Any, bias: bool) -> None:
    pair = Pair(loss, bias=bias)
    for seed in range(3):
        mine, theirs = pair.step(seed)
        assert list(mine) == list(theirs)
        for name in mine:
            np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-12, atol=1e-14, err_msg=name, strict=True)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_so_they_do_with_momentum_nesterov_dampening_and_decay(options: dict[str, Any]) -> None:
    pair = Pair(options=options)
    for seed in range(4):
        mine, theirs = pair.step(seed)
        assert list(mine) == list(theirs)
        assert ("sgd.linear1.weight.momentum_buffer" in theirs) == ("momentum" in options)
        for name in mine:
            np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-12, atol=1e-14, err_msg=name, strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_reference_computes_in_the_dtype_of_its_parameters(dtype: str) -> None:
    _, theirs = Pair(dtype=dtype, options=OPTIONS[1]).step(0)
    assert {str(array.dtype) for name, array in theirs.items() if name != "target"} == {dtype}


def test_the_names_are_those_of_a_step_in_the_order_of_a_step() -> None:
    _, theirs = Pair(options=OPTIONS[1], loss=("CrossEntropyLoss", {})).step(0)
    assert list(theirs) == [
        "input", "target", "linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias",
        "linear1.output", "tanh1.output", "linear2.output", "loss",
        "linear2.output.grad", "linear2.weight.grad", "linear2.bias.grad",
        "tanh1.output.grad", "linear1.output.grad", "linear1.weight.grad", "linear1.bias.grad",
        "sgd.linear1.weight.momentum_buffer", "sgd.linear1.bias.momentum_buffer",
        "sgd.linear2.weight.momentum_buffer", "sgd.linear2.bias.momentum_buffer",
        "linear1.weight.updated", "linear1.bias.updated", "linear2.weight.updated", "linear2.bias.updated",
    ]  # fmt: skip


def test_gradients_do_not_pile_up_from_step_to_step() -> None:
    pair = Pair()
    x, target = pair.batch(0)
    found = []
    for _ in range(2):
        pair.reference.loss(x, target)
        pair.reference.backward()
        found.append({name: np.array(array) for name, array in pair.reference.trace().items()})
    for name, array in found[0].items():
        np.testing.assert_array_equal(array, found[1][name])
    assert np.abs(found[0]["linear1.weight.grad"]).min() > 0


def test_below_the_first_layer_with_weights_there_are_no_gradients() -> None:
    parameters = {"linear1.weight": np.full((K, FEATURES), 0.1), "linear1.bias": np.zeros(K)}
    modules = {"sigmoid1": torch.nn.Sigmoid(), "linear1": torch.nn.Linear(FEATURES, K)}
    network = reference.Network(modules, reference.build_loss("SquaredError", {}), parameters)
    network.loss(np.ones((2, FEATURES)), np.zeros((2, K)))
    network.backward()
    assert [name for name in network.trace() if name.endswith(".grad")] == [
        "linear1.output.grad", "linear1.weight.grad", "linear1.bias.grad",
    ]  # fmt: skip


def test_predict_gives_the_last_output_and_leaves_no_trace() -> None:
    pair = Pair()
    x, target = pair.batch(0)
    loss = pair.reference.loss(x, target)
    before = {name: np.array(array) for name, array in pair.reference.trace().items()}
    np.testing.assert_allclose(pair.reference.predict(2 * x), pair.manual.predict(2 * x), rtol=1e-12)
    for name, array in pair.reference.trace().items():
        np.testing.assert_array_equal(array, before[name])
    assert loss == before["loss"]


# ------------------------------------------------------------------------------------------------------------- memory


def test_the_initial_parameters_are_copied() -> None:
    pair = Pair()
    for name, weight in pair.reference.weights.items():
        assert not np.shares_memory(weight.detach().numpy(), pair.parameters[name])
    before = {name: weight.detach().clone() for name, weight in pair.reference.weights.items()}
    for array in pair.parameters.values():
        array[...] = 7
    for name, weight in pair.reference.weights.items():
        assert torch.equal(weight, before[name])


def test_the_batch_is_copied() -> None:
    pair = Pair()
    x, target = pair.batch(0)
    pair.reference.loss(x, target)
    trace = pair.reference.trace()
    assert not np.shares_memory(trace["input"], x)
    assert not np.shares_memory(trace["target"], target)
    expected = x.copy()
    x[...] = np.nan
    np.testing.assert_array_equal(pair.reference.trace()["input"], expected)
    assert np.isfinite(pair.reference.predict(expected)).all()


def test_loading_copies_parameters_and_state() -> None:
    pair = Pair(options=OPTIONS[1])
    pair.step(0)
    pair.reference.load(pair.manual.parameters)
    pair.torch_sgd.load(pair.sgd.state)
    trace = pair.torch_sgd.trace()
    for name, array in pair.sgd.state.items():
        assert not np.shares_memory(trace[f"sgd.{name}"], array)
        np.testing.assert_array_equal(trace[f"sgd.{name}"], array)
    for name, array in pair.manual.parameters.items():
        assert not np.shares_memory(trace[f"{name}.updated"], array)
        np.testing.assert_array_equal(trace[f"{name}.updated"], array)


def test_nothing_of_a_step_lies_in_the_manual_sides_memory() -> None:
    pair = Pair(options=OPTIONS[1])
    batch = pair.batch(0)
    for network, optimizer in ((pair.manual, pair.sgd), (pair.reference, pair.torch_sgd)):
        network.loss(*batch)
        network.backward()
        optimizer.step()
    mine, theirs = pair.manual.trace(), pair.reference.trace() | pair.torch_sgd.trace()
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        for other in theirs.values():
            assert not np.shares_memory(array, other), name


def test_torch_still_updates_the_loaded_parameters() -> None:
    pair = Pair()
    other = {name: array + 1 for name, array in pair.parameters.items()}
    pair.reference.load(other)
    for name, array in pair.manual.parameters.items():
        array[...] = other[name]
    mine, theirs = pair.step(0)
    for name in pair.parameters:
        np.testing.assert_array_equal(theirs[name], other[name])
        assert not np.array_equal(theirs[f"{name}.updated"], other[name])
        np.testing.assert_allclose(mine[f"{name}.updated"], theirs[f"{name}.updated"], rtol=1e-12)


# ---------------------------------------------------------------------------------------------------------- optimizers


@pytest.mark.parametrize("options", OPTIONS[1:], ids=str)
@pytest.mark.parametrize("steps_before", [0, 1, 2])
def test_an_optimizer_that_loads_a_state_goes_on_as_its_owner_would(options: dict[str, Any], steps_before: int) -> None:
    pair = Pair(options=options)
    for seed in range(3):
        pair.step(seed)
    taken_over = Pair(options=options)
    for seed in range(steps_before):
        taken_over.step(100 + seed)  # a state of its own, which must go
    taken_over.reference.load(pair.manual.parameters)
    taken_over.torch_sgd.load(pair.sgd.state)
    mine, theirs = pair.step(3)[0], taken_over.step(3)[1]
    for name in mine:
        np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-12, atol=1e-14, err_msg=name)


def test_weight_decay_shrinks_the_chosen_parameters_and_no_others() -> None:
    pair = Pair(options={"lr": 0.5, "weight_decay": {"linear2.weight": 0.1}})
    network = pair.reference
    network.loss(*pair.batch(0))
    network.backward()
    for weight in network.weights.values():
        weight.grad = torch.zeros_like(weight)
    pair.torch_sgd.step()
    for name, weight in network.weights.items():
        factor = 1 - 0.5 * 0.1 if name == "linear2.weight" else 1.0
        np.testing.assert_allclose(weight.detach().numpy(), factor * pair.parameters[name], rtol=1e-15)


# -------------------------------------------------------------------------------------------------------------- losses


def rows_of(labels: Array) -> Array:
    return np.eye(K)[labels]


def log_softmax(z: Array) -> Array:
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


# Every loss as a sum over the batch, from its definition; "mean" divides by N or by N * K.
SUMS: dict[str, tuple[Callable[[Array, Array], float], int]] = {
    "SquaredError": (lambda a, labels: 0.5 * float(((a - rows_of(labels)) ** 2).sum()), N * K),
    "MSELoss": (lambda a, labels: float(((a - rows_of(labels)) ** 2).sum()), N * K),
    "BCELoss": (lambda a, labels: -float(np.log(np.where(rows_of(labels) == 1, a, 1 - a)).sum()), N * K),
    "CrossEntropyLoss": (lambda z, labels: -float(log_softmax(z)[np.arange(N), labels].sum()), N),
    "NLLLoss": (lambda y, labels: -float(y[np.arange(N), labels].sum()), N),
}


@pytest.fixture
def predictions() -> Array:
    return np.random.default_rng(5).uniform(0.05, 0.95, (N, K))


@pytest.fixture
def labels() -> Array:
    return np.random.default_rng(6).integers(0, K, N)


@pytest.mark.parametrize("reduction", ["sum", "mean", "batchmean"])
@pytest.mark.parametrize("kind", SUMS)
def test_every_reduction_of_every_loss_is_its_formula(
    kind: str, reduction: str, predictions: Array, labels: Array
) -> None:
    total, elements = SUMS[kind]
    divisor = {"sum": 1, "mean": elements, "batchmean": N}[reduction]
    loss = reference.build_loss(kind, {"reduction": reduction})
    value = loss(torch.from_numpy(predictions), torch.from_numpy(labels)).item()
    assert value == pytest.approx(total(predictions, labels) / divisor, rel=1e-13)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("reduction", ["sum", "mean", "batchmean"])
def test_the_squared_error_in_every_convention(
    reduction: str, factor: float, predictions: Array, labels: Array
) -> None:
    arguments = {"reduction": reduction, "factor": factor}
    target = rows_of(labels) + 0.1  # real targets, not only zeros and ones
    leaf = torch.tensor(predictions, requires_grad=True)
    value = reference.build_loss("SquaredError", arguments)(leaf, torch.from_numpy(target))
    value.backward()
    divisor = {"sum": 1, "mean": N * K, "batchmean": N}[reduction]
    assert value.item() == pytest.approx(factor * ((predictions - target) ** 2).sum() / divisor, rel=1e-13)
    assert leaf.grad is not None
    np.testing.assert_allclose(leaf.grad.numpy(), 2 * factor * (predictions - target) / divisor, rtol=1e-13)


def test_the_default_of_the_squared_error_is_the_tutorials_cost(predictions: Array, labels: Array) -> None:
    value = reference.build_loss("SquaredError", {})(torch.from_numpy(predictions), torch.from_numpy(labels)).item()
    assert value == pytest.approx(((predictions - rows_of(labels)) ** 2).sum() / (2 * N), rel=1e-13)


# --------------------------------------------------------------------------------------------- one operation on its own


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5)], ids=str)
def test_what_torch_leaves_open_has_the_default_of_the_manual_layer(shape: tuple[int, ...]) -> None:
    """torch.nn.LogSoftmax() without dim warns, and takes the first axis of three."""
    x = np.random.default_rng(9).normal(size=shape)
    found = reference.build_layer("LogSoftmax", {})(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, manual.LogSoftmax().forward(x), rtol=1e-13)


def test_a_layers_oracle_gives_the_layers_gradients_in_float64() -> None:
    rng = np.random.default_rng(7)
    x, grad_output = rng.normal(size=(N, FEATURES)), rng.normal(size=(N, K))
    parameters = {"weight": rng.normal(size=(K, FEATURES)), "bias": rng.normal(size=K)}
    oracle = reference.LayerOracle("Linear", {"in_features": FEATURES, "out_features": K})
    output, gradients, buffers = oracle.differentiate(x, parameters, grad_output)
    assert buffers == {}
    np.testing.assert_allclose(output, x @ parameters["weight"].T + parameters["bias"], rtol=1e-12)
    np.testing.assert_allclose(gradients["weight"], grad_output.T @ x, rtol=1e-12)
    np.testing.assert_allclose(gradients["bias"], grad_output.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(gradients["input"], grad_output @ parameters["weight"], rtol=1e-12)
    assert oracle.differentiate(x, parameters, None)[1] == {}


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.5, "momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.2},
        {"lr": 0.5, "momentum": 0.9, "dampening": 0.2, "nesterov": False, "weight_decay": 0.2},
        {"lr": 0.5, "momentum": 0.9, "dampening": 0.0, "nesterov": True, "weight_decay": 0.0},
    ],
    ids=["plain", "dampened", "nesterov"],
)
@pytest.mark.parametrize("first", [True, False], ids=["first step", "later step"])
def test_an_update_alone_is_the_formula_of_sgd(options: dict[str, Any], first: bool) -> None:
    parameter, gradient, before = np.random.default_rng(8).normal(size=(3, 4))
    given = (parameter.copy(), gradient.copy(), before.copy())
    state = {} if first or not options["momentum"] else {"momentum_buffer": before}
    updated, after = reference.update("SGD", options, parameter, gradient, state)
    g = gradient + options["weight_decay"] * parameter
    direction = g
    if options["momentum"]:
        v = options["momentum"] * before + (1 - options["dampening"]) * g if state else g
        np.testing.assert_allclose(after["momentum_buffer"], v, rtol=1e-14)
        direction = g + options["momentum"] * v if options["nesterov"] else v
    else:
        assert after == {}
    np.testing.assert_allclose(updated, parameter - options["lr"] * direction, rtol=1e-13)
    for array, was in zip((parameter, gradient, before), given, strict=True):
        np.testing.assert_array_equal(array, was)
