"""M. Mazur, "A Step by Step Backpropagation Example": a 2-2-2 network, one step, every number."""

from types import SimpleNamespace
from typing import Any

import numpy as np

import manual
from compare.experiment.description import Loss
from compare.experiment.optimizer import Optimizer
from compare.lockstep.loop import Step
from compare.published.comparison import Comparison, within
from compare.published.miniature import dataset_of, description, what_the_run_says
from compare.published.reproduction import Reproduction, Table
from compare.published.runs import Runs
from compare.published.source import figures

INPUT, TARGET, RATE = np.array([[0.05, 0.10]]), np.array([[0.01, 0.99]]), 0.5
INITIAL = {
    "linear1.weight": np.array([[0.15, 0.20], [0.25, 0.30]]),  # w1 w2 into h1, w3 w4 into h2
    "linear1.bias": np.array([0.35, 0.35]),
    "linear2.weight": np.array([[0.40, 0.45], [0.50, 0.55]]),  # w5 w6 into o1, w7 w8 into o2
    "linear2.bias": np.array([0.60, 0.60]),
}
LAYERS = [
    ("Linear", {"in_features": 2, "out_features": 2}), ("Sigmoid", {}),
    ("Linear", {"in_features": 2, "out_features": 2}), ("Sigmoid", {}),
]  # fmt: skip
EXPERIMENT = description("mazur-2-2-2", LAYERS, Loss("SquaredError"), Optimizer("SGD", lr=RATE), examples=1)
CLOSE = 1e-9
MISTAKE = "updated-weight-used"


def two_two_two(runs: Runs) -> Reproduction:
    """Return the example's numbers beside those of one lockstep step, and of one with the mistake that it warns of."""
    published = figures("miniatures")["2-2-2 worked example"]
    data = dataset_of("mazur", INPUT, TARGET)
    step = runs.step(EXPERIMENT, data, "one step", initial=INITIAL)
    wrong = runs.step(EXPERIMENT, data, f"one step with {MISTAKE} planted", initial=INITIAL, plant=MISTAKE)
    return Reproduction(
        name="mazur-2-2-2",
        source=published["source"],
        recipe=(published["recipe"],),
        differs=(
            "The example leaves its biases as they are; here every parameter is trained, as SGD does. All gradients "
            "of a step are taken before any parameter moves, so its new weights cannot depend on that: the table below "
            "shows the largest difference of a weight between the two ways.",
            "The example has one bias for both units of a layer; here each unit has its own, of the same value.",
        ),
        comparisons=(*right(published, step), *mistaken(published, wrong)),
        runs=tuple(runs.made),
        explanation=(biases_left_alone(step), what_the_run_says(MISTAKE, wrong)),
    )


def right(published: dict[str, Any], step: Step) -> list[Comparison]:
    """Return the comparisons of the example's own numbers."""
    mine, made = step.manual, []
    made.append(within("cost", published["cost"], step.loss_manual, absolute=CLOSE))
    for key, tensor, first in (
        ("gradient w5..w8", "linear2.weight.grad", 5),
        ("new w5..w8", "linear2.weight.updated", 5),
        ("new w1..w4", "linear1.weight.updated", 1),
    ):
        what = key.partition(" ")[0]
        pairs = zip(published[key], mine[tensor].ravel(), strict=True)
        made += [within(f"{what} w{i}", theirs, ours, absolute=CLOSE) for i, (theirs, ours) in enumerate(pairs, first)]
    return made


def mistaken(published: dict[str, Any], wrong: Step) -> list[Comparison]:
    """Return the comparisons of the numbers that the example's well-known mistake gives."""
    theirs = published["wrong if the updated w5..w8 are used for the hidden layer"]
    ours = dict(zip(("w1", "w2"), wrong.manual["linear1.weight.updated"][0], strict=True))
    return [
        within(f"new {name} if the updated w5..w8 carry the error back", value, ours[name], absolute=CLOSE)
        for name, value in theirs.items()
    ]


def biases_left_alone(step: Step) -> Table:
    """Return how far the new weights are from those of a step that trains the weights and leaves the biases."""
    layers = [getattr(manual, kind)(**arguments) for kind, arguments in LAYERS]
    network = manual.Network(layers, manual.SquaredError(), INITIAL)
    network.loss(INPUT, TARGET)
    network.backward()
    weights = [name for name in INITIAL if name.endswith("weight")]
    alone: Any = SimpleNamespace(
        parameters={name: network.parameters[name] for name in weights},
        gradients={name: network.gradients[name] for name in weights},
    )
    manual.SGD(alone, lr=RATE).step()
    rows = []
    for name, array in INITIAL.items():
        apart = float(np.abs(step.manual[f"{name}.updated"] - network.parameters[name]).max())
        moved = float(np.abs(network.parameters[name] - array).max())
        rows.append((name, moved, apart))
    return Table(
        "Training the weights alone",
        ("parameter", "moved by (largest)", "from the step that trains biases too (largest)"),
        tuple(rows),
    )
