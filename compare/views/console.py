"""The console: a bar while the run goes by, and at its end what was checked, how closely, and what to try next."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from compare.language import joint, listing, mark, passage, retell, say, tell
from compare.views.names import called
from compare.views.standing import resumptions

STYLES = {"AGREES": "bold green", "EXPLAINED": "bold green", "DIVERGES": "bold red", "INCONCLUSIVE": "bold yellow"}
LEGEND = (
    mark("error u  ||manual - reference|| / ||reference||, largest of all steps; u: one rounding"),
    mark("audit %  largest error of an operation on its own inputs, of what rounding allows"),
    mark("catches  the smallest relative mistake in it that every audit would have caught"),
    mark("zero %   elements that were 0 at every audit: there nothing can be seen"),
    mark("f32/f64  error of step 1 in float32 and in float64, each in its own u: rounding"),
    mark("         shrinks with u, so they are alike; a mistake's would differ 5e8 fold"),
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
        console.print("\n".join(tell(line) for line in LEGEND), style="dim", highlight=False)
        measured = [name for name, check in outcome["tightest"].items() if check["bound_kind"] == "measured"]
        if measured:
            line = say("bounds measured on the layer itself, not derived: {tensors}", tensors=listing(measured))
            console.print(line, highlight=False)
    for kink in outcome["kinks"][:5]:
        console.print(kink_line(kink), highlight=False, markup=False)
    if len(outcome["kinks"]) > 5:
        more = say("... and {count} kinks more: see --json or the record.", count=len(outcome["kinks"]) - 5)
        console.print(more, highlight=False)
    show_training(outcome, console)
    show_next(outcome, console)


def show_resumptions(resumed: Sequence[Data], console: Console) -> None:
    """Print where a run was resumed, and loudly what makes it another than an undisturbed one."""
    for line, wrong in resumptions(resumed):
        console.print(line, highlight=False, markup=False)
        for warning in wrong:
            console.print(Text(warning, "bold red"), soft_wrap=True)


def kink_line(kink: Data) -> str:
    """Return a kink in a line: where, both values, how far rounding may move it, and what it explains."""
    line = say(
        "kink at step {step}: {layer}, example {example}, unit {unit}: {value} on one side, {reference} on the other; "
        "rounding may move it by {bound}.",
        step=kink["step"], layer=kink["layer"], example=kink["example"], unit=kink["unit"],
        value=said(kink["value"], ".3g"), reference=said(kink["reference"], ".3g"), bound=said(kink["bound"], ".2g"),
    )  # fmt: skip
    return passage([line, brought_together(kink)])


def brought_together(kink: dict[str, Any]) -> str:
    """Return how much closer the two sides come with the other side's choice; older records do not tell."""
    if kink.get("apart") is None:
        return say("With the other side's choice the two agree.")
    apart, left = (said(kink.get(key), ".2g") for key in ("apart", "left"))
    return say(
        "{tensor}: {apart} u apart, {left} u with the other side's choice.",
        tensor=kink.get("tensor", ""), apart=apart, left=left,
    )  # fmt: skip


def said(value: Any, form: str, times: float = 1) -> str:
    """Return so many times a number of a record in this format; a text, such as "nan", as it is."""
    return format(times * float(value), form) if isinstance(value, int | float) else str(value)


def show_verdict(outcome: Data, console: Console) -> None:
    """Print the verdict and what it rests on."""
    verdict, audits = outcome["verdict"], outcome["audits"]
    rests_on = say(
        "{experiment}: {steps:,} steps, {checks:,} tensors compared; {audits:,} operations audited at {audited:,} "
        "steps; {seconds} s",
        experiment=outcome["experiment"], steps=outcome["steps"], checks=outcome["checks"], audits=audits["checks"],
        audited=audits["steps"], seconds=said(outcome["seconds"], ".1f"),
    )  # fmt: skip
    line = Text.assemble((called(verdict), STYLES[verdict]), "  ", rests_on)
    if outcome["interrupted"]:
        line.append(f"  ({called('interrupted')})", "bold yellow")
    console.print(line)


def show_finding(finding: Data, console: Console, side: str = "manual") -> None:
    """Print where the two sides part; `side` is what the one held against the reference is called."""
    rows = Table.grid(padding=(0, 2))
    element = f"{finding['index']}" if finding["index"] is not None else ""
    for label, value in (
        (say("step"), finding["step"]),
        (say("stage"), called(finding["stage"])),
        (say("operation"), finding["operation"]),
        (say("tensor"), f"{finding['tensor']}{element}"),
        (called(side), finding["manual"]),
        (say("reference"), finding["reference"]),
        (say("error"), finding["error"]),
        (say("allowed"), finding["bound"]),
        (say("last agreeing"), finding["last_agreeing"]),
    ):
        if value is not None and value != "":
            rows.add_row(Text(label, "bold"), Text(repr(value) if isinstance(value, float) else str(value)))
    console.print(rows)
    console.print(retell(finding["reason"]), highlight=False, markup=False)
    show_cause(finding, console, side)


