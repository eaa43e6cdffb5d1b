"""The page: records read, templates filled, everything in one file that asks for nothing outside itself."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from compare.language import joint, language, retell, translation
from compare.records.reading import Recorded, read_record
from compare.views.console import said
from compare.views.names import called
from compare.views.pages import ours, part, policy, templates, write
from compare.views.report.facts import Facts, facts_of, number
from compare.views.report.figures import counted_steps, percent, together
from compare.views.report.formulas import inline, mathml, measures

ROOM = "compare.views.report"
INSTALL = "pip install 'backproof[report]'"
LEAST_PERCENT = 1e-3  # where the bars of the table of tensors begin, on a logarithmic scale that ends at the bound


class ReportError(Exception):
    """A report could not be made: says why and what to do. Exit status 3."""


def write_report(records: list[Path], file: Path) -> Path:
    """Write one HTML file about these records, and return it. It needs no network, no server, and no other file.

    Nothing of a record is executed or built: its numbers, texts and weights are shown. Raises RecordError for what is
    no record, ReportError where the libraries of the extra `report` are missing or the file cannot be written.
    """
    return write_page([read_record(folder) for folder in records], file)


def write_page(records: Sequence[Recorded], file: Path) -> Path:
    """Write one HTML file about records that have been read, and return it. Raises as write_report does."""
    if not records:
        raise ReportError("There is no record to report on; wanted at least one record's folder.")
    return write(html(records), file, "report", ReportError)


def html(records: Sequence[Recorded]) -> str:
    """Return the page about these records. Raises ReportError, RecordError."""
    script, specification = drawing()
    with ThreadPoolExecutor(max_workers=1) as beside:  # bundling Vega takes longer than all the rest, and not the GIL
        vega = beside.submit(script)
        facts = [facts_of(record, n, len(records)) for n, record in enumerate(records, start=1)]
        overview = together({f.label: f.course for f in facts}) if len(facts) > 1 else []
        page = report_templates().get_template("page.html")
        scripts = [vega.result(), part(ROOM, "page.js")]
    used = {figure.chart for f in facts for figure in f.figures} | {figure.chart for figure in overview}
    return page.render(
        facts=facts, overview=overview, differing=differing(facts), shared=shared_tensors(facts),
        style=ours(part(ROOM, "page.css")), scripts=[ours(text) for text in scripts], policy=policy(scripts),
        specifications={name: specification(name) for name in sorted(used)},
    )  # fmt: skip


def drawing() -> tuple[Callable[[], str], Callable[[str], Any]]:
    """Return what makes Vega's script and the charts' specifications. Raises ReportError where a library is missing."""
    try:
        import jinja2  # noqa: F401 - whether they are all there
        import vl_convert  # noqa: F401
        from latex2mathml import converter  # noqa: F401

        from compare.views.report.charts import script, specification
    except ImportError as missing:
        raise ReportError(f"A report needs {missing.name}, which is not installed: {INSTALL}") from None
    return script, specification


def report_templates() -> Any:
    """Return the report's templates, with what they say and how they show numbers."""
    environment = templates(ROOM)
    environment.globals |= {"measures": measures(), "say": escaped, "language": language()}
    environment.filters |= FILTERS
    return environment


def escaped(sentence: str, /, **values: object) -> Any:
    """Say a sentence within a page. It and its values are escaped, but for values that are HTML already."""
    from markupsafe import escape

    return escape(translation(sentence)).format(**values)


def flowing(sentences: Sequence[Any]) -> Any:
    """Return sentences one after the other, within a page."""
    return ours(joint("sentences")).join(sentence for sentence in sentences if sentence)


def differing(facts: Sequence[Facts]) -> list[tuple[str, list[str]]]:
    """Return the keys of the configurations that are not the same in all records, each with its values."""
    flat = [flattened(f.record.document) for f in facts]
    keys = dict.fromkeys(key for document in flat for key in document)
    rows = [(key, [document.get(key, "") for document in flat]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1 and key != "about"]


def flattened(value: Any, prefix: str = "") -> dict[str, str]:
    """Return a document's values as text by their dotted keys; layers one by one."""
    if isinstance(value, dict):
        named = {f"{prefix}{'.' if prefix else ''}{key}": item for key, item in value.items()}
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        named = {f"{prefix}[{index}]": item for index, item in enumerate(value)}
    else:
        return {prefix: str(value)[:120]}
    return {key: text for name, item in named.items() for key, text in flattened(item, name).items()}


def shared_tensors(facts: Sequence[Facts]) -> list[tuple[str, list[str]]]:
    """Return for a few records the largest share of its bound that every tensor came to, side by side, in percent."""
    if not 1 < len(facts) <= 6:
        return []
    tensors = dict.fromkeys(name for f in facts for name in f.course.worst)
    return [
        (name, [percent(f.course.worst[name][0]) if name in f.course.worst else "" for f in facts]) for name in tensors
    ]


def position(share: Any) -> float:
    """Return where on a bar a share of the bound ends, 0 to 100: logarithmic, the bound is the bar's end."""
    value = float(share)
    if math.isnan(value):
        return 100.0
    if value <= 0:
        return 0.0
    least = math.log10(LEAST_PERCENT)
    return round(100 * min(1.0, max(0.0, (math.log10(100 * min(value, 1.0)) - least) / (2 - least))), 1)


def columns(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a chart's rows by columns, which take half the room; numbers to seven digits, more than any eye can see.

    Names of curves, which occur many times each, become `names` and numbers in it. The page's script undoes this.
    """
    names = list(dict.fromkeys(row["series"] for row in rows if "series" in row))
    numbers = {name: place for place, name in enumerate(names)}
    by_key = {key: [short(row[key]) for row in rows if key in row] for key in (rows[0] if rows else ())}
    if names:
        by_key["series"] = [numbers[row["series"]] for row in rows]
    return {"names": names, "columns": by_key}


def short(value: Any) -> Any:
    """Return a number with seven digits, everything else as it is."""
    return float(f"{value:.7g}") if isinstance(value, float) else value


def tinted(count: int, row: Sequence[int]) -> int:
    """Return how strongly a cell of a confusion matrix is tinted, 0 to 40: by the root of its share of the row."""
    return round(40 * math.sqrt(count / max(1, sum(row))))


FILTERS: dict[str, Any] = {
    "hundredfold": lambda share: said(share, ".2f", 100),
    "position": position, "tinted": tinted, "percent": percent, "number": number, "counted_steps": counted_steps,
    "called": called, "retold": retell, "flowing": flowing,
    "columns": columns, "mathml": lambda latex: ours(mathml(latex)), "inline_mathml": lambda latex: ours(inline(latex)),
}  # fmt: skip
