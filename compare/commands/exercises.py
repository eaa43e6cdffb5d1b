"""Exercises: a backward pass for the reader to derive, and its check."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from compare.commands.app import Json, Lang, app, dump

exercise = App(name="exercise", help="Derive a backward pass yourself; `check` judges it, with hints.")
app.command(exercise)


@exercise.default
def write(*layers: str, out: Path | None = None, lang: Lang = None, json: Json = False) -> int:
    """Write exercises: the forward pass, the shapes, and an empty backward pass. Without a name: list what there is.

    `backproof exercise linear` writes linear.py; `backproof exercise check linear.py` judges it.
    Exit status: 0 written, 2 usage; an existing file is left as it is.

    Parameters
    ----------
    layers
        A layer, a loss, an optimizer, or the network of an experiment: linear, adam, article. Several make a course.
    out
        The file, or the folder, to write.
    """
    from compare.exercise.paper import known_exercises, write_course, write_exercise
    from compare.language import say, use_language

    use_language(lang)
    if not layers:
        if json:
            print(dump(known_exercises()))
        else:
            from compare.views.exercise import show_known

            show_known(known_exercises())
        return 0
    if len(layers) == 1 and (out is None or out.suffix == ".py"):
        written = [write_exercise(layers[0], out)]
    else:
        written = write_course(layers, out or Path())
    if json:
        print(dump({"written": [str(file) for file in written]}))
    else:
        for file in written:
            following = say("next: {command}", command=f"backproof exercise check {file}")
            print(f"{file}\n        {following}")
    return 0


@exercise.command
def check(
    *files: str,
    hint: Annotated[int, Parameter(count=True)] = 0,
    lang: Lang = None,
    json: Json = False,
) -> int:
    """Judge exercises against autograd. The verdict says how far an answer agrees; each hint says more.

    Exit status: 0 all right, 1 something is wrong, unfinished or refused, 2 usage, 3 could not be judged.

    Parameters
    ----------
    files
        Files, or folders of them: several give one table.
    hint
        How strong a hint: --hint 1 (or --hint) which factor or term is off, 2 (or --hint --hint) the named mistake, 3
        the equation's number, 4 the solution.
    """
    from compare.exercise.check import check_exercises
    from compare.language import use_language

    use_language(lang)
    names, level = with_level(files, hint)
    marks = check_exercises(names, level)
    if json:
        print(dump(marks.to_json()))
        return marks.exit_status
    from compare.views.exercise import show_checked, show_marks

    if len(names) == 1 and not Path(names[0]).is_dir():
        show_checked(marks.exercises[0], level)
    else:
        show_marks(marks)
        for checked in marks.exercises if level else ():
            if not checked.right:
                print()
                show_checked(checked, level)
    return marks.exit_status


def with_level(words: tuple[str, ...], hint: int) -> tuple[list[str], int]:
    """Return the files, and the strength of the hint: the number after --hint comes as a word among the files."""
    level = next((word for word in words if hint and word.isdigit() and not Path(word).exists()), None)
    if level is None:
        return list(words), hint
    return [word for word in words if word != level], int(level)
