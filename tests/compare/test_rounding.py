"""The rounding bounds: never exceeded by a correct computation, in whatever order it sums, and never vacuous.

Truth is computed in extended precision from formulas written here, which owe nothing to either side. Inputs are signed,
large, small and exactly on kinks. What a bound allows is what the audit allows: the rule's bound, and the smallest
normal number for underflow.
"""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import manual
from compare.agreement.carried import carried_bounds
from compare.agreement.rounding import (
    LAYER_RULES,
    LOSS_RULES,
    UPDATE_RULES,
    LayerOperation,
    LossOperation,
    UpdateOperation,
    gamma,
    unit_roundoff,
)
from compare.agreement.rounding.unit import smallest_normal
from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment, Layer, Loss, Optimizer, Training
from compare.experiment.networks import build_manual, parameter_shapes
from compare.experiment.streams import initial_parameters
from compare.lockstep.loop import Loop

Array = np.ndarray[Any, Any]
Long = np.longdouble
extended = np.finfo(Long).eps < np.finfo(np.float64).eps / 100
DTYPES = ["float32", pytest.param("float64", marks=pytest.mark.skipif(not extended, reason="no extended precision"))]
# The same points in every run: a test that fails here fails for the reader too.
repeatable = settings(deadline=None, max_examples=60, derandomize=True, database=None)


def u_of(array: Array) -> float:
    return unit_roundoff(array.dtype)


def wide(array: Array) -> Array:
    return np.asarray(array, np.float64)


def assert_within(found: Any, truth: Any, bound: Any, dtype: Any, what: str) -> None:
    """Assert |found - truth| <= bound + underflow, element by element."""
    found, truth = np.asarray(found, Long), np.asarray(truth, Long)
    assert found.shape == truth.shape, what
    assert np.isfinite(truth).all(), f"{what}: the case itself is no good"
    error, allowed = np.abs(found - truth), np.asarray(bound, Long) + Long(smallest_normal(dtype))
    worst = np.unravel_index(np.argmax(error / allowed), error.shape)
    assert (error <= allowed).all(), (
        f"{what}{[int(i) for i in worst]}: found {found[worst]}, truth {truth[worst]}, "
        f"error {error[worst]:.4g}, bound {allowed[worst]:.4g}"
    )


# --------------------------------------------------------------------------------------------------------- the numbers


def numbers(dtype: str, largest: float) -> st.SearchStrategy[float]:
    """Signed numbers up to `largest`: ordinary ones, tiny ones, zeros, and those at which exponentials run out."""
    width: Any = 32 if dtype == "float32" else 64
    largest = float(np.asarray(largest, dtype))
    corners = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, -1e-30, 17.0, -17.0, 88.5, -88.5, -95.0, -104.0, 700.0, -709.5, -745.0]
    corners = [float(np.asarray(corner, dtype)) for corner in corners if abs(corner) <= largest]
    return st.one_of(st.floats(-largest, largest, width=width), st.floats(-3, 3, width=width), st.sampled_from(corners))


def matrices(dtype: str, rows: int, columns: int, largest: float = 1e12) -> st.SearchStrategy[Array]:
    return arrays(np.dtype(dtype), (rows, columns), elements=numbers(dtype, largest), fill=st.nothing())


def vectors(dtype: str, size: int, largest: float = 1e12) -> st.SearchStrategy[Array]:
    return arrays(np.dtype(dtype), size, elements=numbers(dtype, largest), fill=st.nothing())


sizes = st.integers(1, 6)


# ----------------------------------------------------------------------------------------------------------- the truth


def true_sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


def true_sigmoid_slope(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    return e / (1 + e) ** 2


def true_tanh_slope(z: Array) -> Array:
    e = np.exp(-2 * np.abs(z))
    return 4 * e / (1 + e) ** 2


def true_log_softmax(z: Array) -> Array:
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


ELEMENTWISE: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {  # function, slope
    "Sigmoid": (true_sigmoid, true_sigmoid_slope),
    "Tanh": (np.tanh, true_tanh_slope),
    "ReLU": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(Long)),
}


def true_log_softmax_gradient(z: Array, dy: Array) -> Array:
    return dy - np.exp(true_log_softmax(z)) * dy.sum(axis=1, keepdims=True)


# ------------------------------------------------------------------------------------ (a) never exceeded: the layers


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ELEMENTWISE)
@repeatable
@given(data=st.data())
def test_an_elementwise_layer_stays_within_its_bound(kind: str, dtype: str, data: st.DataObject) -> None:
    n, k = data.draw(sizes), data.draw(sizes)
    z, dy = data.draw(matrices(dtype, n, k, 1000)), data.draw(matrices(dtype, n, k, 1e6))
    function, slope = ELEMENTWISE[kind]
    layer, rule = getattr(manual, kind)(), LAYER_RULES[kind]
    a = layer.forward(z)
    dz = layer.backward(dy)
    op = LayerOperation("layer", kind, wide(z), wide(a), wide(dy))
    assert_within(a, function(z.astype(Long)), rule.forward(op, u_of(z)), dtype, "output")
    truth = dy.astype(Long) * slope(z.astype(Long))
    assert_within(dz, truth, rule.backward(op, u_of(z))["input"], dtype, "input gradient")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["Sigmoid", "Tanh", "LogSoftmax"])
