"""The course of a run: one walk through its steps, which keeps so much of each curve as a page can show.

A run may have a million steps. Neighbouring ones share a bin then, which keeps its smallest and its largest value, so
that no peak is lost.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
LOSS_BINS = 400
AUDIT_CELLS = 8000  # tensors times bins, in a page
DRIFT_BINS = 200


class Thinned(Generic[T]):
    """At most `most` items, an even number, of any number of them: neighbours are merged, all equally many."""

    def __init__(self, most: int, merge: Callable[[T, T], T]):
        self.most, self.merge = most, merge
        self.items: list[T] = []
        self.width = 1  # how many were merged into each item
        self.taken = 1  # into the last

    def add(self, item: T) -> None:
        """Append an item, or merge it into the last."""
        if self.taken < self.width and self.items:
            self.items[-1] = self.merge(self.items[-1], item)
            self.taken += 1
            return
        if len(self.items) == self.most:
            self.items = [self.merge(a, b) for a, b in zip(self.items[::2], self.items[1::2], strict=True)]
            self.width *= 2
        self.items.append(item)
        self.taken = 1


@dataclass(frozen=True)
class Losses:
    """The losses of steps `first` to `last`: of each side the smallest, the largest, and the sum."""

    first: int
    last: int
    count: int
    low: tuple[float, float]
    high: tuple[float, float]
    total: tuple[float, float]

    def mean(self, side: int) -> float:
        """Return the mean loss of the manual side, 0, or of the reference, 1."""
        return self.total[side] / self.count


def merged_losses(a: Losses, b: Losses) -> Losses:
    """Return two neighbouring bins as one."""
    return Losses(
        a.first, b.last, a.count + b.count, (min(a.low[0], b.low[0]), min(a.low[1], b.low[1])),
        (max(a.high[0], b.high[0]), max(a.high[1], b.high[1])), (a.total[0] + b.total[0], a.total[1] + b.total[1]),
    )  # fmt: skip


@dataclass(frozen=True)
class Audit:
    """Audited steps `first` to `last`: by tensor the largest share of its allowed error that was used; 1: the bound."""

    first: int
    last: int
    used: dict[str, float]

    @property
    def largest(self) -> float:
        """The largest share of any tensor that is a number."""
        return max((used for used in self.used.values() if math.isfinite(used)), default=0.0)


def merged_audits(a: Audit, b: Audit) -> Audit:
    """Return two neighbouring bins as one."""
    return Audit(a.first, b.last, a.used | {t: max(u, a.used.get(t, u)) for t, u in b.used.items()})


@dataclass(frozen=True)
class Drift:
    """How far apart the weights of the pair that trained apart are, relative, and that reference's own loss."""

    step: int
    distance: float
    loss: float


@dataclass
class Course:
    """What the steps tell."""

    losses: Thinned[Losses]
    audits: Thinned[Audit]
    drifts: Thinned[Drift] = field(
        default_factory=lambda: Thinned(DRIFT_BINS, lambda a, b: a if a.distance > b.distance else b)
    )
    steps: int = 0
    last: tuple[float, float] = (math.nan, math.nan)  # the losses of the last step
    apart: float = 0.0  # the largest relative difference of the two losses
    apart_at: int = 0
    non_finite: int | None = None  # the first step whose loss is no number
    audited: int = 0
    worst: dict[str, tuple[float, int]] = field(default_factory=dict)  # tensor: largest share, and its step

    def add(self, line: dict[str, Any]) -> None:
        """Take in a line of steps.jsonl."""
        step, (manual, reference) = line["step"], (float(loss) for loss in line["loss"])
        self.steps, self.last = step, (manual, reference)
        if math.isfinite(manual) and math.isfinite(reference):
            both = (manual, reference)
            self.losses.add(Losses(step, step, 1, both, both, both))
            apart = abs(manual - reference) / abs(reference) if reference else abs(manual)
            if apart > self.apart:
                self.apart, self.apart_at = apart, step
        elif self.non_finite is None:
            self.non_finite = step
        if "audit" in line:
            self.add_audit(step, {tensor: float(used) for tensor, used in line["audit"].items()})
        if "drift" in line:
            distance, loss = (float(value) for value in line["drift"])
            if math.isfinite(distance):
                self.drifts.add(Drift(step, distance, loss))

    def add_audit(self, step: int, used: dict[str, float]) -> None:
        """Take in the shares of an audited step."""
        self.audited += 1
        self.audits.add(Audit(step, step, used))
        for tensor, share in used.items():
            if tensor not in self.worst or share > self.worst[tensor][0]:
                self.worst[tensor] = (share, step)


def course_of(lines: Iterable[dict[str, Any]], tensors: int, records: int = 1) -> Course:
    """Return the course of the steps, for a page of so many records with so many tensors each."""
    losses = even(max(40, LOSS_BINS // records))
    audits = even(max(8, AUDIT_CELLS // records // max(1, tensors)))
    course = Course(Thinned(losses, merged_losses), Thinned(audits, merged_audits))
    for line in lines:
        course.add(line)
    return course


def even(number: int) -> int:
    """Return the number, made even."""
    return number + number % 2
