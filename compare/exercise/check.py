"""Checking exercises: a verdict on every file, and hints that get stronger on request."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from compare.exercise.answer import Answer, RefusedError, exercise_of, parse, read_answer, read_text
from compare.exercise.entries import Entry
from compare.exercise.hints import LEVELS, equation_of, hints_of, mistake_of, tensors_to_derive
from compare.exercise.judging import Judgement, judge
from compare.exercise.process import AnswerError, ExerciseError, printable
from compare.experiment.description import DescriptionError
from compare.language import say

Status = Literal["RIGHT", "WRONG", "UNFINISHED", "REFUSED"]


@dataclass
class Checked:
    """What came of one file."""

    file: str
    exercise: str
    verdict: Status
    agrees_up_to: str | None = None  # the last tensor, in the order of a step, that is right
    wrong: str | None = None  # the first that is not
    reason: str = ""  # why it is refused
    hints: list[str] = field(default_factory=list)
    equation: int | None = None
    mistake: str | None = None
    tensors: list[str] = field(default_factory=list)  # all that were compared
    seed: int = 0
    settings: list[str] = field(default_factory=list)  # that it was judged in; where it is wrong, that one

    @property
    def right(self) -> bool:
        """Whether the answer is right."""
        return self.verdict == "RIGHT"

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return dict(vars(self))


@dataclass
class Marks:
    """What came of all files."""

    exercises: list[Checked]

    @property
    def exit_status(self) -> int:
        """0 all right, 1 something wrong, unfinished or refused."""
        return 0 if all(checked.right for checked in self.exercises) else 1

    def to_json(self) -> dict[str, Any]:
        """Return the marks as JSON data: what a gradebook reads."""
        return {
            "exercises": [checked.to_json() for checked in self.exercises],
            "right": sum(checked.right for checked in self.exercises),
            "of": len(self.exercises),
        }


def check_exercises(files: Iterable[str | Path], hint: int = 0) -> Marks:
    """Check files, and all Python files of folders. Raises DescriptionError where there is nothing to check."""
    found: list[Path] = []
    for file in map(Path, files):
        if file.is_dir():
            inside = sorted(file.glob("*.py"))
            if not inside:
                raise DescriptionError(f"{file} has no Python file in it; wanted a folder of exercises.")
            found += inside
        elif file.is_file():
            found.append(file)
        else:
            raise DescriptionError(f"There is no file {file}; `backproof exercise NAME` writes an exercise.")
    if not found:
        raise DescriptionError("check needs a file or a folder: backproof exercise check FILE")
    return Marks([check_exercise(file, hint) for file in dict.fromkeys(found)])


def check_exercise(file: str | Path, hint: int = 0) -> Checked:
    """Check one file; `hint` is how many of the hints are wanted, each stronger than the one before.

    Raises DescriptionError for a hint that there is none of, ExerciseError where nothing could be compared.
    """
    if not 0 <= hint <= LEVELS:
        raise DescriptionError(f"--hint is {hint}; wanted a number from 1 to {LEVELS}, which gives the solution.")
    file, name = Path(file), ""
    try:
        tree = parse(read_text(file))
        name = exercise_of(tree).name
        answer = read_answer(tree)
        return checked_answer(file, answer, hint)
    except (RefusedError, AnswerError) as refused:
        return Checked(str(file), name, "REFUSED", reason=str(refused))
    except ExerciseError:
        raise
    except Exception as odd:  # whatever one file does, the others of its folder are judged
        reason = say("it could not be judged ({error}: {says})", error=type(odd).__name__, says=printable(str(odd)))
        return Checked(str(file), name, "REFUSED", reason=reason)


def checked_answer(file: Path, answer: Answer, hint: int) -> Checked:
    """Return what comes of an answer that can be run, or that is not there yet."""
    entry, seed = answer.entry, secrets.randbits(48)  # not to be known before: nothing can be looked up in a table
    if answer.unfinished:
        first = tensors_to_derive(entry)[0]
        found = Checked(str(file), entry.name, "UNFINISHED", None, first)
        return with_hints(found, entry, answer, Judgement(False, tensor=first), hint)
    try:
        judgement = judge(answer, seed)
    except OSError as failure:
        raise ExerciseError(say("{file} could not be run: {reason}", file=file, reason=failure)) from None
    if not judgement.compared and judgement.failure is None:
        raise ExerciseError(say("{file} could not be judged: nothing could be compared.", file=file))
    if judgement.right:
        return Checked(str(file), entry.name, "RIGHT", judgement.tensors[-1], tensors=judgement.tensors, seed=seed,
                       settings=judgement.settings)  # fmt: skip
    before = last_before(judgement.tensors, judgement.tensor)
    found = Checked(str(file), entry.name, "WRONG", before, judgement.tensor, tensors=judgement.tensors, seed=seed,
                    settings=judgement.settings)  # fmt: skip
    return with_hints(found, entry, answer, judgement, hint)


def last_before(order: Sequence[str], tensor: str) -> str | None:
    """Return the tensor that comes before another one; None before the first."""
    place = order.index(tensor) if tensor in order else 0
    return order[place - 1] if place else None


def with_hints(found: Checked, entry: Entry, answer: Answer, judgement: Judgement, hint: int) -> Checked:
    """Return the result with as many hints as are wanted, and with what a teacher wants to know."""
    found.hints = hints_of(entry, answer.sheet, judgement, hint)
    equation = equation_of(entry, answer.sheet, judgement.origin or judgement.tensor)
    found.equation = equation.number if equation else None
    found.mistake = mistake_of(judgement)
    return found
