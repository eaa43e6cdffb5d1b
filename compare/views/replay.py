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
    if repetition["interrupted"]:
        say.append("interrupted: it says nothing of the steps behind these")
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
    wrong, first = repetition["contradiction"], repetition["first"]
    largest, loss = repetition["largest"], repetition["largest_loss"]
    lines = []
    if wrong:
        where = f"step {wrong['step']:,}" + (f", {wrong['tensor']}" if wrong["tensor"] else "")
        lines.append(f"{where}: {repetition['reason']}")
    if first:
        lines.append(f"first differing bit: step {first['step']:,}, {first['tensor']}")
    if largest:
        lines.append(
            f"  largest difference against the bound: the loss of step {largest['step']:,}, recorded "
            f"{largest['recorded']!r}, here {largest['here']!r}; rounding may part them by {short(largest['bound'])}, "
            f"of which {short(largest['used'], 100)} % is used"
        )
    if loss:
        lines.append(
            f"largest difference of a loss: recorded {loss['recorded']!r}, here {loss['here']!r}, at step "
            f"{loss['step']:,}; behind the first bit each run goes its own way, as two correct ones do"
        )
    if repetition["weights"]:
        name, size = max(repetition["weights"].items(), key=lambda item: float(item[1]))
        drift = repetition["drift"]
        beside = f"; the two sides of the recorded run came {short(drift)} apart" if drift is not None else ""
        lines.append(f"final weights: up to {short(size)} apart (relative norm, {name}){beside}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def short(number: Any, times: float = 1.0) -> str:
    """Return a number with two digits; those that JSON has no word for are texts."""
    return f"{times * float(number):.2g}"
