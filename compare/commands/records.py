"""What can be done with a record: run it again, or go on with it."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from compare.commands.app import Json, Quiet, app, dump
from compare.commands.runs import show_outcome, with_bar

Trust = Annotated[bool, Parameter(negative="")]


@app.command
def replay(
    record: Path, *, data_root: Path | None = None, trust: Trust = False, json: Json = False, quiet: Quiet = False
) -> int:
    """Run a recorded run again, and say how equal the repetition is: BITWISE, WITHIN BOUNDS or DIVERGED.

    Exit status: 0 equal or within bounds, 1 diverged, 2 usage, 3 no record, changed, or cannot be run, 130 interrupted.

    Parameters
    ----------
    record
        The record's folder.
    data_root
        Where the data set lies here, if it is not the packaged one.
    trust
        Execute the Python files of your own that the record names.
    quiet
        Print the verdict alone.
    """
    from compare.records.replay import replay as repeat
    from compare.views.replay import show_repetition

    repetition = with_bar(quiet or json, repeat, record, data_root=data_root, trust=trust)
    if json:
        print(dump(repetition.to_json()))
    elif quiet:
        print(repetition.verdict)
    else:
        show_repetition(repetition.to_json())
    return repetition.exit_status


@app.command
def resume(
    record: Path, *, data_root: Path | None = None, trust: Trust = False, json: Json = False, quiet: Quiet = False
) -> int:
    """Go on with a run that was interrupted or killed, from its last checkpoint, to the bits of an undisturbed run.

    Exit status: that of `run`; 3 for what is no record, was changed, has finished, or is being written.

    Parameters
    ----------
    record
        The record's folder.
    data_root
        Where the data set lies here, if it is not the packaged one.
    trust
        Execute the Python files of your own that the record names.
    quiet
        Print the verdict alone.
    """
    from compare.records.resume import resume as go_on
    from compare.records.schema import read_document

    outcome = with_bar(quiet or json, go_on, record, data_root=data_root, trust=trust)
    show_outcome(outcome.to_json(), json, quiet, read_document(record, "manifest")["resumed"])
    return outcome.exit_status
