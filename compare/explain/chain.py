"""The chain from a weight to the cost, link by link, each with its terms; and the factors that make the gradient.

A link says how one number p moves the outputs y_e of the layer it goes into, and what each of these does to the cost:

    dC/dp = sum over e of  dy_e/dp * dC/dy_e

The first factor of every term is the layer's slope (slopes.py), the second is the error that has arrived at y_e, by the
backward pass; the next link takes it apart in its turn, for the largest of the terms. The last link is the loss.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np

from compare.explain.moment import Moment
from compare.explain.rules import INPUT, Line, Rule, line_of, rule_of
from compare.explain.selection import Index, element
from compare.explain.slopes import slope_of_loss, slopes_by_input, slopes_by_parameter


@dataclass(frozen=True)
class Term:
    """One way from a number to the cost: through this output of the layer."""

    index: Index
    value: float  # of the output itself
    slope: float  # d(output)/d(number)
    arriving: float  # dC/d(output)

    @property
    def product(self) -> float:
        """What this way gives to the gradient."""
        return self.slope * self.arriving


@dataclass(frozen=True)
class Link:
    """How one number acts on the cost through the layer that it goes into."""

    tensor: str  # that the number is of: linear1.weight, sigmoid1.output
    index: Index
    value: float
    layer: str  # that it goes into; "loss" at the end
    kind: str  # that layer's class
    output: str  # the tensor that comes out: linear1.output, loss
    rule: Rule
    line: Line | None
    terms: tuple[Term, ...]  # that are not 0 by themselves, the largest product first
    way: int  # which of them the chain goes on with
    gradient: float  # dC/d(number), by the backward pass

    @property
    def name(self) -> str:
        """The number's full name."""
        return element(self.tensor, self.index)

    @property
    def followed(self) -> Term | None:
        """The term that the chain goes on with: the largest, of the image's own; None where there is none at all."""
        return self.terms[self.way] if self.terms else None

    @property
    def is_sum(self) -> bool:
        """Whether the number acts in more than one way."""
        return len(self.terms) > 1


@dataclass(frozen=True)
class Factor:
    """One factor of the gradient: a slope, or the whole sum at the first link that has several terms."""

    link: Link
    value: float

    @property
    def is_sum(self) -> bool:
        """Whether this is the sum over a link's terms."""
        return self.link.is_sum


def chain(moment: Moment, parameter: str, index: Index) -> list[Link]:
    """Return the links from one element of a parameter to the cost, along the largest term of each."""
    network, trace = moment.manual.network, moment.trace
    names = list(network.layers)
    name, _, key = parameter.partition(".")
    layer = network.layers[name]
    given = input_of(moment, name)
    slopes = slopes_by_parameter(name, layer, trace, given, key, index)
    inner, inner_key = innermost(layer, key)
    links = [link(moment, parameter, index, name, layer, slopes, *cited(inner, inner_key))]
    for following in names[names.index(name) + 1 :]:
        term = links[-1].followed
        if term is None:
            return links
        before, index = links[-1].output, term.index
        layer = network.layers[following]
        slopes = slopes_by_input(following, layer, trace, trace[before], index)
        links.append(link(moment, before, index, following, layer, slopes, *cited(layer, INPUT)))
    if (term := links[-1].followed) is not None:
        links.append(last_link(moment, links[-1].output, term.index))
    return links


def input_of(moment: Moment, name: str) -> np.ndarray:
    """Return what went into a layer."""
    names = list(moment.manual.network.layers)
    place = names.index(name)
    return moment.trace["input" if place == 0 else f"{names[place - 1]}.output"]


def innermost(layer: Any, key: str) -> tuple[Any, str]:
    """Return the layer that a parameter belongs to, and its name there: inside of residual connections, too."""
    while key.partition(".")[0] in getattr(layer, "layers", {}):
        name, _, key = key.partition(".")
        layer = layer.layers[name]
    return layer, key


def cited(layer: Any, key: str) -> tuple[Rule, Line | None]:
    """Return the rule of a layer's parameter or input, and the line that computes its gradient."""
    rule = rule_of(layer, key)
    return rule, line_of(layer, key, rule.in_code)


def link(
    moment: Moment, tensor: str, index: Index, name: str, layer: Any, slopes: np.ndarray, rule: Rule, line: Line | None
) -> Link:
    """Return the link through a layer, given the slopes of its outputs."""
    trace, output = moment.trace, f"{name}.output"
    values, arriving = trace[output], trace[f"{output}.grad"]
    places = [tuple(int(i) for i in place) for place in np.argwhere(slopes != 0)]
    if not places:
        places = closed_way(tensor, index, slopes, arriving)
    terms = [Term(place, float(values[place]), float(slopes[place]), float(arriving[place])) for place in places]
    terms.sort(key=lambda term: -abs(term.product))
    own = (n for n, term in enumerate(terms) if term.index[0] == 0)  # the image stands first among the examples
    gradient = float(trace[f"{tensor}.grad"][index])
    value = float(trace[tensor][index])
    return Link(
        tensor, index, value, name, type(layer).__name__, output, rule, line, tuple(terms), next(own, 0), gradient
    )  # fmt: skip


def closed_way(tensor: str, index: Index, slopes: np.ndarray, arriving: np.ndarray) -> list[Index]:
    """Return the one way that shows why a number moves nothing at this moment: a pixel without ink, a unit that is off.

    The output at the same place, or of the unit that the weight belongs to; none where neither can be told.
    """
    if tensor.endswith(".output"):
        return [index] if slopes.shape == arriving.shape and valid(index, slopes.shape) else []
    own = (0,) * (slopes.ndim - 1) + index[:1]
    return [own] if slopes.ndim == 2 and valid(own, slopes.shape) else []


def valid(index: Index, shape: tuple[int, ...]) -> bool:
    """Whether there is an element of that index."""
    return len(index) == len(shape) and all(i < n for i, n in zip(index, shape, strict=True))


def last_link(moment: Moment, tensor: str, index: Index) -> Link:
    """Return the link through the loss: one number comes out, and its gradient is 1."""
    loss, gradient = moment.manual.network.loss_function, float(moment.trace[f"{tensor}.grad"][index])
    slope = slope_of_loss(loss, moment.trace[tensor], moment.trace["target"], index)
    term = Term((), moment.loss, slope, 1.0)
    value = float(moment.trace[tensor][index])
    rule, line = cited(loss, INPUT)
    return Link(tensor, index, value, "loss", type(loss).__name__, "loss", rule, line, (term,), 0, gradient)


def factors(links: list[Link]) -> list[Factor]:
    """Return the factors whose product is the gradient of the first link's number.

    The slopes as long as there is one way only; then the sum over all ways, as the last factor.
    """
    single = list(takewhile(lambda link: not link.is_sum, links))
    found = [Factor(link, link.terms[0].slope if link.terms else 0.0) for link in single]
    if len(single) < len(links):
        found.append(Factor(links[len(single)], sum(term.product for term in links[len(single)].terms)))
    return found


def path(links: list[Link]) -> Iterator[tuple[str, Index, float]]:
    """Yield the numbers that the chain goes through, forwards: the weight, what it moves, ..., the cost."""
    for each in links:
        yield each.tensor, each.index, each.value
    if (term := links[-1].followed) is not None:
        yield links[-1].output, term.index, term.value
