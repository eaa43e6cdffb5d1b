"""What the comparison says of its own power: the smallest mistake it would have caught, and where it is blind."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compare
import manual
from compare.agreement.rounding.unit import unit_roundoff
from compare.agreement.verdict import Verdict
from compare.experiment.datasets import Dataset
from compare.experiment.files import changes_of, read_experiment
from compare.experiment.streams import batches
from compare.lockstep.loop import Loop

Array = np.ndarray[Any, Any]
DTYPES = ["float64", "float32"]
N = 20


def run(layers: Any = None, begin: Any = None, preset: str = "article", **options: Any) -> compare.Outcome:
    options = {"steps": 1, "mode": "lockstep", "batch_size": N} | options
    return compare.run(preset, layers=layers, begin=begin, **options)


def powers(outcome: compare.Outcome) -> dict[str, float]:
    return {name: entry["smallest_relative_mistake"] for name, entry in outcome.to_json()["power"].items()}


def times(array: Any, factor: float) -> Any:
    """The array times a factor, in the array's own dtype."""
    return array * np.asarray(factor, array.dtype)


def scaled_layer(kind: type, tensor: str, factor: float, *sizes: int) -> Any:
    """A layer of one's own that multiplies one of its tensors: output, input (its gradient), weight or bias."""

    class Scaled(kind):
        def forward(self, x: Array) -> Array:
            y = super().forward(x)
            return times(y, factor) if tensor == "output" else y

        def backward(self, grad_output: Array) -> Array | None:
            gradient = super().backward(grad_output)
            if tensor in ("weight", "bias"):
                self.gradients[tensor] = times(self.gradients[tensor], factor)
            return times(gradient, factor) if tensor == "input" else gradient

    return Scaled(*sizes)


def scaled_loss(tensor: str, factor: float) -> Any:
    class Scaled(manual.SquaredError):
        def forward(self, prediction: Array, target: Array) -> Any:
            value = super().forward(prediction, target)
            return times(value, factor) if tensor == "loss" else value

        def backward(self, grad_output: Any = 1) -> Array:
            gradient = super().backward()
            return times(gradient, factor) if tensor == "gradient" else gradient

    return Scaled()


def scaled_update(parameter: str, factor: float) -> Callable[[Loop], None]:
    class Scaled(manual.SGD):
        def step(self) -> None:
            super().step()
            self.network.parameters[parameter] *= np.asarray(factor, self.network.parameters[parameter].dtype)

    def begin(loop: Loop) -> None:
        loop.manual.optimizer = Scaled(loop.manual.network, lr=loop.experiment.optimizer.lr)

    return begin