def test_where_exponentials_underflow_a_large_gradient_is_still_within_the_bound(kind: str, dtype: str) -> None:
    ends = [1, 17, 40, 80, 86, 87.5, 88.5, 89, 92, 95, 100, 103, 104, 120, 350, 700, 708, 709.5, 712, 730, 745, 760]
    sides = np.array([sign * end for end in ends for sign in (1, -1)], dtype)
    dy = np.array([[1e-30, -1e-10, 1.0, -300.0, 1e6, -1e20]], dtype)
    z, dy = np.broadcast_arrays(sides[:, None], dy)
    z, dy = z.reshape(-1, 1), dy.reshape(-1, 1).copy()
    if kind == "LogSoftmax":  # e^-|z| beside 1
        z, dy = np.concatenate([z, np.zeros_like(z)], axis=1), np.concatenate([dy, 2 * dy], axis=1)
        slopes = true_log_softmax_gradient(z.astype(Long), dy.astype(Long))
    else:
        slopes = dy.astype(Long) * ELEMENTWISE[kind][1](z.astype(Long))
    layer = getattr(manual, kind)()
    a = layer.forward(z)
    op = LayerOperation("layer", kind, wide(z), wide(a), wide(dy))
    assert_within(layer.backward(dy), slopes, LAYER_RULES[kind].backward(op, u_of(z))["input"], dtype, "input gradient")


@pytest.mark.parametrize("dtype", DTYPES)
@repeatable
@given(data=st.data())
def test_log_softmax_stays_within_its_bound(dtype: str, data: st.DataObject) -> None:
    n, k = data.draw(sizes), data.draw(sizes)
    z, dy = data.draw(matrices(dtype, n, k, 1000)), data.draw(matrices(dtype, n, k, 1e6))
    order = np.array(data.draw(st.permutations(range(k))))
    rule = LAYER_RULES["LogSoftmax"]
    truth, true_gradient = true_log_softmax(z.astype(Long)), true_log_softmax_gradient(z.astype(Long), dy.astype(Long))
    for columns in (np.arange(k), order):
        layer = manual.LogSoftmax()
        y = layer.forward(z[:, columns])
        dz = layer.backward(dy[:, columns])
        op = LayerOperation("layer", "LogSoftmax", wide(z[:, columns]), wide(y), wide(dy[:, columns]))
        assert_within(y, truth[:, columns], rule.forward(op, u_of(z)), dtype, "output")
        assert_within(dz, true_gradient[:, columns], rule.backward(op, u_of(z))["input"], dtype, "input gradient")


