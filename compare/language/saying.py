"""Saying a sentence in the chosen language."""

from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Literal, NewType

from compare.language.choice import language

Sentence = NewType("Sentence", str)  # one that `mark` has seen
RECORD = "record"  # the context, in the catalogue, of what stands in records
JOINTS: dict[str, dict[str, str]] = {
    "sentences": {"en": " ", "zh": ""},
    "names": {"en": ", ", "zh": "、"},
    "facts": {"en": "; ", "zh": "；"},
}


def say(sentence: str, /, **values: object) -> str:
    """Return the sentence in the chosen language, with the values at its places, which are those of `str.format`.

    It is given as a literal, so that it can be found and translated. A sentence without a translation is said in
    English: a test finds it, a reader is not left without it.
    """
    return translation(sentence).format(**values)


def mark(sentence: str) -> Sentence:
    """Return a sentence, given as a literal, as it is: for a table, to be said later, by `tell`."""
    return Sentence(sentence)


def tell(sentence: Sentence, /, **values: object) -> str:
    """Return a marked sentence in the chosen language; see `say`."""
    return say(sentence, **values)


def joint(what: Literal["sentences", "names", "facts"]) -> str:
    """Return what stands between sentences, between names in a row, or between facts, in the chosen language."""
    return JOINTS[what][language()]


def passage(sentences: Iterable[str]) -> str:
    """Return sentences one after the other; empty ones are left out."""
    return joint("sentences").join(sentence for sentence in sentences if sentence)


def listing(names: Iterable[str]) -> str:
    """Return names in a row."""
    return joint("names").join(names)


def translation(sentence: str) -> str:
    """Return the sentence in the chosen language, its places not yet filled."""
    spoken = language()
    return sentence if spoken == "en" else catalogue(spoken).get(("", sentence), sentence)


@cache
def catalogue(name: str) -> dict[tuple[str, str], str]:
    """Return a language's translations by context, "" or RECORD, and English sentence."""
    from babel.messages.pofile import read_po

    with (resources.files("compare.language") / "locale" / f"{name}.po").open("rb") as file:
        entries = read_po(file, locale=name)
    return {
        (entry.context or "", str(entry.id)): str(entry.string)
        for entry in entries
        if entry.id and entry.string and not entry.fuzzy
    }
