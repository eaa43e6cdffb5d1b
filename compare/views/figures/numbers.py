"""What the figures of manual/DERIVATION.md show: the page's two networks, and the first zero of the training set.

The weights are drawn as the page's examples draw them, in the same order from the same seed, so that a number in a
figure is the number in the text. Equations are those of the page.
"""

from dataclasses import dataclass

import numpy as np

from compare.experiment.datasets import load_mnist
from manual import Linear, Network, Sigmoid, SquaredError

ZERO, UNIT = 1, 21  # the image's place in the training set; the hidden unit whose error is taken apart


@dataclass(frozen=True)
class Numbers:
    """The numbers drawn."""

    image: np.ndarray  # (28, 28), 0 to 255
    output: np.ndarray  # (10,), of the network 784-10
    target: np.ndarray  # (10,)
    shares: np.ndarray  # (10,), delta_k w_kj for unit j of the network 784-30-10: the terms of (17)

    @property
    def difference(self) -> np.ndarray:
        """(5)."""
        return self.output - self.target


def numbers() -> Numbers:
    """Return what the figures show."""
    (images, _), _ = load_mnist()
    rng = np.random.default_rng(0)
    one = {"linear1.weight": rng.uniform(-1, 1, (10, 784)), "linear1.bias": rng.uniform(-1, 1, 10)}
    two = {"linear1.weight": rng.uniform(-1, 1, (30, 784)), "linear1.bias": rng.uniform(-1, 1, 30)}
    two |= {"linear2.weight": rng.uniform(-1, 1, (10, 30)), "linear2.bias": rng.uniform(-1, 1, 10)}
    x, target = images[ZERO].reshape(1, 784) / 255, np.eye(10)[[0]]
    single = trained_once([Linear(784, 10), Sigmoid()], one, x, target)
    hidden = trained_once([Linear(784, 30), Sigmoid(), Linear(30, 10), Sigmoid()], two, x, target)
    shares = hidden["linear2.output.grad"][0] * two["linear2.weight"][:, UNIT]
    return Numbers(images[ZERO], single["sigmoid1.output"][0], target[0], shares)


def trained_once(
    layers: list, parameters: dict[str, np.ndarray], x: np.ndarray, target: np.ndarray
) -> dict[str, np.ndarray]:
    """Return every named tensor of a forward and a backward pass."""
    network = Network(layers, SquaredError(), parameters)
    network.loss(x, target)
    network.backward()
    return dict(network.trace())
