"""What there is, and whether it finds what it should."""

from typing import Literal

from compare.commands.app import Json, Quiet, app, dump, progress_line


@app.command(name="list")
def list_known(what: Literal["experiments", "layers", "mistakes"] = "experiments", *, json: Json = False) -> int:
    """List what backproof knows: experiments, layers (with losses, optimizers, initializers), mistakes.

    Parameters
    ----------
    what
        experiments, layers or mistakes.
    """
    from compare.views.lists import known

    entries = known(what)
    if json:
        print(dump(entries))
        return 0
    from rich.console import Console
    from rich.table import Table

    for title, rows in entries.items():
        table = Table(title, "", box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(row["name"], row["about"])
        Console().print(table)
    return 0


@app.command
def selftest(
    *names: str,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Plant every known mistake: caught, located, named? And let correct code pass: any false alarm?

    Exit status 1 if a mistake survives or correct code raises an alarm.

    Parameters
    ----------
    names
        Mistakes to try (see `backproof list mistakes`), without the search for false alarms; all without any.
    quiet
        Print the counts alone.
    """
    from compare.diagnosis.plant import find_mistake
    from compare.selftest import self_test
    from compare.views.selftest import show_selftest

    mistakes = [find_mistake(name) for name in names] or None
    shown = progress_line(quiet or json)
    result = self_test(mistakes, alarms=mistakes is None, progress=shown)
    shown("")
    if json:
        print(dump(result.to_json()))
    else:
        show_selftest(result.to_json(), quiet)
    return result.exit_status
