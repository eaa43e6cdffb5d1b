"""Nielsen's recipes against their own text: an independent loop in the book's form, and mistakes that must show."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compare.experiment.datasets import Dataset, load_mnist
from compare.experiment.description import Experiment
from compare.experiment.examples import load_examples
from compare.lockstep.loop import Loop
from compare.published import nielsen
from compare.published.runs import Runs

STEPS = 300
SAME = 1e-11
DEFAULT, LARGE = nielsen.EXPERIMENTS["default"], nielsen.EXPERIMENTS["large"]
Pairs = list[tuple[np.ndarray, int]]


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def shuffle(pairs: Pairs, generator: random.Random) -> None:
    for i in range(len(pairs) - 1, 0, -1):
        j = int(generator.random() * (i + 1))
        pairs[i], pairs[j] = pairs[j], pairs[i]


def step(weights: Any, biases: Any, batch: Pairs, n: int) -> tuple[Any, Any]:
    """One mini-batch, in the book's form: columns, sums over the batch, weights that are shrunk before the update."""
    eta, decay, m = 0.1, 5.0, len(batch)
    x = np.array([image for image, _ in batch]).T
    y = np.eye(10)[[label for _, label in batch]].T
    hidden = sigmoid(weights[0] @ x + biases[0])
    delta = sigmoid(weights[1] @ hidden + biases[1]) - y
    below = (weights[1].T @ delta) * hidden * (1 - hidden)
    sums = [below @ x.T, delta @ hidden.T]
    weights = [(1 - eta * decay / n) * w - eta / m * g for w, g in zip(weights, sums, strict=True)]
    totals = [below.sum(axis=1, keepdims=True), delta.sum(axis=1, keepdims=True)]
    return weights, [b - eta / m * g for b, g in zip(biases, totals, strict=True)]


def draws(steps: int) -> dict[str, list[Any]]:
    """Return weights and biases of both networks, drawn as the recipe has it, and their first `steps` batches."""
    (images, labels), _ = load_mnist()
    pairs = [
        (image, int(label))
        for image, label in zip(images[:50_000].reshape(-1, 784) / 256, labels[:50_000], strict=True)
    ]
    random_, numbers = random.Random(12345678), np.random.RandomState(12345678)
    made: dict[str, list[Any]] = {}
    for name in ("default", "large"):
        biases = [numbers.randn(30, 1), numbers.randn(10, 1)]
        weights = [numbers.randn(30, 784), numbers.randn(10, 30)]
        if name == "default":
            weights = [w / np.sqrt(w.shape[1]) for w in weights]
        for _ in range(1 if name == "default" else 30):
            shuffle(pairs, random_)
        batches = [pairs[n : n + 10] for n in range(0, 10 * steps, 10)]
        made[name] = [weights, biases, batches]
    return made


@pytest.fixture(scope="module")
def book() -> dict[str, list[Any]]:
    return draws(STEPS)


def wanted(book: dict[str, list[Any]], name: str, steps: int) -> list[np.ndarray]:
    weights, biases, batches = book[name]
    for batch in batches[:steps]:
        weights, biases = step(weights, biases, batch, 50_000)
    return [weights[0], biases[0][:, 0], weights[1], biases[1][:, 0]]


def trained(experiment: Experiment, initial: Any, steps: int) -> list[np.ndarray]:
    experiment = experiment.changed("training", steps=steps)
    loop = Loop(experiment, load_examples(experiment.data), initial=initial)
    assert all(step.finding is None for step in loop)
    return list(loop.manual.network.parameters.values())


def apart(found: list[np.ndarray], right: list[np.ndarray]) -> float:
    return max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in zip(found, right, strict=True))


def test_the_first_network_is_that_of_the_recipe(book: dict[str, list[Any]]) -> None:
    assert apart(trained(DEFAULT, nielsen.drawn()["default"], STEPS), wanted(book, "default", STEPS)) < SAME


def test_the_second_goes_on_in_both_streams(book: dict[str, list[Any]]) -> None:
    # The book's 31st shuffle, after the first network's 30, is the second's first; `draws` has made 1 + 30.
    assert apart(trained(LARGE, nielsen.drawn()["large"], 20), wanted(book, "large", 20)) < SAME


WRONG = {
    "pixels by 255": (replace(DEFAULT, data=replace(DEFAULT.data, divisor=255.0)), "default"),
    "decay on biases": (DEFAULT.changed("optimizer", decays="all"), "default"),
    "no decay": (DEFAULT.changed("optimizer", weight_decay=0.0), "default"),
    "decay of all 60,000": (DEFAULT.changed("optimizer", weight_decay=5.0 / 60_000), "default"),
    "all images train": (replace(DEFAULT, data=replace(DEFAULT.data, train=0, score_on="test")), "default"),
    "an order of its own": (DEFAULT.changed("training", order="shuffled"), "default"),
    "another seed": (DEFAULT.changed("training", seed=1), "default"),
    "mean over outputs, too": (
        replace(DEFAULT, loss=replace(DEFAULT.loss, arguments={"reduction": "mean"})),
        "default",
    ),
    "shuffles from scratch": (LARGE.changed("training", epochs_before=0), "large"),
    "one shuffle too few": (LARGE.changed("training", epochs_before=29), "large"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_another_recipe_is_another_network(book: dict[str, list[Any]], mistake: str) -> None:
    experiment, name = WRONG[mistake]
    assert apart(trained(experiment, nielsen.drawn()[name], 20), wanted(book, name, 20)) > 1e3 * SAME


def test_initial_parameters_drawn_anew_are_others() -> None:
    again = np.random.RandomState(nielsen.SEED)
    again.randn(40)
    assert not np.allclose(nielsen.drawn()["large"]["linear1.weight"], again.randn(30, 784))


def test_counts_are_of_the_images_held_out_after_each_epoch(
    small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole reproduction on a few images: what an independent loop counts is met, and one more is not."""
    described = {
        name: replace(e, data=replace(e.data, train=450)).changed("training", epochs=2, epochs_before=2 * n)
        for n, (name, e) in enumerate(nielsen.EXPERIMENTS.items())
    }
    x, labels = small_data.train_images.reshape(600, 784) / 256, small_data.train_labels
    pairs = [(image, int(label)) for image, label in zip(x[:450], labels[:450], strict=True)]
    generator, source, counts = random.Random(nielsen.SEED), nielsen.figures("nielsen"), list[int]()
    for name, initial in nielsen.drawn().items():
        weights = [initial["linear1.weight"], initial["linear2.weight"]]
        biases = [initial["linear1.bias"][:, None], initial["linear2.bias"][:, None]]
        counts = source["weight initialization, 784-30-10"][name] = []
        for _ in range(2):
            shuffle(pairs, generator)
            for n in range(0, 450, 10):
                weights, biases = step(weights, biases, pairs[n : n + 10], 50_000)
            answers = weights[1] @ sigmoid(weights[0] @ x[450:].T + biases[0]) + biases[1]
            counts.append(int((answers.argmax(axis=0) == labels[450:]).sum()))
    monkeypatch.setattr(nielsen, "figures", lambda _: source)
    monkeypatch.setattr(nielsen, "EXPERIMENTS", described)
    assert nielsen.weight_initialization(Runs("nielsen-initialization")).met
    counts[1] += 1
    found = nielsen.weight_initialization(Runs("nielsen-initialization"))
    assert ([c.met for c in found.comparisons], found.met) == ([True, True, True, False], False)
