"""The figures of a report: rows for a chart, the sentence that says what it shows, and the table of its numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compare.views.report.course import Audit, Course

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
        steps = f"{part.first:,}" if part.first == part.last else f"{part.first:,} to {part.last:,}"
        row = {"step": part.first, "steps": steps, "manual": part.mean(0), "reference": part.mean(1)}
        rows.append(row | {"low": part.low[0], "high": part.high[0]} | {"alone": trained_apart})
    positive = min(row["low"] for row in rows) > 0
    spread = max(row["manual"] for row in rows) > 8 * min(row["manual"] for row in rows) if positive else False
    table = tuple(
        (row["steps"], *(f"{row[key]:.6g}" for key in ("manual", "reference", "low", "high")), plain(row["alone"]))
        for row in rows
    )
    columns = ("steps", "manual, mean", "reference, mean", "smallest", "largest", "reference trained apart")
    return Figure(
        name, "Loss", "losses-log" if spread else "losses", rows, losses_say(course, watched, rows, bool(spread)),
        Numbers(columns, table),
    )  # fmt: skip


def losses_say(course: Course, watched: bool, rows: Sequence[Row], log: bool) -> str:
    """Return what the chart of the losses shows, as text."""
    first, last = rows[0], rows[-1]
    several = "steps" if course.losses.width > 1 else "step"
    text = (
        f"The manual network's loss went from {first['manual']:.4g} at {several} {first['steps']} to "
        f"{last['manual']:.4g} at {several} {last['steps']}{' (logarithmic scale)' if log else ''}. "
    )
    if course.apart:
        text += f"The reference's differs from it by at most {course.apart:.1e} of itself, at step {course.apart_at:,}"
        text += ": the two lines lie on each other. " if course.apart < 1e-3 else ". "
    elif watched:
        text += "The reference's loss is the same to the last bit at every step. "
    if any(row["alone"] is not None for row in rows):
        text += "Circles: the reference that trains apart. "
    if course.losses.width > 1:
        text += (
            f"Each point is the mean of {course.losses.width:,} steps; the band goes from the smallest to the largest. "
        )
    if course.non_finite is not None:
        text += f"From step {course.non_finite:,} on there are losses that are no finite number; they are left out. "
    return text.strip()


def audits(name: str, course: Course) -> Figure | None:
    """Return each tensor's error over the audited steps, in percent of its bound; None for a run without an audit."""
    bins = course.audits.items
    tensors = sorted(course.worst, key=lambda tensor: -finite(course.worst[tensor][0]))
    if not bins or not tensors:
        return None
    rows = curve_rows({t: [(b.first, 100 * b.used[t]) for b in bins if t in b.used] for t in tensors})
    table = tuple((tensor, *(cell(part, tensor) for part in bins)) for tensor in course.worst)
    columns = ("tensor", *(f"step {part.first:,}" for part in bins))
    title = "Error of every operation, in percent of its bound"
    says, numbers = audits_say(course, tensors), Numbers(columns, table)
    if len(bins) == 1:
        in_order = curve_rows({t: [(bins[0].first, 100 * used)] for t, used in list(bins[0].used.items())[:MOST_DOTS]})
        return Figure(name, title, "audits-once", in_order, says, numbers, height=18 * len(in_order))
    return Figure(name, title, "audits", rows, says, numbers, tuple(tensors), "Tensor")


def cell(part: Audit, tensor: str) -> str:
    """Return a tensor's percentage in a bin, empty where it was not audited."""
    return percent(part.used[tensor]) if tensor in part.used else ""


def audits_say(course: Course, tensors: Sequence[str]) -> str:
    """Return what the chart of the audits shows, as text."""
    share, step = course.worst[tensors[0]]
    breached = [tensor for tensor in tensors if not course.worst[tensor][0] <= 1]
    exact = [tensor for tensor in tensors if course.worst[tensor][0] == 0]
    text = (
        f"{len(tensors)} tensors, audited at {counted(course.audited, 'step')}. The "
        f"{'farthest beyond' if breached else 'closest to'} its bound was {tensors[0]}, with {percent(share)} % of it "
        f"at step {step:,}. "
    )
    if breached:
        text += f"Above the bound: {shortened(breached, 8)}. "
    else:
        text += "None is above the bound. "
    if exact:
        text += f"{len(exact)} of them never differed at all; no difference is drawn at the foot of the chart. "
    if course.audits.width > 1:
        text += f"Each point is the largest of {course.audits.width:,} audits. "
    return text.strip()


def drift(name: str, course: Course) -> Figure | None:
    """Return how far the pair that trains apart has drifted; None where none was trained."""
    drifts = course.drifts.items
    if not drifts:
        return None
    rows = curve_rows({"drift": [(d.step, d.distance) for d in drifts]})
    first, last = drifts[0], drifts[-1]
    says = (
        f"Trained apart from the same start, on the same batches, the two networks' weights differ by "
        f"{first.distance:.1e} of their norm after step {first.step:,} and by {last.distance:.1e} after step "
        f"{last.step:,}. Correct implementations drift apart too: this is reported, and is no reason to fail."
    )
    table = tuple((f"{d.step:,}", f"{d.distance:.3e}", plain(d.loss)) for d in drifts)
    columns = ("step", "relative distance of the weights", "loss of the reference")
    return Figure(name, "Drift of the independent pair", "drift", rows, says, Numbers(columns, table), ("drift",))


def together(courses: dict[str, Course]) -> list[Figure]:
    """Return the figures that lay the curves of several records over each other, by their names."""
    loss = {n: [(b.first, b.mean(0)) for b in c.losses.items] for n, c in courses.items()}
    audit = {n: [(b.first, 100 * b.largest) for b in c.audits.items] for n, c in courses.items()}
    apart = {n: [(d.step, d.distance) for d in c.drifts.items] for n, c in courses.items()}
    made = [
        overlaid("all-losses", "Loss of the manual networks", "curves", loss, "the loss ended at"),
        overlaid(
            "all-audits",
            "Largest error of an audit, in percent of its bound",
            "audits",
            audit,
            "the percentage ended at",
        ),
        overlaid("all-drifts", "Drift of the independent pairs", "drift", apart, "the relative distance ended at"),
    ]
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
    numbers = Numbers(("record", "points", "first", "smallest", "largest", "last"), tuple(table))
    solo = "-solo" if any(len(points) == 1 for points in curves.values()) else ""
    return Figure(
        name, title, f"{chart}{'-few' if is_few else ''}{solo}", curve_rows(curves), ends(curves, end), numbers,
        () if is_few else tuple(curves), "" if is_few else "Record",
    )  # fmt: skip


def ends(curves: Mapping[str, Sequence[tuple[int, float]]], end: str) -> str:
    """Return where the curves end: each of a few, of many the smallest and the largest."""
    by_end = sorted(curves, key=lambda record: curves[record][-1][1])
    told = list(curves) if len(curves) <= FEW else [by_end[0], by_end[-1]]
    each = "; ".join(f"{r}: {curves[r][-1][1]:.3g} at step {curves[r][-1][0]:,}" for r in told)
    if len(curves) <= FEW:
        return f"For each record {end}: {each}."
    return (
        f"{len(curves)} curves, one a record. The smallest and the largest value that {end}: {each}. All in the table."
    )


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


def counted(number: int, what: str) -> str:
    """Return a number of things: 1 step, 203 steps."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def shortened(names: Iterable[str], most: int) -> str:
    """Return the names in a row, at most so many."""
    listed = list(names)
    rest = f" and {len(listed) - most:,} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest
