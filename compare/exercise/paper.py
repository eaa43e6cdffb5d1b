"""The file of an exercise: its sheet, below a docstring that says what is to be derived and where to read about it."""

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from rich.cells import cell_len

from compare.exercise.entries import Entry, entries, find_entry, preset_of, shown_name
from compare.exercise.netsheet import sheet_of_network, tensors_of
from compare.exercise.rulesheet import sheet_of_optimizer
from compare.exercise.settings import settings_of, shown_setting, small_sizes
from compare.exercise.sheet import Sheet, sheet_of_class
from compare.exercise.source import equations_at, equations_here
from compare.experiment.classes import build_layer
from compare.experiment.description import DescriptionError
from compare.language import language, say

WIDTH = 110


def sheet_of(entry: Entry) -> Sheet:
    """Return the sheet of an exercise."""
    match entry.group:
        case "optimizer":
            return sheet_of_optimizer(entry.kind)
        case "network":
            return sheet_of_network(entry)
    return sheet_of_class(entry.kind)


def text_of(entry: Entry) -> str:
    """Return the file of an exercise, empty."""
    return f'"""{introduction(entry)}\n"""\n\n{sheet_of(entry).empty}'


def introduction(entry: Entry) -> str:
    """Return what the file says of itself: what to derive, where it is to be put, what may be used."""
    lines = [f"Exercise: {entry.name}", "", filled(task(entry)), *(f"    {line}" for line in asked(entry)), ""]
    if pages := pages_of(sheet_of(entry)):
        lines += [say("To read:"), *(f"    {page}" for page in pages), ""]
    rules = say(
        "Leave everything else as it is. Functions and methods of your own are welcome. What may be used is NumPy's "
        "arithmetic: no imports, no files, no complex numbers, no texts but the names of tensors, and no call of the "
        "forward pass."
    )
    called = f"    backproof exercise check {entry.name}.py"
    return "\n".join([*lines, filled(rules), "", *judged(entry), "", called, f"{called} --hint 1"])


def judged(entry: Entry) -> list[str]:
    """Return what an answer is tried as, and what is wanted of the arrays."""
    kept = say("An answer keeps the dtype of what it is given, float32 or float64, and changes none of it in place.")
    if entry.group == "optimizer":
        kept = say("An answer keeps the dtype of the parameter, float32 or float64, and does not change the gradient.")
    if entry.group == "network":
        small = say(
            "It is judged on a network of the same layers with fewer units, {sizes}, and on batches of several sizes.",
            sizes="-".join(str(size) for size in small_sizes(entry)),
        )  # fmt: skip
        return [filled(kept), filled(small)]
    shown = [f"    {shown_setting(setting)}" for setting in settings_of(entry)]
    return [filled(kept), filled(say("It is judged with these arguments, and no others:")), *shown]


def filled(text: str) -> str:
    """Return a text in lines that fit a screen. Chinese has no spaces: a line ends before any character but a stop."""
    if language() != "zh":
        return textwrap.fill(text, WIDTH, break_on_hyphens=False)
    lines = [""]
    for part in re.findall(r"(?:[!-~]+|.)[，。；：、）]*", text):
        if cell_len(lines[-1] + part) > WIDTH:
            lines.append("")
        lines[-1] += part if lines[-1] else part.lstrip()
    return "\n".join(line.rstrip() for line in lines)


def task(entry: Entry) -> str:
    """Return what is to be derived, in words."""
    match entry.group:
        case "optimizer":
            return say(
                "The class below is an optimizer without its rule. Write `update`: what a step makes of one parameter, "
                "in place, given its gradient (`maximize` climbs; `weight_decay` is by the parameter's name)."
            )
        case "network":
            return say(
                "The class below has a forward pass, written out. Derive the gradient of its cost C for every weight "
                "and bias, and write `backward`. From the cost back to the first layer:"
            )
        case "loss":
            return say(
                "The class below has a forward pass: a loss C. Derive its gradient for the prediction, the first "
                "argument of `forward`, and write `backward`, which returns it, of the prediction's shape."
            )
    return say(
        "The class below has a forward pass. Above it stands some cost C; `backward` is given its gradient for the "
        "output of `forward`, grad_output = dC/d(output), of the output's shape. Derive, and write into `backward`:"
    )


def asked(entry: Entry) -> list[str]:
    """Return the tensors that are asked for, a line each."""
    if entry.group == "network":
        return tensors_of(preset_of(entry))
    if entry.group != "layer":
        return []
    first = [] if entry.indices else [say("what it returns: dC/d(input), of the input's shape")]
    return first + [
        say("self.gradients[{name}]: dC/d({plain}), here of shape {shape}", name=f'"{n}"', plain=n, shape=shape)
        for n, shape in parameter_shapes(entry).items()
    ]


def parameter_shapes(entry: Entry) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a layer's parameters, as the check makes it."""
    made = build_layer(entry.kind, dict(entry.arguments))
    return {name: array.shape for name, array in getattr(made, "parameters", {}).items()}


def pages_of(sheet: Sheet) -> list[str]:
    """Return the pages, and their sections, on which the equations of an answer stand."""
    cited = [number for piece in sheet.answer for numbers in equations_at(as_block(piece.text)).values()
             for number in numbers]  # fmt: skip
    known = equations_here()
    found = [known[number] for number in cited if number in known]
    return list(dict.fromkeys(say("{page}, section {section!r}", page=e.page, section=e.section) for e in found))[:3]


def as_block(text: str) -> str:
    """Return a method's text so that it can be read by itself."""
    return text if not text.startswith(" ") else f"if 1:\n{text}"


def write_exercise(name: str, file: str | Path | None = None) -> Path:
    """Write the exercise of this name (a layer's, a loss's, an optimizer's, a preset's) into a file; return its path.

    Without a file it is NAME.py, here. Raises DescriptionError for an unknown name, or a file that exists.
    """
    entry = find_entry(name)
    path = Path(file) if file is not None else Path(f"{entry.name}.py")
    try:
        with path.open("x", encoding="utf-8") as made:
            made.write(text_of(entry))
    except FileExistsError:
        raise DescriptionError(f"{path} exists, and is left as it is. Choose another with --out, or move it.") from None
    except OSError as failure:
        raise DescriptionError(f"{path} cannot be written: {failure.strerror}. Choose another with --out.") from None
    return path


def write_course(names: Iterable[str], folder: str | Path) -> list[Path]:
    """Write several exercises into a folder, which is made if it is not there; return their paths."""
    wanted, folder = [find_entry(name) for name in names], Path(folder)
    files = [folder / f"{entry.name}.py" for entry in wanted]
    for file in files:
        if file.exists():
            raise DescriptionError(f"{file} exists, and is left as it is. Nothing was written: choose another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise DescriptionError(f"--out is {folder}; wanted a folder ({failure.strerror}).") from None
    return [write_exercise(entry.name, file) for entry, file in zip(wanted, files, strict=True)]


def known_exercises() -> dict[str, list[str]]:
    """Return the names of all exercises by group."""
    found: dict[str, list[str]] = {}
    for entry in entries().values():
        found.setdefault({"loss": "losses"}.get(entry.group, f"{entry.group}s"), []).append(shown_name(entry))
    return found
