"""Saying a sentence in the chosen language."""

from functools import cache
from importlib import resources

from compare.language.choice import language


def say(sentence: str, /, **values: object) -> str:
    """Return the sentence in the chosen language, with the values at its places, which are those of `str.format`.

    A sentence without a translation is said in English: a test finds it, a reader is not left without it.
    """
    spoken = language()
    translated = sentence if spoken == "en" else catalogue(spoken).get(sentence) or sentence
    return translated.format(**values)


@cache
def catalogue(name: str) -> dict[str, str]:
    """Return a language's translations by their English sentences."""
    from babel.messages.pofile import read_po

    with (resources.files("compare.language") / "locale" / f"{name}.po").open("rb") as file:
        entries = read_po(file, locale=name)
    return {str(entry.id): str(entry.string) for entry in entries if entry.id and entry.string and not entry.fuzzy}
