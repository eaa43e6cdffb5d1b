"""Every layer and every loss against two witnesses: the complex step and torch's autograd, both in float64.

The complex step: for a function written in analytic operations, f(x + ih) = f(x) + ih f'(x) + O(h^2). So the imaginary
part, divided by h = 1e-30, is the derivative without any subtraction and correct to all digits (Squire and Trapp 1998).

A new layer or loss is one line in LAYERS or LOSSES.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from manual import (
    BCELoss,
    CrossEntropyLoss,
    Linear,
    LogSoftmax,
    MSELoss,
    NLLLoss,
    ReLU,
    Sigmoid,
    SquaredError,
    Tanh,
)

Array = np.ndarray[Any, Any]
Tensors = dict[str, torch.Tensor]
# The same points in every run: a test that fails here fails for the reader too.
repeatable = settings(deadline=None, max_examples=30, derandomize=True, database=None)

H = 1e-30
CLOSE: Any = {"rtol": 1e-11, "atol": 1e-14}
DTYPES = [np.float32, np.float64, np.longdouble]
REDUCTIONS = ["sum", "mean", "batchmean"]


# ----------------------------------------------------------------------------------------------------------- the cases


@dataclass(frozen=True)
class LayerCase:
    name: str
    build: Callable[..., Any]  # (features in, features out) -> the manual layer
    reference: Callable[[torch.Tensor, Tensors], torch.Tensor]  # (input, parameters) -> output
    any_dimensions: bool = True  # works on (N, F) and (N, F, M) alike

    def __str__(self) -> str:
        return self.name


def unweighted(name: str, build: Callable[[], Any], reference: Callable[[torch.Tensor], torch.Tensor]) -> LayerCase:
    return LayerCase(name, lambda *_: build(), lambda x, _: reference(x))


def linear(x: torch.Tensor, parameters: Tensors) -> torch.Tensor:
    return F.linear(x, parameters["weight"], parameters.get("bias"))


LAYERS = [
    LayerCase("Linear", Linear, linear, any_dimensions=False),
    LayerCase("Linear without bias", partial(Linear, bias=False), linear, any_dimensions=False),
    unweighted("Sigmoid", Sigmoid, torch.sigmoid),
    unweighted("Tanh", Tanh, torch.tanh),
    unweighted("ReLU", ReLU, torch.relu),
    unweighted("LogSoftmax", LogSoftmax, partial(F.log_softmax, dim=-1)),
    unweighted("LogSoftmax(dim=0)", partial(LogSoftmax, dim=0), partial(F.log_softmax, dim=0)),
    unweighted("LogSoftmax(dim=1)", partial(LogSoftmax, dim=1), partial(F.log_softmax, dim=1)),
]


def generic(rng: np.random.Generator, *shape: int) -> Array:
    """Return a generic point: both signs, no zeros, no ones, nothing near a kink."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.2, 1.8, shape)


def unit_interval(rng: np.random.Generator, *shape: int) -> Array:
    return rng.uniform(0.1, 0.9, shape)


def labels(rng: np.random.Generator, n: int, k: int) -> Array:
    return rng.integers(0, k, n)


def probabilities(rng: np.random.Generator, n: int, k: int) -> Array:
    return rng.dirichlet(np.ones(k), n)


@dataclass(frozen=True)
class LossCase:
    name: str
    build: Callable[..., Any]  # reduction -> the manual loss
    reference: Callable[..., torch.Tensor]  # (prediction, target, reduction=) -> loss
    prediction: Callable[..., Array]
    target: Callable[..., Array]

    def __str__(self) -> str:
        return self.name

    def expected(self, prediction: torch.Tensor, target: torch.Tensor, reduction: str) -> torch.Tensor:
        if reduction == "batchmean":
            return self.reference(prediction, target, reduction="sum") / len(prediction)
        return self.reference(prediction, target, reduction=reduction)


def half(p: torch.Tensor, t: torch.Tensor, reduction: str) -> torch.Tensor:
    return 0.5 * F.mse_loss(p, t, reduction=reduction)


def scaled(p: torch.Tensor, t: torch.Tensor, reduction: str) -> torch.Tensor:
    return 1.7 * F.mse_loss(p, t, reduction=reduction)


