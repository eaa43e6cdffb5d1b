"""What is shown of an export, and of the verification of a port: the verdict, and what it rests on."""

import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compare.agreement.trace import place
from compare.views.console import in_u, show_finding, show_verdict

Data = dict[str, Any]

LEGEND = (
    "error u   ||port - reference|| / ||reference||, largest of all steps; u: one rounding\n"
    "catches   the smallest relative mistake in the tensor that every comparison would have caught\n"
    "how       derived: each element, against its operation's own rounding bound, on recorded inputs\n"
    "          carried: by norm, against the bound carried through the step from its known start\n"
    "          measured: by norm, against what networks scatter whose tensors are moved by their rounding bounds"
)


def show_export(folder: Path, experiment: str, steps: int, console: Console | None = None) -> None:
    """Print what has been written, and what to do next."""
    console = console or Console()
    console.print(Text(f"{experiment}, {steps} steps: {folder}"), soft_wrap=True)
    console.print(
        Text(f"next:   read {folder / 'FORM.md'}\n        backproof verify {folder}"), style="dim", soft_wrap=True
    )


def show_verified(outcome: Data, console: Console | None = None) -> None:
    """Print a verification (the data of `--json`): verdict first."""
    console = console or Console()
    if not console.is_terminal:
        console.width = 110
    show_verdict(outcome, console)
    if outcome["divergence"]:
        show_finding(outcome["divergence"], console, "port")
    exchange = outcome["exchange"]
    show_names(exchange, console)
    if outcome["worst"]:
        console.print(table(outcome))
        console.print(LEGEND, style="dim", highlight=False)
    for line in statement(outcome):
        console.print(line, highlight=False, markup=False)


def show_names(exchange: Data, console: Console) -> None:
    """Print which names of the trace match nothing, and which tensors are missing."""
    for name, hint in exchange["unmatched"].items():
        console.print(f"{name} matches no tensor of the network. {hint}".rstrip(), style="bold", markup=False)
    if exchange["missing"]:
        console.print(f"not recorded: {', '.join(exchange['missing'])}", style="dim", highlight=False)


def table(outcome: Data) -> Table:
    """Return a row for every tensor that was compared, in the order of a step."""
    rows = Table(box=None, header_style="bold", pad_edge=False)
    rows.add_column("tensor", no_wrap=True)
    for heading in ("error u", "at step", "audit %", "catches", "how"):
        rows.add_column(heading, justify="left" if heading == "how" else "right", no_wrap=True)
    last = None
    for name, worst in outcome["worst"].items():
        if (stage := place(name).stage) != last:
            rows.add_row(Text(stage, "dim italic"))
            last = stage
        used = outcome["tightest"].get(name, {}).get("used", "")
        power = outcome["power"][name]["smallest_relative_mistake"]
        rows.add_row(
            f" {name}", in_u(worst["error"]), f"{worst['step']:,}", in_u(100 * used) if isinstance(used, float) else "",
            power if isinstance(power, str) else f"{power:.0e}", ", ".join(outcome["exchange"]["compared_how"][name]),
        )  # fmt: skip
    return rows


def statement(outcome: Data) -> list[str]:
    """Return, in sentences, how much this proves."""
    exchange = outcome["exchange"]
    given, steps = exchange["given"], exchange["steps"]
    lines = [
        f"Given: {given['tensors']:,} of the {given['of']:,} tensors that the {steps['exported']:,} exported steps "
        f"compute ({100 * given['fraction']:.3g} %)."
    ]
    if not outcome["checks"]:
        return [*lines, "Nothing that a step computes was compared: this proves nothing. FORM.md says what to write."]
    if apart := steps["compared"] - steps["on_their_own"]:
        lines.append(
            f"Of {steps['compared']:,} steps {apart:,} do not start from recorded parameters: there the reference went "
            "on by itself, and a step agrees or not together with those before it. Record the updated parameters."
        )
    if exchange["too_wide"]:
        lines.append(
            f"Recorded, but rounding alone might make anything of them, so at some steps not compared: "
            f"{', '.join(exchange['too_wide'])}."
        )
    if list(outcome["worst"]) == ["loss"]:
        lines.append("Losses alone: they prove little, and the less, the shorter the trace.")
    if exchange["digits_allow"]:
        allowed = float(exchange["digits_allow"])
        lines.append(f"Losses are recorded as text: half a unit of the last digit, {allowed:.0e}, is allowed for that.")
    if outcome["verdict"] in ("AGREES", "EXPLAINED"):
        lines += unnoticed(exchange["unnoticed"])
    return lines


def unnoticed(gradients: Data) -> list[str]:
    """Return how large a mistake in the gradients that are not recorded would have gone unnoticed."""
    if not gradients:
        return []
    sizes = {name: float(size) for name, size in gradients.items()}
    parts = [f"{name} {'of any size' if math.isinf(size) else f'{size:.1e}'}" for name, size in sizes.items()]
    return ["Would have gone unnoticed, a relative mistake at every step, measured, in: " + "; ".join(parts) + "."]
