"""The catalogue is whole: all that is said is translated, and nothing else is; its words are the glossary's."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import NamedTuple

import jinja2
import pytest
from babel.messages.catalog import Catalog, Message
from jinja2 import nodes

from compare.translation import CATALOGUE_FILE, extracted, read, updated
from compare.translation.extraction import sources
from compare.translation.updating import as_bytes

GLOSSARY = Path(__file__).parents[2] / "docs" / "glossary.md"
CHINESE = re.compile(r"[\u4e00-\u9fff]")
HALF = re.compile(
    r"[\u4e00-\u9fff]\s*[,;:?!]|[,;:?!]\s*[\u4e00-\u9fff]|[\u4e00-\u9fff][()]|[()][\u4e00-\u9fff]"
    r"|[\u4e00-\u9fff]\.(?![\w/])"
)
LITERAL = ("say", "mark", "stored")  # their first argument has to be a literal


@pytest.fixture(scope="module")
def said() -> Catalog:
    """All that backproof says."""
    return extracted()


@pytest.fixture(scope="module")
def translated() -> list[Message]:
    """The entries of the Chinese catalogue."""
    return [message for message in read() if message.id]


def places(sentence: str) -> list[str]:
    """Return the names of a sentence's places, in order."""
    return sorted({name for _, name, _, _ in Formatter().parse(sentence) if name})


def prose(sentence: str) -> str:
    """Return a sentence without its places."""
    return re.sub(r"{.*?}", "·", sentence)


def test_everything_that_is_said_has_a_translation(said: Catalog) -> None:
    known = {(m.context, m.id): m for m in read() if m.string and not m.fuzzy}
    missing = [message.id for message in said if message.id and (message.context, message.id) not in known]
    assert len(said) > 700
    assert not missing, "make translations, and translate these in locale/zh.po"


def test_nothing_in_the_catalogue_is_said_no_longer(said: Catalog, translated: list[Message]) -> None:
    wanted = {(message.context, message.id) for message in said}
    assert not [message.id for message in translated if (message.context, message.id) not in wanted]
    assert not read().obsolete


def test_the_file_is_what_make_translations_writes(said: Catalog) -> None:
    assert CATALOGUE_FILE.read_bytes() == as_bytes(updated(read(), said))


def test_what_is_new_waits_for_its_translation_and_what_is_gone_is_gone() -> None:
    old, wanted = Catalog(locale="zh"), Catalog()
    old.add("The bias is not added.", "没有加上偏置。")
    old.add("No longer said.", "不再说了。")
    for sentence in ("The bias is not added.", "The bias is not added twice."):
        wanted.add(sentence)
    new = updated(old, wanted)
    assert {m.id: m.string for m in new if m.id} == {
        "The bias is not added.": "没有加上偏置。", "The bias is not added twice.": "",
    }  # fmt: skip


def test_a_translation_is_chinese(translated: list[Message]) -> None:
    """One that is made of places alone has at least their punctuation in Chinese."""
    assert not [m.id for m in translated if m.string == m.id]
    with_words = [m for m in translated if re.search("[A-Za-z]", prose(str(m.id)))]
    assert len(with_words) > 700
    assert not [m.id for m in with_words if not CHINESE.search(str(m.string))]


def test_a_translation_has_the_places_of_its_sentence(translated: list[Message]) -> None:
    assert not [m.id for m in translated if places(str(m.id)) != places(str(m.string))]


def test_values_of_every_kind_find_their_places(translated: list[Message]) -> None:
    for message in translated:  # a format that only a number bears stands on both sides, or on neither
        if not message.context:
            kinds = {name: form for _, name, form, _ in Formatter().parse(str(message.id)) if name}
            ours = {name: form for _, name, form, _ in Formatter().parse(str(message.string)) if name}
            assert kinds == ours, message.id


def test_chinese_sentences_have_chinese_punctuation(translated: list[Message]) -> None:
    assert not [m.string for m in translated if HALF.search(prose(str(m.string)))]
    ends = [m for m in translated if str(m.id).endswith(".") and not re.search(r"[。）)…]$", str(m.string))]
    assert not [m.string for m in ends]


class Term(NamedTuple):
    """A row of the glossary: the English word, and the Chinese ones that may stand for it."""

    english: str
    chinese: list[str]


def glossary() -> list[Term]:
    """Return the glossary's rows that are checked: a note that begins with "not checked" excepts one."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in GLOSSARY.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    return [Term(en, zh.split(" / ")) for en, zh, note, *_ in rows[2:] if not note.startswith("not checked")]


def strange_words(message: Message, terms: list[Term]) -> Iterator[str]:
    """Yield the terms of an English sentence, the longest first, whose Chinese is missing in its translation."""
    english, chinese = prose(str(message.id)), str(message.string).lower()
    for term in sorted(terms, key=lambda term: -len(term.english)):
        word = re.compile(rf"(?<![\w.*-]){re.escape(term.english)}(s|es)?(?![\w-])", re.IGNORECASE)
        if word.search(english) and not any(said.lower() in chinese for said in term.chinese):
            yield f"{term.english}: {message.id} | {message.string}"
        english = word.sub("·", english)


def test_the_words_are_those_of_the_glossary(translated: list[Message]) -> None:
    terms = glossary()
    assert len(terms) > 100
    assert not [found for message in translated for found in strange_words(message, terms)]


def test_what_is_said_is_given_as_a_literal() -> None:
    """A sentence in a variable would be found by nobody."""
    for file in sources():
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".py":
            for call in ast.walk(ast.parse(text)):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in LITERAL:
                    assert isinstance(call.args[0], ast.Constant), f"{file}:{call.lineno}"
                    assert isinstance(call.args[0].value, str), f"{file}:{call.lineno}"
        elif file.suffix == ".html":
            for call in jinja2.Environment().parse(text).find_all(nodes.Call):
                if isinstance(call.node, nodes.Name) and call.node.name == "say":
                    assert isinstance(call.args[0], nodes.Const), f"{file}:{call.lineno}"