def from_labels(loss: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda p, labels, reduction: loss(p, F.one_hot(labels, p.shape[1]).to(p.dtype), reduction=reduction)


LOSSES = [
    LossCase("SquaredError", SquaredError, half, generic, generic),
    LossCase("SquaredError(factor=1.7)", partial(SquaredError, factor=1.7), scaled, generic, generic),
    LossCase("SquaredError, labels", SquaredError, from_labels(half), generic, labels),
    LossCase("MSELoss", MSELoss, F.mse_loss, generic, generic),
    LossCase("BCELoss", BCELoss, F.binary_cross_entropy, unit_interval, unit_interval),
    LossCase("BCELoss, labels", BCELoss, from_labels(F.binary_cross_entropy), unit_interval, labels),
    LossCase("NLLLoss", NLLLoss, F.nll_loss, generic, labels),
    LossCase("CrossEntropyLoss, labels", CrossEntropyLoss, F.cross_entropy, generic, labels),
    LossCase("CrossEntropyLoss, probabilities", CrossEntropyLoss, F.cross_entropy, generic, probabilities),
    LossCase("CrossEntropyLoss, any sum", CrossEntropyLoss, F.cross_entropy, generic, unit_interval),
]

each_layer = pytest.mark.parametrize("case", LAYERS, ids=str)
each_loss = pytest.mark.parametrize("case", LOSSES, ids=str)
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)

# Three sizes, no two equal: what is transposed or summed over the wrong axis cannot fit, or fits and is wrong.
sizes = st.permutations([1, 2, 3, 4, 5, 7]).map(lambda sizes: sizes[:3])
seeds = st.integers(0, 2**32 - 1)


# -------------------------------------------------------------------------------------------------------- the witnesses


def complex_step(function: Callable[[Array], Any], point: Array) -> Array:
    """Return the derivative of the scalar `function` by every element of `point`."""
    gradient = np.empty(point.shape)
    for index in np.ndindex(point.shape):
        moved = point.astype(complex)
        moved[index] += 1j * H
        gradient[index] = function(moved).imag / H
    return gradient


def tensor(array: Array, requires_grad: bool = True) -> torch.Tensor:
    return torch.tensor(array, requires_grad=requires_grad)


def layer_at(case: LayerCase, rng: np.random.Generator, i: int, o: int, dtype: Any = np.float64) -> Any:
    """Return the case's layer with generic weights of `dtype`."""
    layer = case.build(i, o)
    for key, value in getattr(layer, "parameters", {}).items():
        layer.parameters[key] = generic(rng, *value.shape).astype(dtype)
    return layer


def input_for(case: LayerCase, rng: np.random.Generator, n: int, i: int, deep: bool = False) -> Array:
    return generic(rng, n, i, 4) if deep and case.any_dimensions else generic(rng, n, i)


# --------------------------------------------------------------------------------------------------------------- layers


@each_layer
@repeatable
@given(sizes=sizes, seed=seeds, deep=st.booleans())
def test_layer_against_complex_step(case: LayerCase, sizes: list[int], seed: int, deep: bool) -> None:
    rng = np.random.default_rng(seed)
    n, i, o = sizes
    layer, x = layer_at(case, rng, i, o), input_for(case, rng, n, i, deep)
    upstream = generic(rng, *layer.forward(x).shape)
    grad_input = layer.backward(upstream)
    gradients = {key: value.copy() for key, value in getattr(layer, "gradients", {}).items()}

    expected = complex_step(lambda moved: (upstream * layer.forward(moved)).sum(), x)
    np.testing.assert_allclose(grad_input, expected, **CLOSE, err_msg="input")
    parameters = getattr(layer, "parameters", {})
    assert gradients.keys() == parameters.keys()
    for key, value in parameters.items():

        def with_parameter(moved: Array, key: str = key) -> Any:
            layer.parameters[key] = moved
            return (upstream * layer.forward(x.astype(complex))).sum()

        expected = complex_step(with_parameter, value)
        layer.parameters[key] = value
        assert gradients[key].shape == value.shape
        np.testing.assert_allclose(gradients[key], expected, **CLOSE, err_msg=key)


