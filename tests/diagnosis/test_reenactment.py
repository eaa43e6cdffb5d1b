"""Diagnosis from outside: wrong layers as a user writes them, handed to compare.run, and what the finding says.

Nothing here goes through the project's own planting: every mistake is a class of its own, with the formula written out.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import compare
import manual
from compare.agreement.verdict import Finding, Verdict
from compare.diagnosis.mistakes import CATALOGUE
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment, Layer, Loss, Optimizer, Training
from compare.lockstep.loop import Loop

Array = np.ndarray[Any, Any]
DTYPES = ["float64", "float32"]
N = 20  # the batch: unequal to the 30 hidden units, the 10 outputs, and no divisor of the 600 images but 30 times


# A user's own layers, right as they stand. Every mistake below changes one of their lines.


class MyLinear:
    def __init__(self, inputs: int, outputs: int):
        self.parameters: dict[str, Array] = {"weight": np.zeros((outputs, inputs)), "bias": np.zeros(outputs)}
        self.gradients: dict[str, Array] = {}

    @property
    def weight(self) -> Array:
        return self.parameters["weight"]

    def forward(self, x: Array) -> Array:
        self.x = x
        return x @ self.weight.T + self.parameters["bias"]

    def backward(self, delta: Array) -> Array:
        self.gradients["weight"] = self.weight_gradient(delta)
        self.gradients["bias"] = self.bias_gradient(delta)
        return self.input_gradient(delta)

    def weight_gradient(self, delta: Array) -> Array:
        return np.einsum("no,ni->oi", delta, self.x)

    def bias_gradient(self, delta: Array) -> Array:
        return np.add.reduce(delta, axis=0)

    def input_gradient(self, delta: Array) -> Array:
        return np.matmul(delta, self.weight)


class MySigmoid:
    def forward(self, z: Array) -> Array:
        self.z, self.a = z, 1 / (1 + np.exp(-z))
        return self.a

    def backward(self, delta: Array) -> Array:
        return delta * self.a * (1 - self.a)


class MyReLU:
    def forward(self, z: Array) -> Array:
        self.z = z
        return np.maximum(z, 0)

    def backward(self, delta: Array) -> Array:
        return delta * (self.z > 0)


class MySquaredError:
    """1/(2N) times the sum of squares."""

    def forward(self, prediction: Array, labels: Array) -> Any:
        self.apart = prediction - np.eye(prediction.shape[1], dtype=prediction.dtype)[labels]
        return np.sum(self.apart**2) / 2 / len(prediction)

    def backward(self) -> Array:
        return self.apart / len(self.apart)


class MyCrossEntropy:
    """Minus the mean log-softmax of the labels."""

    def forward(self, logits: Array, labels: Array) -> Array:
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        self.p, self.labels = e / e.sum(axis=1, keepdims=True), labels
        self.one_hot = np.eye(logits.shape[1], dtype=logits.dtype)[labels]
        return -np.mean(np.log(self.p[np.arange(len(labels)), labels]))

    def backward(self) -> Array:
        return (self.p - self.one_hot) / len(self.p)


def right_layers(preset: str) -> dict[str, Any]:
    sizes = {"article": (784, 30, 10), "article-cross-entropy": (784, 30, 10), "relu": (784, 256, 128, 10)}[preset]
    layers: dict[str, Any] = {}
    for i in range(1, len(sizes)):
        layers[f"linear{i}"] = MyLinear(sizes[i - 1], sizes[i])
        if i < len(sizes) - 1 or preset == "article":
            name = "relu" if preset == "relu" else "sigmoid"
            layers[f"{name}{i}"] = MyReLU() if preset == "relu" else MySigmoid()
    layers["loss"] = MySquaredError() if preset == "article" else MyCrossEntropy()
    return layers


def run(
    experiment: Experiment | str, layers: dict[str, Any] | None = None, begin: Any = None, **options: Any
) -> compare.Outcome:
    options = {"steps": 4, "mode": "lockstep", "batch_size": N} | options
    return compare.run(experiment, layers=layers, begin=begin, **options)


def diverged(
    experiment: Experiment | str, layers: dict[str, Any] | None = None, begin: Any = None, **options: Any
) -> Finding:
    outcome = run(experiment, layers, begin, **options)
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.exit_status == 1
    assert outcome.finding is not None
    return outcome.finding


def names(finding: Finding) -> list[str]:
    return [suspect["name"] for suspect in finding.suspects]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("preset", ["article", "article-cross-entropy", "relu"])
def test_a_users_own_right_layers_agree(preset: str, dtype: str, small_data: Dataset) -> None:
    """Else every divergence below could be that of the classes, not of the mistake."""
    outcome = run(preset, right_layers(preset), dtype=dtype)
    assert outcome.verdict in (Verdict.AGREES, Verdict.EXPLAINED)
    assert outcome.exit_status == 0


# Mistakes, each a class: what it changes, the name it must be given, the operation and the tensor it must be found at.


class DerivativeForgotten(MySigmoid):
    def backward(self, delta: Array) -> Array:
        return delta * 1.0


class DerivativeTwice(MySigmoid):
    def backward(self, delta: Array) -> Array:
        slope = self.a - self.a**2
        return delta * slope**2


class SlopeOfTheActivation(MySigmoid):
    def backward(self, delta: Array) -> Array:
        again = 1 / (1 + np.exp(-self.a))
        return delta * again * (1 - again)


class FormulaGivenZ(MySigmoid):
    def backward(self, delta: Array) -> Array:
        return delta * self.z * (1 - self.z)


class Ascending(MySigmoid):
    def backward(self, delta: Array) -> Array:
        return delta * self.a * (self.a - 1)


class BiasMean(MyLinear):
    def bias_gradient(self, delta: Array) -> Array:
        return delta.mean(axis=0)


class BiasTotal(MyLinear):
    def bias_gradient(self, delta: Array) -> Array:
        return np.zeros_like(self.parameters["bias"]) + delta.sum()


class BiasLoopOverwrites(MyLinear):
    def bias_gradient(self, delta: Array) -> Array:
        gradient = np.zeros_like(self.parameters["bias"])
        for row in delta:
            gradient = row
        return gradient


class BiasZero(MyLinear):
    def bias_gradient(self, delta: Array) -> Array:
        return self.parameters["bias"] * 0


class BiasNeverSummed(MyLinear):
    def bias_gradient(self, delta: Array) -> Array:
        return delta.copy()


class WeightLoopOverwrites(MyLinear):
    def weight_gradient(self, delta: Array) -> Array:
        gradient = np.zeros_like(self.weight)
        for row, x in zip(delta, self.x, strict=True):
            gradient = np.outer(row, x)
        return gradient


class WeightMean(MyLinear):
    def weight_gradient(self, delta: Array) -> Array:
        return np.sum([np.outer(row, x) for row, x in zip(delta, self.x, strict=True)], axis=0) / len(delta)


class Accumulates(MyLinear):
    """grad += ..., with nobody to set it to zero."""

    def weight_gradient(self, delta: Array) -> Array:
        self.piled_up = getattr(self, "piled_up", 0) + delta.T @ self.x
        return self.piled_up


class FirstBatchCached(MyLinear):
    """Caches its input only once, so that the second batch meets the first's."""

    def forward(self, x: Array) -> Array:
        self.x = getattr(self, "x", x)
        return x @ self.weight.T + self.parameters["bias"]


