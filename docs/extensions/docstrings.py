"""Docstrings are plain text, with equations laid out by hand. Here they become reStructuredText that shows them so.

A paragraph stays one, its `names` in code; what is indented, or aligned in columns, stays as it stands.
"""

import re
from typing import Any

from sphinx.application import Sphinx

CODE = re.compile(r"`([^`]+)`")
SPECIAL = re.compile(r"([\\*|_])")


def as_text(paragraph: list[str]) -> list[str]:
    """Return the lines of a paragraph with code marked, and nothing else taken for markup."""
    pieces = CODE.split(" ".join(line.strip() for line in paragraph))
    return ["".join(f"``{piece}``" if i % 2 else SPECIAL.sub(r"\\\1", piece) for i, piece in enumerate(pieces))]


def as_it_stands(lines: list[str]) -> list[str]:
    """Return lines as a block that keeps its spaces."""
    return [".. code-block:: none", "", *(f"   {line}" for line in lines)]


def laid_out(block: list[str]) -> bool:
    """Whether the spaces of a block mean something: it is indented, or holds columns."""
    return any(line.startswith(" ") or re.search(r"\S {2,}\S", line) for line in block)


def convert(lines: list[str]) -> list[str]:
    """Return a docstring as reStructuredText."""
    converted: list[str] = []
    text = "\n".join(lines).rstrip()
    for block in re.split(r"\n(?:[ \t]*\n)+", text):
        block_lines = block.split("\n")
        first = 0 if laid_out(block_lines[:1]) else next((i for i, x in enumerate(block_lines) if laid_out([x])), None)
        head, rest = (block_lines, []) if first is None else (block_lines[:first], block_lines[first:])
        for part, how in ((head, as_text), (rest, as_it_stands)):
            if part:
                converted += [*how(part), ""]
    return converted


def process(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Replace the lines of a docstring of ours."""
    lines[:] = convert(lines)


def readable(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> Any:
    """Return a signature in which a dataclass's `<factory>`, which is no Python, is an ellipsis."""
    return (signature.replace("<factory>", "..."), returns) if signature else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the conversion."""
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", readable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
