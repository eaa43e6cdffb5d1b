"""Shrinking: from an example on which a derivation fails to the smallest and simplest one on which it still does."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from hypothesis import Phase

from compare.crosscheck.drawing import Choice, Spec
from compare.crosscheck.given import Given
from compare.crosscheck.oracle import Refused
from compare.crosscheck.search import Found, Search, run
from compare.crosscheck.trial import Trial

SHRINKING = 4.0  # seconds


class Shrinking:
    """The way from a failing example of a search to the smallest."""

    def __init__(self, search: Search):
        self.search = search

    def smallest(self, tensor: str, check: str, start: tuple[Choice | None, Trial]) -> Trial:
        """Return the smallest trial found in which the tensor still fails the check."""
        choice, trial = start
        limit = time.monotonic() + SHRINKING
        best = (choice, trial)
        dtype = trial.dtype

        def fails(other: Choice) -> Trial | None:
            try:
                given, upstream = self.search.plan.make(other), self.search.plan.upstream(other)
                again = self.search.trial(given, dtype, upstream, check != "values")
            except Refused:
                return None
            return again if failing(again, tensor, check) else None

        def example(other: Choice) -> None:
            nonlocal best
            if time.monotonic() > limit and other != best[0]:
                return
            again = fails(other)
            if again is not None:
                if rank(other, again) <= rank(best[0], best[1]):
                    best = (other, again)
                raise Found

        if choice is not None:
            run(example, self.search.plan.sizes, self.search.examples, self.search.seed, [Phase.generate, Phase.shrink])
            best = self.fewer(best, fails)
        simple = self.simpler(self.cropped(best[1], tensor, check), tensor, check, limit)
        whole = self.search.trial(simple.given, dtype, None, thorough=True)  # with all of its bounds
        return whole if failing(whole, tensor, check) else simple

    def fewer(
        self, best: tuple[Choice | None, Trial], fails: Callable[[Choice], Trial | None]
    ) -> tuple[Choice | None, Trial]:
        """Return the choice with every size as small as it still fails."""
        for name, allowed in self.search.plan.sizes.items():
            for size in sorted(allowed):
                choice = best[0]
                if choice is None or size >= choice.sizes[name]:
                    break
                smaller = replace(choice, sizes={**choice.sizes, name: size})
                trial = fails(smaller)
                if trial is not None:
                    best = (smaller, trial)
        return best

    def cropped(self, trial: Trial, tensor: str, check: str) -> Trial:
        """Return the trial with as few rows, columns and so on as it still fails: one, or two of them."""
        specs = {**self.search.plan.inputs, **self.search.plan.parameters}
        for name in self.search.plan.sizes:
            held = [(key, spec.shape.index(name)) for key, spec in specs.items() if name in spec.shape]
            size = trial.given.arrays()[held[0][0]].shape[held[0][1]] if held else 1
            for kept in [keep for count in (1, 2) if count < size for keep in combinations(range(size), count)]:
                again = self.retried(crop(trial.given, specs, name, list(kept), size), trial.dtype, check)
                if again is not None and failing(again, tensor, check):
                    trial = again
                    break
        return trial

    def retried(self, given: Given, dtype: str, check: str) -> Trial | None:
        """Return the trial on changed arrays, None where the reference does not take them."""
        try:
            return self.search.trial(given, dtype, None, check != "values")
        except Refused:
            return None

    def simpler(self, trial: Trial, tensor: str, check: str, limit: float) -> Trial:
        """Return the trial with values as simple as it still fails: whole numbers, ones, zeros."""
        for name, position, value in simplifications(trial.given):
            if time.monotonic() > limit + SHRINKING:
                break
            array = trial.given.arrays()[name]
            changed = np.round(array, value) if position is None else array.copy()
            if position is not None:
                changed[position] = value
            if np.array_equal(changed, array):
                continue
            given = trial.given.replaced(name, changed)
            again = self.retried(given, trial.dtype, check)
            if again is not None and failing(again, tensor, check):
                trial = again
        return trial


def crop(given: Given, specs: Mapping[str, Spec], name: str, kept: list[int], size: int) -> Given:
    """Return the arrays with only these places along every axis of that name; the gradient from above likewise."""
    first, axes = next(iter(specs.values())).shape, set()
    for key, spec in specs.items():
        for axis, symbol in enumerate(spec.shape):
            if symbol == name:
                given = given.replaced(key, np.take(given.arrays()[key], kept, axis))
                axes.add(axis)

    def above(gradient: np.ndarray) -> np.ndarray:
        for axis in axes if name in first else ():
            if axis < gradient.ndim and gradient.shape[axis] == size:
                gradient = np.take(gradient, kept, axis)
        return gradient

    return given.with_upstream(above)


def rank(choice: Choice | None, trial: Trial) -> tuple[int, int]:
    """Return how small an example is."""
    return trial.given.size, choice.seed if choice else 0


def failing(trial: Trial, tensor: str, check: str) -> bool:
    """Whether the tensor fails the check in a trial."""
    return any(failure.tensor == tensor and failure.check == check for failure in trial.failures)


def simplifications(given: Given) -> Iterator[tuple[str, tuple[int, ...] | None, Any]]:
    """Yield what to try: every array rounded, then every element replaced by 0, 1, or a rounded value."""
    real = {name: array for name, array in given.arrays().items() if array.dtype.kind == "f" and array.size}
    for name in real:
        for digits in (0, 1, 2):
            yield name, None, digits
    for name, array in real.items():
        if array.size > 40:
            continue
        for position in np.ndindex(array.shape):
            for value in (0.0, 1.0, float(np.round(array[position])), float(np.round(array[position], 1))):
                yield name, position, value
                if abs(array[position]) == value:
                    break
