"""hw0 of dlsyscourse: softmax regression, and a network with one hidden layer, in float32 and in the stored order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment, Initial, Layer, Loss, Optimizer, Training
from compare.experiment.examples import load_examples
from compare.published.comparison import Comparison, as_printed, band, within
from compare.published.epochs import AtEpochEnds, Score, score_of, trained_alone
from compare.published.reproduction import Reproduction, Table
from compare.published.runs import Runs
from compare.published.source import figures

EPOCHS, WIDE, NARROW = 10, 400, 100
DECIMALS = 5  # of the losses and errors that the source prints
COLUMNS = ("train loss", "train error", "test loss", "test error")
PERMUTATIONS = 4  # of the hidden units
Parameters = dict[str, np.ndarray]


def linear(inputs: int, outputs: int) -> Layer:
    """Return a layer of the source's, without biases."""
    return Layer("Linear", arguments={"in_features": inputs, "out_features": outputs, "bias": False})


def described(name: str, layers: tuple[Layer, ...], initial: Initial, epochs: int) -> Experiment:
    """Return an experiment with what all recipes of the source have in common."""
    training = Training(epochs=epochs, batch_size=100, dtype="float32", mode="lockstep", order="stored")
    optimizer = Optimizer("SGD", lr=0.2)
    return Experiment(
        name, layers, loss=Loss("CrossEntropyLoss"), optimizer=optimizer, initial=initial, training=training
    )


SOFTMAX = described("hw0-784-10", (linear(784, 10),), Initial("zeros", "zeros"), EPOCHS)


def with_hidden(hidden: int, epochs: int) -> Experiment:
    """Return the experiment of the network with so many hidden units."""
    layers = (linear(784, hidden), Layer("ReLU"), linear(hidden, 10))
    return described(f"hw0-784-{hidden}-10", layers, Initial("given"), epochs)


def drawn(hidden: int) -> Parameters:
    """Return the initial weights: drawn as (in, out), and each divided by the root of its columns, in float32."""
    rng = np.random.RandomState(0)
    first, second = rng.randn(784, hidden), rng.randn(hidden, 10)
    return {
        "linear1.weight": (first.astype(np.float32) / np.float32(np.sqrt(hidden))).T.copy(),
        "linear2.weight": (second.astype(np.float32) / np.float32(np.sqrt(10))).T.copy(),
    }


@dataclass(frozen=True)
class Measured:
    """What the network is worth at the end of an epoch, on all training and on all test images, and its weights."""

    train: Score
    test: Score
    norms: tuple[float, ...]  # of the weights, in order

    @property
    def row(self) -> tuple[float, ...]:
        """The figures under COLUMNS."""
        return self.train.loss, self.train.error, self.test.loss, self.test.error


def measured(experiment: Experiment) -> Any:
    """Return the function that measures a network of the experiment's."""

    def measure(network: Any, dataset: Dataset) -> Measured:
        train = score_of(network, dataset.train_images, dataset.train_labels, experiment)
        test = score_of(network, dataset.test_images, dataset.test_labels, experiment)
        return Measured(train, test, tuple(float(np.linalg.norm(w)) for w in network.parameters.values()))

    return measure


def watched(runs: Runs, experiment: Experiment, initial: Parameters | None = None) -> list[Measured]:
    """Run the experiment in lockstep; return what the manual network is worth after each epoch."""
    ends = AtEpochEnds(measured(experiment))
    runs.run(experiment, experiment.name, initial=initial, begin=ends.begin, watchers=[ends])
    return ends.measured


def printed(epoch: int, theirs: Mapping[str, float], ours: Measured) -> list[Comparison]:
    """Return the comparisons of an epoch's figures with those that the source prints."""
    pairs = zip(COLUMNS, ours.row, strict=True)
    return [as_printed(f"epoch {epoch}, {what}", theirs[what], value, DECIMALS) for what, value in pairs]


def softmax(runs: Runs) -> Reproduction:
    """Return the 40 figures of the softmax regression beside ours."""
    source, made = figures("hw0"), []
    published = source["softmax regression 784-10"]
    for row, ours in zip(published["rows"], watched(runs, SOFTMAX), strict=True):
        theirs = dict(zip(published["columns"], row, strict=True))
        made += printed(theirs["epoch"], theirs, ours)
    return Reproduction(
        name="hw0-softmax",
        source=source["source"],
        recipe=(source["common recipe"], published["recipe"]),
        differs=(),
        comparisons=tuple(made),
        runs=tuple(runs.made),
    )


def two_layers(runs: Runs) -> Reproduction:
    """Return the figures of both networks with a hidden layer beside ours, and what rounding makes of the last."""
    source = figures("hw0")
    tested, shown = source["two layers 784-100-10"], source["two layers 784-400-10"]
    narrow = watched(runs, with_hidden(NARROW, 1), drawn(NARROW))[0]
    wide = watched(runs, with_hidden(WIDE, EPOCHS), drawn(WIDE))
    others = alike_but_for_rounding(runs)
    first, last = ({way: course[epoch] for way, course in others.items()} for epoch in (0, -1))
    return Reproduction(
        name="hw0-two-layers",
        source=source["source"],
        recipe=(source["common recipe"], f"784-100-10: {tested['recipe']}", f"784-400-10: {shown['recipe']}"),
        differs=(
            "Tensors are summed in another order than in the source's program, whose order is not published. float32 "
            "rounds each order otherwise, and the ReLUs make more of the difference with every step. How far that "
            "moves the figures is measured below, by networks that differ in nothing else. What is judged of "
            "784-400-10 may differ by half a unit of the last digit that the source prints, and by that.",
        ),
        comparisons=(
            *within_its_tests(tested, narrow),
            *as_printed_but_for_rounding(shown["epoch 0"], wide[0], first),
            *at_the_end(shown["epoch 9"], wide[-1], last),
        ),
        runs=tuple(runs.made),
        explanation=(
            spread_table("first", shown["epoch 0"], wide[0], first),
            spread_table("last", shown["epoch 9"], wide[-1], last),
        ),
    )