class Reshapes(MyLinear):
    """Keeps W^T for the forward pass and gets W back by a reshape."""

    def input_gradient(self, delta: Array) -> Array:
        transposed = self.weight.T.copy()
        return delta @ transposed.reshape(self.weight.shape)


class GradientReshaped(MyLinear):
    def weight_gradient(self, delta: Array) -> Array:
        return (self.x.T @ delta).ravel().reshape(self.weight.shape)


class Hasty(MyLinear):
    """Takes its own step of gradient descent before it passes the gradient on."""

    lr = 4.0

    def input_gradient(self, delta: Array) -> Array:
        return delta @ (self.weight - self.lr * self.gradients["weight"])


class WithoutWeights(MyLinear):
    def input_gradient(self, delta: Array) -> Array:
        return delta @ np.ones_like(self.weight)


class RandomFeedback(MyLinear):
    def input_gradient(self, delta: Array) -> Array:
        return delta @ np.random.default_rng(7).uniform(-1, 1, self.weight.shape).astype(delta.dtype)


class WithoutBias(MyLinear):
    def forward(self, x: Array) -> Array:
        self.x = x
        return x @ self.weight.T


class ClipsValues(MyLinear):
    def weight_gradient(self, delta: Array) -> Array:
        gradient = super().weight_gradient(delta)
        limit = np.quantile(np.abs(gradient), 0.9).astype(gradient.dtype)
        return np.minimum(np.maximum(gradient, -limit), limit)


class ClipsTheNorm(MyLinear):
    """To a norm of 0.02: a limit that someone typed."""

    def weight_gradient(self, delta: Array) -> Array:
        gradient = super().weight_gradient(delta)
        return gradient * min(1.0, 0.02 / float(np.sqrt(np.sum(gradient**2))))


class ClipsOneUnit(MyLinear):
    """To a limit that only one unit's gradient goes beyond, in several elements."""

    def weight_gradient(self, delta: Array) -> Array:
        gradient = super().weight_gradient(delta)
        limit = np.sort(np.abs(gradient).max(axis=1))[-2]
        assert (np.abs(gradient) > limit).sum() > 1
        return gradient.clip(-limit, limit)


class HalfPrecision(MyLinear):
    def weight_gradient(self, delta: Array) -> Array:
        return (delta.T @ self.x).astype(np.float16).astype(delta.dtype)


class SinglePrecision(MyLinear):
    """Computes in float32, and not only rounds the result to it."""

    def weight_gradient(self, delta: Array) -> Array:
        return (delta.astype(np.float32).T @ self.x.astype(np.float32)).astype(delta.dtype)


