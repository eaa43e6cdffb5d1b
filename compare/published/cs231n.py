"""Stanford CS231n's assignments: the two-layer toy network of the first, and one step of Adam of the second."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from compare.agreement.operations import MICRO
from compare.agreement.rounding.unit import gamma, unit_roundoff
from compare.experiment.description import Loss
from compare.experiment.optimizer import Optimizer
from compare.lockstep.loop import Loop, Step
from compare.lockstep.state import LoopState, restore_loop, state_of_loop
from compare.published.comparison import Comparison, within
from compare.published.miniature import dataset_of, description, what_the_run_says
from compare.published.reproduction import Reproduction, Table
from compare.published.runs import Runs
from compare.published.source import figures

LABELS = np.array([0, 1, 2, 2, 1])
PENALTY = 0.05  # of the sum of squared weights: its gradient, 2 * PENALTY * W, is what SGD calls a weight decay
TOY = description(
    "cs231n-toy",
    [
        ("Linear", {"in_features": 4, "out_features": 10}),
        ("ReLU", {}),
        ("Linear", {"in_features": 10, "out_features": 3}),
    ],
    Loss("CrossEntropyLoss"),
    Optimizer("SGD", lr=0.1, weight_decay=2 * PENALTY, decays="weights"),
    examples=5,
)
WEIGHTS = ("linear1.weight", "linear2.weight")

TAKEN = 5  # steps that Adam has counted before the one of the example
ADAM = description(
    "cs231n-adam",
    [("Linear", {"in_features": 5, "out_features": 4, "bias": False})],
    Loss("SquaredError", {"reduction": "sum", "factor": 0.5}),
    Optimizer("Adam", lr=1e-2, arguments={"betas": (0.9, 0.999), "eps": 1e-8}),
    examples=5,
    steps=TAKEN + 1,
)
MISTAKE = "adam-step-counted-from-0"
WHERE = "rounding of both, carried through the step"


def toy(runs: Runs) -> Reproduction:
    """Return the toy network's losses and gradients beside those of one lockstep step."""
    published = figures("miniatures")["two-layer toy network"]
    initial = toy_parameters()
    inputs = 10 * np.random.RandomState(1).randn(5, 4)
    step = runs.step(TOY, dataset_of("cs231n-toy", inputs, LABELS), "one step", initial=initial)
    return Reproduction(
        name="cs231n-toy",
        source=published["source"],
        recipe=(published["recipe"],),
        differs=(
            "The source stores weights as (in, out), here they are (out, in), as torch has them: the same numbers.",
            "The source adds its penalty to the loss; here the loss is the data's alone, the total is that plus the "
            "penalty of the initial weights, and the penalty's gradient enters the update as weight decay.",
            "The source publishes no update; the step is taken with a learning rate of ours, so that the reference is "
            "held against it as well.",
        ),
        comparisons=tuple(toy_figures(published, step, initial)),
        runs=tuple(runs.made),
    )


def toy_parameters() -> dict[str, np.ndarray]:
    """Return the source's initial parameters."""
    drawn = np.random.RandomState(0)
    first, second = 0.1 * drawn.randn(4, 10), 0.1 * drawn.randn(10, 3)
    return {
        "linear1.weight": first.T.copy(), "linear1.bias": np.zeros(10),
        "linear2.weight": second.T.copy(), "linear2.bias": np.zeros(3),
    }  # fmt: skip


def toy_figures(published: dict[str, Any], step: Step, initial: Mapping[str, np.ndarray]) -> list[Comparison]:
    """Return the comparisons of the toy network, each within what rounding may do on both sides."""
    mine, bounds = step.manual, step.bounds
    penalty = PENALTY * sum(float(np.square(initial[name]).sum()) for name in WEIGHTS)
    squares = sum(initial[name].size for name in WEIGHTS)
    apart = bounds["loss"] + 2 * gamma(squares + 3, unit_roundoff("float64")) * (step.loss_manual + penalty)
    made = [
        within("data loss", published["data loss"], step.loss_manual, absolute=bounds["loss"], of=WHERE),
        within("total loss", published["total loss"], step.loss_manual + penalty, absolute=apart, of=WHERE),
    ]
    for key, tensor in (("dW1", "linear1.weight.grad"), ("db1", "linear1.bias.grad")):
        theirs = published["sum of data-loss gradients"][key]
        allowed = sum_apart(mine[tensor], bounds[tensor])
        made.append(within(f"sum of {key}", theirs, mine[tensor].sum(), absolute=allowed, of=WHERE))
    tensor = "linear2.bias.grad"
    for i, theirs in enumerate(published["db2"]):
        made.append(within(f"db2[{i}]", theirs, mine[tensor][i], absolute=bounds[tensor], of=WHERE))
    return made


