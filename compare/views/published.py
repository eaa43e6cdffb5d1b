"""Reproductions of published results, shown: on the console, and as the section of results/README.md.

What is shown is the data of `--json`, and of the files in results/reproductions.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compare.views.report import ReportError

Data = dict[str, Any]
HEADINGS = ("", "theirs", "ours", "difference", "wanted", "met")
RUN_HEADINGS = ("run", "verdict", "steps", "tensors compared", "operations audited", "seconds", "config id", "record")
BEGIN, END = "<!-- reproductions: made by `backproof reproduce --write` -->", "<!-- end of reproductions -->"
FOLDED = 20  # more figures than this are folded away in Markdown
GOOD, BAD = "green", "bold red"


def show_reproduction(kept: Data, quiet: bool = False, console: Console | None = None) -> None:
    """Print a reproduction: what it came to, figures, runs, what differs and why, what explains it."""
    console = console or wide_enough()
    style = GOOD if kept["met"] else BAD
    console.print(Text.assemble((kept["name"], "bold"), "  ", (counted(kept), style)), soft_wrap=True)
    if quiet:
        return
    console.print(kept["source"], highlight=False, markup=False, soft_wrap=True)
    if kept["comparisons"]:
        print_table(console, HEADINGS, map(figure_row, kept["comparisons"]))
    print_table(console, RUN_HEADINGS, map(run_row, kept["runs"]))
    for run in kept["runs"]:
        if run["reason"]:
            console.print(f"{run['name']}: {run['reason']}", highlight=False, markup=False, soft_wrap=True)
    for line in kept["differs"]:
        console.print(f"differs: {line}", highlight=False, markup=False, soft_wrap=True)
    for table in kept["explanation"]:
        console.print(Text(table["title"], "bold"), soft_wrap=True)
        print_table(console, table["columns"], (map(said, row) for row in table["rows"]))
        if table["says"]:
            console.print(table["says"], highlight=False, markup=False, soft_wrap=True)
    console.print()


def wide_enough() -> Console:
    """Return the console. A file or a pipe has no width of its own: there is room for every column."""
    console = Console()
    if not console.is_terminal:
        console.width = 200
    return console


def print_table(console: Console, headings: Sequence[str], rows: Iterable[Iterable[str]]) -> None:
    """Print rows under their headings; numbers stand to the right."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if 0 < index < 4 and headings is HEADINGS else "left")
    for row in rows:
        table.add_row(*(Text(cell, BAD if cell == "NO" else "") for cell in row))
    console.print(table)


def counted(kept: Data) -> str:
    """Return in words how many figures are met, and what the runs' verdicts are."""
    figures, runs = kept["figures"], kept["runs"]
    shown = figures["all"] - figures["judged"]
    parts = [f"{figures['met']} of {figures['judged']} figures met"] if figures["judged"] else []
    parts += [f"{shown} shown without a verdict"] if shown else []
    verdicts = ", ".join(dict.fromkeys(run["verdict"] + " (as wanted)" * wanted_to_diverge(run) for run in runs))
    parts.append(f"{sum(run['met'] for run in runs)} of {len(runs)} runs as wanted: {verdicts}")
    return ("met" if kept["met"] else "NOT MET") + ": " + "; ".join(parts)


def wanted_to_diverge(run: Data) -> bool:
    """Whether the run ended as it should with a verdict that is no agreement."""
    return run["met"] and run["verdict"] not in ("AGREES", "EXPLAINED")


def figure_row(figure: Data) -> list[str]:
    """Return one figure's cells."""
    decimals, difference = figure["decimals"], figure["difference"]
    met = {True: "yes", False: "NO", None: ""}[figure["met"]]
    theirs, ours = (as_printed(figure[side], decimals) for side in ("theirs", "ours"))
    return [figure["what"], theirs, ours, "" if difference is None else said(difference), figure["wanted"], met]


def as_printed(number: Any, decimals: int | None) -> str:
    """Return a figure with the decimals it was published with; all that it has where it has no number of them."""
    if number is None:
        return "none published"
    if isinstance(number, str) or decimals is None:
        return str(number)
    return f"{number:.{decimals}f}"


def said(cell: Any) -> str:
    """Return a number with three digits, a text as it is."""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if 1000 <= abs(cell) < 1e6 else f"{cell:.3g}"
    return str(cell)


def run_row(run: Data) -> list[str]:
    """Return one run's cells."""
    verdict = run["verdict"] + ("" if run["met"] else f" (wanted {' or '.join(run['wanted'])})")
    counts = (f"{run[key]:,}" for key in ("steps", "checks", "audits"))
    return [run["name"], verdict, *counts, f"{run['seconds']:.1f}", run["config_id"], run["record"] or ""]


def section(kept: Sequence[Data]) -> str:
    """Return reproductions as the section of results/README.md, without its markers."""
    overview = (
        [f"[{k['name']}](#{k['name']})", *counted(k).split(": ", 1), f"{sum(r['seconds'] for r in k['runs']):.1f}"]
        for k in kept
    )
    parts = [markdown(("reproduction", "", "came to", "seconds"), overview)]
    parts += [chapter(k) for k in kept]
    return "\n\n".join(parts) + "\n"


def chapter(kept: Data) -> str:
    """Return one reproduction as Markdown."""
    environment = kept["environment"]
    packages = environment["packages"]
    figures = markdown(HEADINGS, map(figure_row, kept["comparisons"]))
    if len(kept["comparisons"]) > FOLDED:
        figures = f"<details><summary>{len(kept['comparisons'])} figures</summary>\n\n{figures}\n\n</details>"
    parts = [f"### {kept['name']}", f"{counted(kept)}.", f"Source: {kept['source']}."]
    if kept["recipe"]:
        parts.append("\n".join(f"- {line}" for line in kept["recipe"]))
    parts += [figures] if kept["comparisons"] else ["No figures: a run broke off."]
    if kept["differs"]:
        parts.append("What differs, and why:\n\n" + "\n".join(f"- {line}" for line in kept["differs"]))
    for table in kept["explanation"]:
        parts += [f"{table['title']}:", markdown(table["columns"], (map(said, row) for row in table["rows"]))]
        parts += [table["says"]] if table["says"] else []
    parts.append(markdown(RUN_HEADINGS, map(run_row, kept["runs"])))
    parts.append(
        f"NumPy {packages['numpy']}, torch {packages['torch']}, Python {environment['python']}, "
        f"{environment['machine']}."
    )
    return "\n\n".join(parts)


def markdown(headings: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(headings), ["---"] * len(headings), *([c.replace("|", "\\|") for c in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_into(file: Path, kept: Sequence[Data]) -> Path:
    """Put the section between the markers of a page, and return the page. Raises ReportError."""
    try:
        page = file.read_text(encoding="utf-8")
        file.write_text(placed(page, kept, file), encoding="utf-8")
    except OSError as failure:
        raise ReportError(f"{file}: the section on reproductions cannot be written ({failure.strerror}).") from None
    return file


def placed(page: str, kept: Sequence[Data], file: Path) -> str:
    """Return the page with the section in its place. Raises ReportError where it has no place."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(page):
        raise ReportError(f"{file}: found no place for the section; wanted the lines {BEGIN} and {END} in it.")
    made = f"{BEGIN}\n\n{section(kept)}\n{END}"
    return pattern.sub(lambda _: made, page, count=1)
