"""The charts of a report, drawn by Vega in the reader's browser: a specification for each kind, made by altair.

A page holds each specification once, however many charts of its kind there are; every chart has its own rows. Colours
stand in the page's style sheet alone: marks name a style, `manual`, `reference`, `quiet`, `chosen` or `bound`, and the
page's script gives these the colours of the light or the dark page. What a colour tells is told by a dash, a
thickness or a label as well.
"""

from typing import Any

import altair as alt

from compare.language import Sentence, mark, say, tell

ROWS = "rows"  # the name of the data that the page puts into a chart


Spec = dict[str, Any]


def specification(name: str) -> Spec:
    """Return a kind of chart: `losses`, `losses-log`, `audits-once`, or curves: of a kind of CURVES, -few, -solo."""
    if name.startswith("losses"):
        return losses("log" if name == "losses-log" else "linear")
    kind, *options = name.split("-")
    marked, bound, along = CURVES[kind]
    title = tell(marked)
    if "once" in options:
        return once(title, bound)
    return (few if "few" in options else lines)(title, bound, along, "solo" in options)


CURVES: dict[str, tuple[Sentence, float | None, str]] = {  # kind: title, bound, scale of the steps
    "audits": (mark("% of the bound"), 100, "linear"),
    "drift": (mark("relative distance"), None, "log"),
    "curves": (mark("loss, mean of a bin"), None, "linear"),
}


def losses(scale: str) -> Spec:
    """The loss of both sides: between the smallest and largest of a bin a band, through their means a line.

    Rows: step, manual, reference (means), low, high (of the manual side), alone (of the reference trained apart).
    """
    base = alt.Chart(alt.NamedData(ROWS)).encode(x=steps())
    y = alt.Y("low:Q", scale=scale_of(scale, scale != "log"), axis=axis_of(scale, say("loss"), marked=(1, 2, 5)))
    band = base.mark_area(style="band", tooltip=None).encode(y=y, y2="high:Q")
    manual = base.mark_line(style="manual").encode(y="manual:Q")
    reference = base.mark_line(style="reference").encode(y="reference:Q")
    alone = (
        base.transform_filter("isValid(datum.alone)").mark_point(style="alone", tooltip=None).encode(y="alone:Q")
    )  # fmt: skip
    hover = alt.selection_point(
        name="near", nearest=True, on="pointerover", clear="pointerout", fields=["step"], empty=False
    )
    cursor = (
        base.mark_rule(style="cursor")
        .encode(
            opacity=alt.condition(hover, alt.value(1), alt.value(0)),
            tooltip=[
                alt.Tooltip("steps:N", title=say("steps")),
                alt.Tooltip("manual:Q", format=".6g", title=say("manual")),
                alt.Tooltip("reference:Q", format=".6g", title=say("reference")),
                alt.Tooltip("low:Q", format=".4g", title=say("smallest")),
                alt.Tooltip("high:Q", format=".4g", title=say("largest")),
            ],
        )
        .add_params(hover)
    )
    return finished(alt.layer(band, manual, reference, alone, cursor))


def lines(title: str, bound: float | None, along: str, solo: bool) -> Spec:
    """Many curves on a logarithmic scale, one of them chosen: it alone is strong.

    Rows: series, step, value (drawn), true (shown; where it is 0, `value` is the foot of the chart), solo (whether it
    is the only point of its curve: `solo` charts draw it as a point).
    """
    chosen = alt.param(name="chosen", value="")
    base = curves(title, along)
    curve = alt.Tooltip("series:N", title=say("curve"))
    quiet = base.mark_line(style="quiet").encode(detail="series:N", tooltip=[curve])
    strong = base.transform_filter("datum.series === chosen")
    marks = [quiet, strong.mark_line(style="chosen"), strong.mark_point(style="dots").encode(tooltip=told(title))]
    if solo:
        marks.append(base.transform_filter("datum.solo").mark_point(style="solo").encode(tooltip=told(title)))
    return finished(alt.layer(*marks, *limit(bound)).add_params(chosen))


