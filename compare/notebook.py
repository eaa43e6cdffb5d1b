"""What an object shows of itself in a notebook: a title, a few facts, a table. HTML without style sheets or scripts."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

MOST_ROWS = 30  # of a table; what it leaves out is counted
CELL = "padding:0 .8em 0 0;text-align:left;vertical-align:top"


def card(
    title: str,
    facts: Mapping[str, object],
    head: Sequence[str] = (),
    rows: Iterable[Sequence[object]] = (),
    note: str = "",
) -> str:
    """Return a title, facts by name, and a table under its head as HTML; texts are escaped."""
    shown = "; ".join(f"{escape(name)} {escape(str(value))}" for name, value in facts.items())
    parts = [f"<div><b>{escape(title)}</b>", f"<div>{shown}</div>" if shown else "", table(head, list(rows))]
    return "".join([*parts, f"<div><i>{escape(note)}</i></div>" if note else "", "</div>"])


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return the rows as an HTML table, the first MOST_ROWS of them; nothing where there are none."""
    if not rows:
        return ""
    lines = [line("th", head), *(line("td", row) for row in rows[:MOST_ROWS])]
    if len(rows) > MOST_ROWS:
        lines.append(f'<tr><td colspan="{len(head)}">{len(rows) - MOST_ROWS:,} …</td></tr>')
    return f"<table>{''.join(lines)}</table>"


def line(tag: str, values: Sequence[object]) -> str:
    """Return one row of a table; the first cell, a name, in a fixed-width font."""
    texts = [escape(str(cell)) for cell in values]
    named = [f"<code>{texts[0]}</code>", *texts[1:]] if tag == "td" else texts
    cells = "".join(f'<{tag} style="{CELL}">{text}</{tag}>' for text in named)
    return f"<tr>{cells}</tr>"
