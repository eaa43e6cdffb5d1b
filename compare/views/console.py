"""The console: a bar while the run goes by, and at its end what was checked, how closely, and what to try next."""

import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

STYLES = {"AGREES": "bold green", "EXPLAINED": "bold green", "DIVERGES": "bold red", "INCONCLUSIVE": "bold yellow"}
STAGES = ("data", "parameters", "forward", "loss", "backward", "update")

Data = dict[str, Any]


class Bar:
    """A progress bar on standard error, where that is a terminal; otherwise nothing at all."""

    def __init__(self, quiet: bool):
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=console, transient=True, disable=quiet or not sys.stderr.isatty())
        self.task = self.progress.add_task("steps", total=None)

    def begin(self, total: int) -> None:
        """Start the bar."""
        self.progress.update(self.task, total=total)
        self.progress.start()

    def advance(self, number: int) -> None:
        """Show that `number` steps are done; drawing is the progress bar's own affair."""
        if number % 20 == 0:
            self.progress.update(self.task, completed=number)

    def end(self) -> None:
        """Take the bar away."""
        self.progress.stop()


def show(outcome: Data, console: Console | None = None, place: Callable[[str], str] | None = None) -> None:
    """Print an outcome (the data of `--json`): verdict first."""
    console = console or Console()
    show_verdict(outcome, console)
    if outcome["divergence"]:
        show_finding(outcome["divergence"], console)
    if outcome["worst"]:
        console.print(tensor_table(outcome, place))
        console.print(
            "error: ||manual - reference|| / ||reference||, largest of all steps, in units of u, one rounding\n"
            "audit: the largest error of one operation on its own inputs, in percent of what rounding allows",
            style="dim",
            highlight=False,
        )
    show_training(outcome, console)
    show_next(outcome, console)


def show_verdict(outcome: Data, console: Console) -> None:
    """Print the verdict and what it rests on."""
    verdict = outcome["verdict"]
    line = Text.assemble((verdict, STYLES[verdict]), f"  {outcome['experiment']}: {outcome['steps']:,} steps, ")
    line.append(f"{outcome['checks']:,} tensors compared")
    audits = outcome["audits"]
    line.append(f"; {audits['checks']:,} operations audited at {audits['steps']:,} steps")
    line.append(f"; {outcome['seconds']:.1f} s")
    if outcome["interrupted"]:
        line.append("  (interrupted)", "bold yellow")
    console.print(line)


def show_finding(finding: Data, console: Console) -> None:
    """Print where the two sides part."""
    rows = Table.grid(padding=(0, 2))
    element = f"{finding['index']}" if finding["index"] is not None else ""
    for label, value in (
        ("step", finding["step"]),
        ("stage", finding["stage"]),
        ("operation", finding["operation"]),
        ("tensor", f"{finding['tensor']}{element}"),
        ("manual", finding["manual"]),
        ("reference", finding["reference"]),
        ("error", finding["error"]),
        ("allowed", finding["bound"]),
        ("last agreeing", finding["last_agreeing"]),
    ):
        if value is not None and value != "":
            rows.add_row(Text(label, "bold"), Text(repr(value) if isinstance(value, float) else str(value)))
    console.print(rows)
    console.print(finding["reason"], highlight=False, markup=False)


def tensor_table(outcome: Data, place: Callable[[str], str] | None) -> Table:
    """Return the table of all tensors, in the order of a step."""
    table = Table("tensor", header_style="bold", box=None, pad_edge=False)
    for heading in ("error (u)", "carried bound (u)", "at step", "audit (%)"):
        table.add_column(heading, justify="right")
    last = None
    for name, worst in outcome["worst"].items():
        stage = place(name) if place else None
        if stage != last:
            table.add_row(Text(str(stage), "dim italic"))
            last = stage
        tightest = outcome["tightest"].get(name)
        used = f"{100 * tightest['used']:.1f}" if tightest and not isinstance(tightest["used"], str) else ""
        table.add_row(f"  {name}", in_u(worst["error"]), in_u(worst["bound"]), f"{worst['step']:,}", used)
    return table


def in_u(value: Any) -> str:
    """Return a number of units of u, short: 0, 17.9, 3,008, 4.2e+05."""
    if isinstance(value, str) or value == 0:
        return str(value) if isinstance(value, str) else "0"
    return f"{value:,.1f}" if value < 1e3 else f"{value:,.0f}" if value < 1e5 else f"{value:.1e}"


def show_training(outcome: Data, console: Console) -> None:
    """Print the accuracies and the drift of the independent pair."""
    accuracy, independent = outcome["accuracy"], outcome["independent"]
    if accuracy:
        console.print(
            f"test accuracy: manual {100 * accuracy['manual']:.2f} %, reference {100 * accuracy['reference']:.2f} %; "
            f"they differ on {accuracy['disagreements']} images (McNemar's test: p = {accuracy['mcnemar_p']:.2g})",
            highlight=False,
        )
    if independent:
        drift = independent["drift"][-1]
        console.print(
            f"independent: trained apart from the same start, the weights differ by {drift['parameters']:.1e} "
            f"(relative norm) after {drift['step']:,} steps; reported, never a reason to fail",
            highlight=False,
        )


def show_next(outcome: Data, console: Console) -> None:
    """Print where the record is, and what to try next."""
    if outcome["record"]:
        console.print(Text(f"record: {outcome['record']}"), soft_wrap=True)
    tries = [
        "backproof run relu",
        f"backproof run {outcome['experiment']} --dtype float32 --steps 1000",
        "backproof list",
    ]
    if outcome["record"]:
        tries.insert(0, f"backproof report {outcome['record']}")
    console.print("next:   " + "\n        ".join(tries), style="dim", highlight=False, soft_wrap=True, markup=False)
