"""What a sweep came to: one table, on the console and as Markdown, and a line while it is running."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compare.views.console import STYLES

Data = dict[str, Any]

LEGEND = (
    "tightest  the largest share of a bound that any audited operation has used; 100 % would be a breach\n"
    "accuracy  on the test images, mean over the seeds +- their sample standard deviation"
)
REASONS = 10  # reasons that the console shows; sweep.json has all


def show_sweep(sweep: Data, headings: Mapping[str, str], labels: Any, console: Console | None = None) -> None:
    """Print a sweep (the data of `--json`): counts, the table, the reasons of what does not agree, where it is kept."""
    console = console or wide_enough()
    console.print(counts_line(sweep), highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    names, rows = table_of(sweep, headings, labels)
    for name in names:
        table.add_column(name, justify="right" if name.startswith(("tightest %", "accuracy")) else "left")
    for cells in rows:
        at = names.index("verdict")
        styled = Text(cells[at], STYLES["DIVERGES"] if "DIVERGES" in cells[at] else "")
        table.add_row(*map(Text, cells[:at]), styled, *map(Text, cells[at + 1 :]))
    console.print(table)
    console.print(LEGEND, style="dim", highlight=False)
    for line in reasons(sweep):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(Text(f"sweep: {sweep['folder']}"), soft_wrap=True)


def wide_enough() -> Console:
    """Return the console. A file or a pipe has no width of its own: there is room for every column."""
    console = Console()
    if not console.is_terminal:
        console.width = 200
    return console


def show_cells(sweep: Data, cells: Sequence[Data], headings: Mapping[str, str], labels: Any) -> None:
    """Print the cells of a sweep that is not run: what makes each differ, and whether it is finished."""
    table = Table("cell", *headings.values(), "", box=None, header_style="bold", pad_edge=False)
    for cell in cells:
        row = [str(cell["cell"]), *(labels(value) for value in cell["axes"].values()), cell["status"]]
        table.add_row(*map(Text, row))
    wide_enough().print(table)
    print(f"{sweep['name']}: {len(cells)} cells, {sweep['skipped']} of them finished; {sweep['folder']}")


def counts_line(sweep: Data) -> str:
    """Return how many cells came to what: AGREES 23, DIVERGES 1, of 24 cells; 12 were finished before."""
    counts = Counter(cell["verdict"] or cell["status"] for cell in sweep["cells"])
    said = ", ".join(f"{word} {number}" for word, number in counts.most_common()) or "nothing yet"
    before = f"; {sweep['skipped']} finished before" if sweep["skipped"] else ""
    broken_off = "; interrupted: start it again to run the rest" if sweep["interrupted"] else ""
    return f"{sweep['name']}: {said}, of {sweep['total']} cells{before}{broken_off}"


def table_of(sweep: Data, headings: Mapping[str, str], labels: Any) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the table, one row for every combination without its seed.

    `headings` gives the columns of the axes that vary, `labels` a value of one in short.
    """
    names = [headings[key] for key in sweep["varies"]]
    names += ["seeds", "verdict", "tightest %", "of", "accuracy % manual", "accuracy % reference"]
    rows = []
    for entry in sweep["summary"]:
        row = [labels(entry["axes"][key]) for key in sweep["varies"]]
        row += [seeds(entry["seeds"]), verdicts(entry["verdicts"]), *tightest(entry["tightest"])]
        rows.append([*row, *(accuracy(entry["accuracy"], side) for side in ("manual", "reference"))])
    return names, rows


def seeds(numbers: Sequence[int]) -> str:
    """Return seeds in short: 1-3, 7."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def verdicts(counts: Mapping[str, int]) -> str:
    """Return verdicts with their numbers; the number is left out where all are the same."""
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{word} {number}" for word, number in counts.items())


def tightest(found: Data | None) -> tuple[str, str]:
    """Return the largest share of a bound in percent, and its tensor."""
    if not found:
        return "", ""
    used = found["used"]
    return (used if isinstance(used, str) else f"{100 * used:.1f}"), found["tensor"]


def accuracy(found: Data | None, side: str) -> str:
    """Return the accuracy of one side in percent, with its spread over the seeds."""
    if not found:
        return ""
    deviation = found[side]["deviation"]
    return f"{100 * found[side]['mean']:.2f}" + (f" +- {100 * deviation:.2f}" if deviation is not None else "")


def reasons(sweep: Data) -> list[str]:
    """Return one line for every cell that does not agree: which, what became of it, why."""
    lines = [
        f"cell {cell['cell']}: {cell['verdict'] or cell['status']}. {cell['reason'] or ''}".rstrip()
        for cell in sweep["cells"]
        if cell["verdict"] not in ("AGREES", "EXPLAINED") and cell["status"] != "interrupted"
    ]
    more = [f"... and {len(lines) - REASONS} more: see sweep.json."] if len(lines) > REASONS else []
    return lines[:REASONS] + more


def as_markdown(sweep: Data, headings: Mapping[str, str], labels: Any) -> str:
    """Return the table as Markdown."""
    names, rows = table_of(sweep, headings, labels)
    rules = ["---:" if name.startswith(("tightest %", "accuracy")) else "---" for name in names]
    lines = [f"**{counts_line(sweep)}**", ""]
    lines += [f"| {' | '.join(row)} |" for row in (names, rules, *rows)]
    elsewhere = [f"- {line}" for line in reasons(sweep)]
    return "\n".join([*lines, "", *elsewhere, *([""] if elsewhere else [])])


def write_report(records: Sequence[Path], file: Path) -> str:
    """Write one HTML report over all records; return "" or, where that cannot be had, why and what to do."""
    from compare.records.schema import RecordError
    from compare.views import report

    if not records:
        return ""
    try:
        report.write_report(list(records), file)
    except (report.ReportError, RecordError) as reason:
        return f"There is no {file.name}: {reason}"
    return ""