@pytest.mark.parametrize("classes", [10, 1000, 20_000])
def test_log_softmax_stays_within_its_bound_for_many_outputs_summed_one_by_one(classes: int) -> None:
    rng = np.random.default_rng(classes)
    z, dy = (rng.normal(size=(2, classes)).astype(np.float32) for _ in range(2))
    dy[:, classes // 2 :] = -dy[:, : classes - classes // 2][:, ::-1]  # the sum nearly cancels
    y = manual.LogSoftmax().forward(z)
    op = LayerOperation("layer", "LogSoftmax", wide(z), wide(y), wide(dy))
    found = dy - np.exp(y) * np.add.accumulate(dy, axis=1)[:, -1:]
    truth = true_log_softmax_gradient(z.astype(Long), dy.astype(Long))
    assert_within(found, truth, LAYER_RULES["LogSoftmax"].backward(op, u_of(z))["input"], "float32", "input gradient")


def sums_of_products(a: Array, b: Array, start: Array | None = None) -> Iterator[Array]:
    """Yield a @ b (+ start), summed one after the other, the other way round, in pairs, and as BLAS likes it."""
    products = a[:, :, None] * b[None, :, :]  # (rows, inner, columns)
    nothing = np.zeros(b.shape[1], a.dtype)
    addend = np.broadcast_to(nothing if start is None else start, (len(a), b.shape[1]))
    for order in (slice(None), slice(None, None, -1)):
        yield np.add.accumulate(np.concatenate([products[:, order], addend[:, None]], axis=1), axis=1)[:, -1]
        yield np.add.accumulate(np.concatenate([addend[:, None], products[:, order]], axis=1), axis=1)[:, -1]
    yield products.sum(axis=1) + addend
    yield a @ b + addend
    yield np.ascontiguousarray(a[:, ::-1]) @ np.ascontiguousarray(b[::-1]) + addend


@pytest.mark.parametrize("dtype", DTYPES)
@repeatable
@given(data=st.data())
def test_linear_stays_within_its_bound_in_every_order_of_summation(dtype: str, data: st.DataObject) -> None:
    n, i, o = data.draw(sizes), data.draw(st.integers(1, 40)), data.draw(sizes)
    x, dy = data.draw(matrices(dtype, n, i)), data.draw(matrices(dtype, n, o))
    weight, bias = data.draw(matrices(dtype, o, i)), data.draw(vectors(dtype, o))
    layer = manual.Linear(i, o)
    layer.parameters |= {"weight": weight, "bias": bias}
    z = layer.forward(x)
    dx = layer.backward(dy)
    op = LayerOperation("linear1", "Linear", wide(x), wide(z), wide(dy), {"weight": wide(weight), "bias": wide(bias)})
    rule = LAYER_RULES["Linear"]
    X, W, b, dY = (array.astype(Long) for array in (x, weight, bias, dy))
    forward, backward = rule.forward(op, u_of(x)), rule.backward(op, u_of(x))
    for found in (z, *sums_of_products(x, weight.T, bias)):
        assert_within(found, X @ W.T + b, forward, dtype, "output")
    for found in (dx, *sums_of_products(dy, weight)):
        assert_within(found, dY @ W, backward["input"], dtype, "input gradient")
    for found in (layer.gradients["weight"], *sums_of_products(dy.T, x)):
        assert_within(found, dY.T @ X, backward["weight"], dtype, "weight gradient")
    for found in (layer.gradients["bias"], np.add.accumulate(dy)[-1], np.add.accumulate(dy[::-1])[-1]):
        assert_within(found, dY.sum(axis=0), backward["bias"], dtype, "bias gradient")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("terms", [1, 30, 784, 20_000])
def test_linear_stays_within_its_bound_for_many_terms_that_nearly_cancel(terms: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(3, terms)).astype(np.float32) * 10.0 ** rng.uniform(-4, 4, (3, terms)).astype(np.float32)
    x = np.concatenate([half, half], axis=1)
    weight = np.concatenate([np.ones((2, terms)), -np.ones((2, terms))], axis=1).astype(np.float32)
    weight += (1e-4 * rng.normal(size=weight.shape)).astype(np.float32)
    op = LayerOperation("linear1", "Linear", wide(x), np.zeros(0), None, {"weight": wide(weight)})
    bound = LAYER_RULES["Linear"].forward(op, u_of(x))
    assert np.isfinite(bound).all()
    for found in sums_of_products(x, weight.T):
        assert_within(found, x.astype(Long) @ weight.astype(Long).T, bound, "float32", "output")


# ------------------------------------------------------------------------------------ (a) never exceeded: the losses


def check_loss(
    kind: str, arguments: dict[str, Any], prediction: Array, target: Array, truth: Any, slope: Array
) -> None:
    """Assert the bounds of a loss and its gradient, for the rows and columns in two orders."""
    rule = LOSS_RULES[kind]
    labels = target.ndim == 1
    for turned in (False, True):
        p, t, g = (array[::-1] for array in (prediction, target, slope)) if turned else (prediction, target, slope)
        if turned and not labels:
            p, t, g = p[:, ::-1], t[:, ::-1], g[:, ::-1]
        loss = getattr(manual, kind)(**arguments)
        value = np.asarray(loss.forward(np.ascontiguousarray(p), np.ascontiguousarray(t)))
        op = LossOperation(kind, wide(p), t if labels else wide(t), float(value), arguments)
        assert value.dtype == prediction.dtype
        assert_within(value, truth, rule.forward(op, u_of(prediction)), prediction.dtype, "loss")
        assert_within(loss.backward(), g, rule.backward(op, u_of(prediction)), prediction.dtype, "first delta")


reductions = st.sampled_from(["sum", "mean", "batchmean"])


def divisor(reduction: str, n: int, elements: int) -> int:
    return {"sum": 1, "mean": elements, "batchmean": n}[reduction]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["SquaredError", "MSELoss"])
@repeatable
@given(data=st.data())
def test_the_squared_errors_stay_within_their_bounds(kind: str, dtype: str, data: st.DataObject) -> None:
    n, k, reduction = data.draw(sizes), data.draw(sizes), data.draw(reductions)
    a, t = data.draw(matrices(dtype, n, k, 1e6)), data.draw(matrices(dtype, n, k, 1e6))
    arguments: dict[str, Any] = {"reduction": reduction}
    if kind == "SquaredError":
        arguments["factor"] = data.draw(st.sampled_from([0.5, 1.0, 0.3, 7.1]))
    scale = Long(arguments.get("factor", 1.0)) / divisor(reduction, n, n * k)
    difference = a.astype(Long) - t.astype(Long)
    check_loss(kind, arguments, a, t, scale * (difference**2).sum(), 2 * scale * difference)