@each_layer
@repeatable
@given(sizes=sizes, seed=seeds, deep=st.booleans())
def test_layer_against_autograd(case: LayerCase, sizes: list[int], seed: int, deep: bool) -> None:
    rng = np.random.default_rng(seed)
    n, i, o = sizes
    layer, x = layer_at(case, rng, i, o), input_for(case, rng, n, i, deep)
    parameters = {key: tensor(value) for key, value in getattr(layer, "parameters", {}).items()}
    x_torch = tensor(x)
    output = case.reference(x_torch, parameters)
    upstream = generic(rng, *output.shape)
    output.backward(tensor(upstream, requires_grad=False))

    np.testing.assert_allclose(layer.forward(x), output.detach().numpy(), **CLOSE, err_msg="output")
    assert x_torch.grad is not None
    np.testing.assert_allclose(layer.backward(upstream), x_torch.grad.numpy(), **CLOSE, err_msg="input")
    for key, parameter in parameters.items():
        assert parameter.grad is not None
        np.testing.assert_allclose(layer.gradients[key], parameter.grad.numpy(), **CLOSE, err_msg=key)


@each_layer
@each_dtype
def test_layer_keeps_the_dtype(case: LayerCase, dtype: Any) -> None:
    rng = np.random.default_rng(5)
    layer, x = layer_at(case, rng, 3, 4, dtype), generic(rng, 5, 3).astype(dtype)
    output = layer.forward(x)
    upstream = generic(rng, *output.shape).astype(dtype)
    grad_input = layer.backward(upstream)
    for array in [output, grad_input, *getattr(layer, "gradients", {}).values()]:
        assert array.dtype == dtype

    # The same in float64 differs by rounding only: the dtype's own, or float64's.
    for key, value in getattr(layer, "parameters", {}).items():
        layer.parameters[key] = value.astype(np.float64)
    unit = max(np.finfo(dtype).eps, np.finfo(np.float64).eps)
    np.testing.assert_allclose(output, layer.forward(x.astype(np.float64)), rtol=50 * unit, atol=50 * unit)
    expected = layer.backward(upstream.astype(np.float64))
    np.testing.assert_allclose(grad_input, expected, rtol=50 * unit, atol=50 * unit)


@each_layer
def test_layer_modifies_nothing_it_is_given(case: LayerCase) -> None:
    rng = np.random.default_rng(6)
    layer, x = layer_at(case, rng, 3, 4), generic(rng, 5, 3)
    x.flags.writeable = False  # whoever writes raises
    for value in getattr(layer, "parameters", {}).values():
        value.flags.writeable = False
    output = layer.forward(x)
    upstream = generic(rng, *output.shape)
    upstream.flags.writeable = False
    grad_input = layer.backward(upstream)
    assert not np.shares_memory(output, x)
    assert not np.shares_memory(grad_input, upstream)
    np.testing.assert_array_equal(layer.backward(upstream), grad_input)  # and a second time it says the same


@each_layer
@pytest.mark.parametrize("examples", [5, 2], ids=["batches of one size", "batches of two sizes"])
def test_layer_keeps_only_its_last_forward_pass(case: LayerCase, examples: int) -> None:
    rng = np.random.default_rng(7)
    layer, earlier, later = layer_at(case, rng, 3, 4), generic(rng, examples, 3), generic(rng, 5, 3)
    fresh = deepcopy(layer)
    layer.backward(generic(rng, *layer.forward(earlier).shape))
    upstream = generic(rng, *fresh.forward(later).shape)
    layer.forward(later)
    np.testing.assert_array_equal(layer.backward(upstream), fresh.backward(upstream))
    for key, gradient in getattr(fresh, "gradients", {}).items():
        np.testing.assert_array_equal(layer.gradients[key], gradient)


def test_linear_without_need_of_an_input_gradient_gives_none_and_its_own_gradients_all_the_same() -> None:
    rng = np.random.default_rng(8)
    layer = Linear(3, 4)
    x, upstream = generic(rng, 5, 3), generic(rng, 5, 4)
    layer.forward(x)
    layer.backward(upstream)
    with_input = dict(layer.gradients)
    layer.needs_input_gradient = False
    assert layer.backward(upstream) is None
    for key, value in with_input.items():
        np.testing.assert_array_equal(layer.gradients[key], value)


@pytest.mark.parametrize("shape", [(3,), (2, 4), (4,)])
def test_linear_refuses_an_input_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Linear\(3, 4\) got an input of shape .* wanted \(N, 3\)"):
        Linear(3, 4).forward(np.ones(shape))