# tensor -> the run with that tensor times a factor
SCALED: dict[str, Callable[[float, dict[str, Any]], compare.Outcome]] = {
    "linear1.output": lambda f, o: run({"linear1": scaled_layer(manual.Linear, "output", f, 784, 30)}, **o),
    "sigmoid1.output": lambda f, o: run({"sigmoid1": scaled_layer(manual.Sigmoid, "output", f)}, **o),
    "linear2.output": lambda f, o: run({"linear2": scaled_layer(manual.Linear, "output", f, 30, 10)}, **o),
    "loss": lambda f, o: run({"loss": scaled_loss("loss", f)}, **o),
    "sigmoid2.output.grad": lambda f, o: run({"loss": scaled_loss("gradient", f)}, **o),
    "linear2.output.grad": lambda f, o: run({"sigmoid2": scaled_layer(manual.Sigmoid, "input", f)}, **o),
    "linear2.weight.grad": lambda f, o: run({"linear2": scaled_layer(manual.Linear, "weight", f, 30, 10)}, **o),
    "linear2.bias.grad": lambda f, o: run({"linear2": scaled_layer(manual.Linear, "bias", f, 30, 10)}, **o),
    "sigmoid1.output.grad": lambda f, o: run({"linear2": scaled_layer(manual.Linear, "input", f, 30, 10)}, **o),
    "linear1.weight.grad": lambda f, o: run({"linear1": scaled_layer(manual.Linear, "weight", f, 784, 30)}, **o),
    "linear1.weight.updated": lambda f, o: run(begin=scaled_update("linear1.weight", f), **o),
    "linear2.bias.updated": lambda f, o: run(begin=scaled_update("linear2.bias", f), **o),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tensor", SCALED)
def test_the_smallest_relative_mistake_is_told_truly(tensor: str, dtype: str, small_data: Dataset) -> None:
    """Twice as large a mistake is a breach, at this very tensor; a thousandth of it is not to be told from rounding."""
    power = powers(run(dtype=dtype))[tensor]
    assert unit_roundoff(dtype) <= power < 0.02
    caught = SCALED[tensor](1 + 2 * power, {"dtype": dtype})
    assert caught.verdict is Verdict.DIVERGES
    assert caught.finding is not None
    assert caught.finding.tensor == tensor
    assert SCALED[tensor](1 + power / 1000, {"dtype": dtype}).verdict is Verdict.AGREES


@pytest.mark.parametrize("dtype", DTYPES)
def test_of_several_audits_it_is_what_every_one_would_have_caught(dtype: str, small_data: Dataset) -> None:
    single = []
    outcome = run(dtype=dtype, steps=3)

    class Keep:
        def __call__(self, step: Any) -> None:
            single.append({check.tensor: check.power for check in step.checks})

    compare.run("article", dtype=dtype, steps=3, mode="lockstep", batch_size=N, watchers=[Keep()])
    assert len(single) == 3
    for tensor, power in powers(outcome).items():
        assert power == max(of_step[tensor] for of_step in single)


def test_double_precision_sees_mistakes_a_quarter_of_a_billion_times_smaller(small_data: Dataset) -> None:
    """u is 2^29 times smaller; but where both sides compute in float64, each has its own roundings."""
    double, single = (powers(run(dtype=dtype)) for dtype in DTYPES)
    assert double.keys() == single.keys()
    for tensor in double:
        assert single[tensor] == pytest.approx(double[tensor] * 2.0**29 / 2, rel=0.05)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_power_is_claimed_beyond_the_arithmetic(dtype: str, small_data: Dataset) -> None:
    """A ReLU rounds nothing, and yet no relative mistake below u can so much as be written down."""
    found = powers(run(preset="relu", dtype=dtype))
    assert {"relu1.output", "linear2.output.grad", "linear1.weight.updated"} <= found.keys()
    assert min(found.values()) >= unit_roundoff(dtype)


# Where it is blind


@pytest.mark.parametrize("dtype", DTYPES)
def test_always_black_pixels_leave_columns_where_nothing_can_be_caught(dtype: str, small_data: Dataset) -> None:
    experiment = read_experiment("article", changes_of(steps=1, batch_size=N, dtype=dtype))
    rows = next(batches(experiment, len(small_data.train_images)))[1]
    black = (small_data.train_images[rows].reshape(N, -1) == 0).all(axis=0)
    assert 0.2 < black.mean() < 0.8
    zeros = {name: entry["zeros"] for name, entry in run(dtype=dtype).to_json()["power"].items()}
    if dtype == "float64":
        assert zeros["linear1.weight.grad"] == pytest.approx(black.mean(), rel=1e-12)
    else:  # here and there a sigmoid's slope is 0 in float32
        assert black.mean() <= zeros["linear1.weight.grad"] <= black.mean() + 0.001
    assert zeros["linear1.output"] == zeros["linear2.weight.grad"] == 0

    class BlackWrong(manual.Linear):
        """Wrong by a factor of 5, in the columns of the black pixels."""

        def backward(self, grad_output: Array) -> Array | None:
            gradient = super().backward(grad_output)
            self.gradients["weight"][:, black] *= 5
            return gradient

    assert run({"linear1": BlackWrong(784, 30)}, dtype=dtype).verdict is Verdict.AGREES


def test_of_several_audits_the_zeros_are_those_of_every_one(small_data: Dataset) -> None:
    experiment = read_experiment("article", changes_of(steps=3, batch_size=N))
    shares = [
        (small_data.train_images[rows].reshape(N, -1) == 0).all(axis=0).mean()
        for _, rows in batches(experiment, len(small_data.train_images))
    ]
    zeros = run(steps=3).to_json()["power"]["linear1.weight.grad"]["zeros"]
    assert zeros == pytest.approx(min(shares), rel=1e-12)


def test_a_unit_that_is_off_is_counted_among_the_zeros(small_data: Dataset) -> None:
    seen = {}

    def keep(step: Any) -> None:
        seen.update({name: float(np.mean(step.manual[name] == 0)) for name in ("relu1.output", "linear1.output.grad")})

    outcome = compare.run("relu", steps=1, mode="lockstep", watchers=[keep])
    for name, share in seen.items():
        assert outcome.to_json()["power"][name]["zeros"] == pytest.approx(share, rel=1e-12)
        assert 0.1 < share < 0.9


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_that_only_one_side_has_are_no_excuse(dtype: str, small_data: Dataset) -> None:
    """All of the bias's gradient is left at zero: a mistake, and not a place where nothing could be caught."""

    class Forgotten(manual.Linear):
        def backward(self, grad_output: Array) -> Array | None:
            gradient = super().backward(grad_output)
            self.gradients["bias"] = np.zeros_like(self.gradients["bias"])
            return gradient

    outcome = run({"linear2": Forgotten(30, 10)}, dtype=dtype)
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.to_json()["power"]["linear2.bias.grad"]["zeros"] == 0


# The precision test: rounding shrinks with u, a mistake does not


@pytest.mark.parametrize("preset", ["article", "article-cross-entropy", "article-one-layer", "relu"])
def test_a_correct_network_has_the_same_errors_in_either_precision(preset: str, small_data: Dataset) -> None:
    exhibit = run(preset=preset, batch_size=17).precision
    assert exhibit is not None
    assert len(exhibit) > 10
    assert {"loss", "linear1.weight.grad", "linear1.weight.updated"} <= exhibit.keys()
    for tensor, errors in exhibit.items():
        assert set(errors) == {"float32", "float64"}
        single, double = errors["float32"], errors["float64"]
        assert max(single, double) < 64, tensor
        if tensor == "loss":
            continue  # a scalar may come out right by luck: then it says nothing
        # the data and weights are equal to the bit, which says nothing either
        assert max(single, double) <= 30 * max(min(single, double), 0.1), tensor


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_mistake_is_millions_of_times_larger_in_units_of_double_precision(dtype: str, small_data: Dataset) -> None:
    """Whatever the run's own precision: the exhibit has both."""

    class Off(manual.Sigmoid):
        def backward(self, grad_output: Array) -> Array:
            return times(super().backward(grad_output), 1.01)

    outcome = run({"sigmoid2": Off()}, dtype=dtype)
    assert outcome.verdict is Verdict.DIVERGES
    exhibit = outcome.precision
    assert exhibit is not None
    right = ["linear1.output", "loss", "sigmoid2.output.grad"]
    wrong = ["linear2.output.grad", "linear2.weight.grad", "linear1.weight.grad", "linear1.bias.grad"]
    for tensor in wrong:
        assert exhibit[tensor]["float64"] > 1e6 * exhibit[tensor]["float32"]
        assert exhibit[tensor]["float64"] == pytest.approx(0.01 * 2.0**53, rel=0.01)
    for tensor in right:
        assert exhibit[tensor]["float64"] < 64
    assert exhibit["linear1.weight"]["float64"] == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_exhibit_leaves_the_users_layers_alone(dtype: str, small_data: Dataset) -> None:
    """It trains copies: the layer handed over ends as the run left it, in the run's dtype."""
    layer = manual.Linear(784, 30)
    seen = {}

    def keep(step: Any) -> None:
        seen["weight"] = step.manual["linear1.weight.updated"].copy()

    compare.run("article", layers={"linear1": layer}, steps=2, mode="lockstep", dtype=dtype, watchers=[keep])
    assert layer.parameters["weight"].dtype == dtype
    np.testing.assert_array_equal(layer.parameters["weight"], seen["weight"])