@pytest.mark.parametrize("dtype", DTYPES)
@repeatable
@given(data=st.data())
def test_the_binary_cross_entropy_stays_within_its_bound(dtype: str, data: st.DataObject) -> None:
    n, k, reduction = data.draw(sizes), data.draw(sizes), data.draw(reductions)
    width: Any = 32 if dtype == "float32" else 64
    near = st.sampled_from([0.0, 1.0, *(float(np.asarray(v, dtype)) for v in (1e-6, 1 - 1e-6, 0.5, 1e-20))])
    inside = arrays(np.dtype(dtype), (n, k), elements=st.one_of(st.floats(0, 1, width=width), near), fill=st.nothing())
    a, t = data.draw(inside), data.draw(inside)
    A, T = a.astype(Long), t.astype(Long)
    with np.errstate(divide="ignore"):
        log_a, log_rest = np.maximum(np.log(A), -100), np.maximum(np.log1p(-A), -100)
    by = divisor(reduction, n, n * k)
    slope = (A - T) / np.maximum(A * (1 - A), Long(1e-12)) / by
    check_loss("BCELoss", {"reduction": reduction}, a, t, -(T * log_a + (1 - T) * log_rest).sum() / by, slope)


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "probabilities"])
@pytest.mark.parametrize("dtype", DTYPES)
@repeatable
@given(data=st.data())
def test_the_cross_entropy_stays_within_its_bound(dtype: str, soft: bool, data: st.DataObject) -> None:
    n, k, reduction = data.draw(sizes), data.draw(sizes), data.draw(reductions)
    z = data.draw(matrices(dtype, n, k, 1000))
    if soft:
        shares = data.draw(arrays(np.int64, (n, k), elements=st.integers(1, 9), fill=st.nothing()))
        t = (shares / shares.sum(axis=1, keepdims=True)).astype(dtype)
    else:
        labels = data.draw(arrays(np.int64, n, elements=st.integers(0, k - 1), fill=st.nothing()))
        t = np.eye(k, dtype=dtype)[labels]
    T, log_p = t.astype(Long), true_log_softmax(z.astype(Long))
    by = divisor(reduction, n, n)
    slope = (np.exp(log_p) * T.sum(axis=1, keepdims=True) - T) / by
    check_loss("CrossEntropyLoss", {"reduction": reduction}, z, t, -(T * log_p).sum() / by, slope)


@pytest.mark.parametrize("dtype", DTYPES)
@repeatable
@given(data=st.data())
def test_the_negative_log_likelihood_stays_within_its_bound(dtype: str, data: st.DataObject) -> None:
    n, k, reduction = data.draw(sizes), data.draw(sizes), data.draw(reductions)
    y = data.draw(matrices(dtype, n, k, 1e6))
    labels = data.draw(arrays(np.int64, n, elements=st.integers(0, k - 1), fill=st.nothing()))
    by, slope = divisor(reduction, n, n), np.zeros((n, k), Long)
    slope[np.arange(n), labels] = -1 / Long(by)
    check_loss("NLLLoss", {"reduction": reduction}, y, labels, -y.astype(Long)[np.arange(n), labels].sum() / by, slope)


# ----------------------------------------------------------------------------------- (a) never exceeded: the updates


class Parameters:
    """As much of a network as an optimizer needs."""

    def __init__(self, parameter: Array, gradient: Array):
        self.parameters, self.gradients = {"p": parameter}, {"p": gradient}


@pytest.mark.parametrize("first", [True, False], ids=["first step", "later step"])
@pytest.mark.parametrize("dtype", DTYPES)
@repeatable
@given(data=st.data())
def test_sgd_stays_within_its_bound(dtype: str, first: bool, data: st.DataObject) -> None:
    size = data.draw(sizes)
    p, g, before = (data.draw(vectors(dtype, size, 1e6)) for _ in range(3))
    fraction = st.sampled_from([0.0, 0.1, 0.9, 0.333])
    o: dict[str, Any] = {
        "lr": data.draw(st.sampled_from([0.0, 1e-3, 0.3, 5.0, 1e6])), "momentum": data.draw(fraction),
        "dampening": data.draw(fraction), "weight_decay": data.draw(st.sampled_from([0.0, 1e-4, 0.7])),
    }  # fmt: skip
    o["nesterov"] = o["momentum"] > 0 and o["dampening"] == 0 and data.draw(st.booleans())
    network: Any = Parameters(p.copy(), g)
    sgd = manual.SGD(network, **o)
    state = {} if first or not o["momentum"] else {"momentum_buffer": wide(before)}
    if state:
        sgd.state = {"p.momentum_buffer": before.copy()}
    sgd.step()
    op, rule = UpdateOperation("p", wide(p), wide(g), state, o), UPDATE_RULES["SGD"]
    L = {key: Long(value) for key, value in o.items() if key != "nesterov"}
    d = g.astype(Long) + L["weight_decay"] * p.astype(Long)
    if o["momentum"]:
        v = L["momentum"] * before.astype(Long) + (1 - L["dampening"]) * d if state else d
        assert_within(sgd.state["p.momentum_buffer"], v, rule.state(op, u_of(p))["momentum_buffer"], dtype, "momentum")
        d = d + L["momentum"] * v if o["nesterov"] else v
    truth = p.astype(Long) - L["lr"] * d
    assert_within(network.parameters["p"], truth, rule.updated(op, u_of(p)), dtype, "updated")


