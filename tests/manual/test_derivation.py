"""The pages of the derivation compute what they say, and the equations that the code cites are there."""

import ast
import doctest
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "manual"
DERIVATION = MANUAL / "DERIVATION.md"
CONFUSIONS = MANUAL / "derivation" / "confusions.md"
TRANSLATED = set(MANUAL.rglob("*.zh.md"))  # held equal, equation by equation, by tests/docs/test_translations.py
PAGES = [DERIVATION, *sorted(set((MANUAL / "derivation").glob("*.md")) - TRANSLATED)]
SOURCES = [path for room in ("manual", "reference", "compare") for path in sorted((ROOT / room).rglob("*.py"))]
CITATION = re.compile(r"\((\d{1,3})\)")
ADDED = 247  # equations from here on were added later, and keep the old ones' numbers as the code cites them
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def tags(page: Path) -> list[int]:
    """Return the equation numbers of a page, in its order."""
    return [int(number) for number in re.findall(r"\\tag\{(\d+)\}", page.read_text(encoding="utf-8"))]


def all_tags() -> list[int]:
    return [number for page in PAGES for number in tags(page)]


def prose(source: str) -> Iterator[str]:
    """Yield the texts and the comments of a Python file: where equations are cited, and no call is mistaken."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def cited(path: Path) -> set[int]:
    source = path.read_text(encoding="utf-8")
    if not CITATION.search(source):
        return set()  # most files, which need not be parsed
    return {int(number) for text in prose(source) for number in CITATION.findall(text)}


@each_page
def test_every_number_on_the_page_is_what_the_code_computes(page: Path) -> None:
    report: list[str] = []
    examples = doctest.DocTestParser().get_doctest(page.read_text(encoding="utf-8"), {}, page.name, str(page), 0)
    with np.printoptions():
        result = doctest.DocTestRunner().run(examples, out=report.append)
    assert result.failed == 0, "".join(report)
    assert result.attempted > (50 if page == DERIVATION else 3)


def test_equations_of_the_story_are_numbered_without_gaps() -> None:
    assert [number for number in tags(DERIVATION) if number < ADDED] == list(range(1, 36))


def test_equations_added_later_go_on_without_gaps_in_the_order_of_reading() -> None:
    added = [number for page in (DERIVATION, CONFUSIONS) for number in tags(page) if number >= ADDED]
    assert added == list(range(ADDED, ADDED + len(added)))
    assert added[-1] == max(all_tags())


@each_page
def test_every_displayed_equation_has_one_number(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    displayed = re.findall(r"^```math\n(.*?)^```$", text, flags=re.S | re.M)
    assert displayed
    assert "$$" not in text
    for equation in displayed:
        assert len(re.findall(r"\\tag\{\d+\}", equation)) == 1, equation


def test_an_equation_has_one_number() -> None:
    assert len(all_tags()) == len(set(all_tags()))


@each_page
def test_every_code_block_of_the_page_is_run(page: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    assert len(blocks) >= (8 if page == DERIVATION else 1)
    for block in blocks:
        assert block.startswith(">>> ")
        assert block.endswith("\n\n"), "doctest takes the closing fence for output unless a blank line stands before it"


def test_every_equation_that_the_code_cites_exists() -> None:
    wrong = {path.relative_to(ROOT): unknown for path in SOURCES if (unknown := cited(path) - set(all_tags()))}
    assert not wrong


def test_the_code_cites_what_it_implements() -> None:
    implemented = {
        "activations.py": {2, 6, 14, 23, 24, 25},
        "linear.py": {11, 13, 15, 16, 17, 18, 247},
        "losses.py": {12, 13, 251, 253, 26, 27, 29, 30, 31, 32, 33, 34, 35},
        "network.py": {249},
        "optimizers.py": {19, 20, 21, 22, 250},
        "softmax.py": {29, 30, 252},
    }
    for name, numbers in implemented.items():
        assert numbers <= cited(MANUAL / name), name


@each_page
def test_every_equation_cited_within_a_page_exists(page: Path) -> None:
    without_code = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    mentioned = {int(number) for number in re.findall(r"\((\d+)\)", without_code)}
    assert mentioned
    assert mentioned <= set(all_tags())


def test_the_table_of_symbols_names_every_tensor_of_a_step() -> None:
    table = DERIVATION.read_text(encoding="utf-8").split("## 2. Symbols")[1].split("## 3.")[0]
    for name in [
        "input", "target", "loss",
        "linear1.weight", "linear1.bias", "linear1.output", "linear1.output.grad", "linear1.weight.grad",
        "linear1.weight.updated", "sgd.linear1.weight.momentum_buffer",
        "sigmoid1.output", "sigmoid1.output.grad", "linear2.weight", "linear2.output.grad", "linear2.weight.grad",
        "sigmoid2.output", "sigmoid2.output.grad",
    ]:  # fmt: skip
        assert f"`{name}`" in table, name


def test_the_last_section_leads_to_every_page_and_says_which_equations_it_has() -> None:
    last = DERIVATION.read_text(encoding="utf-8").split("## 10. On to the catalogue")[1]
    rows = re.findall(r"^\| \[(.+)\]\(derivation/(.+)\) \| \((\d+)\) to \((\d+)\) \|", last, flags=re.M)
    told = {name: (int(first), int(last)) for name, file, first, last in rows if name == file}
    assert told == {page.name: (min(tags(page)), max(tags(page))) for page in PAGES[1:]}
