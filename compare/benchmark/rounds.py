"""Timing in turns: in every round each contestant runs once, so that a busy machine slows all of them alike."""

import statistics
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

Seconds = dict[str, list[float]]  # contestant -> seconds a step, one number a round


def seconds_of(work: Callable[[], object], clock: Callable[[], float] = perf_counter) -> float:
    """Return how long the work takes, by the wall or by another clock."""
    started = clock()
    work()
    return clock() - started


def take_turns(contestants: Mapping[str, Callable[[], float]], rounds: int) -> Seconds:
    """Run every contestant once a round, in turns as to who begins; return what each of them returned."""
    seconds: Seconds = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            seconds[name].append(contestants[name]())
    return seconds


def compared(case: str, seconds: Seconds, slow: str, fast: str, target: dict[str, float]) -> dict[str, Any]:
    """Return the medians of the rounds, and slow / fast round by round: the median and the quartiles."""
    ratios = [s / f for s, f in zip(seconds[slow], seconds[fast], strict=True)]
    ratio = statistics.median(ratios)
    quartiles = statistics.quantiles(ratios, method="inclusive") if len(ratios) > 1 else [ratio] * 3
    return {
        "case": case,
        "ratio": ratio,
        "of": [slow, fast],
        "quartiles": [quartiles[0], quartiles[2]],
        "rounds": len(ratios),
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "target": target,
        "met": met(ratio, target),
    }


def met(value: float, target: dict[str, float]) -> bool:
    """Whether a value lies where its target wants it: {"at_least": x} or {"at_most": x}."""
    return target.get("at_least", value) <= value <= target.get("at_most", value)
