"""Three witnesses of a derivative: each against closed forms, and what is concluded from what they say together."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compare
import manual
from compare.agreement.verdict import Finding, Verdict
from compare.agreement.witnesses import (
    Witnesses,
    central_difference,
    complex_step,
    conclude,
    extrapolated_difference,
    hear,
)
from compare.experiment.datasets import Dataset

Array = np.ndarray[Any, Any]
DTYPES = ["float64", "float32"]

# f, f', and points where f is neither flat nor hidden by its own rounding
CLOSED: dict[str, tuple[Callable[[Any], Any], Callable[[float], float], list[float]]] = {
    "cube": (lambda x: x**3, lambda x: 3 * x * x, [-2.0, 0.3, 7.0]),
    "exponential": (np.exp, np.exp, [-3.0, 0.1, 5.0]),
    "fast sine": (lambda x: np.sin(30 * x), lambda x: 30 * np.cos(30 * x), [0.0, 0.4, 2.0]),
    "steep fraction": (lambda x: 1 / x, lambda x: -1 / x**2, [0.02, 0.5, -3.0]),
    "logarithm": (np.log, lambda x: 1 / x, [0.01, 1.3, 80.0]),
    "logistic": (lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2, [-4.0, 0.2, 6.0]),
    "beside a large number": (lambda x: 1e6 + x * x, lambda x: 2 * x, [0.7, 3.0]),
}
POINTS = [(name, point) for name, (_, _, points) in CLOSED.items() for point in points]


def at(f: Callable[[Any], Any], point: float) -> Callable[[Any], Any]:
    """f as a function of what is added to `point`, a Python number out as in."""
    return lambda change: np.asarray(f(np.asarray(point + change))).item()


@pytest.mark.parametrize(("name", "point"), POINTS)
def test_the_complex_step_has_all_digits(name: str, point: float) -> None:
    """Nothing is subtracted, so nothing cancels: not even where 1e6 stands beside."""
    f, slope, _ = CLOSED[name]
    assert complex_step(at(f, point)) == pytest.approx(slope(point), rel=1e-14)


@pytest.mark.parametrize(("name", "point"), POINTS)
def test_central_differences_know_their_own_error(name: str, point: float) -> None:
    f, slope, _ = CLOSED[name]
    central, error = central_difference(at(f, point))
    assert central is not None
    assert error is not None
    assert abs(central - slope(point)) <= error
    assert error <= 1e-3 * max(1.0, abs(slope(point)))  # an estimate that covers anything would say nothing


@pytest.mark.parametrize(("name", "point"), POINTS)
def test_extrapolated_differences_keep_nine_digits_where_plain_ones_have_five(name: str, point: float) -> None:
    f, slope, _ = CLOSED[name]
    found, error = extrapolated_difference(at(f, np.longdouble(point)))  # pyright: ignore[reportArgumentType]
    assert found == pytest.approx(slope(point), rel=1e-9, abs=1e-12)
    assert error is not None
    assert error <= 1e-6 * max(1.0, abs(slope(point)))


def test_extrapolation_takes_few_evaluations() -> None:
    """Every row removes one more power of h^2: for a smooth function a few halvings reach all digits."""
    points: list[float] = []
    found, _ = extrapolated_difference(lambda change: points.append(change) or np.exp(np.longdouble(0.3) + change))
    assert found == pytest.approx(np.exp(0.3), rel=1e-14)
    assert len(points) <= 17  # the cost itself, and eight pairs


def test_extrapolated_differences_see_a_small_slope_beside_a_large_value() -> None:
    found, _ = extrapolated_difference(lambda change: 1 + np.longdouble(1e-12) * np.sin(0.5 + change))
    assert found == pytest.approx(1e-12 * np.cos(0.5), rel=1e-5)
    double = central_difference(lambda change: float(1 + 1e-12 * np.sin(0.5 + change)))[0] or 0.0
    assert abs(double / (1e-12 * np.cos(0.5)) - 1) > 1e-3  # which is what the extended precision is for


def test_extrapolated_differences_leave_a_kink_behind() -> None:
    """|x| at 0.001: the large steps reach over the kink, and would say anything between -1 and 1."""
    found, _ = extrapolated_difference(lambda change: abs(np.longdouble(0.001) + change))
    assert found == pytest.approx(1.0, rel=1e-12)


def test_the_error_grows_where_truncation_does() -> None:
    """sin(kx) has the third derivative k^3: the estimate has to follow."""
    errors = [central_difference(at(lambda x, k=k: np.sin(k * x), 0.3))[1] or 0.0 for k in (1, 10, 100)]
    assert errors[0] < errors[1] < errors[2]


def test_a_forward_pass_that_complex_numbers_cannot_pass() -> None:
    def heavy(x: Any) -> Any:
        return np.heaviside(x, 0.5) * x * x  # TypeError for complex numbers

    assert complex_step(at(heavy, 1.5)) is None
    central, error = central_difference(at(heavy, 1.5))
    assert central == pytest.approx(3, abs=error)

    def forgetful(x: Any) -> Any:
        return np.real(x) ** 2  # gives back a float: the imaginary part is gone

    assert complex_step(at(forgetful, 1.5)) is None


def test_a_forward_pass_that_throws_the_imaginary_part_away_is_not_believed() -> None:
    """NumPy only warns of it; the derivative would be that of the part that is left: here 2 for 2 + 3."""

    def half_forgetful(x: Any) -> Any:
        return 2 * x + 3 * np.asarray(x).astype(np.float64)

    assert complex_step(at(half_forgetful, 0.4)) is None


def test_a_forward_pass_that_nothing_can_pass() -> None:
    def choosy(x: Any) -> Any:
        raise TypeError(f"wants float32, not {type(x).__name__}")

    assert complex_step(choosy) is None
    assert central_difference(choosy) == (None, None)
    assert conclude(1.0, 2.0, None, None, None).startswith("Neither the complex step nor central differences can pass")


# What is concluded: (manual, autograd, truth)


@pytest.mark.parametrize("by_complex", [True, False])
@pytest.mark.parametrize("noise", [0.0, 3e-7])  # of float32
def test_conclusions(by_complex: bool, noise: float) -> None:
    def concluded(mine: float, autograd: float, truth: float) -> str:
        heard = (truth if by_complex else None, truth * (1 + 1e-11), 1e-10 * abs(truth))
        return conclude(mine * (1 + noise), autograd * (1 - noise), *heard)

    wrong = concluded(0.9, 0.3, 0.3)
    assert "derivative is wrong" in wrong
    assert "side with autograd" in wrong
    assert "3 times autograd's" in wrong
    different = concluded(0.9, 0.45, 0.9)
    assert "different functions" in different
    assert "2 times autograd's" in different
    neither = concluded(0.9, 0.3, 7.0)
    assert "Neither side" in neither
    assert "autograd has 0" in conclude(0.9, 0.0, 0.0 if by_complex else None, 0.0, 1e-10)
    if not noise:
        assert "agree" in concluded(0.3, 0.3, 0.3)


# On a network worked by hand: C = 1/(2N) sum (X W^T + b - T)^2, so delta = (X W^T + b - T)/N, dW = delta^T X


def by_hand() -> tuple[manual.Network, dict[str, Array], dict[str, Array]]:
    rng = np.random.default_rng(8)
    x, w, b, t = (rng.normal(size=shape) for shape in ((4, 3), (2, 3), (2,), (4, 2)))
    network = manual.Network([manual.Linear(3, 2)], manual.SquaredError(), {"linear1.weight": w, "linear1.bias": b})
    network.loss(x, t)
    network.backward()
    delta = (x @ w.T + b - t) / 4
    gradients = {
        "linear1.output.grad": delta, "linear1.weight.grad": delta.T @ x, "linear1.bias.grad": delta.sum(axis=0)
    }  # fmt: skip
    return network, network.trace(), gradients


@pytest.mark.parametrize("tensor", ["linear1.output.grad", "linear1.weight.grad", "linear1.bias.grad"])
def test_every_witness_has_the_derivative_worked_by_hand(tensor: str) -> None:
    network, trace, gradients = by_hand()
    before = copy.deepcopy(network.parameters)
    for place in np.ndindex(gradients[tensor].shape):
        heard = hear(network, trace, gradients, tensor, place)
        assert heard is not None
        wanted = gradients[tensor][place]
        assert (heard.tensor, heard.index) == (tensor, place)
        assert heard.manual == pytest.approx(wanted, rel=1e-13)
        assert heard.autograd == wanted
        assert heard.complex_step == pytest.approx(wanted, rel=1e-13)
        assert heard.central_error is not None
        assert abs(heard.central_difference - wanted) <= heard.central_error < 1e-6
        assert heard.conclusion == "All witnesses agree at this element."
    for name, parameter in network.parameters.items():
        np.testing.assert_array_equal(parameter, before[name])  # hearing moves nothing


def test_what_is_no_gradient_has_no_witnesses() -> None:
    network, trace, gradients = by_hand()
    assert hear(network, trace, gradients, "linear1.output", (0, 0)) is None
    assert hear(network, trace, gradients, "linear1.weight.grad", None) is None
    assert hear(network, trace, {}, "linear1.weight.grad", (0, 0)) is None


# From outside


def diverged(experiment: Any, layers: dict[str, Any], **options: Any) -> Finding:
    outcome = compare.run(experiment, layers=layers, **{"steps": 3, "mode": "lockstep", "batch_size": 20} | options)
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.finding is not None
    return outcome.finding


def heard_in(finding: Finding) -> Witnesses:
    assert finding.witnesses is not None
    return Witnesses(**finding.witnesses)


class WithoutDerivative(manual.Sigmoid):
    def backward(self, grad_output: Array) -> Array:
        return grad_output.copy()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_missing_derivative_is_a_wrong_derivative(dtype: str, small_data: Dataset) -> None:
    finding = diverged("article", {"sigmoid1": WithoutDerivative()}, dtype=dtype)
    heard = heard_in(finding)
    assert (heard.tensor, heard.index) == (finding.tensor, finding.index) == ("linear1.output.grad", heard.index)
    assert heard.complex_step == pytest.approx(heard.autograd, rel=1e-4 if dtype == "float32" else 1e-11)
    assert heard.central_difference == pytest.approx(heard.complex_step, abs=heard.central_error)
    assert abs(heard.manual - heard.autograd) > 0.1 * abs(heard.manual)
    assert "derivative is wrong" in heard.conclusion
    assert "witnesses side with autograd" in heard.conclusion


class WithoutHalf(manual.SquaredError):
    """1/N times the sum of squares, and its derivative: right in itself, and another function."""

    def forward(self, prediction: Array, target: Array) -> Array:
        return 2 * super().forward(prediction, target)

    def backward(self, grad_output: Any = 1) -> Array:
        return 2 * super().backward()


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_the_half_both_ways_it_is_another_function(dtype: str, small_data: Dataset) -> None:
    finding = diverged("article", {"loss": WithoutHalf()}, dtype=dtype)
    assert finding.tensor == "loss"
    heard = heard_in(finding)
    assert heard.tensor == "sigmoid2.output.grad"  # of the loss itself no derivative can be heard: its gradient is
    assert heard.complex_step == pytest.approx(heard.manual, rel=1e-6)
    assert heard.manual == pytest.approx(2 * heard.autograd, rel=1e-6)
    assert "different functions" in heard.conclusion
    assert "it is 2 times autograd's" in heard.conclusion


class Heaviside(manual.ReLU):
    """A ReLU that complex numbers cannot pass, with a slope of 2 in its derivative."""

    def forward(self, z: Array) -> Array:
        self.z = z
        return np.heaviside(z, 0) * z

    def backward(self, grad_output: Array) -> Array:
        return np.heaviside(self.z, 0) * 2 * grad_output


def test_central_differences_step_in_where_the_complex_step_cannot(small_data: Dataset) -> None:
    """The element is one of linear2's outputs, below a relu2 that only real numbers pass."""
    heard = heard_in(diverged("relu", {"relu2": Heaviside()}))
    assert heard.tensor == "linear2.output.grad"
    assert heard.complex_step is None
    assert heard.central_error is not None
    assert heard.central_difference == pytest.approx(heard.autograd, abs=heard.central_error)
    assert "derivative is wrong" in heard.conclusion
    assert "2 times autograd's" in heard.conclusion


