"""Hints, from weak to strong: which factor or term is off, the named mistake, the equation's number, the solution."""

import re

from compare.exercise.entries import Entry, preset_of
from compare.exercise.judging import Judgement
from compare.exercise.netsheet import tensors_of
from compare.exercise.paper import as_block, parameter_shapes
from compare.exercise.sheet import Sheet
from compare.exercise.source import Equation, equations_at, equations_here
from compare.language import listing, passage, retell, say

LEVELS = 4
NEAR = 1e-3  # a measured ratio is that of a named factor


def tensors_to_derive(entry: Entry) -> list[str]:
    """Return the names of the tensors that an exercise asks for, in the order of a step."""
    match entry.group:
        case "network":
            return tensors_of(preset_of(entry))
        case "optimizer":
            return ["step1.weight.updated"]
        case "loss":
            return ["prediction.grad"]
    inputs = [] if entry.indices else ["input.grad"]
    return inputs + [f"{name}.grad" for name in parameter_shapes(entry)]


def hints_of(entry: Entry, sheet: Sheet, judgement: Judgement, level: int) -> list[str]:
    """Return the first `level` hints."""
    made = (
        lambda: term_hint(entry, judgement),
        lambda: mistake_hint(judgement),
        lambda: equation_hint(entry, sheet, judgement.origin or judgement.tensor),
        lambda: solution_hint(sheet),
    )
    return [hint() for hint in made[:level]]


def term_hint(entry: Entry, judgement: Judgement) -> str:
    """Say which factor or term is off, as far as it can be measured."""
    failure, cause = judgement.failure, judgement.cause
    if failure is None:
        return say("Nothing is written yet. Begin with {tensor}.", tensor=judgement.tensor)
    if failure.check != "values" or cause is None:
        return retell(failure.reason)
    if cause.at_kink:
        return say("{tensor} is wrong only exactly at a kink or a tie.", tensor=judgement.tensor)
    facts = cause.measured
    if (ratio := facts.get("ratio")) is not None:
        said = [factor_hint(judgement, ratio)]
        if judgement.origin:
            said.append(say("All gradients are, by the same factor: look at {origin}, which they are made of.",
                            origin=judgement.origin))  # fmt: skip
        return passage(said)
    lines = [say("No single factor makes {tensor} right.", tensor=judgement.tensor), *not_given(entry, judgement)]
    elements = facts.get("elements")
    if elements:
        lines.append(say("{wrong} of its {all} elements are wrong on the input tried.", wrong=elements[0],
                         all=elements[1]))  # fmt: skip
    if (rows := facts.get("rows")) and 0 < rows[0] < rows[1]:
        lines.append(say("Wrong are {wrong} of its {all} rows; the others are right.", wrong=rows[0], all=rows[1]))
    if (columns := facts.get("columns")) and 0 < columns[0] < columns[1]:
        lines.append(say("Wrong are {wrong} of its {all} columns; the others are right.", wrong=columns[0],
                         all=columns[1]))  # fmt: skip
    rank = facts.get("rank_of_difference")
    if rank == 1 and min(failure.wanted.shape if failure.wanted is not None else (0,)) > 1:
        lines.append(say("What is missing or too much has rank 1: one outer product, or one sum."))
    if facts.get("zero_where_right_is_zero") is False:
        lines.append(say("It is not 0 where it should be: a mask or a condition is missing."))
    return passage(lines)


def not_given(entry: Entry, judgement: Judgement) -> list[str]:
    """Say which tensors before the wrong one a network's answer does not give: one of them may be the cause."""
    if entry.group != "network":
        return []
    order = tensors_of(preset_of(entry))
    before = order[: order.index(judgement.tensor)] if judgement.tensor in order else []
    missing = [name for name in before if name not in judgement.tensors]
    if not missing:
        return []
    return [say("To see more, return what it is made of, too: {missing}.", missing=listing(missing))]


