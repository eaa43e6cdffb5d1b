"""How far a training step of manual's is from the machine's limit: the matrix products alone, through NumPy's BLAS.

They are those that the step needs, layer by layer: X W^T forward, dW = delta^T X, and dX = delta W for all layers but
the first. Their inputs stream through different batches, so that the caches hold as little of them as of the step's.
Twice: as NumPy's BLAS is usually called, its results into arrays made beforehand; and as manual calls it, a large
product cut into small ones.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from compare.benchmark.contestants.by_hand import by_manual
from compare.benchmark.contestants.contestant import Contestant
from compare.benchmark.networks import DTYPES, describe, sizes_of
from compare.benchmark.rounds import compared, take_turns
from compare.benchmark.selection import Selection
from compare.benchmark.step import walk
from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from manual.products import product

NETWORKS, BATCHES = ("784-100-10", "784-256-128-10"), (64, 512)
AT_MOST = 1.35
ROUNDS, QUICK_ROUNDS, SECONDS, QUICK_SECONDS = 25, 3, 0.05, 0.002
POOL = 64 * 2**20  # bytes of inputs to stream through: more than the caches hold


def measure_limit(dataset: Dataset, quick: bool, selection: Selection) -> list[dict[str, Any]]:
    """Return how many times longer manual's step takes than its matrix products alone, case by case."""
    rows = []
    for network in [name for name in selection.networks(NETWORKS) if name in NETWORKS]:
        for batch in selection.batches(BATCHES):
            for dtype in selection.dtypes(DTYPES):
                selection.tell(f"limit: {network}, batch {batch}, {dtype}")
                experiment = describe(network, batch, dtype)
                contestants = {
                    "manual": by_manual(experiment, dataset),
                    "products": products(experiment, dataset, layer_products),
                    "products, cut": products(experiment, dataset, cut_products),
                }
                length = QUICK_SECONDS if quick else SECONDS
                walks = {name: walk(each, experiment, dataset, length) for name, each in contestants.items()}
                take_turns(walks, 1)  # not counted
                seconds = take_turns(walks, QUICK_ROUNDS if quick else ROUNDS)
                case, where = f"{network}, batch {batch}, {dtype}", {"network": network, "batch": batch, "dtype": dtype}
                for other in ("products", "products, cut"):
                    own = {name: seconds[name] for name in ("manual", other)}
                    rows.append(compared(case, own, "manual", other, {"at_most": AT_MOST}) | where)
    return rows


Multiply = Callable[[np.ndarray], None]


def products(
    experiment: Experiment, dataset: Dataset, layer: Callable[[bool, np.ndarray, np.ndarray, np.ndarray], Multiply]
) -> Contestant:
    """Return what computes the matrix products of a step at every turn, and nothing else; `layer` those of a layer."""
    size, dtype = experiment.training.batch_size, experiment.training.dtype
    images, labels = dataset.train_images, dataset.train_labels
    itemsize = np.dtype(dtype).itemsize
    count = max(2, min(len(images) // size, POOL // (size * 784 * itemsize)))
    pool = [take_batch(images, labels, slice(i * size, (i + 1) * size), dtype)[0] for i in range(count)]
    rng, sizes = np.random.default_rng(1), sizes_of(experiment)
    layers = [
        layer(number == 0, *(rng.standard_normal(shape).astype(dtype) for shape in shapes))
        for number, (inputs, outputs) in enumerate(sizes)
        for shapes in [((size, inputs), (outputs, inputs), (size, outputs))]
    ]
    taken = iter(range(2**62))

    def step(_: np.ndarray) -> None:
        x = pool[next(taken) % count]
        for multiply in layers:
            multiply(x)

    return Contestant(step, list)


def layer_products(first: bool, own: np.ndarray, weight: np.ndarray, delta: np.ndarray) -> Multiply:
    """Return the products of one linear layer; the first takes the batch it is given, and no dX."""
    z, slope, upstream = np.empty_like(delta), np.empty_like(weight), np.empty_like(own)

    def multiply(batch: np.ndarray) -> None:
        x = batch if first else own
        np.matmul(x, weight.T, out=z)
        np.matmul(delta.T, x, out=slope)
        if not first:
            np.matmul(delta, weight, out=upstream)

    return multiply


def cut_products(first: bool, own: np.ndarray, weight: np.ndarray, delta: np.ndarray) -> Multiply:
    """Return the same products as manual's linear layer takes them."""

    def multiply(batch: np.ndarray) -> None:
        x = batch if first else own
        product(x, weight.T)
        product(delta.T, x)
        if not first:
            product(delta, weight)

    return multiply
