"""Schedules: the learning rate as a function of the number of updates made, under the names of torch's.

torch computes each rate from the one before; here stands the closed form that the recursion comes to. A schedule counts
updates, not epochs: with StepLR(step_size=500) the rate falls after every 500th update.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Schedule(Protocol):
    """What a schedule is: a learning rate for every update, counted from 0."""

    def lr(self, step: int, base_lr: float, /) -> float: ...  # noqa: D102


def require_count(option: str, value: int) -> None:
    """Raise ValueError unless the value is a whole number of at least 1."""
    if not 1 <= value < math.inf or value != int(value):
        raise ValueError(f"{option} is {value}; wanted a whole number of at least 1.")


class StepLR:
    """Every `step_size` updates the rate is multiplied by `gamma`."""

    def __init__(self, step_size: int, gamma: float = 0.1):
        """Raise ValueError for a step_size below 1 or a negative gamma."""
        require_count("StepLR: step_size", step_size)
        if not 0 <= gamma < math.inf:
            raise ValueError(f"StepLR: gamma is {gamma}; wanted a number of at least 0.")
        self.step_size, self.gamma = int(step_size), float(gamma)

    def lr(self, step: int, base_lr: float) -> float:
        """Return base_lr * gamma^(whole step_sizes that have passed)."""
        return base_lr * self.gamma ** (step // self.step_size)  # (237)


class LinearLR:
    """A warm-up: the rate moves on a straight line from start_factor to end_factor times its base."""

    def __init__(self, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5):
        """Raise ValueError for a factor outside [0, 1], a start of 0, or a total_iters below 1, as torch does."""
        require_count("LinearLR: total_iters", total_iters)
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: start_factor is {start_factor}; wanted a number above 0, at most 1.")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: end_factor is {end_factor}; wanted a number from 0 to 1.")
        self.start_factor, self.end_factor = float(start_factor), float(end_factor)
        self.total_iters = int(total_iters)

    def lr(self, step: int, base_lr: float) -> float:
        """Return the rate on the line; at its end it stays."""
        passed = min(step, self.total_iters) / self.total_iters
        return base_lr * (self.start_factor + (self.end_factor - self.start_factor) * passed)  # (238)


class CosineAnnealingLR:
    """The rate glides down half a cosine wave, from its base to `eta_min` in `T_max` updates."""

    def __init__(self, T_max: int, eta_min: float = 0.0):
        """Raise ValueError for a T_max below 1 or a negative eta_min."""
        require_count("CosineAnnealingLR: T_max", T_max)
        if not 0 <= eta_min < math.inf:
            raise ValueError(f"CosineAnnealingLR: eta_min is {eta_min}; wanted a number of at least 0.")
        self.T_max, self.eta_min = int(T_max), float(eta_min)

    def lr(self, step: int, base_lr: float) -> float:
        """Return the rate on the wave, which rises again beyond T_max."""
        return self.eta_min + (base_lr - self.eta_min) * (1 + math.cos(math.pi * step / self.T_max)) / 2  # (239)


class SequentialLR:
    """One schedule after the other, each counting from its own start: the usual warm-up, then cosine.

    SequentialLR([LinearLR(total_iters=100), CosineAnnealingLR(T_max=900)], milestones=[100])
    """

    def __init__(self, schedules: Sequence[Schedule | Mapping[str, Any]], milestones: Sequence[int]):
        """Raise ValueError unless one milestone, each later than the one before, stands between two schedules."""
        if len(milestones) != len(schedules) - 1 or sorted(set(milestones)) != list(milestones):
            raise ValueError(
                f"SequentialLR: milestones are {list(milestones)}; wanted one between each two of {len(schedules)} "
                "schedules, in rising order."
            )
        self.schedules = [schedule_of(schedule) for schedule in schedules]
        for milestone in milestones:
            require_count("SequentialLR: milestones", milestone)
        self.milestones = [int(milestone) for milestone in milestones]

    def lr(self, step: int, base_lr: float) -> float:
        """Return the rate of the schedule whose turn it is."""
        turn = bisect_right(self.milestones, step)
        start = self.milestones[turn - 1] if turn else 0
        return self.schedules[turn].lr(step - start, base_lr)  # (240)


def schedule_of(given: Any) -> Schedule:
    """Return a schedule, given as one or by its description; raise TypeError for anything else."""
    if isinstance(given, Mapping):
        return build_schedule(given)
    if not callable(getattr(given, "lr", None)):
        raise TypeError(f'schedule is {given!r}; wanted a schedule, or its description: {{"kind": "StepLR", ...}}.')
    return given


SCHEDULES = {made.__name__: made for made in (StepLR, LinearLR, CosineAnnealingLR, SequentialLR)}


def build_schedule(description: Mapping[str, Any]) -> Schedule:
    """Return the schedule of a description: {"kind": "StepLR", "step_size": 500}.

    Raises ValueError for an unknown kind, TypeError for arguments that it does not take.
    """
    arguments = dict(description)
    kind = arguments.pop("kind", None)
    if kind not in SCHEDULES:
        raise ValueError(f"schedule.kind is {kind!r}; wanted one of {', '.join(SCHEDULES)}.")
    return SCHEDULES[kind](**arguments)