@pytest.mark.parametrize(("layer", "text"), [
    (Linear(3, 4), "Linear(3, 4)"), (Linear(3, 4, bias=False), "Linear(3, 4, bias=False)"), (Sigmoid(), "Sigmoid()"),
    (LogSoftmax(dim=1), "LogSoftmax(dim=1)"), (SquaredError(), "SquaredError(reduction='batchmean', factor=0.5)"),
    (MSELoss(), "MSELoss(reduction='mean')"), (NLLLoss(reduction="sum"), "NLLLoss(reduction='sum')"),
])  # fmt: skip
def test_layers_and_losses_show_how_they_were_made(layer: Any, text: str) -> None:
    assert repr(layer) == text


# ------------------------------------------------------------------------------------------------------------- extremes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_far_out_is_exact_and_silent(dtype: Any) -> None:
    layer = Sigmoid()
    output = layer.forward(np.array([[-1e4, -800.0, 800.0, 1e4]], dtype))
    np.testing.assert_array_equal(output, np.array([[0, 0, 1, 1]], dtype))
    np.testing.assert_array_equal(layer.backward(np.full_like(output, -3.0)), np.zeros_like(output))


def test_relu_takes_the_derivative_0_at_its_kink_as_torch_does() -> None:
    z = np.array([[-2.0, -0.0, 0.0, 3.0]])
    layer, z_torch = ReLU(), tensor(z)
    np.testing.assert_array_equal(layer.forward(z), [[0, 0, 0, 3]])
    torch.relu(z_torch).backward(torch.full_like(z_torch, -7.0))
    assert z_torch.grad is not None
    np.testing.assert_array_equal(layer.backward(np.full_like(z, -7.0)), [[0, 0, 0, -7]])
    np.testing.assert_array_equal(z_torch.grad, [[0, 0, 0, -7]])


def test_a_unit_that_is_off_makes_0_of_infinity() -> None:
    relu = ReLU()
    np.testing.assert_array_equal(relu.forward(np.array([[-np.inf, np.inf, -1.0, 2.0]])), [[0, np.inf, 0, 2]])
    np.testing.assert_array_equal(relu.backward(np.array([[np.inf, 3.0, -np.inf, np.nan]])), [[0, 3, 0, np.nan]])


def test_a_sum_beyond_the_largest_number_is_no_warning() -> None:
    large = np.full((2, 3), np.finfo("float32").max, "float32")
    np.testing.assert_array_equal(ReLU().forward(large), large)


def test_relu_lets_a_nan_pass() -> None:
    layer = ReLU()
    np.testing.assert_array_equal(layer.forward(np.array([[np.nan, -1.0]])), [[np.nan, 0]])