class SwapsUnits(MyLinear):
    def weight_gradient(self, delta: Array) -> Array:
        return super().weight_gradient(delta)[[1, 0, *range(2, delta.shape[1])]]


class LeakyBackward(MyReLU):
    def backward(self, delta: Array) -> Array:
        return np.where(self.z > 0, 1, 0.01).astype(delta.dtype) * delta


class MaskOfTheGradient(MyReLU):
    def backward(self, delta: Array) -> Array:
        return np.maximum(delta, 0)


class InvertedMask(MyReLU):
    def backward(self, delta: Array) -> Array:
        return delta * (self.z < 0)


class HalfLostBackward(MySquaredError):
    """d/da of (a - t)^2 / 2 taken for 2 (a - t)."""

    def backward(self) -> Array:
        return 2 * self.apart / len(self.apart)


class SumOfSquares(MySquaredError):
    """Not divided by N, in the derivative alone."""

    def backward(self) -> Array:
        return self.apart


class MeanOverAll(MySquaredError):
    """As numpy.mean of the squares, halved: divided by N K. Consistently, so that the loss is the first to show."""

    def forward(self, prediction: Array, labels: Array) -> Any:
        super().forward(prediction, labels)
        return np.mean(self.apart**2) / 2

    def backward(self) -> Array:
        return self.apart / self.apart.size


class TargetMinusPrediction(MySquaredError):
    def backward(self) -> Array:
        return -self.apart / len(self.apart)


class SigmoidsDerivative(MyCrossEntropy):
    def backward(self) -> Array:
        return (self.p - self.one_hot) * self.p * (1 - self.p) / len(self.p)


class DiagonalOnly(MyCrossEntropy):
    """dC/dp = -t/p, times p (1 - p): the rest of the Jacobian is forgotten."""

    def backward(self) -> Array:
        return -self.one_hot / self.p * self.p * (1 - self.p) / len(self.p)


class ProbabilityAlone(MyCrossEntropy):
    def backward(self) -> Array:
        return self.p / len(self.p)


class ShiftedLabel(MyCrossEntropy):
    """Labels counted from 1."""

    def backward(self) -> Array:
        gradient = self.p.copy()
        gradient[np.arange(len(self.labels)), (self.labels + 1) % 10] -= 1
        return gradient / len(gradient)


class Logarithm2(MyCrossEntropy):
    def forward(self, logits: Array, labels: Array) -> Array:
        super().forward(logits, labels)
        return -np.mean(np.log2(self.p[np.arange(len(labels)), labels]))


MADE = [
    ("activation-derivative-missing", "article", {"sigmoid1": DerivativeForgotten}, "linear1.output.grad"),
    ("activation-derivative-twice", "article", {"sigmoid1": DerivativeTwice}, "linear1.output.grad"),
    ("derivative-taken-of-activation", "article", {"sigmoid2": SlopeOfTheActivation}, "linear2.output.grad"),
    ("derivative-formula-with-pre-activation", "article", {"sigmoid1": FormulaGivenZ}, "linear1.output.grad"),
    ("activation-sign-flipped", "article", {"sigmoid2": Ascending}, "linear2.output.grad"),
    ("bias-gradient-averaged", "article", {"linear1": BiasMean}, "linear1.bias.grad"),
    ("bias-gradient-one-for-all", "article", {"linear2": BiasTotal}, "linear2.bias.grad"),
    ("bias-gradient-last-example", "article", {"linear1": BiasLoopOverwrites}, "linear1.bias.grad"),
    ("bias-gradient-zero", "article", {"linear2": BiasZero}, "linear2.bias.grad"),
    ("bias-gradient-never-summed", "article", {"linear1": BiasNeverSummed}, "linear1.bias.grad"),
    ("last-example-only", "article", {"linear1": WeightLoopOverwrites}, "linear1.weight.grad"),
    ("weight-gradient-averaged", "article", {"linear2": WeightMean}, "linear2.weight.grad"),
    ("gradient-not-zeroed", "article", {"linear2": Accumulates}, "linear2.weight.grad"),
    ("cache-of-previous-batch", "article", {"linear1": FirstBatchCached}, "linear1.weight.grad"),
    ("weight-reshaped-backward", "article", {"linear2": Reshapes}, "sigmoid1.output.grad"),
    ("weight-gradient-reshaped", "article", {"linear1": GradientReshaped}, "linear1.weight.grad"),
    ("updated-weight-used", "article", {"linear2": Hasty}, "sigmoid1.output.grad"),
    ("weight-forgotten", "article", {"linear2": WithoutWeights}, "sigmoid1.output.grad"),
    ("random-feedback-weights", "article", {"linear2": RandomFeedback}, "sigmoid1.output.grad"),
    ("bias-forgotten", "article", {"linear1": WithoutBias}, "linear1.output"),
    ("gradient-clipped-by-value", "article", {"linear2": ClipsValues}, "linear2.weight.grad"),
    ("gradient-clipped-by-value", "article", {"linear2": ClipsOneUnit}, "linear2.weight.grad"),
    ("gradient-clipped-by-norm", "article", {"linear2": ClipsTheNorm}, "linear2.weight.grad"),
    ("float16-in-weight-gradient", "article", {"linear2": HalfPrecision}, "linear2.weight.grad"),
    ("weight-gradient-units-swapped", "article", {"linear2": SwapsUnits}, "linear2.weight.grad"),
    ("relu-leaky-only-backward", "relu", {"relu2": LeakyBackward}, "linear2.output.grad"),
    ("relu-mask-from-gradient", "relu", {"relu1": MaskOfTheGradient}, "linear1.output.grad"),
    ("relu-mask-inverted", "relu", {"relu1": InvertedMask}, "linear1.output.grad"),
    ("delta-doubled", "article", {"loss": HalfLostBackward}, "sigmoid2.output.grad"),
    ("delta-summed-instead-of-averaged", "article", {"loss": SumOfSquares}, "sigmoid2.output.grad"),
    ("loss-divided-by-outputs", "article", {"loss": MeanOverAll}, "loss"),
    ("delta-sign-flipped", "article", {"loss": TargetMinusPrediction}, "sigmoid2.output.grad"),
    ("softmax-derivative-as-sigmoid", "article-cross-entropy", {"loss": SigmoidsDerivative}, "linear2.output.grad"),
    ("softmax-diagonal-only", "article-cross-entropy", {"loss": DiagonalOnly}, "linear2.output.grad"),
    ("delta-target-forgotten", "article-cross-entropy", {"loss": ProbabilityAlone}, "linear2.output.grad"),
    ("delta-label-shifted", "article-cross-entropy", {"loss": ShiftedLabel}, "linear2.output.grad"),
    ("loss-logarithm-base-2", "article-cross-entropy", {"loss": Logarithm2}, "loss"),
]


