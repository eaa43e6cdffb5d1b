"""The judge: a mistake is never passed, the guilty operation is named, and correct networks are left in peace.

The mistakes are planted into the manual side by hand, not through the project's own catalogue.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import compare
import manual
import reference
from compare.agreement import carried, verdict
from compare.agreement.audit import Audit
from compare.agreement.step_check import TRIGGER, StepCheck
from compare.agreement.trace import place, places, shared_memory, structural_breach
from compare.agreement.verdict import Finding, Verdict, difference
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment, Initial, Layer, Loss, Optimizer, Training
from compare.experiment.files import changes_of, preset_names, read_experiment
from compare.experiment.streams import batches
from compare.lockstep.loop import Loop, Step
from compare.lockstep.tally import Tally

Array = np.ndarray[Any, Any]
DTYPES = ["float64", "float32"]

# The order of a step of the preset "article": what came before a tensor is the last that agreed.
ORDER = [
    "input", "target", "linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias",
    "linear1.output", "sigmoid1.output", "linear2.output", "sigmoid2.output", "loss",
    "sigmoid2.output.grad", "linear2.output.grad", "linear2.weight.grad", "linear2.bias.grad",
    "sigmoid1.output.grad", "linear1.output.grad", "linear1.weight.grad", "linear1.bias.grad",
]  # fmt: skip
UPDATED = [f"{name}.updated" for name in ("linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias")]


def article(steps: int = 4, **options: Any) -> Experiment:
    return read_experiment("article", changes_of(**{"steps": steps, "mode": "lockstep", "batch_size": 20} | options))


def walk(loop: Loop) -> list[Step]:
    with np.errstate(all="ignore"):
        return list(loop)


def finding_with(small: Dataset, layers: dict[str, Any], dtype: str = "float64", steps: int = 4) -> Finding:
    """Return what a run with these layers in the manual side finds; it has to find something."""
    last = walk(Loop(article(steps, dtype=dtype), small, layers))[-1]
    assert last.finding is not None, "the mistake was passed"
    return last.finding


def before(tensor: str, order: list[str] = ORDER) -> str | None:
    return order[order.index(tensor) - 1] if order.index(tensor) else None


# ------------------------------------------------------------------------------------- mistakes of single operations


class NoDerivative(manual.Sigmoid):
    def backward(self, grad_output: Array) -> Array:
        return grad_output + 0


class DerivativeAtTheInput(manual.Sigmoid):
    def forward(self, z: Array) -> Array:
        self.z = z
        return super().forward(z)

    def backward(self, grad_output: Array) -> Array:
        return grad_output * (self.z * (1 - self.z))


class WrongSign(manual.Sigmoid):
    def backward(self, grad_output: Array) -> Array:
        return -super().backward(grad_output)


class DerivativeTwice(manual.Sigmoid):
    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output) * (self.a * (1 - self.a))


class OneUnitTooMany(manual.Sigmoid):
    """1 + a for 1 - a, of one unit alone."""

    def backward(self, grad_output: Array) -> Array:
        grad = super().backward(grad_output)
        grad[:, 3] = grad_output[:, 3] * self.a[:, 3] * (1 + self.a[:, 3])
        return grad


class Clipped(manual.Sigmoid):
    def forward(self, z: Array) -> Array:
        self.a = np.clip(super().forward(z), 0.2, 0.8)
        return self.a


class HardSigmoid(manual.Sigmoid):
    def forward(self, z: Array) -> Array:
        self.a = np.clip(z / 4 + z.dtype.type(0.5), 0, 1)
        return self.a


class HalfPrecision(manual.Sigmoid):
    """Computed in a smaller dtype, handed on in the right one."""

    def forward(self, z: Array) -> Array:
        self.a = super().forward(z.astype("float32" if z.dtype == "float64" else "float16")).astype(z.dtype)
        return self.a


class SlightlyOff(manual.Sigmoid):
    """A relative mistake of 1e-10 in float64, of 1e-3 in float32."""

    def forward(self, z: Array) -> Array:
        self.a = super().forward(z) * z.dtype.type(1 + (1e-10 if z.dtype == "float64" else 1e-3))
        return self.a


class FromTheThirdStep(manual.Sigmoid):
    calls = 0

    def forward(self, z: Array) -> Array:
        self.calls += 1
        self.a = super().forward(z) * (0.5 if self.calls >= 3 else 1)
        return self.a


class NaNForward(manual.Sigmoid):
    def forward(self, z: Array) -> Array:
        self.a = super().forward(z)
        self.a[2, 5] = np.nan
        return self.a


class InfiniteGradient(manual.Sigmoid):
    def backward(self, grad_output: Array) -> Array:
        grad = super().backward(grad_output)
        grad[1, 2] = np.inf
        return grad


class AveragedAgain(manual.Linear):
    def backward(self, grad_output: Array) -> Array | None:
        below = super().backward(grad_output)
        self.gradients["weight"] = self.gradients["weight"] / len(grad_output)
        return below


class BiasOfTheFirstExample(manual.Linear):
    def backward(self, grad_output: Array) -> Array | None:
        below = super().backward(grad_output)
        self.gradients["bias"] = grad_output[0]
        return below


class BiasAveraged(manual.Linear):
    def backward(self, grad_output: Array) -> Array | None:
        below = super().backward(grad_output)
        self.gradients["bias"] = grad_output.mean(axis=0)
        return below


class StaleInput(manual.Linear):
    """The input of the batch before: right at the first step, where there was none."""

    last: Array | None = None

    def forward(self, x: Array) -> Array:
        z = super().forward(x)
        self.x, self.last = (self.x if self.last is None else self.last), x
        return z


class NeverZeroed(manual.Linear):
    def backward(self, grad_output: Array) -> Array | None:
        old = self.gradients.get("weight", 0)
        below = super().backward(grad_output)
        self.gradients["weight"] = self.gradients["weight"] + old
        return below


class OneElement(manual.Linear):
    """One element of the weight's gradient, the largest, is off by a thousandth."""

    def backward(self, grad_output: Array) -> Array | None:
        below = super().backward(grad_output)
        gradient = self.gradients["weight"]
        self.at = np.unravel_index(np.argmax(np.abs(gradient)), gradient.shape)
        gradient[self.at] *= gradient.dtype.type(1.001)
        return below


