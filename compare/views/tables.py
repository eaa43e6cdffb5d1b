"""The tables of README.md and results/README.md, made from a record by `backproof report RECORD --markdown`."""

from pathlib import Path
from typing import Any

from compare.agreement.trace import place
from compare.language import passage, say
from compare.views.console import in_u, said
from compare.views.names import called


def record_table(record: Path, outcome: dict[str, Any], environment: dict[str, Any]) -> str:
    """Return a record as Markdown: the verdict in a sentence, and the table of its tensors."""
    accuracy, packages = outcome["accuracy"], environment["packages"]
    lines = [
        say(
            "**{verdict}**: `{experiment}`, {steps:,} steps, {checks:,} tensors compared, {audits:,} operations "
            "audited.",
            verdict=called(outcome["verdict"]), experiment=outcome["experiment"], steps=outcome["steps"],
            checks=outcome["checks"], audits=outcome["audits"]["checks"],
        )
    ]  # fmt: skip
    if accuracy:
        reached = say(
            "Test accuracy {manual} % (manual) and {reference} % (reference, trained apart).",
            manual=said(accuracy["manual"], ".2f", 100), reference=said(accuracy["reference"], ".2f", 100),
        )  # fmt: skip
        lines[0] = passage([lines[0], reached])
    headings = (
        say("tensor"), say("stage"), say("largest error (u)"), say("at step"), say("audit: % of what rounding allows"),
    )  # fmt: skip
    lines += ["", f"| {' | '.join(headings)} |", "| --- | --- | ---: | ---: | ---: |"]
    for name, worst in outcome["worst"].items():
        tightest = outcome["tightest"].get(name)
        used = said(tightest["used"], ".1f", 100) if tightest else ""
        lines.append(
            f"| `{name}` | {called(place(name).stage)} | {in_u(worst['error'])} | {worst['step']:,} | {used} |"
        )
    lines += [
        "",
        say(
            "From `{record}`; NumPy {numpy}, torch {torch}, {machine}.",
            record=record.as_posix(),
            numpy=packages.get("numpy"),
            torch=packages.get("torch"),
            machine=environment["machine"],
        ),
    ]
    return "\n".join(lines) + "\n"