def built(preset: str, wrong: dict[str, type]) -> dict[str, Any]:
    right = right_layers(preset)
    made = {
        name: kind(*right[name].weight.shape[::-1]) if issubclass(kind, MyLinear) else kind()
        for name, kind in wrong.items()
    }
    return right | made


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "preset", "wrong", "tensor"), MADE, ids=[case[0] for case in MADE])
def test_a_users_mistake_is_found_and_named_first(
    name: str, preset: str, wrong: dict[str, type], tensor: str, dtype: str, small_data: Dataset
) -> None:
    finding = diverged(preset, built(preset, wrong), dtype=dtype)
    (guilty,) = wrong
    direction = "forward" if tensor in ("loss", f"{guilty}.output") else "backward"
    assert (finding.operation, finding.tensor) == (f"{guilty}.{direction}", tensor)
    assert names(finding)[:1] == [name]
    rivals = {other for other, mistake in CATALOGUE.items() if mistake.key == CATALOGUE[name].key}
    kind = {"linear": "Linear", "sigmoid": "Sigmoid", "relu": "ReLU"}.get(guilty.rstrip("12"), "")
    kind = kind or {"article": "SquaredError"}.get(preset, "CrossEntropyLoss")
    rivals = {other for other in rivals if kind in CATALOGUE[other].on}
    assert {part for one in names(finding) for part in one.split(" + ")} | set(finding.ruled_out) == rivals
    assert not set(names(finding)) & set(finding.ruled_out)


def test_the_step_is_that_of_the_effect(small_data: Dataset) -> None:
    """A pile of gradients and a stale cache show in the second step, not in the first."""
    for wrong in (Accumulates, FirstBatchCached):
        assert diverged("article", built("article", {"linear1": wrong})).step == 2
    assert diverged("article", built("article", {"linear1": BiasMean})).step == 1


def test_single_precision_inside_a_double_network(small_data: Dataset) -> None:
    finding = diverged("article", built("article", {"linear1": SinglePrecision}))
    assert finding.tensor == "linear1.weight.grad"
    assert names(finding)[0] == "float32-in-weight-gradient"
    assert run("article", built("article", {"linear1": SinglePrecision}), dtype="float32").verdict is Verdict.AGREES


# Mistakes that need more than one layer to be made


class Recording(MySigmoid):
    """Is asked for its z by the layer above."""


class AsksBelow(MyLinear):
    """Takes the pre-activation of the layer below for its input's values."""

    below: MySigmoid

    def weight_gradient(self, delta: Array) -> Array:
        return delta.T @ self.below.z


@pytest.mark.parametrize("dtype", DTYPES)
def test_pre_activation_for_activation(dtype: str, small_data: Dataset) -> None:
    layers = built("article", {"linear2": AsksBelow})
    layers["linear2"].below = layers["sigmoid1"]
    finding = diverged("article", layers, dtype=dtype)
    assert (finding.operation, finding.tensor) == ("linear2.backward", "linear2.weight.grad")
    assert names(finding)[0] == "pre-activation-in-weight-gradient"


