"""Kinks of LeakyReLU and of MaxPool2d: near-ties that rounding decides are explained, and excuse nothing beside them.

A pooling's tie is made of symmetry: in an image that is its own mirror image, under kernels that are their own, the two
columns in the middle come out equal but for the order in which their sums were added up.
"""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

import compare
import manual
from compare.agreement.verdict import Verdict
from compare.experiment import datasets
from compare.experiment.datasets import Dataset
from compare.experiment.description import Data, Experiment, Layer, Loss, Optimizer, Training
from compare.lockstep.loop import Loop, Step
from tests.diagnosis.test_kinks import EXAMPLE, Kinked, run
from tests.diagnosis.test_kinks import experiment as with_relu

Array = np.ndarray[Any, Any]
DTYPES = ["float32", "float64"]
MIDDLE = 6  # the window over the columns 12 and 13 of 26


def leaky(dtype: str, **arguments: Any) -> Experiment:
    """784-12-10 with a LeakyReLU."""
    given = with_relu(dtype)
    return replace(given, layers=(given.layers[0], Layer("LeakyReLU", arguments=arguments), given.layers[2]))


@pytest.mark.parametrize("arguments", [{}, {"negative_slope": 0.3}, {"negative_slope": -0.5}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_kink_of_a_leaky_relu_is_explained(dtype: str, arguments: dict[str, Any], small_data: Dataset) -> None:
    kinked = Kinked(2)
    outcome = run(kinked, leaky(dtype, **arguments))
    assert outcome.verdict is Verdict.EXPLAINED
    found = [(k.step, k.layer, k.example, k.unit) for k in outcome.tally.kinks]
    assert found == [(2, "leakyrelu1", EXAMPLE, unit) for unit in kinked.units]
    assert all(0 < max(abs(k.value), abs(k.reference)) <= k.bound < 0.1 for k in outcome.tally.kinks)


class Steeper(manual.LeakyReLU):
    def backward(self, grad_output: Array) -> Array:
        return np.where(super().backward(grad_output) == grad_output, grad_output, 0.02 * grad_output)


class Threshold(manual.LeakyReLU):
    """On from 0.02 instead of from 0, forward and backward alike."""

    def forward(self, z: Array) -> Array:
        return np.where(z <= 0.02, 0.01 * z, z).astype(z.dtype) + 0 * super().forward(z)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_wrong_slope_beside_a_kink_diverges(dtype: str, small_data: Dataset) -> None:
    kinked = Kinked(1)
    outcome = run(kinked, leaky(dtype), {"leakyrelu1": Steeper(0.01)})
    assert kinked.units
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.finding is not None
    assert (outcome.finding.operation, outcome.finding.tensor) == ("leakyrelu1.backward", "linear1.output.grad")
    assert outcome.tally.kinks == []


@pytest.mark.parametrize("dtype", DTYPES)
def test_sides_that_are_wrong_away_from_0_are_never_explained(dtype: str, small_data: Dataset) -> None:
    given = leaky(dtype).changed("training", steps=30, batch_size=20)
    outcome = compare.run(given, layers={"leakyrelu1": Threshold(0.01)})
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.finding is not None
    assert outcome.finding.operation == "leakyrelu1.forward"


# Pooling


class Backwards(manual.Conv2d):
    """Adds the pixels under a 3 x 3 kernel up one after the other, from the last to the first."""

    def forward(self, x: Array) -> Array:
        y, weight = np.zeros_like(super().forward(x)), self.parameters["weight"]
        for i, j in reversed(list(product(range(3), range(3)))):
            y += weight[:, :1, i, j, None] * x[:, :, i : i + 26, j : j + 26]
        return y + self.parameters["bias"][:, None, None]


def pooled(dtype: str, **pooling: Any) -> Experiment:
    """A convolution with two kernels of 3 x 3, pooling over 2 x 2, and a linear layer; three examples a step."""
    layers = (
        Layer("Conv2d", arguments={"in_channels": 1, "out_channels": 2, "kernel_size": 3}),
        Layer("MaxPool2d", arguments={"kernel_size": 2} | pooling),
        Layer("Flatten"),
        Layer("Linear", arguments={"in_features": 338, "out_features": 10}),
    )
    training = Training(steps=1, batch_size=3, dtype=dtype, mode="lockstep")  # pyright: ignore[reportArgumentType]
    return Experiment(
        "tied", layers, loss=Loss("CrossEntropyLoss"), optimizer=Optimizer(lr=0.1), training=training,
        data=Data(form="image"),
    )  # fmt: skip


@pytest.fixture
def mirrored(monkeypatch: pytest.MonkeyPatch, small: Dataset) -> None:
    """Random images that are their own mirror images, without a blank pixel."""
    half = np.random.default_rng(8).integers(1, 255, (60, 28, 14)).astype(np.uint8)
    images = np.concatenate([half, half[:, :, ::-1]], axis=2)
    data = replace(small, train_images=images, train_labels=small.train_labels[:60])
    monkeypatch.setattr(datasets, "load", lambda *_: data)


def make_symmetric(loop: Loop) -> None:
    """Make the kernels their own mirror images."""
    weight = loop.manual.network.parameters["conv2d1.weight"]
    weight[..., 2] = weight[..., 0]
    loop.reference.network.load(loop.manual.network.parameters)


def pool(given: Experiment, **layers: Any) -> tuple[compare.Outcome, list[Step]]:
    """Return the outcome of a step with ties, and copies of that step."""
    steps: list[Step] = []

    def keep(step: Step) -> None:
        copies = {k: {n: np.array(a) for n, a in getattr(step, k).items()} for k in ("manual", "reference")}
        steps.append(replace(step, **copies))

    made = {"conv2d1": Backwards(1, 2, 3)} | layers
    return compare.run(given, layers=made, begin=make_symmetric, watchers=[keep]), steps


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tie_in_a_window_is_explained_and_listed(dtype: str, mirrored: None) -> None:
    outcome, (step,) = pool(pooled(dtype))
    assert outcome.verdict is Verdict.EXPLAINED
    assert outcome.exit_status == 0
    assert outcome.tally.kinks
    columns = {side: trace["conv2d1.output"][..., 12:14] for side, trace in vars(step).items() if side in SIDES}
    for kink in outcome.tally.kinks:
        assert (kink.step, kink.layer, kink.unit % 13) == (1, "maxpool2d1", MIDDLE)
        assert kink.value >= 0 >= kink.reference  # each side's own winner is the larger one there
        assert 0 < max(kink.value, -kink.reference) <= kink.bound < 0.01
        channel, row = kink.unit // 169, kink.unit % 169 // 13
        winners = {
            side: int(np.argmax(window[kink.example, channel, 2 * row : 2 * row + 2]))
            for side, window in columns.items()
        }
        assert winners["manual"] != winners["reference"]
        assert winners["manual"] // 2 == winners["reference"] // 2  # in the same row: the mirror image of each other


SIDES = ("manual", "reference")


class Shared(manual.MaxPool2d):
    """Gives every pixel of a window a quarter of the gradient."""

    def backward(self, grad_output: Array) -> Array:
        super().backward(grad_output)
        return np.repeat(np.repeat(grad_output, 2, axis=-2), 2, axis=-1) / 4


class SecondInOneWindow(manual.MaxPool2d):
    """Takes the smallest pixel of one window, forward and backward alike."""

    def choose(self, x: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
        chosen, (smallest, negative) = super().choose(x, shape), super().choose(-x, shape)
        chosen[0][1, 0, 3, 2], chosen[1][1, 0, 3, 2] = smallest[1, 0, 3, 2], -negative[1, 0, 3, 2]
        return chosen


class Doubled(manual.Linear):
    def backward(self, grad_output: Array) -> Array | None:
        gradient = super().backward(grad_output)
        self.gradients["weight"] = 2 * self.gradients["weight"]
        return gradient


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("layers", "tensor"),
    [
        ({"maxpool2d1": Shared(2)}, "conv2d1.output.grad"),
        ({"maxpool2d1": SecondInOneWindow(2)}, "maxpool2d1.output"),
        ({"linear1": Doubled(338, 10)}, "linear1.weight.grad"),
    ],
    ids=str,
)
def test_a_mistake_beside_a_tie_diverges(layers: dict[str, Any], tensor: str, dtype: str, mirrored: None) -> None:
    outcome, _ = pool(pooled(dtype), **layers)
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.tally.kinks == []
    assert outcome.finding is not None
    assert (outcome.finding.step, outcome.finding.tensor) == (1, tensor)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_reference_that_pools_otherwise_beside_a_tie_diverges(dtype: str, mirrored: None) -> None:
    """No operation is wrong by itself, and the ties do not account for what the reference does in all windows."""

    def average(loop: Loop) -> None:
        make_symmetric(loop)
        loop.reference.network.layers[1] = torch.nn.AvgPool2d(2)

    outcome = compare.run(pooled(dtype), layers={"conv2d1": Backwards(1, 2, 3)}, begin=average)
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.tally.kinks == []
    assert outcome.finding is not None
    assert outcome.finding.tensor == "maxpool2d1.output"


def test_without_symmetry_there_is_no_tie(mirrored: None) -> None:
    outcome = compare.run(pooled("float64"), layers={"conv2d1": Backwards(1, 2, 3)})
    assert outcome.verdict is Verdict.AGREES
    assert outcome.tally.kinks == []
