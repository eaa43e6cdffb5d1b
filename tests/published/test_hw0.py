"""hw0's recipes against their own text: an independent loop in its layout, (in, out), and mistakes that must show."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compare.experiment.datasets import Dataset, load_mnist
from compare.experiment.description import Experiment
from compare.experiment.examples import load_examples
from compare.lockstep.loop import Loop
from compare.published import hw0
from compare.published.epochs import AtEpochEnds, trained_alone
from compare.published.runs import Runs

STEPS, BATCH, RATE = 300, 100, 0.2
SAME = 1e-11  # of float64, after so many steps; a mistake is orders of magnitude beyond


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The images of the first batches as they are to be given, and their labels."""
    (images, labels), _ = load_mnist()
    return images[: STEPS * BATCH].reshape(-1, 784).astype(np.float64) / 255, labels[: STEPS * BATCH]


def softmax_minus_target(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return p


def regression(x: np.ndarray, y: np.ndarray, steps: int, theta: np.ndarray) -> np.ndarray:
    """Softmax regression, theta (in, out), from the recipe's text."""
    for n in range(0, steps * BATCH, BATCH):
        x_n, y_n = x[n : n + BATCH], y[n : n + BATCH]
        theta -= RATE * (x_n.T @ softmax_minus_target(x_n @ theta, y_n)) / BATCH
    return theta


def two_layers(x: np.ndarray, y: np.ndarray, steps: int, w1: np.ndarray, w2: np.ndarray) -> list[np.ndarray]:
    """Two layers with a ReLU between them, from the recipe's text."""
    for n in range(0, steps * BATCH, BATCH):
        x_n, y_n = x[n : n + BATCH], y[n : n + BATCH]
        z1 = np.maximum(x_n @ w1, 0)
        g2 = softmax_minus_target(z1 @ w2, y_n)
        g1 = (z1 > 0) * (g2 @ w2.T)
        w1, w2 = w1 - RATE * (x_n.T @ g1) / BATCH, w2 - RATE * (z1.T @ g2) / BATCH
    return [w1, w2]


def trained(experiment: Experiment, initial: Any = None, steps: int = STEPS) -> list[np.ndarray]:
    """Return the weights, (in, out), after so many steps in float64."""
    experiment = experiment.changed("training", dtype="float64", steps=steps)
    initial = {name: array.astype(np.float64) for name, array in initial.items()} if initial else None
    loop = Loop(experiment, load_examples(experiment.data), initial=initial)
    assert all(step.finding is None for step in loop)
    return [weight.T for weight in loop.manual.network.parameters.values()]


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def test_the_regression_is_that_of_the_recipe(digits: tuple[np.ndarray, np.ndarray]) -> None:
    (weight,) = trained(hw0.SOFTMAX)
    assert apart(weight, regression(*digits, STEPS, np.zeros((784, 10)))) < SAME
    assert hw0.SOFTMAX.training.dtype == "float32"


@pytest.mark.parametrize(
    "wrong",
    [
        replace(hw0.SOFTMAX, data=replace(hw0.SOFTMAX.data, divisor=256.0)),
        hw0.SOFTMAX.changed("training", order="shuffled"),
        hw0.SOFTMAX.changed("training", batch_size=99),
        hw0.SOFTMAX.changed("optimizer", weight_decay=1e-4),
    ],
    ids=["divisor", "shuffled", "batch", "decay"],
)
def test_another_recipe_is_another_network(digits: tuple[np.ndarray, np.ndarray], wrong: Experiment) -> None:
    (weight,) = trained(wrong, steps=30)
    assert apart(weight, regression(*digits, 30, np.zeros((784, 10)))) > 1e6 * SAME


def test_the_hidden_layer_is_that_of_the_recipe(digits: tuple[np.ndarray, np.ndarray]) -> None:
    np.random.seed(0)
    w1 = np.random.randn(784, 100).astype(np.float32) / np.float32(10)
    w2 = np.random.randn(100, 10).astype(np.float32) / np.sqrt(np.float32(10))
    wanted = two_layers(*digits, 60, w1.astype(np.float64), w2.astype(np.float64))
    initial = hw0.drawn(100)
    found = trained(hw0.with_hidden(100, 1), initial, 60)
    assert max(apart(a, b) for a, b in zip(found, wanted, strict=True)) < SAME
    assert {array.dtype.name for array in initial.values()} == {"float32"}


def test_hidden_units_in_another_order_are_the_same_network(small_data: Dataset) -> None:
    x = small_data.test_images[:50].reshape(50, 784).astype(np.float32) / 255
    initial = hw0.drawn(hw0.WIDE)
    outputs = [
        np.maximum(x @ p["linear1.weight"].T, 0) @ p["linear2.weight"].T for p in (initial, hw0.reordered(initial, 3))
    ]
    assert not np.array_equal(hw0.reordered(initial, 3)["linear1.weight"], initial["linear1.weight"])
    assert np.allclose(*outputs, rtol=1e-5, atol=1e-5)


def scores(theta: np.ndarray, images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    z = images.reshape(len(images), 784).astype(np.float32) / np.float32(255) @ theta
    loss = float(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]))
    return round(loss, 5), round(float(np.mean(z.argmax(axis=1) != labels)), 5)


def test_figures_are_those_of_the_whole_sets_after_each_epoch(
    small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = small_data.train_images.reshape(600, 784).astype(np.float32) / np.float32(255)
    theta, rows = np.zeros((784, 10), np.float32), []
    for epoch in range(2):
        theta = regression(x, small_data.train_labels, 6, theta)
        train = scores(theta, small_data.train_images, small_data.train_labels)
        rows.append([epoch, *train, *scores(theta, small_data.test_images, small_data.test_labels)])
    source = hw0.figures("hw0")
    source["softmax regression 784-10"]["rows"] = rows
    monkeypatch.setattr(hw0, "figures", lambda _: source)
    monkeypatch.setattr(hw0, "SOFTMAX", hw0.SOFTMAX.changed("training", epochs=2))
    assert [c.met for c in hw0.softmax(Runs("hw0-softmax")).comparisons] == [True] * 8
    rows[1][3] += 1e-5  # the last digit of one
    found = hw0.softmax(Runs("hw0-softmax"))
    assert ([c.met for c in found.comparisons].index(False), found.met) == (6, False)


def test_epochs_are_measured_alike_in_lockstep_and_alone(small_data: Dataset) -> None:
    experiment, initial = hw0.with_hidden(12, 3), hw0.drawn(12)
    ends = AtEpochEnds(hw0.measured(experiment))
    Runs("twelve").run(experiment, "twelve", initial=initial, begin=ends.begin, watchers=[ends])
    assert len(ends.measured) == 3
    assert ends.measured == trained_alone(experiment, small_data, initial, hw0.measured(experiment))