def narrow(activation: str, *sizes: int, loss: str = "SquaredError", **optimizer: Any) -> Experiment:
    """An experiment on MNIST with hidden layers of these sizes."""
    widths, layers = (784, *sizes, 10), []
    for i in range(len(widths) - 1):
        layers.append(Layer("Linear", arguments={"in_features": widths[i], "out_features": widths[i + 1]}))
        if i < len(widths) - 2:
            layers.append(Layer(activation))
    options: dict[str, Any] = {"lr": 0.3} | optimizer
    given = Optimizer(**options)
    return Experiment("narrow", tuple(layers), loss=Loss(loss), optimizer=given, training=Training(epochs=2))


class ForgetsToTranspose(MyLinear):
    def input_gradient(self, delta: Array) -> Array:
        return delta @ self.weight.T


class ForwardNotTransposed(MyLinear):
    def forward(self, x: Array) -> Array:
        self.x = x
        return x @ self.weight + self.parameters["bias"]


class GradientTransposed(MyLinear):
    def weight_gradient(self, delta: Array) -> Array:
        return self.x.T @ delta


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("wrong", "name", "tensor"),
    [
        (ForgetsToTranspose, "weight-transposed-backward", "tanh1.output.grad"),
        (ForwardNotTransposed, "weight-not-transposed-forward", "linear2.output"),
        (GradientTransposed, "weight-gradient-transposed", "linear2.weight.grad"),
    ],
)
def test_a_transposition_that_a_square_weight_hides(
    wrong: type[MyLinear], name: str, tensor: str, dtype: str, small_data: Dataset
) -> None:
    finding = diverged(narrow("Tanh", 13, 13), {"linear2": wrong(13, 13)}, dtype=dtype)
    assert finding.tensor == tensor
    assert names(finding)[0] == name


class BiasAlongTheUnits(MyLinear):
    def bias_gradient(self, delta: Array) -> Array:
        return delta.sum(axis=1)


def test_a_sum_along_the_wrong_axis_that_a_batch_as_large_as_the_layer_hides(small_data: Dataset) -> None:
    finding = diverged(narrow("Tanh", 13), {"linear1": BiasAlongTheUnits(784, 13)}, batch_size=13)
    assert (finding.tensor, names(finding)[0]) == ("linear1.bias.grad", "bias-gradient-wrong-axis")


class MaskOfAnother(MyReLU):
    other: MyReLU

    def backward(self, delta: Array) -> Array:
        return delta * (self.other.z > 0)


class SlopeOfAnother(MySigmoid):
    other: MySigmoid

    def backward(self, delta: Array) -> Array:
        return delta * (self.other.a * (1 - self.other.a))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("kind", "right", "wrong", "name"),
    [
        ("ReLU", MyReLU, MaskOfAnother, "mask-of-wrong-layer"),
        ("Sigmoid", MySigmoid, SlopeOfAnother, "derivative-of-wrong-layer"),
    ],
)
def test_the_derivative_of_another_layer(
    kind: str, right: type, wrong: type, name: str, dtype: str, small_data: Dataset
) -> None:
    below, above = right(), wrong()
    above.other = below
    first, second = f"{kind.lower()}1", f"{kind.lower()}2"
    finding = diverged(narrow(kind, 14, 14), {first: below, second: above}, dtype=dtype)
    assert (finding.operation, finding.tensor) == (f"{second}.backward", "linear2.output.grad")
    assert names(finding)[0] == name


class HalvesItsInput(MyLinear):
    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        x /= 2
        return y


def test_a_layer_that_changes_its_input(small_data: Dataset) -> None:
    finding = diverged("article", built("article", {"linear2": HalvesItsInput}))
    assert (finding.operation, finding.tensor) == ("linear2.forward", "sigmoid1.output")
    assert names(finding) == ["input-changed-in-place"]


class DoublesSlope(MySigmoid):
    def backward(self, delta: Array) -> Array:
        return 2 * super().backward(delta)


class HalvesBoth(MyLinear):
    def weight_gradient(self, delta: Array) -> Array:
        return super().weight_gradient(delta) / 2

    def bias_gradient(self, delta: Array) -> Array:
        return super().bias_gradient(delta) / 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_two_mistakes_that_cancel_in_the_gradients_of_the_weights(dtype: str, small_data: Dataset) -> None:
    """All that an optimizer sees is right; who compares the weights' gradients alone sees nothing."""
    layers = built("article", {"linear1": HalvesBoth, "sigmoid1": DoublesSlope})
    finding = diverged("article", layers, dtype=dtype)
    assert (finding.operation, finding.tensor) == ("sigmoid1.backward", "linear1.output.grad")
    assert "cancelling-mistakes" in names(finding)[:2]
    alone = diverged("article", built("article", {"sigmoid1": DoublesSlope}), dtype=dtype)
    assert names(alone)[0] == "activation-gradient-doubled"
    assert "cancelling-mistakes" in alone.ruled_out


