"""Every page is there in Chinese: the same structure, equations, code and links, and the words of the glossary."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

ROOT = Path(__file__).parents[2]
ALL = [ROOT / "README.md", *sorted((ROOT / "manual").rglob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
TRANSLATIONS = [path for path in ALL if path.name.endswith(".zh.md")]
ENGLISH = [path for path in ALL if path not in TRANSLATIONS]
MARKDOWN = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)
GENERATED = re.compile(r"(?<=<!-- table: begin -->\n).*?(?=<!-- table: end -->)", flags=re.S)
WORD = re.compile(r"(?<![\w./])[A-Z]?[a-z]{2,}\b(?![./]\w)")  # not a part of a file's name
NAMES = {"backproof", "softmax", "sigmoid", "tanh"}  # they stay as they are, in a heading, too
KEPT = ("code_inline", "math_inline", "strong_open", "em_open")  # `**` beside Chinese punctuation is easily no emphasis
CHINESE = re.compile(r"[\u4e00-\u9fff]")
STILL_ENGLISH = re.compile(r"(?:[A-Za-z]+[ ,]+){5}[A-Za-z]+")  # six words on end: longer than any title we quote


def translation(page: Path) -> Path:
    return page.with_name(page.stem + ".zh.md")


# The manual and README have to be there in Chinese; a page of docs/ is held to its translation once it has one.
PAGES = [page for page in ENGLISH if (ROOT / "docs") not in page.parents or translation(page).exists()]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


class Passage(NamedTuple):
    """A heading, a paragraph or a cell of a table."""

    line: int
    source: str
    prose: str  # with the words for a picture; without code, mathematics and the addresses of links
    kept: Counter[tuple[str, str]]  # what a translation does not touch: code, mathematics, pictures, emphasis
    links: list[str]


class Page(NamedTuple):
    """What there is on a page, in its order."""

    structure: list[str]  # headings with their levels, paragraphs, lists, tables, rows, cells
    blocks: list[tuple[str, str]]  # displayed equations, code, HTML
    passages: list[Passage]
    sections: list[str]  # the prose from one heading to the next


def passage_of(token: Token) -> Passage:
    children = token.children or []
    prose = " ".join("".join(" " if child.type == "softbreak" else child.content for child in children
                             if child.type in ("text", "softbreak", "image")).split())  # fmt: skip
    kept = Counter((child.type, child.content) for child in children if child.type in KEPT)
    kept.update(("image", str(child.attrs["src"])) for child in children if child.type == "image")
    links = [unquote(str(child.attrs["href"])) for child in children if child.type == "link_open"]
    return Passage(token.map[0] + 1 if token.map else 0, token.content, prose, kept, links)


def parse(text: str) -> Page:
    """Return what there is on a page; the generated table is left out, for a command writes it."""
    tokens = MARKDOWN.parse(GENERATED.sub("", text))
    structure = [f"{token.type} {token.tag}" for token in tokens if not token.type.endswith("_close")]
    blocks = [(token.type + token.info, token.content) for token in tokens if token.type in ("fence", "html_block")]
    inline = [(passage_of(token), before.type) for before, token in pairwise(tokens)
              if token.type == "inline"]  # fmt: skip
    sections = [""]
    for passage, kind in inline:
        if kind == "heading_open":
            sections.append("")
        sections[-1] += passage.prose + "\n"
    return Page(structure, blocks, [passage for passage, _ in inline], sections)


def counterpart(target: Path) -> Path:
    """Return what a link to this file leads to on the page in the other language."""
    english = target.with_name(target.name.replace(".zh.md", ".md"))
    return target if english not in PAGES else english if target != english else translation(target)


def targets(links: list[str], folder: Path) -> list[Path]:
    """Return the files that a page's links lead to, anchors left out; addresses of the web stay as they are."""
    return [Path(link) if "://" in link else (folder / link.partition("#")[0]).resolve() for link in links]


def untranslated(english: str, chinese: str) -> bool:
    has_words = any(word.lower() not in NAMES for word in WORD.findall(english))
    return bool((has_words and not CHINESE.search(chinese)) or STILL_ENGLISH.search(chinese))