def show_cause(finding: Data, console: Console, side: str = "manual") -> None:
    """Print the suspects, what was ruled out, the witnesses, and what can be measured."""
    if finding["witnesses"]:
        witnesses = finding["witnesses"]
        console.print(Text(say("witnesses"), "bold"))
        for label in ("manual", "autograd", "complex_step", "central_difference"):
            sure = witnesses.get("central_error") if label == "central_difference" else None
            known = f" +- {said(sure, '.0e')}" if sure is not None else ""
            said_by = called(side if label == "manual" else label)
            console.print(
                f"  {said_by}{' ' * (20 - cell_len(said_by))}{witnesses.get(label)!r}{known}",
                highlight=False,
                markup=False,
            )
        console.print(f"  {retell(witnesses.get('conclusion', ''))}", highlight=False, markup=False)
    if finding["suspects"]:
        console.print(Text(say("suspects, best first"), "bold"))
        for suspect in finding["suspects"][:3]:
            console.print(f"  {suspicion(suspect)}", highlight=False, markup=False)
    elif finding["verdict"] == "DIVERGES":
        console.print(say("No known mistake, and no pair of them, reproduces this tensor."), highlight=False)
    if finding["ruled_out"]:
        line = say("ruled out: {mistakes}", mistakes=", ".join(finding["ruled_out"]))
        console.print(line, style="dim", highlight=False, markup=False)
    if finding["measured"]:
        facts = joint("facts").join(f"{called(key)} {value}" for key, value in finding["measured"].items())
        console.print(say("measured: {facts}", facts=facts), style="dim", highlight=False, markup=False)


def suspicion(suspect: Data) -> str:
    """Return a suspect in a line: the mistake, and how much its re-enactment differs from what was found."""
    mistake = say("{name}: {about}", name=suspect["name"], about=retell(suspect["about"]))
    residual = said(suspect["residual"], ".1e")
    if "where" in suspect:
        left = say("Re-enacted in {where}, it differs by {residual}.", where=suspect["where"], residual=residual)
    else:
        left = say("Re-enacted, it differs by {residual}.", residual=residual)
    return passage([mistake, left])


def tensor_table(outcome: Data, place: Callable[[str], str] | None) -> Table:
    """Return the table of all tensors, in the order of a step."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(say("tensor"), no_wrap=True)
    for heading in (say("error u"), say("at step"), say("audit %"), say("catches"), say("zero %"), "f32/f64"):
        table.add_column(heading, justify="right", no_wrap=True)
    last = None
    for name, worst in outcome["worst"].items():
        stage = place(name) if place else None
        if stage != last:
            table.add_row(Text(called(str(stage)), "dim italic"))
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
            say(
                "test accuracy: manual {manual} %, reference {reference} %; they differ on {disagreements} images "
                "(McNemar's test: p = {p})",
                manual=said(accuracy["manual"], ".2f", 100), reference=said(accuracy["reference"], ".2f", 100),
                disagreements=accuracy["disagreements"], p=said(accuracy["mcnemar_p"], ".2g"),
            ),
            highlight=False,
        )  # fmt: skip
    if independent and independent["drift"]:
        drift = independent["drift"][-1]
        console.print(
            say(
                "independent: trained apart from the same start, the weights differ by {distance} (relative norm) "
                "after {steps:,} steps; reported, never a reason to fail",
                distance=said(drift["parameters"], ".1e"), steps=drift["step"],
            ),
            highlight=False,
        )  # fmt: skip


def show_next(outcome: Data, console: Console) -> None:
    """Print where the record is, and what to try next."""
    if outcome["record"]:
        console.print(Text(say("record: {folder}", folder=outcome["record"])), soft_wrap=True)
    tries = [
        "backproof run relu",
        f"backproof run {outcome['experiment']} --dtype float32 --steps 1000",
        "backproof list",
    ]
    if outcome["record"]:
        tries[:0] = [f"backproof report {outcome['record']}", f"backproof replay {outcome['record']}"]
    console.print(
        say("next:   ") + "\n        ".join(tries), style="dim", highlight=False, soft_wrap=True, markup=False
    )