class ColumnAlone(MySquaredError):
    """Its derivative as a column: NumPy would spread it over all outputs without a word."""

    def backward(self) -> Array:
        return self.apart[:, :1] / len(self.apart)


class OneForAll(MySquaredError):
    def backward(self) -> Array:
        return np.asarray(self.apart.mean() / len(self.apart), self.apart.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("wrong", "shape"), [(ColumnAlone, "(20, 1)"), (OneForAll, "()")])
def test_nothing_is_broadcast(wrong: type, shape: str, dtype: str, small_data: Dataset) -> None:
    finding = diverged("article", built("article", {"loss": wrong}), dtype=dtype)
    assert (finding.operation, finding.tensor) == ("loss.backward", "sigmoid2.output.grad")
    assert f"shape {shape}" in finding.reason
    assert "(20, 10)" in finding.reason


# Pairs


class AveragedAndFlipped(MyLinear):
    def weight_gradient(self, delta: Array) -> Array:
        return -super().weight_gradient(delta) / len(delta)


class SummedTwiceTooLarge(MySquaredError):
    """N times too large, and the 1/2 lost."""

    def backward(self) -> Array:
        return 2 * self.apart


class TransposedAndDoubled(MyLinear):
    def weight_gradient(self, delta: Array) -> Array:
        return 2 * self.x.T @ delta


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("experiment", "guilty", "wrong", "pair"),
    [
        ("article", "linear2", AveragedAndFlipped, {"weight-gradient-averaged", "weight-gradient-sign-flipped"}),
        ("article", "loss", SummedTwiceTooLarge, {"delta-doubled", "delta-summed-instead-of-averaged"}),
        (narrow("Tanh", 13, 13), "linear2", TransposedAndDoubled,
         {"weight-gradient-transposed", "weight-gradient-doubled"}),
    ],
    ids=["averaged-and-flipped", "summed-and-doubled", "transposed-and-doubled"],
)  # fmt: skip
def test_a_pair_is_named(
    experiment: Any, guilty: str, wrong: type, pair: set[str], dtype: str, small_data: Dataset
) -> None:
    layers = built(experiment, {guilty: wrong}) if isinstance(experiment, str) else {guilty: wrong(13, 13)}
    finding = diverged(experiment, layers, dtype=dtype)
    assert set(names(finding)[0].split(" + ")) == pair
    assert not pair & set(finding.ruled_out)


# Mistakes in no catalogue: located all the same, and measured


class Ratio(MyLinear):
    def weight_gradient(self, delta: Array) -> Array:
        return 0.37 * super().weight_gradient(delta)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_ratio_that_no_mistake_accounts_for_is_measured(dtype: str, small_data: Dataset) -> None:
    finding = diverged("article", built("article", {"linear1": Ratio}), dtype=dtype)
    assert (finding.operation, finding.tensor) == ("linear1.backward", "linear1.weight.grad")
    assert finding.suspects == []
    assert finding.measured["ratio"] == pytest.approx(0.37, rel=1e-5)
    assert finding.measured["relative_error"] == pytest.approx(0.63, rel=1e-5)
    assert finding.measured["cosine"] == pytest.approx(1, rel=1e-5)
    weights = {name for name, m in CATALOGUE.items() if m.key == "weight" and "Linear" in m.on}
    assert set(finding.ruled_out) == weights


class SomeRowsAndColumns(MyLinear):
    """Rows 2 and 5, columns 3, 7 and 11 are off: six elements, each by an amount of its own."""

    def weight_gradient(self, delta: Array) -> Array:
        gradient = super().weight_gradient(delta)
        gradient[np.ix_([2, 5], [3, 7, 11])] += np.array([[1, 2, 4], [3, 5, 9]], delta.dtype) / 8
        return gradient


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_and_columns_that_are_touched_are_counted(dtype: str, small_data: Dataset) -> None:
    finding = diverged("article", built("article", {"linear2": SomeRowsAndColumns}), dtype=dtype)
    assert finding.suspects == []
    assert finding.measured["elements"] == [6, 300]
    assert finding.measured["rows"] == [2, 10]
    assert finding.measured["columns"] == [3, 30]
    assert finding.measured["rank_of_difference"] == 2
    assert finding.measured["ratio"] is None
    assert finding.index == (5, 11)


class OneElement(MyLinear):
    def weight_gradient(self, delta: Array) -> Array:
        gradient = super().weight_gradient(delta)
        gradient[4, 17] *= -3
        return gradient


class OneRow(MyLinear):
    def weight_gradient(self, delta: Array) -> Array:
        gradient = super().weight_gradient(delta)
        gradient[4] *= 1.7
        return gradient


