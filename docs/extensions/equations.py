"""A number in parentheses that is an equation's becomes a link to it: "by (15)" leads to where (15) stands."""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from mathml import TAG
from sphinx.application import Sphinx

CITED = re.compile(r"\(([A-Z]?\d{1,3})\)")
FIXED = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.reference, nodes.title)
Places = dict[str, str]  # number: the document in which the equation stands


def places(source: Path, documents: list[str], chinese: bool) -> Places:
    """Return where each numbered equation stands, in the pages of one language."""
    return {
        number: document
        for document in documents
        if document.endswith(".zh") == chinese
        for number in TAG.findall((source / f"{document}.md").read_text(encoding="utf-8"))
    }


def link_numbers(app: Sphinx, doctree: nodes.document, document: str) -> None:
    """Put links in the places of the numbers that a page cites."""
    if not document.startswith(("manual/", "docs/explanation/")):
        return
    known = places(Path(app.srcdir), sorted(app.env.found_docs), document.endswith(".zh"))
    for text in list(doctree.findall(nodes.Text)):
        parent = text.parent
        if parent is not None and not any(isinstance(above, FIXED) for above in ancestors(text)):
            pieces = linked(app, document, str(text), known)
            if len(pieces) > 1:
                parent.replace(text, pieces)


def ancestors(node: nodes.Node) -> Any:
    """Yield the nodes above a node."""
    while node.parent is not None:
        node = node.parent
        yield node


def linked(app: Sphinx, document: str, text: str, known: Places) -> list[nodes.Node]:
    """Return a text with its known numbers as links."""
    pieces: list[nodes.Node] = []
    end = 0
    for found in CITED.finditer(text):
        if found[1] in known:
            page = known[found[1]]
            page = "" if page == document else app.builder.get_relative_uri(document, page)
            link = nodes.reference("", found[0], refuri=f"{page}#equation-{found[1]}", internal=True, classes=["cited"])
            pieces += [nodes.Text(text[end : found.start()]), link]
            end = found.end()
    return [*pieces, nodes.Text(text[end:])]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the transformation."""
    app.connect("doctree-resolved", link_numbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