class Converting(manual.Sigmoid):
    """Converts what it is given: NumPy would throw an imaginary part away with no more than a warning."""

    def forward(self, z: Array) -> Array:
        self.a = (1 / (1 + np.exp(-z.astype(np.float64)))).astype(z.dtype)
        return self.a

    def backward(self, grad_output: Array) -> Array:
        return grad_output * self.a


def test_a_conversion_on_the_way_breaks_no_run(small_data: Dataset) -> None:
    heard = heard_in(diverged("article", {"sigmoid2": Converting()}))
    assert heard.complex_step is None
    assert "derivative is wrong" in heard.conclusion


def test_where_the_forward_pass_itself_is_wrong_nobody_is_heard(small_data: Dataset) -> None:
    class Steeper(manual.Sigmoid):
        def forward(self, z: Array) -> Array:
            return super().forward(3 * z)

    assert diverged("article", {"sigmoid1": Steeper()}).witnesses is None


SOFTSIGN = '''
import numpy as np


class Softsign:
    """x / (1 + |x|), differentiated without the quotient rule."""

    def forward(self, x):
        self.x = x
        return x / (1 + np.abs(x))

    def backward(self, dy):
        return dy / (1 + np.abs(self.x))
'''

EXPERIMENT = """
[[layers]]
kind = "Linear"
in_features = 784
out_features = 12

[[layers]]
kind = "{file}:Softsign"
name = "softsign1"
reference = "torch.nn.functional.softsign"

[[layers]]
kind = "Linear"
in_features = 12
out_features = 10

[loss]
kind = "CrossEntropyLoss"
"""


def test_an_absolute_value_does_not_make_a_false_witness(tmp_path: Path, small_data: Dataset) -> None:
    """|x| is real for a complex x: the imaginary part passes beside it, and the complex step forgets what he forgot.

    It would say that the manual derivative is right, and the reference another function.
    """
    (tmp_path / "softsign.py").write_text(SOFTSIGN)
    (tmp_path / "try.toml").write_text(EXPERIMENT.format(file=tmp_path / "softsign.py"))
    finding = diverged(str(tmp_path / "try.toml"), {})
    assert finding.tensor == "linear1.output.grad"
    heard = heard_in(finding)
    assert heard.central_difference == pytest.approx(heard.autograd, abs=heard.central_error)
    assert "different functions" not in heard.conclusion
