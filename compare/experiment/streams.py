"""Everything random comes from one seed, through streams with names of their own.

A stream's numbers depend on the seed and its name alone: drawing more weights does not change the order of examples.
"""

import random
import zlib
from collections.abc import Iterator
from itertools import count, islice, repeat

import numpy as np

from compare.experiment.description import DescriptionError, Experiment, Initial
from compare.experiment.given import parameters_in_file
from manual import initializers


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the generator of the stream `name`: weights of a layer, order of the examples of an epoch, ..."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()),)))


def initial_parameters(experiment: Experiment, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return the initial parameters by name, for the network's `shapes` by name, in the experiment's dtype.

    They are drawn in float64 and rounded, so that a float32 run starts where the float64 run does; or read from the
    file that gives them.
    """
    if experiment.initial.is_given:
        return parameters_in_file(experiment.initial.file, shapes, experiment.training.dtype)
    initial, seed, parameters = experiment.initial, experiment.training.seed, {}
    own = own_parameters(experiment)
    for name, shape in shapes.items():
        if name in own:
            parameters[name] = own[name].astype(experiment.training.dtype)
            continue
        kind = initial.weight if name.endswith(".weight") else initial.bias
        try:
            drawn = draw(kind, initial, name, shapes, stream(seed, f"initial {name}"))
        except (ValueError, IndexError, KeyError):
            raise DescriptionError(
                f"initial: {kind} cannot draw {name} of shape {shape}: it needs a weight of at least two dimensions. "
                "Choose uniform, normal or zeros."
            ) from None
        parameters[name] = drawn.astype(experiment.training.dtype)
    return parameters


def own_parameters(experiment: Experiment) -> dict[str, np.ndarray]:
    """Return the parameters that the section [initial] does not speak of, as their layers' constructors make them.

    It speaks of linear layers, convolutions and layers of the user's own; a scale of ones, or the gates of an LSTM, are
    the affair of their classes.
    """
    own = {}
    for name, layer in experiment.leaves():
        if layer.kind not in ("Linear", "Conv2d") and ":" not in layer.kind:
            made = layer.build(stream(experiment.training.seed, f"initial {name}"))
            own |= {f"{name}.{key}": array for key, array in getattr(made, "parameters", {}).items()}
    return own


def draw(
    kind: str, initial: Initial, name: str, shapes: dict[str, tuple[int, ...]], rng: np.random.Generator
) -> np.ndarray:
    """Return the parameter `name` as the initializer `kind` draws it."""
    shape = shapes[name]
    match kind:
        case "zeros":
            return np.zeros(shape)
        case "uniform":
            return initializers.uniform(rng, shape, initial.low, initial.high)
        case "normal":
            return initializers.normal(rng, shape, initial.mean, initial.std)
        case "torch_default":  # weight and bias of a layer share the bound 1/sqrt(fan_in)
            limit = initializers.fans(shapes[name.rpartition(".")[0] + ".weight"])[0] ** -0.5
            return initializers.uniform(rng, shape, -limit, limit)
        case _:
            return getattr(initializers, kind)(rng, shape)


def batches(experiment: Experiment, examples: int, taken: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (epoch, indices) for every step: each epoch in its order, the last batch of one may be short.

    With `taken` those of the first so many steps are left out.
    """
    size, total = experiment.training.batch_size, count_steps(experiment, examples)
    per_epoch = -(-examples // size)
    walk = orders(experiment, examples, taken // per_epoch)
    order, ordered = np.arange(0), -1
    for step in range(taken, total):
        epoch, position = divmod(step, per_epoch)
        if epoch != ordered:
            order, ordered = next(walk), epoch
        yield epoch, order[position * size : (position + 1) * size]


def orders(experiment: Experiment, examples: int, first: int = 0) -> Iterator[np.ndarray]:
    """Yield the order in which each epoch walks through the examples, from the epoch `first` on, counted from 0."""
    training = experiment.training
    first += training.epochs_before
    match training.order:
        case "stored":
            yield from repeat(np.arange(examples))
        case "python-shuffle":
            yield from islice(python_shuffles(training.seed, examples), first, None)
        case _:
            for epoch in count(first):
                yield stream(training.seed, f"order of epoch {epoch}").permutation(examples)


def python_shuffles(seed: int, examples: int) -> Iterator[np.ndarray]:
    """Yield the orders that Python 2's random.shuffle made of a list, shuffled in place again and again.

    It drew j = int(random() * (i + 1)) for i from the last place down to 1; Python 3 draws j otherwise. The generator,
    random.Random(seed), is the same in both.
    """
    rng, order = random.Random(seed), list(range(examples))
    while True:
        for i in range(examples - 1, 0, -1):
            j = int(rng.random() * (i + 1))
            order[i], order[j] = order[j], order[i]
        yield np.array(order)


def order_of_epoch(experiment: Experiment, examples: int, epoch: int) -> np.ndarray:
    """Return the order in which an epoch, from 0, walks through the examples."""
    return next(orders(experiment, examples, epoch))


def count_steps(experiment: Experiment, examples: int) -> int:
    """Return how many steps `batches` yields."""
    return experiment.training.steps or experiment.training.epochs * -(-examples // experiment.training.batch_size)
