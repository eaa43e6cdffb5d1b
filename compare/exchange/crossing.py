"""Kinks in a port that does not record everything: on which side of 0 its units were has to be found out.

A unit whose pre-activation rounding may carry across 0, which shows in the shadows, may have been on the other side in
the port. The step is computed again with such units on their other sides, one after the other, and only what that
removes altogether is explained.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from compare.agreement.kinks import ForcedSlope, Kink, forced_trace
from compare.agreement.rounding.unit import LAMBDA
from compare.exchange.companions import distance
from compare.exchange.steps import Taken, pre_activations
from compare.experiment.description import Experiment

MOST = 64  # units to try on their other sides: with more of them nothing would be explained


def crossed(
    experiment: Experiment, network: Any, taken: Taken, bounds: Mapping[str, float], apart: list[str]
) -> tuple[list[Kink], list[str]]:
    """Return the kinks that explain differences, and what remains apart of `apart`."""
    candidates = near_zero(experiment, taken)
    if not candidates or len(candidates) > MOST:
        return [], apart
    off = {layer: taken.reference[before] <= 0 for layer, before in pre_activations(experiment).items()}
    taken_kinks, best = [], excess(taken.port, taken.reference, bounds)
    for kink, place in candidates:
        off[kink.layer][place] ^= True
        start, choices = {**taken.completed, **taken.expected}, {name: ForcedSlope(o, 0.0) for name, o in off.items()}
        again = forced_trace(experiment, network, start, taken.state_before, choices)
        now = excess(taken.port, again, bounds)
        if sum(now.values()) < sum(best.values()):
            taken_kinks, best = [*taken_kinks, kink], now
        else:
            off[kink.layer][place] ^= True
    if not taken_kinks:
        return [], apart
    return taken_kinks, [name for name in apart if best[name] > 1]


def near_zero(experiment: Experiment, taken: Taken) -> list[tuple[Kink, tuple[int, ...]]]:
    """Return the units that rounding may carry across 0, nearest first, each with its place in the tensor."""
    found = []
    for layer, before in pre_activations(experiment).items():
        z = np.asarray(taken.reference[before], np.float64)
        if not taken.shadows:
            continue
        squares = [np.square(np.asarray(shadow[before], np.float64) - z) for shadow in taken.shadows]
        reach = LAMBDA * np.sqrt(np.mean(squares, axis=0))
        for where in np.argwhere((np.abs(z) <= reach) & (reach > 0)):
            place = tuple(int(i) for i in where)
            unit = int(np.ravel_multi_index(place[1:], z.shape[1:]))
            value = float(taken.completed[before][place])
            kink = Kink(taken.number, layer, place[0], unit, value, float(z[place]), float(reach[place]))
            found.append((kink, place))
    return sorted(found, key=lambda kink: abs(kink[0].reference) / kink[0].bound)


def excess(port: Mapping[str, Any], reference: Mapping[str, Any], bounds: Mapping[str, float]) -> dict[str, float]:
    """Return for every tensor how often its difference contains what is allowed."""
    found = {}
    for name, bound in bounds.items():
        error = distance(port[name], reference[name])
        found[name] = error / bound if bound else float("inf") if error else 0.0
    return found