@pytest.mark.parametrize("offset", [0.0, 1e4, -1e4])
def test_log_softmax_and_cross_entropy_do_not_overflow(offset: float) -> None:
    logits = np.array([[0.5, -0.25, 2.0], [1.5, 0.75, -4.0]])
    expected = np.log(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(LogSoftmax().forward(logits + offset), expected, rtol=1e-11)
    loss = CrossEntropyLoss()
    value = loss.forward(logits + offset, np.array([1, 0]))
    assert value == pytest.approx(-(expected[0, 1] + expected[1, 0]) / 2, rel=1e-11)
    np.testing.assert_allclose(loss.backward().sum(axis=1), 0, atol=1e-15)


def test_cross_entropy_of_a_hopeless_answer_is_finite() -> None:
    loss = CrossEntropyLoss()
    assert loss.forward(np.array([[0.0, 2000.0]]), np.array([0])) == 2000
    np.testing.assert_array_equal(loss.backward(), [[-1, 1]])


def test_binary_cross_entropy_of_0_and_1_is_cut_off_as_in_torch() -> None:
    a, t = np.array([[0.0, 1.0, 0.0, 1.0]]), np.array([[0.0, 1.0, 1.0, 0.0]])
    loss, a_torch = BCELoss(), tensor(a)
    expected = F.binary_cross_entropy(a_torch, tensor(t, requires_grad=False))
    expected.backward()
    assert loss.forward(a, t) == expected.item() == 50  # two of four right, two at -log = 100
    assert a_torch.grad is not None
    np.testing.assert_allclose(loss.backward(), a_torch.grad.numpy(), rtol=1e-8)  # torch's 1e-12 is a float32


# --------------------------------------------------------------------------------------------------------------- losses


@each_loss
@each_reduction
@repeatable
@given(sizes=sizes, seed=seeds)
def test_loss_against_complex_step(case: LossCase, reduction: str, sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k, _ = sizes
    loss, prediction, target = case.build(reduction=reduction), case.prediction(rng, n, k), case.target(rng, n, k)
    loss.forward(prediction, target)
    gradient = loss.backward()
    expected = complex_step(lambda moved: loss.forward(moved, target), prediction)
    assert gradient.shape == prediction.shape
    np.testing.assert_allclose(gradient, expected, **CLOSE)


@each_loss
@each_reduction
@repeatable
@given(sizes=sizes, seed=seeds)
def test_loss_against_autograd(case: LossCase, reduction: str, sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k, _ = sizes
    loss, prediction, target = case.build(reduction=reduction), case.prediction(rng, n, k), case.target(rng, n, k)
    prediction_torch = tensor(prediction)
    expected = case.expected(prediction_torch, tensor(target, requires_grad=False), reduction)
    expected.backward()
    value = loss.forward(prediction, target)
    assert np.shape(value) == ()
    assert value == pytest.approx(expected.item(), rel=1e-11, abs=1e-14)
    assert prediction_torch.grad is not None
    np.testing.assert_allclose(loss.backward(), prediction_torch.grad.numpy(), **CLOSE)


@each_loss
@each_reduction
@each_dtype
def test_loss_keeps_the_dtype(case: LossCase, reduction: str, dtype: Any) -> None:
    rng = np.random.default_rng(9)
    prediction, target = case.prediction(rng, 5, 3), case.target(rng, 5, 3)
    narrow = target.astype(dtype) if target.dtype == np.float64 else target
    loss, wide = case.build(reduction=reduction), case.build(reduction=reduction)
    value = loss.forward(prediction.astype(dtype), narrow)
    gradient = loss.backward()
    assert value.dtype == dtype
    assert gradient.dtype == dtype
    unit = max(np.finfo(dtype).eps, np.finfo(np.float64).eps)
    expected = wide.forward(prediction, target)
    np.testing.assert_allclose(value, expected, rtol=50 * unit, atol=50 * unit)
    np.testing.assert_allclose(gradient, wide.backward(), rtol=50 * unit, atol=50 * unit)


@each_loss
def test_loss_modifies_nothing_it_is_given(case: LossCase) -> None:
    rng = np.random.default_rng(10)
    loss, prediction, target = case.build(reduction="mean"), case.prediction(rng, 5, 3), case.target(rng, 5, 3)
    prediction.flags.writeable = target.flags.writeable = False
    loss.forward(prediction, target)
    gradient = loss.backward()
    assert not np.shares_memory(gradient, prediction)
    assert not np.shares_memory(gradient, target)
    np.testing.assert_array_equal(loss.backward(), gradient)


def test_the_defaults_are_those_of_torch_and_the_tutorials_cost() -> None:
    rng = np.random.default_rng(11)
    a, t, k = unit_interval(rng, 3, 4), unit_interval(rng, 3, 4), np.array([2, 0, 3])
    a_torch, t_torch, k_torch = (tensor(array, requires_grad=False) for array in (a, t, k))
    assert SquaredError().forward(a, t) == pytest.approx(((a - t) ** 2).sum() / (2 * 3), rel=1e-14)
    assert MSELoss().forward(a, t) == pytest.approx(torch.nn.MSELoss()(a_torch, t_torch).item(), rel=1e-14)
    assert BCELoss().forward(a, t) == pytest.approx(torch.nn.BCELoss()(a_torch, t_torch).item(), rel=1e-14)
    assert NLLLoss().forward(a, k) == pytest.approx(torch.nn.NLLLoss()(a_torch, k_torch).item(), rel=1e-14)
    expected = torch.nn.CrossEntropyLoss()(a_torch, k_torch).item()
    assert CrossEntropyLoss().forward(a, k) == pytest.approx(expected, rel=1e-14)


def test_the_squared_error_by_hand() -> None:
    # (0.5 - 1)^2 + (0.25 - 0)^2 + (2 - 1)^2 + (-1 - 1)^2 = 0.25 + 0.0625 + 1 + 4 = 5.3125; N = 2, K = 2
    a, t = np.array([[0.5, 0.25], [2.0, -1.0]]), np.array([[1.0, 0.0], [1.0, 1.0]])
    for loss, value, first in [
        (SquaredError(), 5.3125 / 4, -0.25),  # 1/(2N)
        (SquaredError("sum"), 5.3125 / 2, -0.5),
        (SquaredError("mean"), 5.3125 / 8, -0.125),
        (SquaredError("sum", factor=1), 5.3125, -1.0),
        (MSELoss(), 5.3125 / 4, -0.25),  # 1/(N K), without the half
        (MSELoss("batchmean"), 5.3125 / 2, -0.5),
    ]:
        assert loss.forward(a, t) == value
        assert loss.backward()[0, 0] == first


@pytest.mark.parametrize("build", [SquaredError, MSELoss, BCELoss, NLLLoss, CrossEntropyLoss])
def test_an_unknown_reduction_is_refused_when_the_loss_is_made(build: Any) -> None:
    with pytest.raises(ValueError, match="reduction is 'average'; wanted one of sum, mean, batchmean"):
        build(reduction="average")


@pytest.mark.parametrize("build", [SquaredError, MSELoss, BCELoss, CrossEntropyLoss])
@pytest.mark.parametrize("shape", [(5, 1), (1, 3), (5,), (3, 5), (5, 3, 1)])
def test_a_target_is_never_broadcast(build: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"target has shape .*; wanted \(5, 3\)"):
        build().forward(np.full((5, 3), 0.5), np.full(shape, 0.5))


@pytest.mark.parametrize("build", [SquaredError, BCELoss, NLLLoss, CrossEntropyLoss])
@pytest.mark.parametrize("count", [1, 4, 6])
def test_there_is_one_label_a_row(build: Any, count: int) -> None:
    with pytest.raises(ValueError, match=rf"target has shape \({count},\); wanted \(5,\)"):
        build().forward(np.full((5, 3), 0.5), np.zeros(count, int))


@pytest.mark.parametrize("build", [SquaredError, BCELoss, NLLLoss, CrossEntropyLoss])
@pytest.mark.parametrize("wrong", [-1, 3])
def test_labels_out_of_range_are_refused(build: Any, wrong: int) -> None:
    with pytest.raises(ValueError, match=rf"the label {wrong}; wanted labels from 0 to 2.* 3 outputs"):
        build().forward(np.full((4, 3), 0.5), np.array([0, wrong, 2, 1]))


# ------------------------------------------------------------------------------------------------- chain and fused form


@each_reduction
@repeatable
@given(sizes=sizes, seed=seeds)
def test_log_softmax_and_likelihood_in_a_chain_equal_cross_entropy(reduction: Any, sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k, _ = sizes
    logits, target = 3 * generic(rng, n, k), labels(rng, n, k)
    layer, chain, fused = LogSoftmax(), NLLLoss(reduction=reduction), CrossEntropyLoss(reduction=reduction)
    assert chain.forward(layer.forward(logits), target) == pytest.approx(fused.forward(logits, target), rel=1e-12)
    np.testing.assert_allclose(layer.backward(chain.backward()), fused.backward(), **CLOSE)


@pytest.mark.parametrize(("reduction", "divisor"), [("sum", 1), ("batchmean", 5), ("mean", 5 * 3)])
def test_sigmoid_and_binary_cross_entropy_leave_prediction_minus_target(reduction: Any, divisor: int) -> None:
    rng = np.random.default_rng(12)
    z, target = 2 * generic(rng, 5, 3), labels(rng, 5, 3)
    layer, loss = Sigmoid(), BCELoss(reduction=reduction)
    a = layer.forward(z)
    loss.forward(a, target)
    np.testing.assert_allclose(layer.backward(loss.backward()), (a - np.eye(3)[target]) / divisor, rtol=1e-12)


def test_softmax_and_cross_entropy_leave_prediction_minus_target() -> None:
    rng = np.random.default_rng(13)
    logits, target = generic(rng, 5, 3), labels(rng, 5, 3)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    loss = CrossEntropyLoss()
    loss.forward(logits, target)
    np.testing.assert_allclose(loss.backward(), (p - np.eye(3)[target]) / 5, rtol=1e-12)