def faults(english: str, chinese: str, folder: Path) -> Iterator[str]:
    """Yield what is wrong with a translation, in one sentence each; both pages lie in the folder."""
    page, translated = parse(english), parse(chinese)
    if page.structure != translated.structure:
        at = next((n for n, pair in enumerate(zip(page.structure, translated.structure, strict=False))
                   if pair[0] != pair[1]), min(len(page.structure), len(translated.structure)))  # fmt: skip
        yield f"structure: {page.structure[at : at + 3]} became {translated.structure[at : at + 3]} at block {at}"
        return
    for block, other in zip(page.blocks, translated.blocks, strict=True):
        if block != other:
            yield f"block: {block} became {other}"
    for passage, other in zip(page.passages, translated.passages, strict=True):
        if passage.kept != other.kept:
            yield f"line {other.line}: lacks {list(passage.kept - other.kept)}, has {list(other.kept - passage.kept)}"
        if sorted(map(counterpart, targets(passage.links, folder))) != sorted(targets(other.links, folder)):
            yield f"line {other.line}: links {passage.links} became {other.links}"
        if untranslated(passage.prose, other.prose):
            yield f"line {other.line}: not translated: {passage.prose}"
    if figures(english) != figures(chinese):
        yield "the generated table has other figures"


def figures(text: str) -> list[str]:
    """Return the names and the numbers in a page's generated table."""
    return re.findall(r"`[^`]+`|\d(?:[\d.,]*\d)?", " ".join(GENERATED.findall(text)))


def glossary(text: str) -> dict[str, list[str]]:
    """Return every English term that is checked, with its Chinese words."""
    rows = [re.split(r" *\| *", line)[1:4] for line in text.splitlines() if line.startswith("| ")]
    return {row[0].lower(): row[1].split(" / ") for row in rows[2:] if not row[2].startswith("not checked")}


def terms_in(section: str, terms: dict[str, list[str]]) -> set[str]:
    """Return the terms that stand in an English text, singular or plural; of two at one place the longer one."""
    by_form = {form: term for term in terms for form in (term, term + "s", term + "es", re.sub("y$", "ies", term))}
    longest_first = "|".join(re.escape(form) for form in sorted(by_form, key=len, reverse=True))
    found = re.findall(rf"(?<![\w/-])(?:{longest_first})(?![\w/-]|\.\w)", section.lower())
    return {by_form[form] for form in found}


def other_words(english: str, chinese: str, terms: dict[str, list[str]]) -> Iterator[str]:
    """Yield the glossary's terms of a section that its translation words otherwise."""
    for section, translated in zip(parse(english).sections, parse(chinese).sections, strict=True):
        for term in sorted(terms_in(section, terms)):
            if not any(word.lower() in translated.lower() for word in terms[term]):
                yield f"{section.splitlines()[0] if section else 'top'}: {term} is not {' / '.join(terms[term])}"


TERMS = glossary((ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))


def read_both(page: Path) -> tuple[str, str]:
    assert translation(page).exists(), f"{page.relative_to(ROOT)} has no translation {translation(page).name}"
    return page.read_text(encoding="utf-8"), translation(page).read_text(encoding="utf-8")


@each_page
def test_a_page_says_the_same_in_chinese(page: Path) -> None:
    assert list(faults(*read_both(page), page.parent)) == []


@each_page
def test_a_translation_uses_the_words_of_the_glossary(page: Path) -> None:
    assert list(other_words(*read_both(page), TERMS)) == []