def factor_hint(judgement: Judgement, ratio: float) -> str:
    """Say that one factor is off: which, if it is one that has a name."""
    tensor, trial = judgement.tensor, judgement.trial
    if abs(ratio - 1) <= NEAR:
        return say("{tensor} is nearly right, but rounding alone does not explain the rest. A derivation is exact.",
                   tensor=tensor)  # fmt: skip
    x = next(iter(trial.given.inputs.values())) if trial else None
    n = len(x) if x is not None and x.ndim else 0
    named = [(-1.0, say("the sign")), (2.0, say("a factor 2")), (0.5, say("a factor 1/2")), (0.0, say("it is all 0"))]
    if n > 1:
        named += [(1 / n, say("1/N, N being the number of examples")), (float(n), say("N, the number of examples"))]
    known = [text for value, text in named if abs(ratio - value) <= NEAR * max(abs(value), NEAR)]
    if not known:
        return say("Every element of {tensor} is {ratio:.6g} times what it should be: a factor is off.",
                   tensor=tensor, ratio=ratio)  # fmt: skip
    return say("Every element of {tensor} is {ratio:.6g} times what it should be: a factor is off ({factors}).",
               tensor=tensor, ratio=ratio, factors=listing(known))  # fmt: skip


def mistake_of(judgement: Judgement) -> str | None:
    """Return the name of the mistake that does the same, if it is known."""
    suspects = judgement.cause.suspects if judgement.cause else []
    return suspects[0]["name"] if suspects else None


def mistake_hint(judgement: Judgement) -> str:
    """Name the mistake."""
    if mistake_of(judgement) is None or judgement.cause is None:
        return say("No known mistake does the same.")
    suspect = judgement.cause.suspects[0]
    return say("The mistake {name} does the same: {about}", name=suspect["name"], about=retell(suspect["about"]))


def equation_of(entry: Entry, sheet: Sheet, tensor: str) -> Equation | None:
    """Return the equation of a tensor, from the comment at the line of manual that makes it."""
    lines = [
        (line, numbers)
        for piece in sheet.answer
        for at, numbers in equations_at(as_block(piece.text)).items()
        for line in [as_block(piece.text).splitlines()[at - 1]]
    ]  # fmt: skip
    key = tensor.rpartition(".")[2] if entry.group == "optimizer" else tensor.removesuffix(".grad")
    if entry.group == "network":
        wanted = [numbers for line, numbers in lines if f'["{tensor}"] =' in line]
    elif entry.group == "optimizer":
        wanted = [numbers for line, numbers in lines if f".{key}" in line and "=" not in line.partition("average(")[0]]
        wanted += [numbers for line, numbers in lines if f'.{key}"' in line]
        wanted = wanted or [numbers for line, numbers in lines if " return " in line]
    elif tensor in ("input.grad", "prediction.grad"):
        own = [(line, numbers) for line, numbers in lines if "self.gradients[" not in line]
        returned = [numbers for line, numbers in own if " return " in line]
        wanted = returned[:1] or [numbers for _, numbers in own][-1:]
    else:
        wanted = [numbers for line, numbers in lines if f'gradients["{key}"]' in line]
        wanted += [numbers for line, numbers in lines if (m := re.search(r'gradients\[f"(\w+)\{', line))
                   and key.startswith(m[1])]  # fmt: skip
        wanted = wanted or [numbers for _, numbers in lines][-1:]
    return equations_here().get(wanted[0][0]) if wanted else None


def equation_hint(entry: Entry, sheet: Sheet, tensor: str) -> str:
    """Say which equation it is, and where it is derived."""
    equation = equation_of(entry, sheet, tensor)
    if equation is None:
        return say("No equation of its own has a number.")
    return say("It is equation ({number}): {page}, section {section!r}.", number=equation.number, page=equation.page,
               section=equation.section)  # fmt: skip


def solution_hint(sheet: Sheet) -> str:
    """Return manual's own lines, and where they go."""
    lines = [say("The solution, manual's own lines:")]
    owner = None
    for piece in sheet.answer:
        if piece.owner != owner:
            place = (
                say("in class {name}, in the place of its empty method:", name=piece.owner)
                if piece.owner
                else say("above the first class:")
            )
            lines += ["", f"# {place}"]
            owner = piece.owner
        lines += ["", piece.text]
    return "\n".join(lines)
