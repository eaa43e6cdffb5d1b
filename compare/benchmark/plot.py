"""The picture of the benchmarks, drawn as SVG from their JSON: how many times longer than manual's a step takes, over
the batch size, a panel for each network and dtype, both axes logarithmic.

The paper is part of the picture, so that it can be read on a light page and on a dark one; contestants are told apart
by the shape of their marks as well as by their colour. An engine of scalars would need an axis of its own.
"""

import math
from html import escape
from typing import Any

Row = dict[str, Any]
INK, GREY, PAPER = "#222222", "#dddddd", "#ffffff"
COLOURS = {
    "torch": "#0f6cbd", "torch foreach": "#5aa0dc", "torch fused": "#0b3c68", "torch.compile": "#7b3fa0",
    "scikit-learn": "#c4560a", "per example": "#8a6d00", "jax.jit": "#0a7d4f", "autograd": "#b0215b",
    "tinygrad": "#555555",
}  # fmt: skip
NARROWEST = 680  # what the title and two lines of names need
MARKS = "circle", "square", "diamond", "triangle", "down"
WIDTH, HEIGHT, LEFT, TOP, GAP, RIGHT = 200, 170, 52, 96, 62, 20  # of a panel, and what is left around


def as_svg(rows: list[Row]) -> str:
    """Return the picture of the rows of `step`."""
    raced = [row for row in rows if "ratio" in row and row["of"][0] in COLOURS]
    networks = list(dict.fromkeys(row["network"] for row in raced))
    dtypes = list(dict.fromkeys(row["dtype"] for row in raced))
    names = [name for name in COLOURS if any(row["of"][0] == name for row in raced)]
    scale = Scale(raced)
    width = max(NARROWEST, LEFT + len(networks) * (WIDTH + 24) + RIGHT - 24)
    height = TOP + len(dtypes) * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}" role="img">',
        "<title>How many times longer than manual's a training step takes, over the batch size</title>",
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        text(LEFT, 22, "A training step: how many times longer than manual's (above 1, manual is faster)", size=14),
        *legend(names, width),
    ]
    for down, dtype in enumerate(dtypes):
        for across, network in enumerate(networks):
            x, y = LEFT + across * (WIDTH + 24), TOP + down * (HEIGHT + GAP)
            chosen = [row for row in raced if row["network"] == network and row["dtype"] == dtype]
            parts += panel(f"{network}, {dtype}", x, y, chosen, names, scale, labels=across == 0)
    return "\n".join([*parts, "</svg>"]) + "\n"


class Scale:
    """Where a batch size and a ratio lie within a panel."""

    def __init__(self, rows: list[Row]):
        self.batches = sorted({row["batch"] for row in rows})
        ratios = [row["ratio"] for row in rows]
        self.low, self.high = math.floor(math.log10(min(*ratios, 0.9))), math.ceil(math.log10(max(*ratios, 1.1)))

    def x(self, batch: int) -> float:
        """Return how far to the right a batch size lies."""
        low, high = math.log(self.batches[0]), math.log(self.batches[-1])
        return 12 + (WIDTH - 24) * ((math.log(batch) - low) / (high - low) if high > low else 0.5)

    def y(self, ratio: float) -> float:
        """Return how far down a ratio lies."""
        return HEIGHT * (self.high - math.log10(ratio)) / (self.high - self.low)


def legend(names: list[str], width: int) -> list[str]:
    """Return a mark and a name for each contestant, in lines as wide as the picture."""
    parts, x, y = [], LEFT, 44
    for name in names:
        wide = 30 + 7 * len(name)
        if x + wide > width - RIGHT:
            x, y = LEFT, y + 18
        parts += [mark(name, x + 5, y - 4), text(x + 15, y, name)]
        x += wide
    return parts


def panel(title: str, x: int, y: int, rows: list[Row], names: list[str], scale: Scale, labels: bool) -> list[str]:
    """Return one network in one dtype: axes, the line of 1, and a line for each contestant."""
    parts = [f'<g transform="translate({x} {y})">', text(0, -8, title, size=12)]
    for power in range(scale.low, scale.high + 1):
        at = scale.y(10.0**power)
        strong = f'stroke="{INK}" stroke-width="1.2"' if power == 0 else f'stroke="{GREY}"'
        parts.append(f'<line x1="0" x2="{WIDTH}" y1="{at:.1f}" y2="{at:.1f}" {strong}/>')
        if labels:
            parts.append(text(-6, at + 4, f"{10.0**power:g}", anchor="end"))
    for batch in scale.batches:
        parts.append(text(scale.x(batch), HEIGHT + 15, str(batch), anchor="middle"))
    parts.append(text(WIDTH / 2, HEIGHT + 30, "batch size", anchor="middle"))
    for name in names:
        points = [(scale.x(r["batch"]), scale.y(r["ratio"]), r) for r in rows if r["of"][0] == name]
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py, _ in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[name]}" stroke-width="1.5"/>')
        parts += [mark(name, px, py, f"{name}, batch {r['batch']}: {r['ratio']:.2f}") for px, py, r in points]
    return [*parts, "</g>"]


def mark(name: str, x: float, y: float, says: str = "") -> str:
    """Return a contestant's mark at a place; `says` is its number in words."""
    kind, r = MARKS[list(COLOURS).index(name) % len(MARKS)], 4
    corners = {
        "square": ((-r, -r), (r, -r), (r, r), (-r, r)),
        "diamond": ((0, -r - 1), (r + 1, 0), (0, r + 1), (-r - 1, 0)),
        "triangle": ((0, -r - 1), (r, r), (-r, r)),
        "down": ((0, r + 1), (r, -r), (-r, -r)),
    }
    inside = f"<title>{escape(says)}</title>" if says else ""
    paint = f'fill="{COLOURS[name]}" stroke="{PAPER}" stroke-width="0.8"'
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" {paint}>{inside}</circle>'
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners[kind])
    return f'<polygon points="{points}" {paint}>{inside}</polygon>'


def text(x: float, y: float, words: str, size: int = 11, anchor: str = "start") -> str:
    """Return words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(words)}</text>'