def within_its_tests(published: Mapping[str, Any], ours: Measured) -> list[Comparison]:
    """Return the comparisons with the tolerances of the source's own tests."""
    pairs = {"norm W1": ours.norms[0], "norm W2": ours.norms[1]}
    made = [within(what, published[what], x, relative=1e-5, of="the source's test") for what, x in pairs.items()]
    pairs = {"train loss": ours.train.loss, "train error": ours.train.error}
    return made + [
        within(f"784-100-10, {what}", published[what], x, relative=1e-4, absolute=1e-4, of="the source's test")
        for what, x in pairs.items()
    ]


def alike_but_for_rounding(runs: Runs) -> dict[str, list[Measured]]:
    """Return the course of the 784-400-10 network, by how it was trained otherwise: nothing but rounding differs.

    Its hidden units in another order are the same network: only sums over them are taken in that order. In float64 the
    rounding is 2^29 times finer.
    """
    experiment, initial = with_hidden(WIDE, EPOCHS), drawn(WIDE)
    dataset, courses = load_examples(experiment.data), {}
    ways = {
        f"hidden units in order {n + 1} of {PERMUTATIONS}": (experiment, reordered(initial, n))
        for n in range(PERMUTATIONS)
    }
    exact = experiment.changed("training", dtype="float64")
    ways["in float64"] = (exact, {name: array.astype(np.float64) for name, array in initial.items()})
    for way, (changed, parameters) in ways.items():

        def show(step: int, way: str = way) -> None:
            runs.show(f"{runs.name}: {way}, step {step:,}")

        courses[way] = trained_alone(changed, dataset, parameters, measured(changed), show)
    return courses


def reordered(parameters: Parameters, seed: int) -> Parameters:
    """Return the same network with its hidden units in another order."""
    order = np.random.default_rng(seed).permutation(WIDE)
    first, second = parameters.values()
    return dict(zip(parameters, (first[order], np.ascontiguousarray(second[:, order])), strict=True))


def ranges(ours: Measured, others: Mapping[str, Measured]) -> dict[str, tuple[float, float]]:
    """Return the least and the largest of each figure over correct trainings that differ in rounding alone."""
    rows = [m.row for m in (ours, *others.values())]
    return {what: (min(values), max(values)) for what, values in zip(COLUMNS, zip(*rows, strict=True), strict=True)}


def as_printed_but_for_rounding(
    theirs: Mapping[str, float], ours: Measured, others: Mapping[str, Measured]
) -> list[Comparison]:
    """Return the first epoch's figures beside theirs, as near as the print and rounding let them be."""
    half, made = 0.5 * 10.0**-DECIMALS, []
    for value, (what, (low, high)) in zip(ours.row, ranges(ours, others).items(), strict=True):
        of = f"half of the last digit printed, and the {high - low:.2g} that rounding alone changes"
        made.append(within(f"epoch 0, {what}", theirs[what], value, absolute=half + high - low, of=of))
    return made


def at_the_end(theirs: Mapping[str, float], ours: Measured, others: Mapping[str, Measured]) -> list[Comparison]:
    """Return the last epoch's figures beside theirs, each with the range of what rounding alone makes of it."""
    return [
        band(f"epoch 9, {what}", theirs[what], value, spread, DECIMALS)
        for value, (what, spread) in zip(ours.row, ranges(ours, others).items(), strict=True)
    ]


def spread_table(epoch: str, theirs: Mapping[str, float], ours: Measured, others: Mapping[str, Measured]) -> Table:
    """Return an epoch's figures of networks that differ in rounding alone, and say what they show."""
    rows = [("theirs", *(theirs[what] for what in COLUMNS)), ("ours", *ours.row)]
    rows += [(way, *m.row) for way, m in others.items()]
    spreads, half = ranges(ours, others), 0.5 * 10.0**-DECIMALS
    moved = ", ".join(f"the {what} by {high - low:.2g}" for what, (low, high) in spreads.items())
    inside = [what for what, (low, high) in spreads.items() if low - half <= theirs[what] <= high + half]
    decided = [what for what, ends in spreads.items() if len({f"{end:.{DECIMALS}f}" for end in ends}) > 1]
    says = (
        f"Between {len(others) + 1} correct trainings that differ in rounding alone there lie: {moved}. Rounding alone "
        f"decides how {len(decided)} of the {len(COLUMNS)} figures are printed ({', '.join(decided) or 'none'}); "
        f"{len(inside)} of theirs lie in the range, as printed."
    )
    return Table(f"784-400-10 after the {epoch} epoch: what rounding alone changes", ("", *COLUMNS), tuple(rows), says)
