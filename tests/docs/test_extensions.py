"""What the site's own extensions make of docstrings and of pages."""

import sys

import pytest

from tests.docs.blocks import ROOT

sys.path.append(str(ROOT / "docs" / "extensions"))

import docstrings
import generated


def test_a_paragraph_stays_one_with_its_code_marked_and_nothing_taken_for_markup() -> None:
    assert docstrings.convert(["Return `x` (N, *):", "a|b and c_ are plain."]) == [
        r"Return ``x`` (N, \*): a\|b and c\_ are plain.", "",
    ]  # fmt: skip


def test_what_is_indented_or_in_columns_stays_as_it_stands() -> None:
    converted = docstrings.convert(["First:", "", "    dW = delta^T X      (15)", "", "one    1", "two    2"])
    for line in ("       dW = delta^T X      (15)", "   one    1", "   two    2"):
        assert line in converted


def test_every_marker_of_a_page_is_a_part_that_there_is() -> None:
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md")]
    assert {name for text in pages for name in generated.MARKER.findall(text)} == set(generated.PARTS)


def test_a_part_that_there_is_not_is_an_error() -> None:
    with pytest.raises(KeyError):
        generated.fill(None, "docs/index", ["<!-- generated: nonsense -->"])  # pyright: ignore[reportArgumentType]


def test_the_command_line_is_told_whole() -> None:
    text = generated.commands()
    for name in generated.command_line:
        assert name.startswith("-") or f"\n## {name}\n" in f"\n{text}"
    assert "--world-size" in text
