"""The console: a bar while the run goes by, and at its end what was checked, how closely, and what to try next."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from compare.views.standing import resumptions

STYLES = {"AGREES": "bold green", "EXPLAINED": "bold green", "DIVERGES": "bold red", "INCONCLUSIVE": "bold yellow"}
STAGES = ("data", "parameters", "forward", "loss", "backward", "update")

LEGEND = (
    "error u  ||manual - reference|| / ||reference||, largest of all steps; u: one rounding\n"
    "audit %  largest error of an operation on its own inputs, of what rounding allows\n"
    "catches  the smallest relative mistake in it that every audit would have caught\n"
    "zero %   elements that were 0 at every audit: there nothing can be seen\n"
    "f32/f64  error of step 1 in float32 and in float64, each in its own u: rounding\n"
    "         shrinks with u, so they are alike; a mistake's would differ 5e8 fold"
)

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


def show(
    outcome: Data,
    console: Console | None = None,
    place: Callable[[str], str] | None = None,
    resumed: Sequence[Data] = (),
) -> None:
    """Print an outcome (the data of `--json`): verdict first, then how often it was `resumed` (the manifest's list)."""
    console = console or Console()
    if not console.is_terminal:
        console.width = 110  # a file or a pipe has no width of its own: room for every column
    show_verdict(outcome, console)
    show_resumptions(resumed, console)
    if outcome["divergence"]:
        show_finding(outcome["divergence"], console)
    if outcome["worst"]:
        console.print(tensor_table(outcome, place))
        console.print(LEGEND, style="dim", highlight=False)
        measured = [name for name, check in outcome["tightest"].items() if check["bound_kind"] == "measured"]
        if measured:
            console.print(f"bounds measured on the layer itself, not derived: {', '.join(measured)}", highlight=False)
    for kink in outcome["kinks"][:5]:
        console.print(
            f"kink at step {kink['step']}: {kink['layer']}, example {kink['example']}, unit {kink['unit']}: "
            f"{said(kink['value'], '.3g')} on one side, {said(kink['reference'], '.3g')} on the other; rounding may "
            f"move it by {said(kink['bound'], '.2g')}. {brought_together(kink)}",
            highlight=False,
            markup=False,
        )
    if len(outcome["kinks"]) > 5:
        console.print(f"... and {len(outcome['kinks']) - 5} kinks more: see --json or the record.", highlight=False)
    show_training(outcome, console)
    show_next(outcome, console)


def show_resumptions(resumed: Sequence[Data], console: Console) -> None:
    """Print where a run was resumed, and loudly what makes it another than an undisturbed one."""
    for line, wrong in resumptions(resumed):
        console.print(line, highlight=False, markup=False)
        for warning in wrong:
            console.print(Text(warning, "bold red"), soft_wrap=True)


def brought_together(kink: dict[str, Any]) -> str:
    """Return how much closer the two sides come with the other side's choice; older records do not tell."""
    if kink.get("apart") is None:
        return "With the other side's choice the two agree."
    apart, left = (said(kink.get(key), ".2g") for key in ("apart", "left"))
    return f"{kink.get('tensor', '')}: {apart} u apart, {left} u with the other side's choice."


def said(value: Any, form: str, times: float = 1) -> str:
    """Return so many times a number of a record in this format; a text, such as "nan", as it is."""
    return format(times * float(value), form) if isinstance(value, int | float) else str(value)


def show_verdict(outcome: Data, console: Console) -> None:
    """Print the verdict and what it rests on."""
    verdict = outcome["verdict"]
    line = Text.assemble((verdict, STYLES[verdict]), f"  {outcome['experiment']}: {outcome['steps']:,} steps, ")
    line.append(f"{outcome['checks']:,} tensors compared")
    audits = outcome["audits"]
    line.append(f"; {audits['checks']:,} operations audited at {audits['steps']:,} steps")
    line.append(f"; {said(outcome['seconds'], '.1f')} s")
    if outcome["interrupted"]:
        line.append("  (interrupted)", "bold yellow")
    console.print(line)


def show_finding(finding: Data, console: Console, side: str = "manual") -> None:
    """Print where the two sides part; `side` is what the one held against the reference is called."""
    rows = Table.grid(padding=(0, 2))
    element = f"{finding['index']}" if finding["index"] is not None else ""
    for label, value in (
        ("step", finding["step"]),
        ("stage", finding["stage"]),
        ("operation", finding["operation"]),
        ("tensor", f"{finding['tensor']}{element}"),
        (side, finding["manual"]),
        ("reference", finding["reference"]),
        ("error", finding["error"]),
        ("allowed", finding["bound"]),
        ("last agreeing", finding["last_agreeing"]),
    ):
        if value is not None and value != "":
            rows.add_row(Text(label, "bold"), Text(repr(value) if isinstance(value, float) else str(value)))
    console.print(rows)
    console.print(finding["reason"], highlight=False, markup=False)
    show_cause(finding, console, side)


def show_cause(finding: Data, console: Console, side: str = "manual") -> None:
    """Print the suspects, what was ruled out, the witnesses, and what can be measured."""
    if finding["witnesses"]:
        witnesses = finding["witnesses"]
        console.print(Text("witnesses", "bold"))
        for label in ("manual", "autograd", "complex_step", "central_difference"):
            sure = witnesses.get("central_error") if label == "central_difference" else None
            known = f" +- {said(sure, '.0e')}" if sure is not None else ""
            said_by = side if label == "manual" else label.replace("_", " ")
            console.print(f"  {said_by:<20}{witnesses.get(label)!r}{known}", highlight=False, markup=False)
        console.print(f"  {witnesses.get('conclusion', '')}", highlight=False, markup=False)
    if finding["suspects"]:
        console.print(Text("suspects, best first", "bold"))
        for suspect in finding["suspects"][:3]:
            where = f" in {suspect['where']}" if "where" in suspect else ""
            residual = said(suspect["residual"], ".1e")
            line = f"  {suspect['name']}: {suspect['about']} Re-enacted{where}, it differs by {residual}."
            console.print(line, highlight=False, markup=False)
    elif finding["verdict"] == "DIVERGES":
        console.print("No known mistake, and no pair of them, reproduces this tensor.", highlight=False)
    if finding["ruled_out"]:
        console.print(f"ruled out: {', '.join(finding['ruled_out'])}", style="dim", highlight=False, markup=False)
    if finding["measured"]:
        facts = "; ".join(f"{key.replace('_', ' ')} {value}" for key, value in finding["measured"].items())
        console.print(f"measured: {facts}", style="dim", highlight=False, markup=False)


def tensor_table(outcome: Data, place: Callable[[str], str] | None) -> Table:
    """Return the table of all tensors, in the order of a step."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("tensor", no_wrap=True)
    for heading in ("error u", "at step", "audit %", "catches", "zero %", "f32/f64"):
        table.add_column(heading, justify="right", no_wrap=True)
    last = None
    for name, worst in outcome["worst"].items():
        stage = place(name) if place else None
        if stage != last:
            table.add_row(Text(str(stage), "dim italic"))
            last = stage
        table.add_row(f" {name}", in_u(worst["error"]), f"{worst['step']:,}", *audited(outcome, name))
    return table


def audited(outcome: Data, name: str) -> list[str]:
    """Return what the audit and the precision test say of a tensor; empty where they say nothing."""
    tightest, power, precision = (outcome[key] or {} for key in ("tightest", "power", "precision"))
    used = tightest.get(name, {}).get("used", "")
    row = [in_u(100 * float(used)) if isinstance(used, int | float) else ""]
    if name in power:
        smallest = power[name]["smallest_relative_mistake"]
        row += [said(smallest, ".0e"), said(power[name]["zeros"], ".0f", 100)]
    else:
        row += ["", ""]
    errors = precision.get(name, {})
    return [*row, "/".join(in_u(errors[dtype]) for dtype in ("float32", "float64") if dtype in errors)]


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
            f"test accuracy: manual {said(accuracy['manual'], '.2f', 100)} %, reference "
            f"{said(accuracy['reference'], '.2f', 100)} %; they differ on {accuracy['disagreements']} images "
            f"(McNemar's test: p = {said(accuracy['mcnemar_p'], '.2g')})",
            highlight=False,
        )
    if independent and independent["drift"]:
        drift = independent["drift"][-1]
        console.print(
            "independent: trained apart from the same start, the weights differ by "
            f"{said(drift['parameters'], '.1e')} (relative norm) "
            f"after {drift['step']:,} steps; reported, never a reason to fail",
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
        tries[:0] = [f"backproof report {outcome['record']}", f"backproof replay {outcome['record']}"]
    console.print("next:   " + "\n        ".join(tries), style="dim", highlight=False, soft_wrap=True, markup=False)