def sum_apart(array: np.ndarray, bound: float) -> float:
    """Return how far the sums of two arrays may differ that are `bound` apart by norm.

    |sum a - sum b| <= sqrt(n) ||a - b|| (Cauchy and Schwarz), and each sum of n rounds by gamma_(n-1) sum |a|.
    """
    n = array.size
    return float(np.sqrt(n) * bound + 2 * gamma(n - 1, unit_roundoff("float64")) * np.abs(array).sum())


def adam(runs: Runs) -> Reproduction:
    """Return the new weights of one step of Adam from a state given, and those of a step that is not counted."""
    published = figures("miniatures")["Adam, one step"]
    weights, gradient, first, second = (
        np.linspace(low, high, 20).reshape(4, 5) for low, high in ((-0.4, 0.6), (-0.6, 0.4), (0.6, 0.9), (0.7, 0.5))
    )
    name = "linear1.weight"
    state = {f"{name}.step": np.float32(TAKEN), f"{name}.exp_avg": first, f"{name}.exp_avg_sq": second}
    # The inputs are the unit vectors, so that the outputs are the weights; half the squared error to weights - gradient
    # then has the gradient wanted.
    data = dataset_of("cs231n-adam", np.eye(5), (weights - gradient).T.copy())
    initial = {name: weights}
    step = runs.step(ADAM, data, "step 6", initial=initial, begin=lambda loop: begin_from(loop, state))
    wrong = runs.step(
        ADAM, data, f"step 6 with {MISTAKE} planted", initial=initial, plant=MISTAKE,
        begin=lambda loop: begin_from(loop, state),
    )  # fmt: skip
    tensor = f"{name}.updated"
    bound, row = step.bounds[tensor], published["first row of new w"]
    comparisons = [
        within(f"new w[0, {i}]", theirs, step.manual[tensor][0, i], absolute=bound, of=WHERE)
        for i, theirs in enumerate(row)
    ]
    uncounted = published["wrong if t is not incremented"], wrong.manual[tensor][0, 0]
    comparisons.append(within("new w[0, 0] if t is not incremented", *uncounted, absolute=bound, of=WHERE))
    return Reproduction(
        name="cs231n-adam",
        source=published["source"],
        recipe=(published["recipe"],),
        differs=(
            "The source calls its rule with a gradient and a state; here they are those of a network's sixth step: a "
            "linear layer whose gradient is the source's, begun from the source's state on both sides.",
        ),
        comparisons=tuple(comparisons),
        runs=tuple(runs.made),
        explanation=(
            Table(
                "The step's gradient and the source's",
                ("largest difference", "of a largest element of"),
                ((float(np.abs(step.manual[f"{name}.grad"] - gradient).max()), float(np.abs(gradient).max())),),
            ),
            what_the_run_says(MISTAKE, wrong),
        ),
    )


def begin_from(loop: Loop, state: Mapping[str, Any]) -> None:
    """Let a loop that has taken no step begin behind those that the optimizer's state has counted, on both sides."""
    fresh = state_of_loop(loop, TAKEN)
    arrays = dict(fresh.arrays)
    for side in ("manual", "free"):
        arrays |= {f"{side}/state/{name}": np.array(array) for name, array in state.items()}
    arrays[f"manual/state/{MICRO}"] = np.asarray(TAKEN)
    schedules = {side: [TAKEN, lr] for side, (_, lr) in fresh.facts["schedules"].items()}
    restore_loop(loop, LoopState(TAKEN, arrays, fresh.facts | {"schedules": schedules}))
