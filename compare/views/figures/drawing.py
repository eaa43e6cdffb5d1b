"""How the figures are drawn: a specification by altair, turned into SVG by vl-convert; no browser, no network.

Every figure has a background of its own, so that it can be read on a light page and on a dark one, and every mark says
its number in words (`aria-label`), for those who cannot see it and for the test.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.views.figures.numbers import UNIT, Numbers, numbers
from compare.views.report.page import INSTALL, ReportError

if TYPE_CHECKING:
    import altair as alt

INK, PAPER, UP, DOWN = "#222222", "#ffffff", "#0f6cbd", "#c4560a"  # the last two: a sum pushed up, or down
DIGITS = list(range(10))


def write_figures(folder: Path) -> list[Path]:
    """Draw the figures into a folder, and return their files.

    Raises ReportError where the libraries of the extra `report` are missing or a file cannot be written.
    """
    try:
        import altair  # noqa: F401 - whether they are all there
        import vl_convert
    except ImportError as missing:
        raise ReportError(f"The figures need {missing.name}, which is not installed: {INSTALL}") from None
    shown, written = numbers(), []
    for name, draw in FIGURES.items():
        svg = vl_convert.vegalite_to_svg(finished(draw(shown)))
        file = folder / f"{name}.svg"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text(svg + "\n", encoding="utf-8")
        except OSError as failure:
            raise ReportError(
                f"{file}: the figure cannot be written ({failure.strerror}). Choose another folder."
            ) from None
        written.append(file)
    return written


def image(shown: Numbers) -> "alt.Chart":
    """The image of the zero: a square for each pixel with ink, in the grey that it has."""
    import altair as alt

    rows = [
        {
            "row": int(r),
            "column": int(c),
            "ink": int(shown.image[r, c]),
            "says": f"pixel {28 * r + c}: {shown.image[r, c]}",
        }
        for r, c in np.argwhere(shown.image > 0)
    ]
    scale: Any = alt.Scale(domain=list(range(28)), paddingInner=0, paddingOuter=0)
    return (
        alt.Chart(alt.InlineData(values=rows), width=196, height=196)
        .mark_rect()
        .encode(
            x=alt.X("column:O", scale=scale, axis=None),
            y=alt.Y("row:O", scale=scale, axis=None),
            color=alt.Color("ink:Q", scale=alt.Scale(domain=[0, 255], range=[PAPER, INK]), legend=None),
            description="says:N",
        )
    )


def one_layer(shown: Numbers) -> "alt.HConcatChart":
    """The ten outputs, the target, and their difference, side by side."""
    import altair as alt

    panels = {"output a": shown.output, "target t": shown.target, "difference a - t": shown.difference}
    return alt.hconcat(*(bars(title, values, [-0.2, 1]) for title, values in panels.items()))


def hidden_unit(shown: Numbers) -> "alt.Chart":
    """What each of the ten outputs hands down to one hidden unit: the terms of (17)."""
    title = f"delta_k * w_kj for hidden unit j = {UNIT}, sum {said(shown.shares.sum())}"
    return bars(title, shown.shares, None, width=330)


def bars(title: str, values: np.ndarray, domain: list[float] | None, width: int = 150) -> "alt.Chart":
    """A bar for each output, upwards or downwards, the sign told by the side as well as by the colour."""
    import altair as alt

    rows = [
        {"k": k, "value": float(value), "says": f"{title.partition(',')[0]}, output {k}: {said(float(value))}"}
        for k, value in zip(DIGITS, values, strict=True)
    ]
    scale = alt.Scale(domain=domain) if domain else alt.Scale()
    return (
        alt.Chart(alt.InlineData(values=rows), title=title, width=width, height=110)
        .mark_bar()
        .encode(
            x=alt.X("k:O", axis=alt.Axis(title="output k", labelAngle=0)),
            y=alt.Y("value:Q", scale=scale, axis=alt.Axis(title=None, tickCount=5)),
            color=alt.condition("datum.value < 0", alt.value(DOWN), alt.value(UP)),
            description="says:N",
        )
    )


def said(value: float) -> str:
    """Return a number as the page prints it."""
    return f"{value:.4f}"


def finished(chart: Any) -> dict[str, Any]:
    """Return the chart's specification, with a background and letters that both a light and a dark page bear."""
    letters = {"titleColor": INK, "labelColor": INK, "domainColor": INK, "tickColor": INK, "gridColor": "#dddddd"}
    return (
        chart.configure(background=PAPER, padding=8)
        .configure_axis(**letters)
        .configure_title(color=INK, fontSize=12, fontWeight="normal")
        .configure_view(stroke=None)
        .to_dict(validate=False)
    )


FIGURES = {"zero": image, "one-layer": one_layer, "hidden-unit": hidden_unit}
