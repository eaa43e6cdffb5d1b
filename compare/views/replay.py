"""A repetition on the console: how equal it is, where the first bit differs, and what may be the reason."""

from typing import Any

from rich.console import Console
from rich.text import Text

STYLES = {"BITWISE": "bold green", "WITHIN BOUNDS": "bold green", "DIVERGED": "bold red"}
MEANINGS = {
    "BITWISE": "losses, checks and final weights are equal to the bit",
    "WITHIN BOUNDS": "not equal to the bit; at the first difference within rounding, and every step agrees by itself",
    "DIVERGED": "the repetition contradicts the record",
}


def show_repetition(repetition: dict[str, Any], console: Console | None = None) -> None:
    """Print a repetition (the data of `--json`): verdict first."""
    console = console or Console()
    verdict = repetition["verdict"]
    console.print(Text.assemble((verdict, STYLES[verdict]), f"  {repetition['experiment']}: {MEANINGS[verdict]}"))
    say = [f"{repetition['steps']:,} steps repeated in {repetition['seconds']:.1f} s"]
    if repetition["status"] != "finished":
        say.append(f"the run was not finished ({repetition['status']}): as far as its steps were recorded")
    say.append(f"verdict here {repetition['verdict_here']}, recorded {repetition['recorded_verdict']}")
    console.print("; ".join(say), highlight=False, soft_wrap=True)
    show_differences(repetition, console)
    apart = repetition["environment_differences"]
    for difference in apart:
        old, new = difference["recorded"], difference["here"]
        console.print(f"  {difference['key']}: recorded {old}, here {new}", highlight=False, markup=False)
    if verdict != "BITWISE" and not apart:
        console.print("Nothing in the recorded environment differs from the one here.", highlight=False)


def show_differences(repetition: dict[str, Any], console: Console) -> None:
    """Print the first differing bit, what contradicts the record, and how far the runs came apart."""
    wrong, first, largest = repetition["contradiction"], repetition["first"], repetition["largest_loss"]
    if wrong:
        where = f"step {wrong['step']:,}" + (f", {wrong['tensor']}" if wrong["tensor"] else "")
        console.print(f"{where}: {repetition['reason']}", highlight=False, markup=False)
    if first:
        console.print(f"first differing bit: step {first['step']:,}, {first['tensor']}", highlight=False, markup=False)
        if first["used"] is not None:
            console.print(
                f"  the loss there: recorded {first['recorded']!r}, here {first['here']!r}; rounding may part them by "
                f"{first['bound']:.2g} in one step, of which {percent(first['used'])} is used",
                highlight=False,
                soft_wrap=True,
            )
    if largest:
        console.print(
            f"largest difference of a loss: {abs(largest['recorded'] - largest['here']):.2g} at step "
            f"{largest['step']:,}; behind the first bit each run goes its own way, as two correct ones do",
            highlight=False,
            soft_wrap=True,
        )
    if repetition["weights"]:
        name = max(repetition["weights"], key=lambda n: repetition["weights"][n])
        drift = repetition["drift"]
        beside = f"; the two sides of the recorded run came {drift:.2g} apart" if drift is not None else ""
        console.print(
            f"final weights: up to {repetition['weights'][name]:.2g} apart (relative norm, {name}){beside}",
            highlight=False,
            soft_wrap=True,
        )


def percent(share: float | str) -> str:
    """Return a share as percent; it may be "inf"."""
    return f"{100 * share:.2g} %" if isinstance(share, float | int) else str(share)
