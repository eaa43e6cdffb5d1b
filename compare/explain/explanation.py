"""The explanation of one weight: everything of the room together, as plain values and as data."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from compare.agreement.witnesses import complex_step, extrapolated_difference, loss_of_element
from compare.experiment.batches import classes_of
from compare.experiment.description import Experiment
from compare.experiment.files import read_experiment
from compare.explain.chain import Factor, Link, chain, factors
from compare.explain.moment import Moment, moment
from compare.explain.selection import Index, Selection, element, select
from compare.explain.update import Update, update_of
from compare.lockstep.outcome import jsonable
from compare.notebook import card

CONSISTENT = 1e-6  # far above what a slope taken by differences errs by (slopes.py), far below what a mistake makes
H_KINK, APART = 2.0**-20, 1e-3  # a slope does not change by a thousandth within a millionth, unless it breaks
ALL_DIGITS = 17  # that a float64 has in decimals; two numbers that agree in all of them are equal


@dataclass(frozen=True)
class Gradient:
    """The derivative of the cost by one weight: by hand, and as the three witnesses have it.

    None where a witness cannot speak: a forward pass of a user's own that does not carry complex numbers.
    """

    manual: float
    autograd: float
    complex_step: float | None
    central_difference: float | None
    kink: bool  # whether the cost has another slope on either side: a ReLU's input or a maximum stands at its kink

    def digits(self, witness: str) -> int | None:
        """Return to how many digits a witness agrees with the manual value."""
        value = getattr(self, witness)
        return None if value is None else agreeing_digits(self.manual, value)


@dataclass(frozen=True)
class Output:
    """One of the network's outputs beside its target.

    `prediction` is what is held against the target: the output, or its probability where the loss takes logits.
    """

    name: str  # of the class
    output: float
    prediction: float
    target: float

    @property
    def difference(self) -> float:
        """Prediction less target: where it is positive the output is too large."""
        return self.prediction - self.target


@dataclass(frozen=True)
class Explanation:
    """One weight, one image, one step: see `explain`."""

    moment: Moment
    selection: Selection
    index: Index
    links: list[Link]
    gradient: Gradient
    update: Update
    outputs: list[Output]
    source: str  # what the experiment is called by: a preset's name, or a file

    @property
    def weight(self) -> str:
        """The weight's full name: linear1.weight[12,350]."""
        return element(self.selection.parameter, self.index)

    @property
    def value(self) -> float:
        """The weight itself, before the step."""
        return self.links[0].value

    @property
    def product(self) -> float:
        """The product of the factors."""
        return math.prod(factor.value for factor in self.factors)

    @property
    def consistent(self) -> bool:
        """Whether the product is the gradient, up to roundings: not so where a backward pass is wrong."""
        largest = max((abs(term.product) for link in self.links for term in link.terms), default=0.0)
        gradient = self.gradient.manual
        return abs(self.product - gradient) <= CONSISTENT * max(abs(gradient), CONSISTENT * largest)

    @property
    def rows(self) -> tuple[int, int]:
        """How many rows of outputs there are, and which of them, from 0, the chain ends in."""
        end = self.links[-1]
        last = self.moment.trace[f"{list(self.moment.manual.network.layers)[-1]}.output"]
        return len(last), end.index[0] if end.layer == "loss" else 0

    @property
    def factors(self) -> list[Factor]:
        """The factors whose product is the gradient."""
        return factors(self.links)

    @property
    def selected(self) -> list[tuple[Index, float, float]]:
        """All elements that were named: (index, value, gradient); the largest gradient first."""
        name, trace = self.selection.parameter, self.moment.trace
        weight, gradient = trace[name], trace[f"{name}.grad"]
        rows = [(index, float(weight[index]), float(gradient[index])) for index in self.selection.indices(weight.shape)]
        return sorted(rows, key=lambda row: -abs(row[2]))

    def to_json(self) -> dict[str, Any]:
        """Return all of it as data."""
        from compare.explain.data import as_data

        return jsonable(as_data(self))

    def _repr_html_(self) -> str:
        head = ("factor of", "formula", "equation", "number", "computed in")
        rows = [
            (f.link.name, f"Σ {f.link.rule.formula}" if f.is_sum else f.link.rule.formula, f.link.rule.equation or "",
             f"{f.value:+.6e}", f.link.line or "")
            for f in self.factors
        ]  # fmt: skip
        gradient = self.gradient
        facts = {"dC/dw": repr(gradient.manual), "autograd": repr(gradient.autograd), "step": f"{self.moment.step:,}"}
        return card(f"{self.weight} of {self.moment.experiment.name}", facts, head, rows)

    def __repr__(self) -> str:
        gradient = f"dC/dw = {self.gradient.manual:.6g}"
        return f"<Explanation of {self.weight}, {self.moment.experiment.name}, step {self.moment.step}: {gradient}>"


