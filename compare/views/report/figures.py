"""The figures of a report: rows for a chart, the sentence that says what it shows, and the table of its numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compare.language import joint, listing, passage, say
from compare.views.report.course import Audit, Course, Losses

Row = dict[str, Any]
MOST_DOTS = 60  # tensors of a single audit
FEW = 5  # curves that dashes and colours can tell apart


@dataclass(frozen=True)
class Numbers:
    """A table: what the columns are, and rows of a name and texts."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A chart with all that stands around it. `choices`: the curves one may choose from; the first is chosen."""

    name: str
    title: str
    chart: str  # see charts.specification
    rows: list[Row]
    says: str  # the text alternative
    numbers: Numbers
    choices: tuple[str, ...] = field(default=())
    choose: str = ""
    height: int = 300  # pixels


def losses(name: str, course: Course, watched: bool) -> Figure | None:
    """Return the loss of both sides over the steps; None for a run without a finite loss."""
    bins = course.losses.items
    if len(bins) < 2:
        return None  # a single step makes no curve: the page tells its losses in words
    alone = {drift.step: drift.loss for drift in course.drifts.items if math.isfinite(drift.loss)}
    rows: list[Row] = []
    for part in bins:
        trained_apart = next((loss for step, loss in alone.items() if part.first <= step <= part.last), None)
        row = {"step": part.first, "steps": between(part), "manual": part.mean(0), "reference": part.mean(1)}
        rows.append(row | {"low": part.low[0], "high": part.high[0]} | {"alone": trained_apart})
    positive = min(row["low"] for row in rows) > 0
    spread = max(row["manual"] for row in rows) > 8 * min(row["manual"] for row in rows) if positive else False
    table = tuple(
        (row["steps"], *(f"{row[key]:.6g}" for key in ("manual", "reference", "low", "high")), plain(row["alone"]))
        for row in rows
    )
    columns = (
        say("steps"), say("manual, mean"), say("reference, mean"), say("smallest"), say("largest"),
        say("reference trained apart"),
    )  # fmt: skip
    return Figure(
        name, say("Loss"), "losses-log" if spread else "losses", rows, losses_say(course, watched, rows, bool(spread)),
        Numbers(columns, table),
    )  # fmt: skip


def between(part: Losses) -> str:
    """Return the steps of a bin: its first and its last."""
    if part.first == part.last:
        return f"{part.first:,}"
    return say("{first:,} to {last:,}", first=part.first, last=part.last)


def losses_say(course: Course, watched: bool, rows: Sequence[Row], log: bool) -> str:
    """Return what the chart of the losses shows, as text."""
    first, last, binned = rows[0], rows[-1], course.losses.width > 1
    ends = {"first": first["manual"], "start": first["steps"], "last": last["manual"], "end": last["steps"]}
    if binned:
        went = say(
            "The manual network's loss went from {first:.4g} at steps {start} to {last:.4g} at steps {end}.", **ends
        )
    else:
        went = say(
            "The manual network's loss went from {first:.4g} at step {start} to {last:.4g} at step {end}.", **ends
        )
    told = [went]
    if log:
        told.append(say("The scale is logarithmic."))
    if course.apart:
        apart = {"apart": course.apart, "step": course.apart_at}
        told.append(say("The reference's differs from it by at most {apart:.1e} of itself, at step {step:,}.", **apart))
        if course.apart < 1e-3:
            told.append(say("The two lines lie on each other."))
    elif watched:
        told.append(say("The reference's loss is the same to the last bit at every step."))
    if any(row["alone"] is not None for row in rows):
        told.append(say("Circles: the reference that trains apart."))
    if binned:
        width = course.losses.width
        told.append(
            say(
                "Each point is the mean of {width:,} steps; the band goes from the smallest to the largest.",
                width=width,
            )
        )
    if course.non_finite is not None:
        step = course.non_finite
        told.append(
            say("From step {step:,} on there are losses that are no finite number; they are left out.", step=step)
        )
    return passage(told)


