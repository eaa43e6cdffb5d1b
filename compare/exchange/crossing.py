"""Kinks in a port that does not record everything: which side its units took has to be found out.

A unit whose pre-activation rounding may carry across 0, which shows in the shadows, may have been on the other side in
the port; likewise a pooling window may have had its second largest number as its winner. The step is computed again
with such units on their other sides, one after the other, and only what that removes altogether is explained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from compare.agreement.kinks import ForcedPool, ForcedSlope, Kink, forced, forced_trace
from compare.agreement.rounding.unit import LAMBDA
from compare.exchange.companions import distance
from compare.exchange.steps import Taken, pre_activations
from compare.experiment.description import Experiment, Layer

MOST = 64  # units to try on their other sides: with more of them nothing would be explained
Place = tuple[int, ...]


class GivenWinners(ForcedPool):
    """A MaxPool2d whose winners are those of another input, but for windows that have been given another."""

    def __init__(self, pool: Any, other: np.ndarray):
        super().__init__(pool, other)
        pool.forward(other)
        self.winner = pool.winner.copy()

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return what stands at the winners."""
        self.pool.forward(self.other)
        self.pool.winner = self.winner
        return self.pool.take(x)


@dataclass
class Doubt:
    """A unit that may have taken the other side: its place in the tensor, and for a window its second winner."""

    kink: Kink
    place: Place
    second: int = 0

    def change(self, choice: Any) -> None:
        """Let the unit of a layer with given choices take the other side; a second time, back again."""
        if isinstance(choice, ForcedSlope):
            choice.off[self.place] ^= True
        else:
            choice.winner[self.place], self.second = self.second, int(choice.winner[self.place])


def crossed(
    experiment: Experiment, network: Any, taken: Taken, bounds: Mapping[str, float], apart: list[str]
) -> tuple[list[Kink], list[str]]:
    """Return the kinks that explain differences, and what remains apart of `apart`."""
    doubts = doubtful(experiment, taken)
    if not doubts or len(doubts) > MOST:
        return [], apart
    before = pre_activations(experiment)
    choices = {x.name: given_choice(x, taken.reference[before[x.name]]) for x in experiment.layers if x.name in before}
    taken_kinks, best = [], excess(taken.port, taken.reference, bounds)
    for doubt in doubts:
        doubt.change(choices[doubt.kink.layer])
        start = {**taken.completed, **taken.expected}
        again = forced_trace(experiment, network, start, taken.state_before, choices)
        now = excess(taken.port, again, bounds)
        if sum(now.values()) < sum(best.values()):
            taken_kinks, best = [*taken_kinks, doubt.kink], now
        else:
            doubt.change(choices[doubt.kink.layer])
    if not taken_kinks:
        return [], apart
    return taken_kinks, [name for name in apart if best[name] > 1]


def given_choice(layer: Layer, theirs: np.ndarray) -> Any:
    """Return the layer with the choices that the reference's input leads to, one by one to be changed."""
    return GivenWinners(layer.build(), theirs) if layer.kind == "MaxPool2d" else forced(layer, theirs)


def doubtful(experiment: Experiment, taken: Taken) -> list[Doubt]:
    """Return the units that rounding may carry to their other side, nearest to it first."""
    found, before = [], pre_activations(experiment)
    for layer in experiment.layers:
        if layer.name in before and taken.shadows:
            look = windows if layer.kind == "MaxPool2d" else units
            found += look(layer, before[layer.name], taken)
    return sorted(found, key=lambda doubt: abs(doubt.kink.reference) / doubt.kink.bound)


def units(layer: Layer, before: str, taken: Taken) -> list[Doubt]:
    """Return the units whose pre-activation rounding may carry across 0."""
    z = np.asarray(taken.reference[before], np.float64)
    reach = scattered([np.asarray(shadow[before], np.float64) - z for shadow in taken.shadows])
    port = taken.completed[before]
    return [Doubt(kink_at(taken.number, layer, place, port, z, reach), place) for place in near(z, reach)]


def windows(layer: Layer, before: str, taken: Taken) -> list[Doubt]:
    """Return the windows whose two largest numbers rounding may exchange.

    Where windows overlap, a pixel that wins in a window is not the second of another.
    """
    pool, x = layer.build(), np.asarray(taken.reference[before], np.float64)
    pool.forward(x)
    first, without = pool.winner.copy(), x.copy()
    without.reshape(-1)[first] = -np.inf
    pool.forward(without)
    second = pool.winner

    def ahead(of: np.ndarray) -> np.ndarray:
        numbers = np.asarray(of, np.float64).reshape(-1)
        return numbers[first] - numbers[second]

    gap = ahead(x)
    reach = scattered([ahead(shadow[before]) - gap for shadow in taken.shadows])
    port = ahead(taken.completed[before])
    places = near(gap, reach)
    return [Doubt(kink_at(taken.number, layer, at, port, gap, reach), at, int(second[at])) for at in places]


def scattered(differences: list[np.ndarray]) -> np.ndarray:
    """Return how far rounding may move each element: LAMBDA times the root mean square of the differences."""
    return LAMBDA * np.sqrt(np.mean(np.square(differences), axis=0))


def near(values: np.ndarray, reach: np.ndarray) -> list[Place]:
    """Return the places of the values that are nearer to 0 than rounding may move them."""
    return [tuple(int(i) for i in where) for where in np.argwhere((np.abs(values) <= reach) & (reach > 0))]


def kink_at(step: int, layer: Layer, place: Place, port: np.ndarray, reference: np.ndarray, reach: np.ndarray) -> Kink:
    """Return the kink at a place of the tensors."""
    unit = int(np.ravel_multi_index(place[1:], reference.shape[1:]))
    values = float(port[place]), float(reference[place]), float(reach[place])
    return Kink(step, layer.name, place[0], unit, *values)


def excess(port: Mapping[str, Any], reference: Mapping[str, Any], bounds: Mapping[str, float]) -> dict[str, float]:
    """Return for every tensor how often its difference contains what is allowed."""
    found = {}
    for name, bound in bounds.items():
        error = distance(port[name], reference[name])
        found[name] = error / bound if bound else float("inf") if error else 0.0
    return found
