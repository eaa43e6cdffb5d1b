"""The smooth activations, softmax and erf: against torch, the complex step, and numbers known from elsewhere."""

import math
from decimal import Decimal, getcontext
from typing import Any

import numpy as np
import pytest
import torch

from manual import ELU, GELU, LeakyReLU, LogSoftmax, ReLU, SiLU, Softmax, Softplus
from manual.erf import erf
from tests.catalogue.cases.case import Case
from tests.catalogue.cases.smooth import CASES

Array = np.ndarray[Any, Any]
H = 1e-30
CLOSE: Any = {"rtol": 1e-10, "atol": 1e-14}
DTYPES = [np.float32, np.float64, np.longdouble]

each_case = pytest.mark.parametrize("case", CASES, ids=str)


def build(case: Case) -> Any:
    import manual

    return getattr(manual, case.kind)(**case.arguments)


def drawn(case: Case, rng: np.random.Generator, size: int = 5) -> Array:
    shape = tuple(size if isinstance(n, str) else n for n in case.shape)
    return rng.uniform(*case.between, shape) if case.between else 2 * rng.normal(size=shape)


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
@each_case
@pytest.mark.parametrize("size", [1, 2, 7])
def test_forward_and_backward_are_those_of_torch(case: Case, size: int) -> None:
    rng = np.random.default_rng(size)
    layer, x = build(case), drawn(case, rng, size)
    arguments = dict(case.arguments)
    x_torch = torch.tensor(x, requires_grad=True)
    expected = getattr(torch.nn, case.kind)(**arguments)(x_torch)
    upstream = rng.normal(size=x.shape)
    expected.backward(torch.tensor(upstream))
    assert x_torch.grad is not None
    np.testing.assert_allclose(layer.forward(x), expected.detach().numpy(), **CLOSE)
    np.testing.assert_allclose(layer.backward(upstream), x_torch.grad.numpy(), **CLOSE)


@each_case
def test_backward_is_the_complex_step_through_forward(case: Case) -> None:
    rng = np.random.default_rng(3)
    layer, x = build(case), drawn(case, rng, 3)
    upstream = rng.normal(size=x.shape)
    layer.forward(x)
    gradient, expected = layer.backward(upstream), np.empty(x.shape)
    for index in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[index] += 1j * H
        expected[index] = (upstream * layer.forward(moved)).sum().imag / H
    np.testing.assert_allclose(gradient, expected, rtol=1e-11, atol=1e-14)


@each_case
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_the_dtype_is_kept_and_the_values_with_it(case: Case, dtype: Any) -> None:
    rng = np.random.default_rng(4)
    layer, x = build(case), drawn(case, rng).astype(dtype)
    upstream = rng.normal(size=x.shape).astype(dtype)
    output, gradient = layer.forward(x), layer.backward(upstream)
    assert output.dtype == gradient.dtype == dtype
    unit = max(np.finfo(dtype).eps, np.finfo(np.float64).eps)
    np.testing.assert_allclose(output, layer.forward(x.astype(float)), rtol=50 * unit, atol=50 * unit)
    np.testing.assert_allclose(gradient, layer.backward(upstream.astype(float)), rtol=50 * unit, atol=50 * unit)