def audits(name: str, course: Course) -> Figure | None:
    """Return each tensor's error over the audited steps, in percent of its bound; None for a run without an audit."""
    bins = course.audits.items
    tensors = sorted(course.worst, key=lambda tensor: -finite(course.worst[tensor][0]))
    if not bins or not tensors:
        return None
    rows = curve_rows({t: [(b.first, 100 * b.used[t]) for b in bins if t in b.used] for t in tensors})
    table = tuple((tensor, *(cell(part, tensor) for part in bins)) for tensor in course.worst)
    columns = (say("tensor"), *(say("step {step:,}", step=part.first) for part in bins))
    title = say("Error of every operation, in percent of its bound")
    says, numbers = audits_say(course, tensors), Numbers(columns, table)
    if len(bins) == 1:
        in_order = curve_rows({t: [(bins[0].first, 100 * used)] for t, used in list(bins[0].used.items())[:MOST_DOTS]})
        return Figure(name, title, "audits-once", in_order, says, numbers, height=18 * len(in_order))
    return Figure(name, title, "audits", rows, says, numbers, tuple(tensors), say("Tensor"))


def cell(part: Audit, tensor: str) -> str:
    """Return a tensor's percentage in a bin, empty where it was not audited."""
    return percent(part.used[tensor]) if tensor in part.used else ""


def audits_say(course: Course, tensors: Sequence[str]) -> str:
    """Return what the chart of the audits shows, as text."""
    share, step = course.worst[tensors[0]]
    breached = [tensor for tensor in tensors if not course.worst[tensor][0] <= 1]
    exact = [tensor for tensor in tensors if course.worst[tensor][0] == 0]
    first = {"tensor": tensors[0], "percent": percent(share), "step": step}
    told = [say("{count} tensors, audited at {steps}.", count=len(tensors), steps=counted_steps(course.audited))]
    if breached:
        told.append(
            say("The farthest beyond its bound was {tensor}, with {percent} % of it at step {step:,}.", **first)
        )
        told.append(say("Above the bound: {tensors}.", tensors=shortened(breached, 8)))
    else:
        told.append(say("The closest to its bound was {tensor}, with {percent} % of it at step {step:,}.", **first))
        told.append(say("None is above the bound."))
    if exact:
        told.append(
            say(
                "{count} of them never differed at all; no difference is drawn at the foot of the chart.",
                count=len(exact),
            )
        )
    if course.audits.width > 1:
        told.append(say("Each point is the largest of {width:,} audits.", width=course.audits.width))
    return passage(told)


def drift(name: str, course: Course) -> Figure | None:
    """Return how far the pair that trains apart has drifted; None where none was trained."""
    drifts = course.drifts.items
    if not drifts:
        return None
    rows = curve_rows({"drift": [(d.step, d.distance) for d in drifts]})
    first, last = drifts[0], drifts[-1]
    says = say(
        "Trained apart from the same start, on the same batches, the two networks' weights differ by {first:.1e} of "
        "their norm after step {start:,} and by {last:.1e} after step {end:,}. Correct implementations drift apart "
        "too: this is reported, and is no reason to fail.",
        first=first.distance, start=first.step, last=last.distance, end=last.step,
    )  # fmt: skip
    table = tuple((f"{d.step:,}", f"{d.distance:.3e}", plain(d.loss)) for d in drifts)
    columns = (say("step"), say("relative distance of the weights"), say("loss of the reference"))
    title = say("Drift of the independent pair")
    return Figure(name, title, "drift", rows, says, Numbers(columns, table), ("drift",))