# -------------------------------------------------------------------------------------------------- (b) never vacuous

SMALLEST_CAUGHT = {"float32": 1e-3, "float64": 1e-12}
PRESET_LIKE: dict[str, tuple[tuple[Layer, ...], Loss]] = {
    "sigmoid, squared error": (
        (Layer("Linear", arguments={"in_features": 784, "out_features": 30}), Layer("Sigmoid"),
         Layer("Linear", arguments={"in_features": 30, "out_features": 10}), Layer("Sigmoid")),
        Loss("SquaredError"),
    ),
    "tanh, cross-entropy": (
        (Layer("Linear", arguments={"in_features": 784, "out_features": 25}), Layer("Tanh"),
         Layer("Linear", arguments={"in_features": 25, "out_features": 10})),
        Loss("CrossEntropyLoss"),
    ),
    "relu, log-softmax": (
        (Layer("Linear", arguments={"in_features": 784, "out_features": 40}), Layer("ReLU"),
         Layer("Linear", arguments={"in_features": 40, "out_features": 10}),
         Layer("LogSoftmax", arguments={"dim": -1})),
        Loss("NLLLoss"),
    ),
    "one layer, binary cross-entropy": (
        (Layer("Linear", arguments={"in_features": 784, "out_features": 10}), Layer("Sigmoid")),
        Loss("BCELoss", {"reduction": "batchmean"}),
    ),
}  # fmt: skip


def experiment_of(name: str, dtype: str, **optimizer: Any) -> Experiment:
    layers, loss = PRESET_LIKE[name]
    options: dict[str, Any] = {"lr": 0.3, "momentum": 0.9, "weight_decay": 1e-3} | optimizer
    training = Training(dtype="float32" if dtype == "float32" else "float64", batch_size=20)
    return Experiment("tried", layers, loss=loss, optimizer=Optimizer(**options), training=training).changed(
        "initial", weight="xavier_uniform", bias="uniform", low=-0.5, high=0.5
    )


def two_steps(experiment: Experiment, dataset: Dataset) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the copied trace of the second step of the manual side, and the optimizer's state before it."""
    side = build_manual(experiment, initial_parameters(experiment, parameter_shapes(experiment)))
    trace: dict[str, Array] = {}
    before: dict[str, Array] = {}
    for rows in (slice(0, 20), slice(20, 40)):
        before = {key: value.copy() for key, value in side.optimizer.state.items()}
        x, target = take_batch(dataset.train_images, dataset.train_labels, rows, experiment.training.dtype)
        side.network.loss(x, target)
        side.network.backward()
        side.optimizer.step()
        trace = {name: np.array(array) for name, array in side.network.trace().items()}
    return trace, before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PRESET_LIKE)
def test_a_small_error_in_the_largest_element_of_any_tensor_is_a_breach(name: str, dtype: str, small: Dataset) -> None:
    experiment = experiment_of(name, dtype)
    trace, before = two_steps(experiment, small)
    audit = Loop(experiment, small).judge.audit
    right = {check.tensor: check for check in audit(trace, before)}
    given_to_it = {"input", "target", *parameter_shapes(experiment)}
    assert set(right) == set(trace) - given_to_it
    assert all(check.agrees for check in right.values())
    for tensor in right:
        wrong = {other: array.copy() for other, array in trace.items()}
        largest = np.unravel_index(np.argmax(np.abs(wrong[tensor])), wrong[tensor].shape)
        wrong[tensor][largest] *= 1 + SMALLEST_CAUGHT[dtype]
        found = next(check for check in audit(wrong, before) if check.tensor == tensor)
        assert not found.agrees, f"{tensor}: {found}"
        assert found.index == tuple(int(i) for i in largest)
        assert found.used > 10 * right[tensor].used
        assert right[tensor].power <= SMALLEST_CAUGHT[dtype]
        spoiled_by = (-trace[tensor][largest], np.nan, np.inf) if tensor.endswith(("weight.grad", "updated")) else ()
        for spoiled in spoiled_by:
            wrong[tensor][largest] = spoiled
            with np.errstate(all="ignore"):
                assert not next(check for check in audit(wrong, before) if check.tensor == tensor).agrees


@pytest.mark.parametrize("u", [2.0**-24, 2.0**-53])
@pytest.mark.parametrize("kind", ["Sigmoid", "Tanh"])
def test_an_activations_bound_is_a_few_roundings(kind: str, u: float) -> None:
    z = np.linspace(-6, 6, 241).reshape(1, -1)
    function, slope = ELEMENTWISE[kind]
    op = LayerOperation("layer", kind, z, z, np.full_like(z, -2.0))
    truth = np.asarray(function(z.astype(Long)), np.float64)
    assert (LAYER_RULES[kind].forward(op, u) <= 12 * u * np.abs(truth)).all()
    largest = 2 * float(np.abs(slope(z.astype(Long))).max())
    assert LAYER_RULES[kind].backward(op, u)["input"].max() <= 40 * u * largest


