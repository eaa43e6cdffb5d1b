"""What is shown of exercises: what there is, and what came of the answers."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compare.exercise.check import Checked, Marks
from compare.exercise.hints import LEVELS
from compare.exercise.process import printable
from compare.language import listing, say
from compare.views.names import called

STYLES = {"RIGHT": "bold green", "WRONG": "bold red", "UNFINISHED": "bold yellow", "REFUSED": "bold red"}


def show_known(known: dict[str, list[str]], console: Console | None = None) -> None:
    """Print what can be exercised."""
    console = console or Console()
    table = Table(box=None, show_header=False, pad_edge=False)
    for group, names in known.items():
        table.add_row(Text(called(group), "bold"), " ".join(names))
    console.print(table)
    console.print(say("next: {command}", command="backproof exercise NAME"), style="dim", highlight=False)


def show_checked(checked: Checked, hint: int, console: Console | None = None) -> None:
    """Print what came of one file, with its hints."""
    console, file = console or Console(), printable(checked.file)
    console.print(
        Text.assemble(
            (called(checked.verdict), STYLES[checked.verdict]), f"  {checked.exercise}  {printable(checked.file)}"
        )
    )
    for line in [standing(checked), *checked.hints]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if checked.verdict in ("WRONG", "UNFINISHED") and hint < LEVELS:
        again = f"backproof exercise check {file} --hint {hint + 1}"
        more = say("A stronger hint: {command}", command=again)
        console.print(more, style="dim", highlight=False, markup=False, soft_wrap=True)


def standing(checked: Checked) -> str:
    """Return the verdict in a sentence."""
    match checked.verdict:
        case "RIGHT":
            agree = say("Right: {tensors} agree with autograd.", tensors=listing(checked.tensors))
            return "\n".join([agree, *judged_as(checked)])
        case "REFUSED":
            return say("Not judged: {reason}.", reason=checked.reason.rstrip(".。"))
        case "UNFINISHED":
            return say("Not finished: there is still an empty method.")
    if checked.agrees_up_to is None:
        said = say("Not yet: {tensor}, the first tensor, does not agree.", tensor=checked.wrong)
    else:
        said = say("Not yet: it agrees up to {last}; {tensor} does not.", last=checked.agrees_up_to,
                   tensor=checked.wrong)  # fmt: skip
    return "\n".join([said, *judged_as(checked)])


def judged_as(checked: Checked) -> list[str]:
    """Say with which arguments an answer was judged; where it is wrong, with which it is."""
    return [say("judged with: {settings}", settings="; ".join(checked.settings))] if checked.settings else []


def show_marks(marks: Marks, console: Console | None = None) -> None:
    """Print a row for every file, and how many are right."""
    console = console or Console()
    if not console.is_terminal:
        console.width = max(console.width, 110)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in (say("file"), say("exercise"), say("verdict"), say("agrees up to")):
        table.add_column(heading, no_wrap=True)
    table.add_column(say("mistake"))
    for checked in marks.exercises:
        said = checked.mistake or (checked.reason if checked.verdict == "REFUSED" else "")
        table.add_row(
            Text(printable(checked.file)), Text(checked.exercise),
            Text(called(checked.verdict), STYLES[checked.verdict]), Text(checked.agrees_up_to or ""), Text(said),
        )  # fmt: skip
    console.print(table)
    told = marks.to_json()
    console.print(say("{right} of {all} are right.", right=told["right"], all=told["of"]), highlight=False)