def few(title: str, bound: float | None, along: str, solo: bool) -> Spec:
    """A few curves on a logarithmic scale, told apart by their dashes and colours. Rows as those of `lines`."""
    named: Any = {
        "color": alt.Color("series:N", sort=None, legend=alt.Legend(title=None, orient="top", columns=1, labelLimit=0)),
        "strokeDash": alt.StrokeDash("series:N", sort=None),
    }
    base = curves(title, along)
    marks = [base.mark_line(style="one").encode(**named), base.mark_point(style="spots").encode(tooltip=told(title))]
    if solo:
        marks.append(base.transform_filter("datum.solo").mark_point(style="solo").encode(**named))
    return finished(alt.layer(*marks, *limit(bound)))


def once(title: str, bound: float | None) -> Spec:
    """Of a single audit there is no curve: a row for each tensor, and a dot where its error is. Rows as in `lines`."""
    x = alt.X("value:Q", scale=scale_of("log", True), axis=axis_of("log", title))
    y = alt.Y("series:N", sort=None, axis=alt.Axis(title=None, labelLimit=190, grid=True, domain=False, ticks=False))
    dots = alt.Chart(alt.NamedData(ROWS)).mark_point(style="dots").encode(x=x, y=y, tooltip=told(title))
    at = alt.Chart(alt.InlineData(values=[{"bound": bound, "name": say("the bound")}])).encode(x="bound:Q")
    name = at.mark_text(style="bound-name", align="left", baseline="bottom", dx=5, dy=-3)
    return finished(alt.layer(dots, at.mark_rule(style="bound"), name.encode(y=alt.value(0), text="name:N")))


def curves(title: str, along: str) -> alt.Chart:
    """Return what charts of curves share: their rows and their axes."""
    y = alt.Y("value:Q", scale=scale_of("log", True), axis=axis_of("log", title))
    return alt.Chart(alt.NamedData(ROWS)).encode(x=steps(along), y=y)


def told(title: str) -> list[alt.Tooltip]:
    """Return what is told of a point of a curve."""
    return [
        alt.Tooltip("series:N", title=say("curve")),
        alt.Tooltip("step:Q", format=",d", title=say("step")),
        alt.Tooltip("true:Q", format=".4g", title=title),
    ]


def limit(bound: float | None) -> list[alt.Chart]:
    """Return a line across the chart at the bound, with its name; nothing where there is none."""
    if bound is None:
        return []
    at = alt.Chart(alt.InlineData(values=[{"bound": bound, "name": say("the bound, 100 %")}])).encode(y="bound:Q")
    name = at.mark_text(style="bound-name", align="right", baseline="bottom", dy=-4)
    return [at.mark_rule(style="bound"), name.encode(x=alt.value("width"), text="name:N")]


def steps(scale: str = "linear") -> alt.X:
    """Return the axis of the steps."""
    return alt.X("step:Q", scale=scale_of(scale, False), axis=axis_of(scale, say("step"), whole=True))


def axis_of(scale: str, title: str, whole: bool = False, marked: tuple[int, ...] = (1,)) -> alt.Axis:
    """Return an axis; a logarithmic one marks these multiples of the powers of ten, and has no line between them."""
    if scale != "log":
        number: Any = {"labelExpr": "datum.value % 1 ? '' : format(datum.value, ',d')"} if whole else {"format": "~g"}
        return alt.Axis(title=title, tickCount=6, labelOverlap=True, **number)
    digit = "round(datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9)))"
    here = f"indexof({list(marked)}, {digit}) >= 0"
    short = "format(datum.value, datum.value >= 0.001 && datum.value < 1000000 ? ',~g' : '~e')"
    only: Any = {"condition": {"test": here, "value": 1}, "value": 0}
    return alt.Axis(
        title=title, labelExpr=f"{here} ? {short} : ''", labelOverlap=True, gridOpacity=only, tickOpacity=only
    )  # fmt: skip


def scale_of(kind: Any, nice: bool) -> alt.Scale:
    """Return a scale that does not begin at 0; a logarithmic one could not, and Vega warns where that is said of it."""
    return alt.Scale(type=kind, nice=nice) if kind == "log" else alt.Scale(type=kind, nice=nice, zero=False)


def finished(chart: Any) -> Spec:
    """Return the chart's specification, as wide as its place in the page, without data."""
    spec = chart.properties(width="container", padding=4).to_dict(validate=False)
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    return spec


def script() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one piece of JavaScript, which stands in every page. No network."""
    import vl_convert

    bundle: Any = vl_convert.javascript_bundle  # whose type asks for a snippet, which its documentation does not
    return bundle().replace("</script", "<\\/script").replace("<!--", "<\\!--")