@pytest.mark.parametrize("u", [2.0**-24, 2.0**-53])
def test_linears_bounds_grow_with_the_terms_and_with_nothing_else(u: float) -> None:
    rng = np.random.default_rng(0)
    for n, i, o in ((3, 5, 2), (20, 784, 30), (64, 100, 10)):
        x, dy, w = rng.uniform(0.5, 1, (n, i)), rng.uniform(0.5, 1, (n, o)), rng.uniform(0.5, 1, (o, i))
        op = LayerOperation("l", "Linear", x, x, dy, {"weight": w, "bias": np.ones(o)})  # nothing cancels
        rule = LAYER_RULES["Linear"]
        assert (rule.forward(op, u) <= 1.01 * (i + 1) * u * (x @ w.T + 1)).all()
        backward = rule.backward(op, u)
        assert (backward["weight"] <= 1.01 * n * u * (dy.T @ x)).all()
        assert (backward["bias"] <= 1.01 * n * u * dy.sum(axis=0)).all()
        assert (backward["input"] <= 1.01 * o * u * (dy @ w)).all()


def test_a_relu_is_allowed_no_rounding_at_all() -> None:
    z = np.array([[-1.0, 0.0, 2.0]])
    op = LayerOperation("relu1", "ReLU", z, z, z)
    assert LAYER_RULES["ReLU"].forward(op, 1e-7).max() == 0
    assert LAYER_RULES["ReLU"].backward(op, 1e-7)["input"].max() == 0


def test_what_has_no_rule_derived_by_hand_has_one_all_the_same() -> None:
    from compare.agreement.rounding import (
        PerturbedRounding,
        RunningLoss,
        RunningRounding,
        RunningUpdate,
        layer_rule,
        loss_rule,
        update_rule,
    )

    assert isinstance(layer_rule("Conv2d"), RunningRounding)
    assert isinstance(layer_rule("LSTM"), PerturbedRounding)
    assert isinstance(layer_rule("my_layers.py:Swish"), PerturbedRounding)
    assert isinstance(loss_rule("HuberLoss", {}), RunningLoss)
    assert isinstance(loss_rule("CrossEntropyLoss", {"label_smoothing": 0.1}), RunningLoss)
    assert isinstance(update_rule("Adam"), RunningUpdate)
    assert layer_rule("Linear") is LAYER_RULES["Linear"]
    assert loss_rule("CrossEntropyLoss", {"reduction": "sum"}) is LOSS_RULES["CrossEntropyLoss"]
    assert update_rule("SGD") is UPDATE_RULES["SGD"]


# ---------------------------------------------------------------------------------------------- (c) the carried bound


class ReorderedLinear(manual.Linear):
    """The same sums in other orders: of inputs, of units, of examples."""

    def forward(self, x: Array) -> Array:
        self.x = x
        order = np.random.default_rng(1).permutation(x.shape[1])
        z = np.ascontiguousarray(x[:, order]) @ np.ascontiguousarray(self.parameters["weight"][:, order]).T
        return self.parameters["bias"] + z

    def backward(self, grad_output: Array) -> Array | None:
        order, units = np.random.default_rng(2).permutation(len(self.x)), np.arange(grad_output.shape[1])[::-1]
        dy = np.ascontiguousarray(grad_output[order])
        self.gradients["weight"] = np.ascontiguousarray(dy.T) @ np.ascontiguousarray(self.x[order])
        self.gradients["bias"] = np.add.accumulate(grad_output[::-1])[-1]
        return np.ascontiguousarray(grad_output[:, units]) @ np.ascontiguousarray(self.parameters["weight"][units])


def norm(array: Array) -> float:
    return float(np.sqrt((wide(array) ** 2).sum()))


U = 2.0**-53
moves = st.sampled_from([1e-6, 1e-2, 0.3, 3.0])  # how far the inputs are moved: rounding is nothing beside it


def moved(rng: np.random.Generator, array: Array, size: float) -> tuple[Array, float]:
    """Return the array moved in a random direction, or along one axis, and by how much in norm."""
    move = rng.normal(size=array.shape) if rng.integers(2) else np.where(rng.permutation(array.size) == 0, 1.0, 0.0)
    move = move.reshape(array.shape) * (size / norm(move))
    return array + move, norm(move)


@pytest.mark.parametrize("kind", ["Linear", "Sigmoid", "Tanh", "LogSoftmax"])
@repeatable
@given(seed=st.integers(0, 10**6), by=moves, by_gradient=st.one_of(st.just(0.0), moves))
def test_what_a_layer_carries_on_of_a_difference_is_bounded(
    kind: str, seed: int, by: float, by_gradient: float
) -> None:
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-2, 2)
    x, dy = rng.normal(size=(4, 6)) * scale, rng.normal(size=(4, 3 if kind == "Linear" else 6)) / scale
    layer = manual.Linear(6, 3, rng=rng) if kind == "Linear" else getattr(manual, kind)()
    results = []
    (x_moved, dx), (dy_moved, dg) = moved(rng, x, by), moved(rng, dy, by_gradient)
    for inputs, gradient in ((x, dy), (x_moved, dy_moved)):
        y = layer.forward(inputs)
        results.append({"output": y, "input": layer.backward(gradient), **getattr(layer, "gradients", {})})
    op = LayerOperation("l", kind, x, results[0]["output"], dy, getattr(layer, "parameters", {}))
    bounds = {"output": LAYER_RULES[kind].carry_forward(op, dx, U), **LAYER_RULES[kind].carry_backward(op, dx, dg, U)}
    assert bounds.keys() == results[0].keys()
    for key, bound in bounds.items():
        assert norm(results[0][key] - results[1][key]) <= bound * (1 + 1e-9), key


@pytest.mark.parametrize("reduction", ["sum", "mean", "batchmean"])
@pytest.mark.parametrize("kind", ["SquaredError", "MSELoss", "CrossEntropyLoss", "NLLLoss", "BCELoss"])
@repeatable
@given(seed=st.integers(0, 10**6), by=moves)
def test_what_a_loss_carries_on_of_a_difference_is_bounded(kind: str, reduction: str, seed: int, by: float) -> None:
    rng = np.random.default_rng(seed)
    labels, probabilities = rng.integers(0, 5, 4), kind == "BCELoss"
    a = rng.uniform(0.05, 0.95, (4, 5)) if probabilities else rng.normal(size=(4, 5)) * 10.0 ** rng.uniform(-1, 1)
    a_moved, dx = moved(rng, a, min(by, 0.02) if probabilities else by)
    target = labels if kind == "NLLLoss" else np.eye(5)[labels]
    arguments: dict[str, Any] = {"reduction": reduction}
    loss = getattr(manual, kind)(**arguments)
    (value, slope), (value_moved, slope_moved) = ((loss.forward(p, target), loss.backward()) for p in (a, a_moved))
    op = LossOperation(kind, a, target, float(value), arguments)
    of_value, of_slope = LOSS_RULES[kind].carry(op, dx, U)
    assert abs(value - value_moved) <= of_value * (1 + 1e-9)
    assert norm(slope - slope_moved) <= of_slope * (1 + 1e-9)


@pytest.mark.parametrize("first", [True, False], ids=["first step", "later step"])
@repeatable
@given(
    seed=st.integers(0, 10**6), by=moves, lr=st.sampled_from([0.01, 30.0]), momentum=st.sampled_from([0.0, 0.9]),
    dampening=st.sampled_from([0.0, 0.4]), nesterov=st.booleans(),
)  # fmt: skip
def test_what_sgd_carries_on_of_a_difference_is_bounded(
    first: bool, seed: int, by: float, lr: float, momentum: float, dampening: float, nesterov: bool
) -> None:
    rng = np.random.default_rng(seed)
    p, g, before = rng.normal(size=(3, 7))
    g_moved, dg = moved(rng, g, by)
    nesterov = nesterov and momentum > 0 and dampening == 0
    o = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": 0.1, "nesterov": nesterov}
    results = []
    for gradient in (g, g_moved):
        network: Any = Parameters(p.copy(), gradient)
        sgd = manual.SGD(network, lr, momentum, dampening, 0.1, nesterov)
        sgd.state = {} if first or not momentum else {"p.momentum_buffer": before.copy()}
        sgd.step()
        results.append((sgd.state.get("p.momentum_buffer", np.zeros(7)), network.parameters["p"]))
    state = {} if first or not momentum else {"momentum_buffer": before}
    of_state, of_update = UPDATE_RULES["SGD"].carry(UpdateOperation("p", p, g, state, o), dg, U)
    assert norm(results[0][0] - results[1][0]) <= of_state * (1 + 1e-9)
    assert norm(results[0][1] - results[1][1]) <= of_update * (1 + 1e-9)


