"""Parts of pages that are made of the program itself while the site is built, so that they cannot be out of date.

`<!-- generated: commands -->` in a page stands for what `commands` returns, in Markdown.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from compare.commands import app as command_line
from compare.experiment.files import SECTIONS
from compare.records.schema import schema
from compare.views.lists import known

ROOT = Path(__file__).resolve().parents[2]
MARKER = re.compile(r"^<!-- generated: ([a-z-]+) -->$", re.MULTILINE)
ORDER = (
    "run", "list", "check", "explain", "exercise", "export", "verify", "report", "replay", "resume", "sweep",
    "selftest", "reproduce", "bench",
)  # fmt: skip


def commands() -> str:
    """Return every command with its arguments and options, as the application declares them."""
    names = [name for name in command_line if not name.startswith("-")]
    return "\n".join(command(name) for name in sorted(names, key=lambda n: ORDER.index(n) if n in ORDER else 99))


def command(name: str) -> str:
    """Return one command, from its own help."""
    text = command_line[name].generate_docs(heading_level=2, usage_name=f"backproof {name}")
    return re.sub(r"^## .*", f"## {name}", text, count=1, flags=re.MULTILINE) + "\n"


def experiments() -> str:
    """Return the table of presets."""
    return table(("experiment", ""), ((f"`{e['name']}`", e["about"]) for e in known("experiments")["experiments"]))


def sections() -> str:
    """Return the sections of an experiment's file, each with its keys and what they are where nothing is said."""
    parts = []
    for name, section in SECTIONS.items():
        own = vars(section()).items()
        rows = ((f"`{key}`", f"`{plain(value)}`") for key, value in own if key != "arguments")
        parts.append(f"### [{name}]\n\n{table(('key', 'default'), rows)}")
    return "\n".join(parts)


def plain(value: Any) -> str:
    """Return a value as TOML writes it."""
    return json.dumps(value)


def mistakes() -> str:
    """Return the table of known mistakes."""
    rows = ((f"`{m['name']}`", m["about"], f"`{m['operations']}`") for m in known("mistakes")["mistakes"])
    return table(("mistake", "", "planted into"), rows)


def classes() -> str:
    """Return the tables of what networks are made of."""
    return "\n".join(
        table((kind, ""), ((f"`{entry['name']}`", entry["about"]) for entry in entries))
        for kind, entries in known("layers").items()
    )


def record_schema() -> str:
    """Return a table for each kind of object in a record: its keys, what each holds, whether it must be there."""
    definitions = schema()["definitions"]
    parts = []
    for name, definition in definitions.items():
        if definition.get("properties"):
            needed = definition.get("required", [])
            rows = (
                (f"`{key}`", kind(value), "yes" if key in needed else "")
                for key, value in definition["properties"].items()
            )
            parts.append(f"## {name}\n\n{table(('key', 'value', 'required'), rows)}")
    return "\n".join(parts)


def kind(definition: dict[str, Any]) -> str:
    """Return what a value of the schema may be, in words."""
    if "$ref" in definition:
        return definition["$ref"].rsplit("/", 1)[1]
    if "enum" in definition:
        return ", ".join("null" if value is None else f"`{value}`" for value in definition["enum"])
    if "const" in definition:
        return f"`{definition['const']}`"
    for word in ("anyOf", "oneOf"):
        if word in definition:
            return " or ".join(kind(choice) for choice in definition[word])
    found = definition.get("type", "anything")
    if found == "array" and isinstance(definition.get("items"), dict):
        return f"list of {kind(definition['items'])}"
    if found == "object" and isinstance(definition.get("additionalProperties"), dict):
        return f"names to {kind(definition['additionalProperties'])}"
    return " or ".join(found) if isinstance(found, list) else found


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = ["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def contents(pages: Iterable[Path], *options: str) -> str:
    """Return a table of contents of pages of the repository."""
    names = ["/" + page.relative_to(ROOT).as_posix().removesuffix(".md") for page in pages]
    return "\n".join(["```{toctree}", ":maxdepth: 1", *options, "", *names, "```"]) if names else ""


def site_contents() -> str:
    """Return the contents of the whole site: its four parts, the glossary, and the Chinese part once there is one."""
    docs = ROOT / "docs"
    parts = [docs / part / "index.md" for part in ("tutorial", "how-to", "reference", "explanation")]
    return contents(
        [*parts, *sorted(docs.glob("glossary*.md")), *([docs / "zh" / "index.md"] * bool(in_chinese()))], ":hidden:"
    )


def in_chinese() -> list[Path]:
    """Return the pages in Chinese."""
    return [*sorted(ROOT.glob("*.zh.md")), *sorted(ROOT.glob("manual/**/*.zh.md"))]


def derivation_pages() -> str:
    """Return the contents of the derivation in English."""
    found = [page for page in ROOT.glob("manual/derivation/*.md") if not page.name.endswith(".zh.md")]
    return contents([ROOT / "manual" / "DERIVATION.md", *sorted(found)])


def chinese_pages() -> str:
    """Return the contents of the pages in Chinese."""
    return contents(in_chinese())


PARTS: dict[str, Callable[[], str]] = {
    "site-contents": site_contents,
    "commands": commands,
    "experiments": experiments,
    "sections": sections,
    "mistakes": mistakes,
    "classes": classes,
    "record-schema": record_schema,
    "derivation-pages": derivation_pages,
    "chinese-pages": chinese_pages,
}


PLACES = {  # where the site has what the README of the repository links to
    "README.md": "docs/index.md",
    "manual/derivation": "docs/tutorial/index.md",
}


def fill(app: Sphinx, document: str, source: list[str]) -> None:
    """Put the generated parts into a page. Raises KeyError for a part that there is not."""
    source[0] = MARKER.sub(lambda found: PARTS[found[1]](), source[0])
    if document.startswith("README"):
        source[0] = re.sub(r"\]\(([\w/.]+)\)", lambda found: f"]({PLACES.get(found[1], found[1])})", source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the parts."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
