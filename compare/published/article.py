"""The tutorial's own set-up on both of its networks: nobody has published a figure for it, so ours stand alone."""

from compare.lockstep.outcome import Outcome
from compare.published.comparison import Comparison, own
from compare.published.reproduction import Reproduction, Table
from compare.published.runs import Runs
from compare.published.stuck import explain_stuck, watched

SEEDS = (1, 2, 3)
SOURCE = "Backpropagation step by step, the tutorial that this project implements; it publishes no accuracy"
RECIPE = (
    "MNIST, 784 inputs and 10 outputs with target 1 for the digit and 0 elsewhere; weights drawn uniformly from "
    "[-1, 1]; logistic sigmoids; squared error; gradient descent"
)
DIFFERS = (
    "The tutorial tells neither learning rate nor batch size, epochs or input scaling, nor what becomes of the biases: "
    "these are choices of ours, in the preset {name}.",
    "No figure is published for it, so there is nothing to meet: what is shown are our own, on both sides, from three "
    "seeds, with the verdict of every run.",
)


def two_layers(runs: Runs) -> Reproduction:
    """Return what the tutorial's network with a hidden layer comes to, from three seeds."""
    outcomes = {seed: runs.run("article", f"seed {seed}", seed=seed) for seed in SEEDS}
    return reproduction("article", runs, outcomes, ())


def one_layer(runs: Runs) -> Reproduction:
    """Return what the tutorial's network without a hidden layer comes to, and why some of its outputs never learn."""
    outcomes, courses = {}, {}
    for seed in SEEDS:
        outcomes[seed], courses[seed] = watched(runs, "article-one-layer", seed)
    return reproduction("article-one-layer", runs, outcomes, explain_stuck(runs, courses))


def reproduction(name: str, runs: Runs, outcomes: dict[int, Outcome], explanation: tuple[Table, ...]) -> Reproduction:
    """Return our own figures of a network."""
    return Reproduction(
        name=name,
        source=SOURCE,
        recipe=(RECIPE,),
        differs=tuple(line.format(name=name) for line in DIFFERS),
        comparisons=tuple(figure for seed, outcome in outcomes.items() for figure in accuracies(seed, outcome)),
        runs=tuple(runs.made),
        explanation=(trained_apart(outcomes), *explanation),
    )


def accuracies(seed: int, outcome: Outcome) -> list[Comparison]:
    """Return the accuracies of a run in percent; none where it came to no score."""
    metrics = outcome.metrics
    if metrics is None:
        return []
    return [
        own(f"seed {seed}: test accuracy %, manual", 100 * metrics.accuracy_manual, 2),
        own(f"seed {seed}: test accuracy %, reference, trained apart", 100 * metrics.accuracy_reference, 2),
    ]


def trained_apart(outcomes: dict[int, Outcome]) -> Table:
    """Return how far the manual network and a reference that trains on its own came apart."""
    rows = [
        (seed, len(m.disagreements), m.mcnemar_p, outcome.tally.drifts[-1].parameters)
        for seed, outcome in outcomes.items()
        if (m := outcome.metrics) is not None
    ]
    return Table(
        "Independent training, from the same weights and on the same batches",
        ("seed", "test images on which they differ", "McNemar's p", "weights apart (relative norm)"),
        tuple(rows),
    )