def explain(
    experiment: Experiment | str = "article",
    *,
    weight: str | None = None,
    step: int = 1,
    sample: int | None = None,
    source: str | None = None,
) -> Explanation:
    """Return one weight's gradient with every factor of the chain rule, on one real image, at one step.

    `experiment` is a description, a preset's name or a TOML file; `weight` names an element of a parameter
    ("linear1.weight[12,350]"), or more of it ("linear1.weight[12,:]", "linear2.bias"), of which the one with the
    largest gradient is taken; without it the first layer's. The weights are those before `step`; `sample` is the
    image's place among the training images, without it that of the first zero. Everything is computed in float64.
    `source` is what commands to go on with call the experiment, where that is not its name.

    Raises DescriptionError for what there is not (with the nearest right names), DataError, ExplainError.
    """
    if isinstance(experiment, str):
        source, experiment = source or experiment, read_experiment(experiment)
    now = moment(experiment, step, sample)
    parameters = now.manual.network.parameters
    selection = select(next(iter(parameters)) if weight is None else weight, parameters)
    gradients = now.trace[f"{selection.parameter}.grad"]
    index = max(selection.indices(gradients.shape), key=lambda place: abs(gradients[place]))
    links = chain(now, selection.parameter, index)
    return Explanation(
        now, selection, index, links, gradient_of(now, selection.parameter, index),
        update_of(now, selection.parameter, index), outputs_of(now, links[-1]), source or experiment.name,
    )  # fmt: skip


def gradient_of(moment: Moment, parameter: str, index: Index) -> Gradient:
    """Return the derivative by hand, and as the witnesses have it."""
    loss = loss_of_element(moment.manual.network, moment.trace, parameter, index)
    with np.errstate(all="ignore"):
        by_complex, (central, _) = complex_step(loss), extrapolated_difference(loss)
    name = f"{parameter}.grad"
    by_hand, by_autograd = float(moment.trace[name][index]), float(moment.autograd[name][index])
    return Gradient(by_hand, by_autograd + 0.0, by_complex, central, at_kink(loss))  # + 0.0: a 0 without a sign


def at_kink(loss: Callable[[Any], Any]) -> bool:
    """Whether the slopes to the right and to the left of 0 differ by more than a curve's would, within H_KINK."""
    h = np.longdouble(H_KINK)
    try:
        with np.errstate(all="ignore"):
            here = loss(np.longdouble(0))
            right, left = (loss(h) - here) / h, (here - loss(-h)) / h
    except (TypeError, ValueError):
        return False
    rounding = np.finfo(np.longdouble).eps * abs(here) / h
    return bool(abs(right - left) > APART * max(abs(right), abs(left)) + 100 * rounding)


def agreeing_digits(a: float, b: float) -> int:
    """Return how many leading digits two numbers share: -log10 of their relative difference, rounded down."""
    if a == b:
        return ALL_DIGITS
    size = max(abs(a), abs(b))
    return max(0, min(ALL_DIGITS, math.floor(-math.log10(abs(a - b) / size)))) if math.isfinite(size) else 0


def outputs_of(moment: Moment, end: Link) -> list[Output]:
    """Return the outputs of the row that the chain ends in, with their targets; of the first where it ends before."""
    rows = moment.trace[f"{list(moment.manual.network.layers)[-1]}.output"]
    row = end.index[0] if end.layer == "loss" else 0
    values, loss = rows[row], moment.manual.network.loss_function
    names = classes_of(moment.experiment.data, moment.dataset)
    predictions = prediction_of(type(loss).__name__, values)
    targets = targets_of(loss, row, len(values), moment.trace["target"])
    each = zip(names, values, predictions, targets, strict=True)
    return [Output(name, float(z), float(p), float(t)) for name, z, p, t in each]


def targets_of(loss: Any, row: int, classes: int, target: np.ndarray) -> np.ndarray:
    """Return the targets of one row as the loss has them: smoothed, where it does that, else 1 for the label."""
    return loss.q[row] if type(loss).__name__ == "CrossEntropyLoss" else np.arange(classes) == target[row]


def prediction_of(loss: str, outputs: np.ndarray) -> np.ndarray:
    """Return what a loss holds against the target: probabilities, where it takes logits or logarithms."""
    if loss == "BCEWithLogitsLoss":
        return 1 / (1 + np.exp(-outputs))
    if loss == "KLDivLoss":
        return np.exp(outputs)
    if loss in ("CrossEntropyLoss", "NLLLoss"):
        shifted = np.exp(outputs - outputs.max())
        return shifted / shifted.sum()
    return outputs