class OneColumn(MyLinear):
    def weight_gradient(self, delta: Array) -> Array:
        gradient = super().weight_gradient(delta)
        gradient[:, 17] -= 1
        return gradient


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("wrong", "name", "counts"),
    [
        (OneElement, "one-element-wrong", {"elements": 1, "rows": 1, "columns": 1}),
        (OneRow, "one-row-wrong", {"elements": 30, "rows": 1, "columns": 30}),
        (OneColumn, "one-column-wrong", {"elements": 10, "rows": 10, "columns": 1}),
    ],
)
def test_one_element_row_or_column(
    wrong: type, name: str, counts: dict[str, int], dtype: str, small_data: Dataset
) -> None:
    finding = diverged("article", built("article", {"linear2": wrong}), dtype=dtype)
    assert names(finding) == [name]
    assert {key: finding.measured[key][0] for key in counts} == counts
    index = finding.index
    assert index is not None
    assert index[0] == 4 or wrong is OneColumn
    assert index[1] == 17 or wrong is OneRow


class Odd(MySigmoid):
    def backward(self, delta: Array) -> Array:
        return delta * np.cos(self.z) * self.a


class OddForward(MyLinear):
    def forward(self, x: Array) -> Array:
        return super().forward(x) * np.linspace(0.9, 1.1, len(x), dtype=x.dtype)[:, None]


class OddLoss(MySquaredError):
    def backward(self) -> Array:
        return self.apart**3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("guilty", "wrong", "operation", "tensor", "last_agreeing"),
    [
        ("sigmoid1", Odd, "sigmoid1.backward", "linear1.output.grad", "sigmoid1.output.grad"),
        ("linear2", OddForward, "linear2.forward", "linear2.output", "sigmoid1.output"),
        ("loss", OddLoss, "loss.backward", "sigmoid2.output.grad", "loss"),
    ],
)
def test_a_mistake_in_no_catalogue_is_located(
    guilty: str, wrong: type, operation: str, tensor: str, last_agreeing: str, dtype: str, small_data: Dataset
) -> None:
    layers = built("article", {guilty: wrong})
    finding = diverged("article", layers, dtype=dtype)
    assert (finding.operation, finding.tensor, finding.last_agreeing) == (operation, tensor, last_agreeing)
    assert finding.suspects == []
    assert finding.index is not None
    assert finding.manual != finding.reference
    assert finding.measured["relative_error"] > 1e-3


class OddInputGradient(MyLinear):
    def input_gradient(self, delta: Array) -> Array:
        return np.sin(9 * delta) @ self.weight + 0.01


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pair_whose_first_part_is_nothing_explains_nothing(dtype: str, small_data: Dataset) -> None:
    """The deltas of a softmax add up to 0 over the outputs: a weight forgotten gives zeros there, up to rounding."""
    layers = built("article-cross-entropy", {"linear2": OddInputGradient})
    finding = diverged("article-cross-entropy", layers, dtype=dtype)
    assert finding.tensor == "sigmoid1.output.grad"
    assert finding.suspects == []


class SlightlyOff(MyLinear):
    """Off by a relative `size`, of either sign: nothing that rounding to fewer digits would do."""

    size: float

    def weight_gradient(self, delta: Array) -> Array:
        gradient = super().weight_gradient(delta)
        signs = np.where(np.arange(gradient.size).reshape(gradient.shape) % 2, 1, -1)
        return (gradient * (1 + self.size * signs)).astype(gradient.dtype)


@pytest.mark.parametrize("size", [3e-2, 1e-3, 1e-5, 1e-9])
def test_a_small_mistake_is_not_taken_for_lost_precision(size: float, small_data: Dataset) -> None:
    layers = built("article", {"linear2": SlightlyOff})
    layers["linear2"].size = size
    finding = diverged("article", layers)
    assert finding.tensor == "linear2.weight.grad"
    assert finding.measured["relative_error"] == pytest.approx(size, rel=1e-3)
    assert finding.suspects == []


class CoarseInput(MyLinear):
    """Keeps its input in float32, and computes in float64 with it: the result has all the digits of a float64."""

    def forward(self, x: Array) -> Array:
        super().forward(x)
        self.x = x.astype(np.float32).astype(x.dtype)
        return x @ self.weight.T + self.parameters["bias"]


def test_precision_lost_on_the_way_is_not_ruled_out(small_data: Dataset) -> None:
    finding = diverged("article", built("article", {"linear2": CoarseInput}))
    assert finding.tensor == "linear2.weight.grad"
    assert 1e-9 < finding.measured["relative_error"] < 1e-7
    assert "float32-in-weight-gradient" not in finding.ruled_out
    assert "weight-gradient-doubled" in finding.ruled_out


# What is not a layer: the optimizer, the batch, the memory


def with_optimizer(kind: Callable[..., Any]) -> Callable[[Loop], None]:
    """What `begin` does to put an optimizer of the user's own into the manual side."""

    def begin(loop: Loop) -> None:
        right = loop.manual.optimizer
        options = {key: getattr(right, key) for key in ("lr", "momentum", "dampening", "nesterov", "weight_decay")}
        loop.manual.optimizer = kind(loop.manual.network, **options)

    return begin


