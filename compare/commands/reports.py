"""A report of recorded runs: a page for a browser; on request JSON, or the tables of the README."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from compare.commands.app import Json, Lang, app, dump, refuse
from compare.commands.runs import show_outcome


@app.command
def report(
    record: list[Path],
    /,
    *,
    html: Path | None = None,
    json: Json = False,
    markdown: Annotated[bool, Parameter(negative="")] = False,
    lang: Lang = None,
) -> int:
    """Write a page about recorded runs, one file that needs no network, and print their verdicts.

    Exit status: 0 written, 2 usage, 3 no record, changed, or the page cannot be written.

    Parameters
    ----------
    record
        The records' folders. Several are laid side by side.
    html
        The page's file. By default report.html, in the folder of a single record, or here for several.
    markdown
        Print the tables of README.md and results/README.md instead; of one record.
    """
    from compare.language import use_language
    from compare.records.reading import read_record

    use_language(lang)
    if json or markdown:
        if len(record) > 1:
            return refuse(f"--{'json' if json else 'markdown'} is about one record; found {len(record)}.")
        print_alone(read_record(record[0]), json)
        return 0
    from compare.language import say
    from compare.views.report import write_page

    records = [read_record(folder) for folder in record]
    written = write_page(records, html or (page_in(record[0]) if len(record) == 1 else Path("report.html")))
    for content in records:
        show(content, alone=len(records) == 1)
    print(say("report: {file}", file=written))
    return 0


def page_in(folder: Path) -> Path:
    """Return the page's place in a record's folder. A link there, which may come with a record, is not followed."""
    from compare.views.report import ReportError

    file = folder / "report.html"
    if file.is_symlink():
        raise ReportError(f"{file}: found a link, which is not followed; remove it, or choose a file with --html FILE.")
    return file


def print_alone(record: Any, json: bool) -> None:
    """Print a record's outcome as JSON, or its tables as Markdown. Raises RecordError for a run that has none."""
    from compare.records.schema import RecordError
    from compare.views.tables import record_table

    if record.outcome is None:
        raise RecordError(
            f"{record.folder}: the run did not come to its end; `backproof resume {record.folder}` goes on with it."
        )
    if json:
        print(dump(record.outcome))
    else:
        print(record_table(record.folder, record.outcome, record.environment), end="")


def show(record: Any, alone: bool) -> None:
    """Print a record's verdict: in full for a single one that came to its end, otherwise on one line.

    Where it was resumed is said in either case.
    """
    from compare.language import passage, say
    from compare.views.names import called
    from compare.views.standing import resumptions, standing

    if alone and record.outcome is not None:
        show_outcome(record.outcome, as_json=False, resumed=record.manifest["resumed"])
        return
    now = standing(record)
    if record.outcome is not None:
        print(f"{called(record.outcome['verdict'])}  {record.folder}")
    elif now == "running":
        print(say("running now, without a verdict yet  {folder}", folder=record.folder))
    else:
        print(
            say(
                "{status}, without a verdict  {folder}; to go on: backproof resume {folder}",
                status=called(now), folder=record.folder,
            )
        )  # fmt: skip
    for line, warnings in resumptions(record.manifest["resumed"]):
        print("  ", passage([line, *warnings]))