@each_case
def test_backward_is_linear_and_repeats_to_the_bit_on_any_memory(case: Case) -> None:
    rng = np.random.default_rng(5)
    layer, x = build(case), drawn(case, rng)
    x.flags.writeable = False
    strided = np.asfortranarray(x)
    upstream = rng.normal(size=x.shape)
    upstream.flags.writeable = False
    np.testing.assert_array_equal(layer.forward(strided), layer.forward(x))
    once = layer.backward(upstream)
    np.testing.assert_array_equal(layer.backward(upstream), once)
    np.testing.assert_array_equal(layer.backward(2 * upstream), 2 * once)
    np.testing.assert_array_equal(layer.backward(0 * upstream), np.zeros_like(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [("LeakyReLU", {}), ("ELU", {"alpha": 1.3}), ("GELU", {}), ("GELU", {"approximate": "tanh"}), ("SiLU", {}),
     ("Softplus", {}), ("Softplus", {"beta": 2.0, "threshold": 30.0}), ("Sigmoid", {}), ("Tanh", {}), ("ReLU", {}),
     ("Softmax", {"dim": 1}), ("LogSoftmax", {"dim": 1})],
)  # fmt: skip
def test_far_out_and_at_kinks_the_values_are_those_of_torch(kind: str, arguments: dict[str, Any], dtype: Any) -> None:
    x = np.array(
        [[-1e6, -800.0, -100.0, -88.0, -20.0, -6.0, -0.0, 0.0, 1e-20, 6.0, 10.0, 20.0, 88.0, 800.0, 1e6]], dtype
    )
    layer = build(Case(kind, arguments=arguments))
    x_torch = torch.tensor(x, requires_grad=True)
    expected = getattr(torch.nn, kind)(**arguments)(x_torch)
    expected.backward(torch.full_like(x_torch, -3.0))
    assert x_torch.grad is not None
    unit = float(np.finfo(dtype).eps)
    close: Any = {"rtol": 100 * unit, "atol": 4 * unit}
    np.testing.assert_allclose(layer.forward(x), expected.detach().numpy(), **close)
    np.testing.assert_allclose(layer.backward(np.full_like(x, -3.0)), x_torch.grad.numpy(), **close)


@pytest.mark.parametrize(
    "layer", [LeakyReLU(), ELU(), GELU(), GELU("tanh"), SiLU(), Softplus(), ReLU(inplace=True)], ids=repr
)
def test_a_nan_stays_a_nan_and_no_dimension_is_a_shape_too(layer: Any) -> None:
    np.testing.assert_array_equal(np.isnan(layer.forward(np.array([np.nan, 1.0]))), [True, False])
    assert np.shape(layer.forward(np.array(0.7))) == ()
    assert np.shape(layer.backward(np.array(0.2))) == ()
    assert layer.forward(np.empty((0, 3))).shape == (0, 3)


# ------------------------------------------------------------------------------------------------------------------ erf

POINTS = np.array([1e-300, 1e-20, 0.1, 0.25, 0.46875, 0.469, 0.7, 1.0, 1.5, 2.0, 2.9, 3.999, 4.0, 4.01, 5.0, 6.0, 40.0])


def erf_to_fifty_digits(x: Decimal) -> Decimal:
    """Return the sum of the power series 2/sqrt(pi) sum over n of (-1)^n x^(2n+1) / (n! (2n+1))."""
    getcontext().prec = 80
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628621")
    term, total, n = x, x, 0
    while abs(term) > Decimal(10) ** -60:
        n += 1
        term *= -x * x / n
        total += term / (2 * n + 1)
    return 2 * total / pi.sqrt()


@pytest.mark.parametrize("sign", [1, -1])
def test_erf_is_that_of_the_c_library(sign: int) -> None:
    expected = [math.erf(x) for x in sign * POINTS]
    np.testing.assert_allclose(erf(sign * POINTS), expected, rtol=5e-16)
    np.testing.assert_allclose(erf((sign * POINTS[1:]).astype(np.float32)), expected[1:], rtol=4e-7)


def test_erf_has_the_digits_of_extended_precision() -> None:
    x = np.linspace(-5.9, 6.1, 61).astype(np.longdouble)
    exact = [erf_to_fifty_digits(Decimal(np.format_float_positional(value, unique=False, precision=40))) for value in x]
    expected = np.array([np.longdouble(str(value)) for value in exact])
    unit = np.finfo(np.longdouble).eps
    assert np.abs(erf(x) / expected - 1).max() <= max(20 * unit, 2e-18)


def test_erf_at_its_ends() -> None:
    np.testing.assert_array_equal(erf(np.array([-np.inf, -1e200, -0.0, 0.0, 1e200, np.inf])), [-1, -1, 0, 0, 1, 1])
    assert np.isnan(erf(np.array([np.nan]))).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_the_complex_step_through_erf_gives_its_derivative(sign: int) -> None:
    x = sign * POINTS[:-1]
    slope = erf(x + 1j * H).imag / H
    np.testing.assert_allclose(slope, 2 / math.sqrt(math.pi) * np.exp(-x * x), rtol=1e-13)  # (41)


def test_erf_takes_the_exponential_that_the_caller_has() -> None:
    x = np.linspace(-6, 6, 101).reshape(1, 101)
    np.testing.assert_array_equal(erf(x, np.exp(-(x * x))), erf(x))


# ------------------------------------------------------------------------------------------------ published and joined


def test_gelu_has_the_values_of_the_normal_table() -> None:
    """Phi(1) = 0.8413447460685429, Phi(-1.96) = 0.0249978951482204, phi(1) = 0.2419707245191434."""
    layer = GELU()
    np.testing.assert_allclose(
        layer.forward(np.array([1.0, -1.96])), [0.8413447460685429, -1.96 * 0.0249978951482204], rtol=1e-13
    )
    np.testing.assert_allclose(layer.backward(np.ones(2))[0], 0.8413447460685429 + 0.2419707245191434, rtol=1e-14)


def test_the_two_forms_of_gelu_are_near_each_other_and_differ() -> None:
    z = np.linspace(-4, 4, 81)
    apart = np.abs(GELU().forward(z) - GELU("tanh").forward(z)).max()
    assert 1e-4 < apart < 5e-4  # what Hendrycks and Gimpel's approximation is good for


def test_by_hand() -> None:
    z = np.array([-math.log(2), math.log(3)])  # e^z = 1/2, 3
    np.testing.assert_allclose(ELU(alpha=2.0).forward(z), [-1, math.log(3)], rtol=1e-15)
    np.testing.assert_allclose(SiLU().forward(z), [z[0] / 3, z[1] * 3 / 4], rtol=1e-15)
    layer = Softplus()
    np.testing.assert_allclose(layer.forward(z), [math.log(3 / 2), math.log(4)], rtol=1e-15)
    np.testing.assert_allclose(layer.backward(np.ones(2)), [1 / 3, 3 / 4], rtol=1e-15)
    softmax = Softmax()
    np.testing.assert_allclose(softmax.forward(np.log([[1.0, 2.0, 5.0]])), [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-15)
    # dz = p (dy - sum dy p): dy = (8, 0, 0) has the mean 1
    np.testing.assert_allclose(softmax.backward(np.array([[8.0, 0, 0]])), [[7 / 8, -2 / 8, -5 / 8]], rtol=1e-15)


def test_elu_keeps_small_numbers() -> None:
    z = np.array([-1e-12, -1e-17])
    np.testing.assert_allclose(ELU().forward(z), z, rtol=1e-11)


def test_the_logarithm_of_softmax_is_log_softmax_forward_and_backward() -> None:
    rng = np.random.default_rng(6)
    for dim in (0, 1, -1, None):
        z, upstream = 3 * rng.normal(size=(4, 5, 3)), rng.normal(size=(4, 5, 3))
        chain, fused = Softmax(dim), LogSoftmax(dim)
        p = chain.forward(z)
        np.testing.assert_allclose(np.log(p), fused.forward(z), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(chain.backward(upstream / p), fused.backward(upstream), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("shape", "axis"), [((4,), 0), ((2, 3), 1), ((2, 3, 4), 0), ((2, 3, 4, 5), 1)])
def test_without_a_dimension_softmax_chooses_as_torch_does(shape: tuple[int, ...], axis: int) -> None:
    z = np.random.default_rng(7).normal(size=shape)
    np.testing.assert_allclose(Softmax(None).forward(z).sum(axis=axis), 1, rtol=1e-15)
    with pytest.warns(UserWarning, match="Implicit dimension"):
        expected = torch.nn.Softmax()(torch.tensor(z))
    np.testing.assert_allclose(Softmax(None).forward(z), expected, rtol=1e-13)


def test_softmax_of_a_masked_entry_is_zero() -> None:
    layer = Softmax()
    np.testing.assert_array_equal(layer.forward(np.array([[-np.inf, 0.0, 0.0]])), [[0, 0.5, 0.5]])
    np.testing.assert_array_equal(layer.backward(np.array([[7.0, 1.0, -1.0]])), [[0, 0.5, -0.5]])


@pytest.mark.parametrize(("layer", "text"), [
    (LeakyReLU(0.2), "LeakyReLU(negative_slope=0.2)"), (ELU(), "ELU(alpha=1.0)"), (SiLU(), "SiLU()"),
    (GELU("tanh"), "GELU(approximate='tanh')"), (Softplus(), "Softplus(beta=1.0, threshold=20.0)"),
    (Softmax(dim=1), "Softmax(dim=1)"),
])  # fmt: skip
def test_they_show_how_they_were_made(layer: Any, text: str) -> None:
    assert repr(layer) == text
    assert layer.output_shape((3, 4)) == (3, 4)


def test_an_unknown_approximation_is_refused() -> None:
    with pytest.raises(ValueError, match="approximate is 'erf'; wanted 'none' or 'tanh'"):
        GELU("erf")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_digit_is_lost_wherever_another_formula_takes_over(dtype: type) -> None:
    """Softplus and ELU change their formula at -1 and -1/2: on both sides, and far away, all digits must hold."""
    sizes = np.logspace(-30, 1.9, 4000)
    z = np.concatenate([-sizes, sizes, [0.0, -1.0, -0.5], np.linspace(-1.01, -0.49, 500)]).astype(dtype)
    exact = np.longdouble(z)
    below = np.where(exact > 0, exact, 1.5 * np.expm1(np.minimum(exact, 0)))
    near = 6 * np.finfo(dtype).eps
    np.testing.assert_allclose(ELU(1.5).forward(z), below, rtol=near, atol=0)
    np.testing.assert_allclose(Softplus(threshold=60).forward(z), np.log1p(np.exp(exact)), rtol=near, atol=0)
