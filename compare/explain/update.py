"""What a step changes: the change of the cost that the gradient predicts, and the change that comes."""

from dataclasses import dataclass

import numpy as np

from compare.agreement.witnesses import loss_of_element
from compare.explain.moment import Moment
from compare.explain.selection import Index


@dataclass(frozen=True)
class Change:
    """A step's effect on the cost: what the gradient predicts, sum of gradient times change, and what comes of it."""

    predicted: float
    real: float


@dataclass(frozen=True)
class Update:
    """The update of one weight, and what it does to the cost of this image: alone, and with all others."""

    rule: str  # the optimizer's class
    lr: float
    before: float
    after: float
    alone: Change
    together: Change

    @property
    def change(self) -> float:
        """What the step adds to the weight."""
        return self.after - self.before


def update_of(moment: Moment, parameter: str, index: Index) -> Update:
    """Return what the optimizer's step, which has been taken, makes of one weight and of the cost.

    The costs are computed in extended precision, where the machine has it: their difference may be tiny.
    """
    trace = moment.trace
    after = trace.get(f"{parameter}.updated", trace[parameter])
    change = np.longdouble(after[index]) - np.longdouble(trace[parameter][index])
    loss = loss_of_element(moment.manual.network, trace, parameter, index)
    with np.errstate(all="ignore"):  # a step so large that the cost is no number any more
        alone = Change(float(trace[f"{parameter}.grad"][index] * change), float(loss(change) - loss(np.longdouble(0))))
        together = change_together(moment)
    rule, before = moment.experiment.optimizer.kind, trace[parameter][index]
    return Update(rule, moment.lr, float(before), float(after[index]), alone, together)


def change_together(moment: Moment) -> Change:
    """Return what the whole step does to the cost of this image."""
    trace = moment.trace
    names = [name for name in moment.manual.network.parameters if f"{name}.updated" in trace]
    predicted = sum(float(np.sum(trace[f"{name}.grad"] * (trace[f"{name}.updated"] - trace[name]))) for name in names)
    moved = {**trace, **{name: trace[f"{name}.updated"] for name in names}}
    first = next(iter(moment.manual.network.parameters))
    start = (0,) * trace[first].ndim
    costs = [loss_of_element(moment.manual.network, t, first, start)(np.longdouble(0)) for t in (moved, trace)]
    return Change(predicted, float(costs[0] - costs[1]))