class Optimizers:
    """Subclasses of manual.SGD, each with one wrong line."""

    class LearningRateTwice(manual.SGD):
        def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
            return self.lr * super().direction(name, parameter, gradient)

    class Ascent(manual.SGD):
        def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
            return -super().direction(name, parameter, gradient)

    class SkipsALayer(manual.SGD):
        def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
            right = super().direction(name, parameter, gradient)
            return right * 0 if name == "linear2.weight" else right

    class HalfDecay(manual.SGD):
        def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
            return gradient + self.weight_decay.get(name, 0.0) / 2 * parameter

    class DoubleDecay(manual.SGD):
        def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
            return gradient + 2 * self.weight_decay.get(name, 0.0) * parameter

    class DecaysBiases(manual.SGD):
        def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
            return gradient + max(self.weight_decay.values()) * parameter

    class Dampened(manual.SGD):
        def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
            self.dampening = self.momentum
            return super().direction(name, parameter, gradient)

    class VelocityLost(manual.SGD):
        def step(self) -> None:
            self.state.clear()
            super().step()

    class NoLookAhead(manual.SGD):
        def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
            super().direction(name, parameter, gradient)
            return self.state[f"{name}.momentum_buffer"]

    class RateInVelocity(manual.SGD):
        def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
            return super().direction(name, parameter, self.lr * gradient) / self.lr


DECAY = {"weight_decay": 0.05, "decays": "weights"}
WRONG_STEPS = [
    ("learning-rate-twice", Optimizers.LearningRateTwice, {}, "linear1.weight.updated", 1),
    ("update-adds", Optimizers.Ascent, {}, "linear1.weight.updated", 1),
    ("layer-never-updated", Optimizers.SkipsALayer, {}, "linear2.weight.updated", 1),
    ("weight-decay-halved", Optimizers.HalfDecay, DECAY, "linear1.weight.updated", 1),
    ("weight-decay-doubled", Optimizers.DoubleDecay, DECAY, "linear1.weight.updated", 1),
    ("weight-decay-on-biases", Optimizers.DecaysBiases, DECAY, "linear1.bias.updated", 1),
    ("momentum-damped", Optimizers.Dampened, {"momentum": 0.8}, "sgd.linear1.weight.momentum_buffer", 2),
    ("velocity-not-kept", Optimizers.VelocityLost, {"momentum": 0.8}, "sgd.linear1.weight.momentum_buffer", 2),
    ("nesterov-without-look-ahead", Optimizers.NoLookAhead, {"momentum": 0.8, "nesterov": True},
     "linear1.weight.updated", 1),
    ("learning-rate-in-velocity", Optimizers.RateInVelocity, {"momentum": 0.8},
     "sgd.linear1.weight.momentum_buffer", 1),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "kind", "options", "tensor", "step"), WRONG_STEPS, ids=[case[0] for case in WRONG_STEPS]
)
def test_a_wrong_optimizer(
    name: str, kind: type, options: dict[str, Any], tensor: str, step: int, dtype: str, small_data: Dataset
) -> None:
    finding = diverged(narrow("Tanh", 13, **options), begin=with_optimizer(kind), dtype=dtype)
    assert (finding.step, finding.stage, finding.operation) == (step, "update", "optimizer.step")
    assert finding.tensor == tensor
    assert names(finding)[0] == name


def feeding(change: Callable[[Array, Array], tuple[Array, Array]]) -> Callable[[Loop], None]:
    """What `begin` does to give the manual side other data."""

    def begin(loop: Loop) -> None:
        loss = loop.manual.network.loss
        loop.manual.network.loss = lambda x, target: loss(*change(x, target))

    return begin


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "change", "tensor"),
    [
        ("pixels-divided-by-256", lambda x, t: ((x * 255 / 256).astype(x.dtype), t), "input"),
        ("pixels-not-scaled", lambda x, t: (x * 255, t), "input"),
        ("pixels-centred", lambda x, t: (x * 2 - 1, t), "input"),
        ("labels-shifted-by-one", lambda x, t: (x, (t + 1) % 10), "target"),
        ("labels-shuffled-from-images", lambda x, t: (x, t[::-1].copy()), "target"),
        ("two-classes-swapped", lambda x, t: (x, np.where(t == 3, 5, np.where(t == 5, 3, t))), "target"),
    ],
)
def test_wrong_data(name: str, change: Any, tensor: str, dtype: str, small_data: Dataset) -> None:
    finding = diverged("article", begin=feeding(change), dtype=dtype)
    assert (finding.stage, finding.operation, finding.tensor) == ("data", "batch", tensor)
    assert names(finding)[0] == name


def test_memory_in_common_is_no_agreement(small_data: Dataset) -> None:
    def begin(loop: Loop) -> None:
        for name, weight in loop.reference.network.weights.items():
            weight.data = torch.from_numpy(loop.manual.network.parameters[name])

    finding = diverged("article", begin=begin)
    assert names(finding) == ["reference-shares-memory"]
    assert finding.tensor == "linear1.weight"