class ZeroGradient(manual.Linear):
    def backward(self, grad_output: Array) -> Array | None:
        below = super().backward(grad_output)
        self.gradients["weight"] = np.zeros_like(self.gradients["weight"])
        return below


class NaNGradient(manual.Linear):
    def backward(self, grad_output: Array) -> Array | None:
        below = super().backward(grad_output)
        self.gradients["weight"][4, 7] = np.nan
        return below


class ExamplesReversed(manual.Linear):
    def backward(self, grad_output: Array) -> Array | None:
        below = super().backward(grad_output)
        self.gradients["weight"] = grad_output.T @ self.x[::-1]
        return below


class UnitsSwapped(manual.Linear):
    def backward(self, grad_output: Array) -> Array | None:
        below = super().backward(grad_output)
        self.gradients["weight"] = self.gradients["weight"][::-1].copy()
        return below


class WeightReshaped(manual.Linear):
    """Reshaped where it should be transposed."""

    def backward(self, grad_output: Array) -> Array | None:
        super().backward(grad_output)
        weight = self.parameters["weight"]
        return grad_output @ np.ascontiguousarray(weight.T).reshape(weight.shape)


class FirstExampleAlone(manual.Linear):
    def backward(self, grad_output: Array) -> Array | None:
        below = super().backward(grad_output)
        if below is not None:
            below[1:] = 0
        return below


class NoBiasForward(manual.Linear):
    def forward(self, x: Array) -> Array:
        return super().forward(x) - self.parameters["bias"]


class SpoilsItsInput(manual.Linear):
    def forward(self, x: Array) -> Array:
        z = super().forward(x)
        x *= 0.5
        return z


class SpoilsItsGradient(manual.Sigmoid):
    def backward(self, grad_output: Array) -> Array:
        grad_output *= self.a * (1 - self.a)
        return grad_output


class LossDoubled(manual.SquaredError):
    def forward(self, prediction: Array, target: Array) -> Array:
        return 2 * super().forward(prediction, target)


class LossGradientDoubled(manual.SquaredError):
    def backward(self, grad_output: Any = 1) -> Array:
        return 2 * super().backward()


class LossGradientZero(manual.SquaredError):
    def backward(self, grad_output: Any = 1) -> Array:
        return np.zeros_like(self.difference)


class LossOfOneOutputTooFar(manual.SquaredError):
    """The targets stand one output to the right."""

    def targets(self, prediction: Array, target: Array) -> Array:
        return np.roll(super().targets(prediction, target), 1, axis=1)


@dataclass(frozen=True)
class Planted:
    name: str
    where: str
    make: Callable[[], Any]
    tensor: str
    stage: str
    operation: str
    step: int = 1

    def __str__(self) -> str:
        return self.name


def planted(kind: Any, where: str, tensor: str, operation: str, step: int = 1, stage: str = "") -> Planted:
    sizes = {"linear1": (784, 30), "linear2": (30, 10)}.get(where, ())
    stage = stage or operation.rpartition(".")[2]
    return Planted(f"{kind.__name__} in {where}", where, lambda: kind(*sizes), tensor, stage, operation, step)


