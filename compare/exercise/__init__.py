"""Exercises: a backward pass for the reader to derive, checked by crosscheck, with hints that get stronger on request.

    from compare.exercise import check_exercise, write_exercise
    write_exercise("linear", "linear.py")
    check_exercise("linear.py", hint=1)

source    manual's source, as text: definitions, comments, numbered equations
closure   which definitions a forward pass reaches, and which only the backward pass
slicing   what a forward pass computes for the derivative alone
entries   what can be exercised, and the inputs that an answer is tried on
sheet     the exercise of a layer or a loss: forward as it is, backward empty, no derivation
rulesheet the exercise of an optimizer; netsheet that of a whole network
paper     the file: a sheet below what is to be derived, in words
rules     what an answer may be made of
answer    reading a file: is all but the answer as it was, and does the answer keep the rules
wire      arrays on their way; process and child, the two ends: the answer runs there, and is judged here
subjects  the answer as crosscheck sees it; networks, a whole network
judging   the check itself
hints     what is said of a wrong answer
check     the verdict on every file
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compare.exercise.check import Checked, ExerciseError, Marks, check_exercise, check_exercises
    from compare.exercise.paper import write_course, write_exercise

__all__ = [
    "Checked", "ExerciseError", "Marks", "check_exercise", "check_exercises", "write_course", "write_exercise",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'compare.exercise' has no attribute {name!r}")
    from importlib import import_module

    home = "paper" if name.startswith("write") else "check"
    return getattr(import_module(f"compare.exercise.{home}"), name)
