"""The tables of README.md and results/README.md, made from a record by `backproof report RECORD --markdown`."""

from pathlib import Path
from typing import Any

from compare.agreement.trace import place
from compare.views.console import in_u, said


def record_table(record: Path, outcome: dict[str, Any], environment: dict[str, Any]) -> str:
    """Return a record as Markdown: the verdict in a sentence, and the table of its tensors."""
    accuracy, packages = outcome["accuracy"], environment["packages"]
    lines = [
        f"**{outcome['verdict']}**: `{outcome['experiment']}`, {outcome['steps']:,} steps, {outcome['checks']:,} "
        f"tensors compared, {outcome['audits']['checks']:,} operations audited.",
    ]
    if accuracy:
        lines[0] += (
            f" Test accuracy {said(accuracy['manual'], '.2f', 100)} % (manual) and "
            f"{said(accuracy['reference'], '.2f', 100)} % (reference, trained apart)."
        )
    lines += ["", "| tensor | stage | largest error (u) | at step | audit: % of what rounding allows |"]
    lines += ["| --- | --- | ---: | ---: | ---: |"]
    for name, worst in outcome["worst"].items():
        tightest = outcome["tightest"].get(name)
        used = said(tightest["used"], ".1f", 100) if tightest else ""
        lines.append(f"| `{name}` | {place(name).stage} | {in_u(worst['error'])} | {worst['step']:,} | {used} |")
    lines += [
        "",
        f"From `{record.as_posix()}`; NumPy {packages.get('numpy')}, "
        f"torch {packages.get('torch')}, {environment['machine']}.",
    ]
    return "\n".join(lines) + "\n"