def together(courses: dict[str, Course]) -> list[Figure]:
    """Return the figures that lay the curves of several records over each other, by their names."""
    loss = {n: [(b.first, b.mean(0)) for b in c.losses.items] for n, c in courses.items()}
    audit = {n: [(b.first, 100 * b.largest) for b in c.audits.items] for n, c in courses.items()}
    apart = {n: [(d.step, d.distance) for d in c.drifts.items] for n, c in courses.items()}
    made = [
        overlaid("all-losses", say("Loss of the manual networks"), "curves", loss, say("the loss ended at")),
        overlaid(
            "all-audits", say("Largest error of an audit, in percent of its bound"), "audits", audit,
            say("the percentage ended at"),
        ),
        overlaid(
            "all-drifts", say("Drift of the independent pairs"), "drift", apart, say("the relative distance ended at")
        ),
    ]  # fmt: skip
    return [figure for figure in made if figure is not None]


def overlaid(name: str, title: str, chart: str, curves: Mapping[str, Sequence[tuple[int, float]]], end: str) -> Any:
    """Return the figure of one curve a record; None where there is no curve at all."""
    curves = {record: points for record, points in curves.items() if points}
    if not curves:
        return None
    is_few = len(curves) <= FEW
    table = []
    for record, points in curves.items():
        values = [value for _, value in points]
        told = (f"{value:.4g}" for value in (values[0], min(values), max(values), values[-1]))
        table.append((record, f"{len(points):,}", *told))
    columns = (say("record"), say("points"), say("first"), say("smallest"), say("largest"), say("last"))
    solo = "-solo" if any(len(points) == 1 for points in curves.values()) else ""
    return Figure(
        name, title, f"{chart}{'-few' if is_few else ''}{solo}", curve_rows(curves), ends(curves, end),
        Numbers(columns, tuple(table)), () if is_few else tuple(curves), "" if is_few else say("Record"),
    )  # fmt: skip


def ends(curves: Mapping[str, Sequence[tuple[int, float]]], end: str) -> str:
    """Return where the curves end: each of a few, of many the smallest and the largest."""
    by_end = sorted(curves, key=lambda record: curves[record][-1][1])
    told = list(curves) if len(curves) <= FEW else [by_end[0], by_end[-1]]
    each = joint("facts").join(
        say("{record}: {value:.3g} at step {step:,}", record=r, value=curves[r][-1][1], step=curves[r][-1][0])
        for r in told
    )
    if len(curves) <= FEW:
        return say("For each record {end}: {each}.", end=end, each=each)
    return say(
        "{count} curves, one a record. The smallest and the largest value that {end}: {each}. All in the table.",
        count=len(curves), end=end, each=each,
    )  # fmt: skip


def curve_rows(curves: Mapping[str, Sequence[tuple[int, float]]]) -> list[Row]:
    """Return curves as rows for a logarithmic scale: no difference at all, which it has no place for, is its foot."""
    positive = [value for points in curves.values() for _, value in points if 0 < value < math.inf]
    foot = 10.0 ** math.floor(math.log10(min(positive))) if positive else 1e-3
    return [
        {"series": series, "step": step, "value": max(value, foot), "true": value, "solo": len(points) == 1}
        for series, points in curves.items()
        for step, value in points
        if math.isfinite(value)
    ]


def finite(value: float) -> float:
    """Return the value, the largest there is for what is no number: that comes first in an order by size."""
    return value if math.isfinite(value) else math.inf


def percent(share: float) -> str:
    """Return a share of the bound in percent: 0, 0.0341, 31.6, 2.25e+16."""
    value = 100 * share
    if value == 0:
        return "0"
    return f"{value:.3g}"


def plain(value: float | None) -> str:
    """Return a number as text, empty for none."""
    return "" if value is None else f"{value:.6g}"


def counted_steps(number: int) -> str:
    """Return a number of steps: 1 step, 203 steps."""
    return say("1 step") if number == 1 else say("{count:,} steps", count=number)


def shortened(names: Iterable[str], most: int) -> str:
    """Return the names in a row, at most so many."""
    listed = list(names)
    if len(listed) <= most:
        return listing(listed)
    return say("{names} and {count:,} more", names=listing(listed[:most]), count=len(listed) - most)