MISTAKES = [
    planted(NoDerivative, "sigmoid1", "linear1.output.grad", "sigmoid1.backward"),
    planted(NoDerivative, "sigmoid2", "linear2.output.grad", "sigmoid2.backward"),
    planted(DerivativeAtTheInput, "sigmoid1", "linear1.output.grad", "sigmoid1.backward"),
    planted(WrongSign, "sigmoid2", "linear2.output.grad", "sigmoid2.backward"),
    planted(DerivativeTwice, "sigmoid1", "linear1.output.grad", "sigmoid1.backward"),
    planted(OneUnitTooMany, "sigmoid1", "linear1.output.grad", "sigmoid1.backward"),
    planted(Clipped, "sigmoid2", "sigmoid2.output", "sigmoid2.forward"),
    planted(HardSigmoid, "sigmoid1", "sigmoid1.output", "sigmoid1.forward"),
    planted(HalfPrecision, "sigmoid1", "sigmoid1.output", "sigmoid1.forward"),
    planted(SlightlyOff, "sigmoid2", "sigmoid2.output", "sigmoid2.forward"),
    planted(FromTheThirdStep, "sigmoid1", "sigmoid1.output", "sigmoid1.forward", step=3),
    planted(NaNForward, "sigmoid1", "sigmoid1.output", "sigmoid1.forward"),
    planted(InfiniteGradient, "sigmoid1", "linear1.output.grad", "sigmoid1.backward"),
    planted(AveragedAgain, "linear1", "linear1.weight.grad", "linear1.backward"),
    planted(BiasOfTheFirstExample, "linear2", "linear2.bias.grad", "linear2.backward"),
    planted(BiasAveraged, "linear1", "linear1.bias.grad", "linear1.backward"),
    planted(StaleInput, "linear1", "linear1.weight.grad", "linear1.backward", step=2),
    planted(StaleInput, "linear2", "linear2.weight.grad", "linear2.backward", step=2),
    planted(NeverZeroed, "linear1", "linear1.weight.grad", "linear1.backward", step=2),
    planted(OneElement, "linear1", "linear1.weight.grad", "linear1.backward"),
    planted(OneElement, "linear2", "linear2.weight.grad", "linear2.backward"),
    planted(ZeroGradient, "linear2", "linear2.weight.grad", "linear2.backward"),
    planted(NaNGradient, "linear2", "linear2.weight.grad", "linear2.backward"),
    planted(ExamplesReversed, "linear2", "linear2.weight.grad", "linear2.backward"),
    planted(UnitsSwapped, "linear1", "linear1.weight.grad", "linear1.backward"),
    planted(WeightReshaped, "linear2", "sigmoid1.output.grad", "linear2.backward"),
    planted(FirstExampleAlone, "linear2", "sigmoid1.output.grad", "linear2.backward"),
    planted(NoBiasForward, "linear1", "linear1.output", "linear1.forward"),
    planted(NoBiasForward, "linear2", "linear2.output", "linear2.forward"),
    planted(LossDoubled, "loss", "loss", "loss.forward", stage="loss"),
    planted(LossOfOneOutputTooFar, "loss", "loss", "loss.forward", stage="loss"),
    planted(LossGradientDoubled, "loss", "sigmoid2.output.grad", "loss.backward"),
    planted(LossGradientZero, "loss", "sigmoid2.output.grad", "loss.backward"),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_the_guilty_operation_is_named(mistake: Planted, dtype: str, small: Dataset) -> None:
    found = finding_with(small, {mistake.where: mistake.make()}, dtype)
    assert found.verdict is Verdict.DIVERGES
    assert (found.step, found.stage, found.tensor, found.operation) == (
        mistake.step, mistake.stage, mistake.tensor, mistake.operation,
    )  # fmt: skip
    assert found.last_agreeing == before(mistake.tensor)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_element_and_both_values_are_shown(dtype: str, small: Dataset) -> None:
    guilty = OneElement(784, 30)
    found = finding_with(small, {"linear1": guilty}, dtype)
    assert found.index == tuple(int(i) for i in guilty.at)
    assert found.manual is not None
    assert found.reference is not None
    assert found.error is not None
    assert found.bound is not None
    assert found.manual == pytest.approx(guilty.gradients["weight"][guilty.at])
    assert found.reference == pytest.approx(found.manual / 1.001, rel=1e-6)
    assert found.error == pytest.approx(abs(found.manual - found.reference), rel=1e-3)
    assert 0 < found.bound < found.error


def test_a_user_sees_it_through_compare_run(small_data: Dataset) -> None:
    outcome = compare.run("article", steps=2, batch_size=20, layers={"sigmoid1": WrongSign()})
    divergence = outcome.to_json()["divergence"]
    assert (outcome.verdict, outcome.exit_status) == (Verdict.DIVERGES, 1)
    assert divergence["operation"] == "sigmoid1.backward"
    assert divergence["step"] == outcome.to_json()["steps"] == 1


@pytest.mark.parametrize(("where", "kind"), [("linear2", SpoilsItsInput), ("sigmoid1", SpoilsItsGradient)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_layer_that_changes_what_it_is_given_is_named(where: str, kind: Any, dtype: str, small: Dataset) -> None:
    found = finding_with(small, {where: planted(kind, where, "", "").make()}, dtype)
    forward = kind is SpoilsItsInput
    assert found.verdict is Verdict.DIVERGES
    assert found.step == 1
    assert found.operation == f"{where}.{'forward' if forward else 'backward'}"
    assert found.tensor == ("sigmoid1.output" if forward else "sigmoid1.output.grad")


# ------------------------------------------------------------------------------------- results that cannot be compared


class Returns(manual.Sigmoid):
    """A sigmoid that ends with something else than it should."""

    def __init__(self, change: Callable[[Array], Any], forward: bool):
        self.change, self.changes_forward = change, forward

    def forward(self, z: Array) -> Any:
        a = super().forward(z)
        return self.change(a) if self.changes_forward else a

    def backward(self, grad_output: Array) -> Any:
        grad = super().backward(grad_output)
        return grad if self.changes_forward else self.change(grad)


def raising(_: Array) -> Any:
    raise ZeroDivisionError("as the user wrote it")


UNUSABLE: dict[str, Callable[[Array], Any]] = {
    "None": lambda _: None,
    "a list": lambda a: a.tolist(),
    "a number": lambda _: 0.5,
    "one column": lambda a: a[:, :1],
    "one row": lambda a: a[:1],
    "transposed": lambda a: a.T,
    "one dimension more": lambda a: a[None],
    "flattened": lambda a: a.ravel(),
    "another dtype": lambda a: a.astype(np.float16),
    "twice the precision": lambda a: a.astype(np.longdouble),
    "complex": lambda a: a.astype(np.complex128),
    "integers": lambda a: (100 * a).astype(int),
    "objects": lambda a: a.astype(object),
    "an exception": raising,
}


@pytest.mark.parametrize("where", ["sigmoid1", "sigmoid2"])
@pytest.mark.parametrize("forward", [True, False], ids=["forward", "backward"])
@pytest.mark.parametrize("what", UNUSABLE)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_cannot_be_compared_diverges_at_the_layer_that_made_it(
    dtype: str, what: str, forward: bool, where: str, small: Dataset
) -> None:
    found = finding_with(small, {where: Returns(UNUSABLE[what], forward)}, dtype)
    below = {"sigmoid1": "linear1", "sigmoid2": "linear2"}[where]
    assert found.verdict is Verdict.DIVERGES
    assert found.step == 1
    assert found.operation == f"{where}.{'forward' if forward else 'backward'}"
    assert found.tensor == (f"{where}.output" if forward else f"{below}.output.grad")
    assert found.reason


class OwnGradients(manual.Linear):
    def __init__(self, change: Callable[[dict[str, Array]], Any]):
        super().__init__(30, 10)
        self.change = change

    def backward(self, grad_output: Array) -> Array | None:
        below = super().backward(grad_output)
        self.gradients = self.change(self.gradients)
        return below


@pytest.mark.parametrize(
    ("change", "tensor"),
    [
        (lambda _: {}, "linear2.weight.grad"),
        (lambda g: {"weight": g["weight"]}, "linear2.bias.grad"),
        (lambda g: g | {"weight": None}, "linear2.weight.grad"),
        (lambda g: g | {"weight": g["weight"].T}, "linear2.weight.grad"),
        (lambda g: g | {"weight": g["weight"].astype(np.float16)}, "linear2.weight.grad"),
        (lambda g: g | {"bias": g["bias"][:, None]}, "linear2.bias.grad"),
        (lambda g: g | {"bias": g["bias"].tolist()}, "linear2.bias.grad"),
    ],
    ids=["none", "one missing", "None", "transposed", "another dtype", "a column", "a list"],
)
def test_gradients_that_cannot_be_compared_diverge_at_their_layer(change: Any, tensor: str, small: Dataset) -> None:
    found = finding_with(small, {"linear2": OwnGradients(change)})
    assert found.verdict is Verdict.DIVERGES
    assert (found.step, found.operation, found.tensor) == (1, "linear2.backward", tensor)


class LossReturns(manual.SquaredError):
    def __init__(self, change: Callable[[Array], Any], forward: bool):
        super().__init__()
        self.change, self.changes_forward = change, forward

    def forward(self, prediction: Array, target: Array) -> Any:
        value = super().forward(prediction, target)
        return self.change(value) if self.changes_forward else value

    def backward(self, grad_output: Any = 1) -> Any:
        gradient = super().backward()
        return gradient if self.changes_forward else self.change(gradient)


@pytest.mark.parametrize("what", ["None", "another dtype", "an exception", "complex"])
@pytest.mark.parametrize("forward", [True, False], ids=["forward", "backward"])
def test_a_loss_that_cannot_be_compared_diverges_at_the_loss(what: str, forward: bool, small: Dataset) -> None:
    found = finding_with(small, {"loss": LossReturns(UNUSABLE[what], forward)})
    assert found.verdict is Verdict.DIVERGES
    assert found.step == 1
    assert found.operation == f"loss.{'forward' if forward else 'backward'}"


@pytest.mark.parametrize("name", ["sigmoid3", "Sigmoid1", "linear1.weight"])
def test_a_layer_that_is_not_there_cannot_be_replaced(name: str, small: Dataset) -> None:
    with pytest.raises(compare.DescriptionError, match=name):
        Loop(article(), small, {name: manual.Sigmoid()})


@pytest.mark.parametrize("wrong", [manual.Sigmoid(), manual.Linear(30, 9), manual.Linear(30, 10, bias=False)], ids=repr)
def test_a_layer_with_other_parameters_is_refused_with_a_message(wrong: Any, small: Dataset) -> None:
    with pytest.raises(ValueError, match="linear2"):
        Loop(article(), small, {"linear2": wrong})


# --------------------------------------------------------------------------------- mistakes outside single operations


class Twice(manual.SGD):
    def step(self) -> None:
        super().step()
        super().step()


class Uphill(manual.SGD):
    def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
        return -super().direction(name, parameter, gradient)


class ForgetsTheBias(manual.SGD):
    def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
        direction = super().direction(name, parameter, gradient)
        return direction if name != "linear2.bias" else 0 * direction


class DecayTwice(manual.SGD):
    def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
        return super().direction(name, parameter, gradient) + self.weight_decay.get(name, 0.0) * parameter


class MomentumNotKept(manual.SGD):
    """The buffer starts anew at every step: right at the first."""

    def step(self) -> None:
        self.state = {}
        super().step()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("kind", "options", "step", "tensor"),
    [
        (Twice, {}, 1, "linear1.weight.updated"),
        (Uphill, {}, 1, "linear1.weight.updated"),
        (ForgetsTheBias, {}, 1, "linear2.bias.updated"),
        (DecayTwice, {"weight_decay": 0.01}, 1, "linear1.weight.updated"),
        (MomentumNotKept, {"momentum": 0.9}, 2, "sgd.linear1.weight.momentum_buffer"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_wrong_optimizer_is_found_in_the_update(
    kind: Any, options: dict[str, float], step: int, tensor: str, dtype: str, small: Dataset
) -> None:
    experiment = article(dtype=dtype).changed("optimizer", **options)
    loop = Loop(experiment, small)
    network = loop.manual.network
    loop.manual.optimizer = kind(network, **experiment.optimizer.options(list(network.parameters)))
    found = walk(loop)[-1].finding
    assert found is not None
    assert (found.verdict, found.step, found.stage, found.operation, found.tensor) == (
        Verdict.DIVERGES, step, "update", "optimizer.step", tensor,
    )  # fmt: skip
    state = [f"sgd.{name.removesuffix('.updated')}.momentum_buffer" for name in UPDATED]
    assert found.last_agreeing == before(tensor, ORDER + (state if options.get("momentum") else []) + UPDATED)


def test_a_wrong_learning_rate_on_one_side_is_found_in_the_update(small: Dataset) -> None:
    loop = Loop(article(), small)
    loop.manual.optimizer.lr *= 1.0001
    found = walk(loop)[-1].finding
    assert found is not None
    assert (found.step, found.stage, found.tensor) == (1, "update", "linear1.weight.updated")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("spoil", "tensor", "index"),
    [
        (lambda x, t: (np.where(np.arange(784) == 400, np.nextafter(x, x.dtype.type(9)), x), t), "input", None),
        (lambda x, t: (x * 2, t), "input", None),
        (lambda x, t: (x[::-1].copy(), t), "input", None),
        (lambda x, t: (x, np.where(np.arange(len(t)) == 3, (t + 1) % 10, t)), "target", (3,)),
        (lambda x, t: (x, t[::-1].copy()), "target", None),
    ],
    ids=["one pixel by one unit in the last place", "scaled", "examples reversed", "one label", "labels reversed"],
)
def test_other_data_on_one_side_are_found_in_the_data(
    spoil: Any, tensor: str, index: Any, dtype: str, small: Dataset
) -> None:
    loop = Loop(article(dtype=dtype), small)
    loss = loop.manual.network.loss
    loop.manual.network.loss = lambda x, target: loss(*spoil(x, target))
    found = walk(loop)[-1].finding
    assert found is not None
    assert (found.verdict, found.step, found.stage, found.tensor) == (Verdict.DIVERGES, 1, "data", tensor)
    assert index is None or found.index == index
    assert found.last_agreeing == before(tensor)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["linear1.weight", "linear1.bias", "linear2.bias"])
def test_other_parameters_at_the_start_are_found_there_with_their_values(name: str, dtype: str, small: Dataset) -> None:
    loop = Loop(article(dtype=dtype), small)
    parameter = loop.manual.network.parameters[name]
    at = tuple(size // 2 for size in parameter.shape)
    theirs = float(parameter[at])
    parameter[at] += parameter.dtype.type(1e-3)
    mine = float(parameter[at])
    found = walk(loop)[-1].finding
    assert found is not None
    assert (found.verdict, found.step, found.stage, found.tensor) == (Verdict.DIVERGES, 1, "parameters", name)
    assert (found.index, found.manual, found.reference) == (at, mine, theirs)
    assert found.error == pytest.approx(abs(mine - theirs))
    assert found.last_agreeing == before(name)


class SkipsALayer(manual.Network):
    """The backward pass forgets the hidden sigmoid."""

    def backward(self) -> dict[str, Array]:
        gradient = self.loss_function.backward()
        for name, layer in reversed(self.layers.items()):
            self.output_gradients[name] = gradient
            gradient = gradient if name == "sigmoid1" else layer.backward(gradient)
        self.gradients = {
            f"{name}.{key}": array
            for name, layer in self.layers.items() for key, array in getattr(layer, "gradients", {}).items()
        }  # fmt: skip
        return self.gradients


class BackwardInForwardOrder(manual.Network):
    """The updates are right, the gradients belong to the wrong layers' names."""

    def backward(self) -> dict[str, Array]:
        gradients = super().backward()
        gradients["linear1.bias"], gradients["linear2.bias"] = (
            np.resize(gradients["linear2.bias"], 30), np.resize(gradients["linear1.bias"], 10),
        )  # fmt: skip
        return gradients


class ForwardSkips(manual.Network):
    def forward(self, x: Array) -> list[Array]:
        outputs = super().forward(x)
        outputs[1] = outputs[0]
        return outputs


@pytest.mark.parametrize(
    ("kind", "stage", "tensor", "operation"),
    [
        (SkipsALayer, "backward", "linear1.output.grad", "sigmoid1.backward"),
        (BackwardInForwardOrder, "backward", "linear2.bias.grad", "linear2.backward"),
        (ForwardSkips, "forward", "sigmoid1.output", "sigmoid1.forward"),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_wrong_wiring_is_found_where_it_first_shows(
    kind: Any, stage: str, tensor: str, operation: str, dtype: str, small: Dataset
) -> None:
    loop = Loop(article(dtype=dtype), small)
    loop.manual.network.__class__ = kind
    found = walk(loop)[-1].finding
    assert found is not None
    assert (found.verdict, found.step) == (Verdict.DIVERGES, 1)
    assert (found.stage, found.tensor, found.operation) == (stage, tensor, operation)


class Steeper(torch.nn.Module):
    """Another function than the description says, on the reference's side."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(2 * z)


def other_lr(loop: Loop) -> None:
    loop.reference.optimizer.torch_optimizer.param_groups[0]["lr"] *= 2


def other_mean(loop: Loop) -> None:
    loop.reference.network.loss_function = reference.build_loss("SquaredError", {"reduction": "mean"})


def other_layer(loop: Loop) -> None:
    loop.reference.network.layers.sigmoid1 = Steeper()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("change", "stage", "tensor"),
    [
        (other_lr, "update", "linear1.weight.updated"),
        (other_mean, "loss", "loss"),
        (other_layer, "forward", "sigmoid1.output"),
    ],
)
def test_where_every_operation_is_right_the_fault_lies_between_them(
    change: Callable[[Loop], None], stage: str, tensor: str, dtype: str, small: Dataset
) -> None:
    loop = Loop(article(dtype=dtype), small)
    change(loop)
    found = walk(loop)[-1].finding
    assert found is not None
    assert (found.verdict, found.step, found.stage, found.tensor) == (Verdict.DIVERGES, 1, stage, tensor)
    assert "between the operations" in found.reason
    assert found.last_agreeing == before(tensor, ORDER + UPDATED)


@pytest.mark.parametrize("name", ["linear1.weight", "linear2.bias"])
def test_memory_that_both_sides_hold_is_never_agreement(name: str, small: Dataset) -> None:
    loop = Loop(article(), small)
    loop.reference.network.weights[name].data = torch.from_numpy(loop.manual.network.parameters[name])
    found = walk(loop)[-1].finding
    assert found is not None
    assert (found.verdict, found.step, found.tensor) == (Verdict.DIVERGES, 1, name)
    assert "memory" in found.reason


def test_a_mistake_between_two_audits_calls_the_audit(small: Dataset) -> None:
    class AtStepTen(manual.Sigmoid):
        calls = 0

        def backward(self, grad_output: Array) -> Array:
            self.calls += 1
            grad = super().backward(grad_output)
            return grad if self.calls < 10 else grad * (1 + 1e-11)

    found = finding_with(small, {"sigmoid1": AtStepTen()}, steps=20)
    assert (found.step, found.operation) == (10, "sigmoid1.backward")


# ----------------------------------------------------------------------------------------- correct code is left alone


# "both" is lockstep and a reference that trains apart: what lockstep by itself does otherwise, small networks show.
LOCKSTEP_ALONE = ("article", "article-one-layer", "article-cross-entropy", "relu")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("preset", "mode"),
    [(preset, mode) for preset in preset_names() for mode in ("both", "independent")]
    + [(preset, "lockstep") for preset in LOCKSTEP_ALONE],
)
def test_correct_networks_agree(preset: str, mode: str, dtype: str, small: Dataset) -> None:
    steps = 300 if preset.startswith("article") else 60 if preset in ("relu", "batchnorm", "adam") else 6  # large ones
    experiment = read_experiment(preset, changes_of(steps=steps, dtype=dtype, mode=mode, seed=11))
    seen = walk(Loop(experiment, small))
    assert len(seen) == steps
    assert not [step.finding for step in seen if step.finding]
    audited = [step.number for step in seen if step.checks]
    if mode == "independent":
        assert all(bool(step.errors) == (step.number == 1) for step in seen)
        assert audited == [1]
    else:
        assert all(step.errors for step in seen)
        assert {1, 2, 3, steps} <= set(audited)
    assert all(check.used <= 1 for step in seen for check in step.checks)


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_lockstep_every_step_starts_from_equal_weights_and_state_to_the_bit(dtype: str, small: Dataset) -> None:
    experiment = article(5, dtype=dtype).changed("optimizer", momentum=0.9, lr=0.5)
    loop, started = Loop(experiment, small), []
    loss = loop.reference.network.loss

    def at_the_start(x: Array, target: Array) -> float:
        mine, theirs = loop.manual.optimizer.trace(), loop.reference.optimizer.trace()
        started.append(list(theirs))
        for name, array in mine.items():
            np.testing.assert_array_equal(array, theirs[name], err_msg=name, strict=True)
        return loss(x, target)

    loop.reference.network.loss = at_the_start
    assert walk(loop)[-1].finding is None
    assert len(started) == 5
    assert all("sgd.linear1.weight.momentum_buffer" in names for names in started[1:])


def test_trained_apart_they_drift_and_it_is_reported(small: Dataset) -> None:
    loop = Loop(article(60, mode="both", dtype="float32", lr=1.0), small)
    drifts = [step.drift for step in loop if step.drift]
    assert {1, 2, 3, 5, 10, 20, 50, 60} <= {drift.step for drift in drifts}
    assert 0 < drifts[-1].parameters < 1e-3
    assert loop.free is not None
    for name, weight in loop.free.network.weights.items():
        assert not np.array_equal(weight.detach().numpy(), loop.initial[name])
    assert any(
        not np.array_equal(weight.detach().numpy(), loop.manual.network.parameters[name])
        for name, weight in loop.free.network.weights.items()
    )


ENDINGS = [  # hidden activation, last layer, losses that fit them
    ("Sigmoid", ["Sigmoid"], ("SquaredError", "MSELoss", "BCELoss")),
    ("Tanh", ["LogSoftmax"], ("NLLLoss",)),
    ("ReLU", [], ("CrossEntropyLoss", "SquaredError")),
]
CASES = [
    (hidden, last, kind, reduction)
    for hidden, last, losses in ENDINGS
    for kind in losses
    for reduction in (None, "sum", "mean", "batchmean")
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("hidden", "last", "kind", "reduction"), CASES)
def test_every_layer_loss_and_reduction_agrees(
    hidden: str, last: list[str], kind: str, reduction: str | None, dtype: str, small: Dataset
) -> None:
    layers = (
        Layer("Linear", arguments={"in_features": 784, "out_features": 9}),
        Layer(hidden),
        Layer("Linear", arguments={"in_features": 9, "out_features": 10, "bias": False}),
        *(Layer(name) for name in last),
    )
    loss = Loss(kind, {"reduction": reduction} if reduction else {})
    initial = Initial("xavier_uniform", "uniform", low=-0.5, high=0.5)
    optimizer = Optimizer(lr=0.01, momentum=0.9, weight_decay=1e-3, nesterov=loss.kind != "MSELoss")
    training = Training(steps=8, batch_size=7, dtype="float32" if dtype == "float32" else "float64", audit_every=1)
    steps = walk(Loop(Experiment("x", layers, "", loss, optimizer, initial, training=training), small))
    assert len(steps) == 8
    assert [step.finding for step in steps] == [None] * 8
    assert all(step.checks for step in steps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lr", [0.0, 1e-8, 100.0, 1e3, 1e6, 1e30])
@pytest.mark.parametrize("preset", ["article", "article-one-layer", "article-cross-entropy"])
def test_no_learning_rate_raises_a_false_alarm(preset: str, lr: float, dtype: str, small: Dataset) -> None:
    for seed in (3, 4):
        experiment = read_experiment(preset, changes_of(steps=40, dtype=dtype, mode="lockstep", seed=seed, lr=lr))
        last = walk(Loop(experiment, small))[-1]
        assert last.finding is None or last.finding.verdict is Verdict.INCONCLUSIVE, last.finding


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", ["lockstep", "both"])
def test_an_overflow_is_inconclusive_and_named_where_it_first_shows(mode: str, dtype: str, small: Dataset) -> None:
    experiment = read_experiment("relu", changes_of(steps=30, dtype=dtype, mode=mode, lr=1e6))
    last = walk(Loop(experiment, small))[-1]
    found = last.finding
    assert found is not None
    assert found.verdict is Verdict.INCONCLUSIVE
    order = list(last.manual)
    broken = [name for name in order if not np.isfinite(last.manual[name]).all()]
    assert found.tensor == broken[0]
    assert found.last_agreeing == order[order.index(broken[0]) - 1]
    assert broken[0] in found.reason
    assert ("nan" in found.reason) or ("inf" in found.reason)


def test_a_training_that_overflowed_unwatched_is_not_agreement(small_data: Dataset) -> None:
    outcome = compare.run("relu", steps=30, mode="independent", lr=1e6)
    assert outcome.verdict is not Verdict.AGREES


def test_nothing_compared_is_inconclusive() -> None:
    breach = structural_breach({}, {})
    assert breach is not None
    assert "nothing was compared" in breach.message
    assert Tally(article()).verdict is Verdict.INCONCLUSIVE


def test_the_exit_status_follows_the_verdict() -> None:
    assert {str(verdict): verdict.exit_status for verdict in Verdict} == {
        "AGREES": 0, "EXPLAINED": 0, "DIVERGES": 1, "INCONCLUSIVE": 3,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ the kinks


class TinyOfTheOtherSign(manual.Linear):
    """Rounds one pre-activation that is nearly 0 to the other side of 0 than the reference does."""

    theirs: float

    def forward(self, x: Array) -> Array:
        z = super().forward(x)
        z[5, 17] = -1e-16 if self.theirs > 0 else 1e-16
        return z


def on_a_kink(small: Dataset, steps: int = 1) -> Loop:
    """Return a loop whose unit 17 of the first layer has a pre-activation of about 0 for the example 5."""
    loop = Loop(read_experiment("relu", changes_of(steps=steps, mode="lockstep", batch_size=8)), small)
    (_, rows), *_ = batches(loop.experiment, len(small.train_images))
    x, _ = loop.batch(rows)
    parameters = dict(loop.manual.network.parameters)
    parameters["linear1.bias"][17] = -(x[5] @ parameters["linear1.weight"][17])
    loop.reference.network.load(parameters)
    layer = loop.manual.network.layers["linear1"]
    layer.__class__ = TinyOfTheOtherSign
    layer.theirs = loop.reference.network.layers[0](torch.from_numpy(x))[5, 17].item()
    assert abs(layer.theirs) < 1e-14
    return loop


def test_a_relu_on_its_kink_is_explained_with_the_unit(small: Dataset) -> None:
    loop = on_a_kink(small)
    (step,) = walk(loop)
    assert step.finding is None
    assert [(kink.step, kink.layer, kink.example, kink.unit) for kink in step.kinks] == [(1, "relu1", 5, 17)]
    assert 0 < abs(step.kinks[0].value) <= step.kinks[0].bound
    tally = Tally(loop.experiment)
    tally.add(step)
    assert tally.verdict is Verdict.EXPLAINED


def test_a_kink_excuses_nothing_else(small: Dataset) -> None:
    loop = on_a_kink(small)
    layer = loop.manual.network.layers["linear3"]
    right = layer.forward
    layer.forward = lambda x: right(x) * (1 + 1e-12)
    found = walk(loop)[-1].finding
    assert found is not None
    assert (found.verdict, found.operation) == (Verdict.DIVERGES, "linear3.forward")


def test_a_relu_on_the_wrong_side_far_from_its_kink_is_no_kink(small: Dataset) -> None:
    class LeaksOnce(manual.ReLU):
        def forward(self, z: Array) -> Array:
            a = super().forward(z)
            self.off[0, 0] = ~self.off[0, 0]
            a[0, 0] = 0 if self.off[0, 0] else z[0, 0]
            return a

    experiment = read_experiment("relu", changes_of(steps=2, mode="lockstep", batch_size=8))
    found = walk(Loop(experiment, small, {"relu1": LeaksOnce()}))[-1].finding
    assert found is not None
    assert (found.verdict, found.operation) == (Verdict.DIVERGES, "relu1.forward")


# -------------------------------------------------------------------------------------------- checks on the checkers
# Were the judge blind, the tests above would have to fail. Here it is blinded on purpose.


def located(mistake: Planted, small: Dataset) -> bool:
    """Whether the mistake is found and its operation named."""
    found = walk(Loop(article(), small, {mistake.where: mistake.make()}))[-1].finding
    return found is not None and (found.step, found.operation) == (mistake.step, mistake.operation)


def without_limits(experiment: Experiment, trace: Any, state_before: Any) -> dict[str, float]:
    """Return carried bounds that allow anything."""
    return dict.fromkeys(trace, math.inf)


SUBTLE = [m for m in MISTAKES if "NaN" not in m.name and "Infinite" not in m.name]


@pytest.mark.parametrize("mistake", SUBTLE[::4], ids=str)
def test_without_the_audit_the_guilty_operation_is_not_known(
    mistake: Planted, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert located(mistake, small)
    monkeypatch.setattr(Audit, "__call__", lambda *_: [])
    monkeypatch.setattr(verdict, "carried_bounds", without_limits)
    assert not located(mistake, small)


@pytest.mark.parametrize("mistake", SUBTLE[::4], ids=str)
def test_with_infinite_bounds_nothing_is_found(
    mistake: Planted, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare_check = Audit.compare

    def generous(self: Audit, tensor: str, where: Any, trace: Any, wanted: Array, allowed: Array, *rest: Any) -> Any:
        return compare_check(self, tensor, where, trace, wanted, np.full(np.shape(wanted), np.inf), *rest)

    monkeypatch.setattr(Audit, "compare", generous)
    monkeypatch.setattr(verdict, "carried_bounds", without_limits)
    assert not located(mistake, small)


def test_with_the_order_reversed_the_blame_falls_on_what_follows(
    small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake = next(m for m in MISTAKES if m.name == "HardSigmoid in sigmoid1")
    judge = verdict.Judge.judge

    def backwards(self: Any, step: int, network: Any, manual: Any, reference: Any, errors: Any, before: Any) -> Any:
        turned = {name: manual[name] for name in reversed(manual)}
        return judge(self, step, network, turned, reference, errors, before)

    assert located(mistake, small)
    monkeypatch.setattr(verdict.Judge, "judge", backwards)
    assert not located(mistake, small)


def test_with_the_step_check_asleep_a_mistake_between_two_audits_is_passed_until_the_next(
    small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AtStepTen(manual.Sigmoid):
        calls = 0

        def backward(self, grad_output: Array) -> Array:
            self.calls += 1
            return super().backward(grad_output) * (1 if self.calls < 10 else 2)

    monkeypatch.setattr(verdict, "TRIGGER", math.inf)
    assert finding_with(small, {"sigmoid1": AtStepTen()}, steps=20).step == 20


def test_the_audit_looks_at_the_recorded_input_not_at_the_layers_cache(small: Dataset) -> None:
    loop = Loop(article(1), small, {"linear1": StaleInput(784, 30)})
    with np.errstate(all="ignore"):
        (step,) = list(loop)
    assert step.finding is None  # at the first step it is right
    wrong = {name: np.array(array) for name, array in step.manual.items()}
    wrong["input"] = wrong["input"][::-1].copy()
    breaches = {check.tensor for check in loop.judge.audit(wrong, {}) if not check.agrees}
    assert {"linear1.output", "linear1.weight.grad"} <= breaches


def test_the_carried_bound_is_used_and_not_zero_or_infinite(small: Dataset) -> None:
    (step,) = walk(Loop(article(1), small))
    bounds = carried.carried_bounds(article(1), step.manual, {})
    computed = [name for name in step.manual if place(name).stage not in ("data", "parameters")]
    assert all(0 < bounds[name] < math.inf for name in computed)


# --------------------------------------------------------------------------------------------- the parts, one by one


@np.errstate(all="ignore")
def test_the_step_check_measures_in_units_of_u() -> None:
    check = StepCheck("float64")
    reference = np.full((3, 4), 2.0)
    assert check.error(reference.copy(), reference) == 0
    assert check.error(reference * (1 + 2.0**-52), reference) == pytest.approx(2)
    assert check.error(reference * 2, reference) == pytest.approx(2.0**53)
    assert check.error(np.asarray(3.0), np.asarray(2.0)) == pytest.approx(0.5 * 2.0**53)
    assert check.error(reference, 0 * reference) == math.inf
    assert check.error(0 * reference, 0 * reference) == 0
    assert math.isnan(check.error(np.full(2, np.nan), np.ones(2)))
    assert math.isnan(check.error(np.full(2, np.inf), np.full(2, np.inf)))
    assert check.error(np.array([1, 2]), np.array([1, 2])) == 0
    assert check.error(np.array([1, 2]), np.array([1, 3])) == math.inf


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e300])
@np.errstate(all="ignore")
def test_the_step_check_survives_squares_that_under_or_overflow(scale: float) -> None:
    reference = np.array([1.0, -2.0, 3.0]) * scale
    error = StepCheck("float64").error(reference * (1 + 1e-6), reference)
    assert error == pytest.approx(1e-6 * 2.0**53, rel=1e-6)


def test_traces_must_have_the_same_names_shapes_and_dtypes() -> None:
    array = np.ones((2, 3))
    right = {"a": array, "b": array}
    assert structural_breach(right, {name: value.copy() for name, value in right.items()}) is None
    wrong: dict[str, tuple[Any, Any, str]] = {
        "missing here": ({"a": array}, right, "b"),
        "missing there": (right, {"a": array}, "b"),
        "shape": (right, {"a": array, "b": array[:1]}, "b"),
        "transposed": (right, {"a": array, "b": array.T}, "b"),
        "dtype": (right, {"a": array.astype(np.float32), "b": array}, "a"),
        "no array": ({"a": None, "b": array}, right, "a"),
    }
    for what, (mine, theirs, tensor) in wrong.items():
        breach = structural_breach(mine, theirs)
        assert breach is not None, what
        assert breach.tensor == tensor, what
    assert shared_memory(right, {"a": array.copy(), "b": array[:, ::2]}) is not None
    assert shared_memory(right, {"a": array.copy(), "b": array.copy()}) is None


def test_the_gradient_of_a_layers_output_is_made_by_the_layer_that_follows() -> None:
    layers = ["linear1", "sigmoid1", "linear2"]
    tensors = ["linear1.output", "linear1.output.grad", "linear1.weight.grad", "linear2.output.grad", "sgd.a.b.c"]
    found = places(tensors, layers)
    assert found["linear1.output.grad"].operation == "sigmoid1.backward"
    assert found["linear2.output.grad"].operation == "loss.backward"
    assert found["linear1.weight.grad"].operation == "linear1.backward"
    assert found["linear1.output"].operation == "linear1.forward"
    assert found["sgd.a.b.c"].operation == "optimizer.step"


def test_every_tensor_that_a_step_computes_is_audited(small: Dataset) -> None:
    experiment = read_experiment("relu", changes_of(steps=2, mode="lockstep", batch_size=8))
    for step in Loop(experiment, small):  # one at a time: the next takes some of its tensors away
        computed = [name for name in step.manual if place(name).stage not in ("data", "parameters")]
        assert [check.tensor for check in step.checks] == computed
        assert set(step.errors) == set(step.manual)


def test_what_correct_code_shows_stays_far_below_the_trigger(small: Dataset) -> None:
    """Else the cheap check would ask for the expensive one at every step."""
    asked = 0
    for step in walk(Loop(article(200), small)):
        asked += max(step.errors.values()) > TRIGGER
    assert asked <= 10


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_the_difference_of_tensors_is_measured_where_its_squares_leave_the_range(size: float) -> None:
    """Else two networks that overflow together, all in agreement, would be called apart."""
    reference = np.array([[3.0, 0.0], [4.0, 1.0]]) * size
    assert difference(np.zeros((2, 2)), reference * [[1, 1], [1, 0]]) == pytest.approx(5 * size, rel=1e-15)
    assert difference(reference, reference) == 0
