"""What the self-test found: counts first, then the matrix of mistakes, then the correct code that had to pass."""

from typing import Any

from rich.console import Console
from rich.table import Table


def show_selftest(result: dict[str, Any], quiet: bool = False, console: Console | None = None) -> None:
    """Print the result (the data of `--json`)."""
    console = console or Console()
    if not quiet:
        console.print(matrix(result))
        if result["correct"]:
            console.print(correct_table(result))
    effective = result["mistakes"] - len(result["equivalent"])
    good = not (result["survivors"] or result["false_alarms"] or result["unplantable"])
    console.print("SELF-TEST PASSED" if good else "SELF-TEST FAILED", style="bold green" if good else "bold red")
    console.print(
        f"{result['mistakes']} mistakes planted in {result['trials']['planted']} trials. Of the {effective} with an "
        f"effect\n{result['caught']} were caught at their first effective step, {result['located']} located, "
        f"{result['named']} named first.",
        highlight=False,
    )
    if result["equivalent"]:
        console.print(f"without any effect here, so equivalent: {', '.join(result['equivalent'])}", highlight=False)
    if result["correct"]:
        console.print(
            f"{result['false_alarms']} false alarms in {result['checks']:,} comparisons of correct code.",
            highlight=False,
        )
    for title in ("survivors", "unplantable"):
        if result[title]:
            console.print(f"{title}: {', '.join(result[title])}", style="bold red", highlight=False)


def matrix(result: dict[str, Any]) -> Table:
    """Return a row for each mistake: its mark in each network and dtype."""
    table = Table(
        "mistake", "network", "dtype", "effect at step", "caught", "located", "named first", box=None,
        header_style="bold", pad_edge=False,
    )  # fmt: skip
    for trial in result["matrix"]:
        step = trial["effective_step"]
        marks = [mark(trial[key]) if step is not None else "-" for key in ("caught", "located", "named_first")]
        table.add_row(trial["mistake"], trial["network"], trial["dtype"], str(step or "never"), *marks)
    return table


def mark(passed: bool) -> str:
    """Return yes or NO: the word tells it, not a colour."""
    return "yes" if passed else "[bold red]NO[/]"


def correct_table(result: dict[str, Any]) -> Table:
    """Return a row for each correct implementation that had to pass."""
    table = Table(
        "correct code", "variant", "dtype", "threads", "steps", "compared", "audited", "kinks", "verdict", box=None,
        header_style="bold", pad_edge=False,
    )  # fmt: skip
    for row in result["correct"]:
        numbers = [f"{row[key]:,}" for key in ("threads", "steps", "checks", "audited", "kinks")]
        table.add_row(row["preset"], row["variant"], row["dtype"], *numbers, row["verdict"])
    return table