@pytest.mark.parametrize("nesterov", [False, True], ids=["momentum", "nesterov"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PRESET_LIKE)
def test_a_correct_network_that_sums_in_another_order_stays_within_the_carried_bound(
    name: str, dtype: str, nesterov: bool, small: Dataset
) -> None:
    experiment = experiment_of(name, dtype, nesterov=nesterov)
    initial = initial_parameters(experiment, parameter_shapes(experiment))
    reordered = {
        layer.name: ReorderedLinear(**layer.arguments) for layer in experiment.layers if layer.kind == "Linear"
    }
    one, other = build_manual(experiment, initial), build_manual(experiment, initial, reordered)
    moved = 0
    for start in range(0, 100, 20):
        before = {key: value.copy() for key, value in one.optimizer.state.items()}
        x, target = take_batch(small.train_images, small.train_labels, slice(start, start + 20), dtype)
        for side in (one, other):
            side.network.loss(x, target)
            side.network.backward()
            side.optimizer.step()
        mine, theirs = one.network.trace(), other.network.trace()
        bounds = carried_bounds(experiment, mine, before)
        assert list(bounds) == list(mine)
        for tensor, bound in bounds.items():
            # Nearer to 0 or 1 than float32 errs, the binary cross-entropy has no finite sensitivity.
            assert math.isfinite(bound) or (experiment.loss.kind == "BCELoss" and dtype == "float32")
            apart = norm(wide(mine[tensor]) - wide(theirs[tensor]))
            assert apart <= bound, tensor
            moved += apart > 0
            given_to_both = tensor in ("input", "target", *initial)
            assert (bound == 0) == given_to_both, tensor
        for tensor, parameter in other.network.parameters.items():  # as in lockstep: the next step starts alike
            parameter[...] = one.network.parameters[tensor]
        other.optimizer.state = {key: value.copy() for key, value in one.optimizer.state.items()}
    assert moved > 20  # the orders did make a difference


@pytest.mark.parametrize("name", PRESET_LIKE)
def test_float32_stays_within_the_carried_bound_of_float64(name: str, small: Dataset) -> None:
    single, double = (experiment_of(name, dtype) for dtype in ("float32", "float64"))
    rough, _ = two_steps_from_the_same(single, single, small)
    fine, before = two_steps_from_the_same(double, single, small)
    bounds = carried_bounds(single, rough, {key: value.astype(np.float32) for key, value in before.items()})
    for tensor, bound in bounds.items():
        if tensor != "input":  # a pixel is p / 255, rounded
            assert norm(wide(rough[tensor]) - wide(fine[tensor])) <= bound, tensor


def two_steps_from_the_same(
    experiment: Experiment, start: Experiment, dataset: Dataset
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return a step that starts from the float32 numbers of `start`, in the dtype of `experiment`."""
    dtype = experiment.training.dtype
    initial = {n: p.astype(dtype) for n, p in initial_parameters(start, parameter_shapes(start)).items()}
    side = build_manual(experiment, initial)
    x, target = take_batch(dataset.train_images, dataset.train_labels, slice(0, 20), "float32")
    side.network.loss(x.astype(dtype), target)
    side.network.backward()
    side.optimizer.step()
    return {name: np.array(array) for name, array in side.network.trace().items()}, {}


@pytest.mark.parametrize("name", PRESET_LIKE)
def test_in_float64_the_carried_bound_still_sees_a_small_relative_error(name: str, small: Dataset) -> None:
    experiment = experiment_of(name, "float64")
    trace, before = two_steps(experiment, small)
    visible = 1e-5 if experiment.loss.kind == "BCELoss" else 1e-8
    for tensor, bound in carried_bounds(experiment, trace, before).items():
        assert bound <= visible * norm(trace[tensor]), tensor


# -------------------------------------------------------------------------------------------------------------- gamma


@pytest.mark.parametrize("u", [2.0**-24, 2.0**-53])
@pytest.mark.parametrize("n", [1, 2, 10, 100, 140])
def test_for_few_terms_gamma_is_the_deterministic_bound(n: int, u: float) -> None:
    exact = Fraction(n) * Fraction(u) / (1 - Fraction(n) * Fraction(u))
    assert gamma(n, u) == pytest.approx(float(exact), rel=1e-14)
    worst = (1 + Fraction(u)) ** n - 1  # all roundings upwards
    assert Fraction(gamma(n, u)) * (1 + Fraction(1, 2**50)) >= worst
    assert Fraction(gamma(n, u)) * (1 + Fraction(1, 2**50)) >= 1 - (1 - Fraction(u)) ** n


@pytest.mark.parametrize("u", [2.0**-24, 2.0**-53])
@pytest.mark.parametrize("n", [200, 784, 10_000, 1_000_000])
def test_for_many_terms_gamma_is_the_probabilistic_bound(n: int, u: float) -> None:
    by_theorem = np.expm1(Long(12) * np.sqrt(Long(n)) * u + n * Long(u) ** 2 / (1 - Long(u)))
    assert gamma(n, u) == pytest.approx(float(by_theorem), rel=1e-12)
    assert gamma(n, u) < n * u / (1 - n * u)


def test_gamma_never_falls_and_ends_in_infinity() -> None:
    u = 2.0**-24
    values = [gamma(n, u) for n in (0, 1, 2, 143, 144, 145, 146, 1000, 10**5, 10**6, 10**7)]
    assert values == sorted(values)
    assert values[0] == 0
    assert gamma(2**24, u) == math.inf


def test_u_is_half_the_distance_from_one_to_the_next_number() -> None:
    assert unit_roundoff("float64") == 2.0**-53 == (np.nextafter(1.0, 2.0) - 1) / 2
    assert unit_roundoff(np.float32) == 2.0**-24