@pytest.mark.parametrize("page", TRANSLATIONS, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_translation_has_its_page(page: Path) -> None:
    assert page.with_name(page.name.removesuffix(".zh.md") + ".md").exists()


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_are_there(page: Path) -> None:
    passages = parse(page.read_text(encoding="utf-8")).passages
    pictures = [name for passage in passages for kind, name in passage.kept if kind == "image"]
    for link in chain(pictures, *(passage.links for passage in passages)):
        path, _, anchor = link.partition("#")
        if "://" not in link:
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", TRANSLATIONS, ids=lambda page: str(page.relative_to(ROOT)))
def test_github_sees_the_mathematics_of_a_chinese_sentence(page: Path) -> None:
    # GitHub takes `$` for mathematics only after a space, a bracket or at a line's start, and not before a letter.
    for passage in parse(page.read_text(encoding="utf-8")).passages:
        text = re.sub(r"`[^`]*`", "", passage.source)
        for found in re.finditer(r"\$[^$]+\$", text):
            around = text[: found.start()][-1:], text[found.end() :][:1]
            assert around[0] in ("", " ", "\n", "("), (passage.line, found.group())
            assert not around[1].isalnum(), (passage.line, found.group())


ENGLISH_SAMPLE = """# One layer

A **weight** $w$ of [the layer](DERIVATION.md#2-symbols) `linear1` is updated.
```math
z = w x \\tag{1}
```
| name | value |
| --- | --- |
| rate | 3 |
"""
CHINESE_SAMPLE = """# 一层

[层](DERIVATION.zh.md#2-符号) `linear1` 的**权重** $w$ 得到更新。
```math
z = w x \\tag{1}
```
| 名称 | 值 |
| --- | --- |
| 率 | 3 |
"""


def test_a_faithful_translation_has_no_faults() -> None:
    assert list(faults(ENGLISH_SAMPLE, CHINESE_SAMPLE, ROOT / "manual")) == []
    assert list(other_words(ENGLISH_SAMPLE, CHINESE_SAMPLE, {"weight": ["权重"], "layer": ["级", "层"]})) == []


@pytest.mark.parametrize(
    ("faithful", "flawed", "fault"),
    [
        ("# 一层", "## 一层", "structure"),
        ("| 率 | 3 |\n", "", "structure"),
        ("\\tag{1}", "\\tag{2}", "block"),
        ("$w$", "$W$", "lacks"),
        ("`linear1`", "线性层", "lacks"),
        ("**权重**", "**“权重”**", "lacks"),
        ("DERIVATION.zh.md", "DERIVATION.md", "links"),
        ("| 率 |", "| rate |", "not translated"),
        ("# 一层", "# One layer", "not translated"),
        ("得到更新", "得到更新 and this is left in English", "not translated"),
    ],
)
def test_a_flaw_is_found(faithful: str, flawed: str, fault: str) -> None:
    found = list(faults(ENGLISH_SAMPLE, CHINESE_SAMPLE.replace(faithful, flawed), ROOT / "manual"))
    assert len(found) == 1
    assert fault in found[0]


def test_another_word_than_the_glossarys_is_found() -> None:
    terms = {"weight": ["权重"], "updated weight": ["新权重"]}
    assert list(other_words(ENGLISH_SAMPLE, CHINESE_SAMPLE.replace("权重", "加权"), terms)) == [
        "One layer: weight is not 权重"
    ]


def test_the_generated_table_keeps_its_figures() -> None:
    table = "<!-- table: begin -->\n| `loss` | {} | 130.7 |\n<!-- table: end -->\n"
    assert list(faults(table.format("loss"), table.format("损失"), ROOT)) == []
    assert list(faults(table.format("loss"), table.format("损失").replace("130", "13"), ROOT)) != []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("All weights count.", {"weight"}),
        ("Losses and queries.", {"loss", "query"}),
        ("The chain rules.", {"chain rule"}),
        ("A step-by-step path of steps/loss.md, and rules.", {"rule"}),
    ],
)
def test_a_term_is_found_in_its_plural_and_whole(text: str, found: set[str]) -> None:
    assert terms_in(text, {term: [] for term in ("weight", "loss", "query", "rule", "chain rule", "step")}) == found


def test_the_glossary_has_every_term_once() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    english = [line.split(" | ")[0].lower() for line in text.splitlines() if line.startswith("| ")]
    assert len(english) == len(set(english)) > 60
    assert all(word for words in TERMS.values() for word in words)
