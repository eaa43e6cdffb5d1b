"""Published results, theirs beside ours."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from compare.commands.app import Json, Quiet, app, dump, progress_line, refuse


@app.command
def reproduce(
    *names: str,
    out: Path = Path("results"),
    write: Annotated[bool, Parameter(negative="")] = False,
    list_names: Annotated[bool, Parameter(name="--list", negative="")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Reproduce published results: their figures beside ours, from runs whose every step the reference agrees with.

    Exit status: 0 every figure is met and every verdict is as wanted, 1 one is not, 2 usage, 3 a run could say nothing
    or could not be made, 130 interrupted.

    Parameters
    ----------
    names
        Reproductions (see --list); all without any.
    out
        The folder for the runs' records; what each reproduction came to is written to OUT/reproductions/NAME.json.
    write
        Run nothing: write the section on reproductions of OUT/README.md from the files in OUT/reproductions.
    list_names
        Run nothing: list the reproductions.
    quiet
        Print for each reproduction one line.
    """
    from compare.published.registry import find_recipes

    if (write or list_names) and names:
        return refuse(f"--{'write' if write else 'list'} takes no names; found {', '.join(names)}.")
    recipes = find_recipes(names)
    if list_names:
        list_recipes({name: recipe.about for name, recipe in recipes.items()}, json)
        return 0
    if write:
        write_section(out, json)
        return 0
    kept, statuses = [], []
    for name, recipe in recipes.items():
        document, status = reproduced(name, recipe, out, quiet or json)
        kept.append(document)
        statuses.append(status)
        if not json:
            from compare.views.published import show_reproduction

            show_reproduction(document, quiet)
    if json:
        print(dump({"reproductions": kept}))
    return 1 if 1 in statuses else max(statuses)


def reproduced(name: str, recipe: Any, out: Path, quiet: bool) -> tuple[dict[str, Any], int]:
    """Make a reproduction and its file; return what it came to as JSON data, and its exit status."""
    shown = progress_line(quiet)
    shown(f"{name}: getting ready")
    from compare.published.keeping import document, write
    from compare.published.runs import Runs

    try:
        reproduction = recipe.make(Runs(name, out, shown))
    finally:
        shown("")
    kept = document(reproduction)
    write(kept, out)
    return kept, reproduction.exit_status


def list_recipes(known: dict[str, str], as_json: bool) -> None:
    """Print the names of the reproductions, and what each is."""
    if as_json:
        print(dump({"reproductions": [{"name": name, "about": about} for name, about in known.items()]}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("reproduction", "", box=None, header_style="bold", pad_edge=False)
    for name, about in known.items():
        table.add_row(name, about)
    Console().print(table)


def write_section(out: Path, as_json: bool) -> None:
    """Write the section of OUT/README.md."""
    from compare.published.keeping import kept_in
    from compare.views.published import write_into

    kept = kept_in(out)
    file = write_into(out / "README.md", kept)
    if as_json:
        print(dump({"reproductions": kept}))
    else:
        print(f"backproof: {file}: {len(kept)} reproductions written.", file=sys.stderr)
