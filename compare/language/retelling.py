"""Sentences that stand in records, always in English, and are told in the reader's language when they are shown."""

import re
from functools import cache
from string import Formatter

from compare.language.choice import language
from compare.language.saying import RECORD, catalogue

LONGEST = 2000  # characters: a longer text is none of ours, and a hostile one is not to be searched for long


def stored(sentence: str, /, **values: object) -> str:
    """Return the English sentence with its values, for a record. It is given as a literal; `retell` knows it again."""
    return sentence.format(**values)


def retell(text: str) -> str:
    """Return a text of a record in the chosen language; one that is none of our sentences as it is.

    The values in a sentence may be sentences of ours themselves, and are retold as well.
    """
    spoken = language()
    if spoken == "en" or len(text) > LONGEST:
        return text
    known = catalogue(spoken)
    if (RECORD, text) in known:
        return known[RECORD, text]
    for form, sentence in forms(spoken):
        if found := form.fullmatch(text):
            values = {place: retell(value) for place, value in found.groupdict().items()}
            parts = Formatter().parse(sentence)
            return "".join(literal + (values[place] if place else "") for literal, place, _, _ in parts)
    return text


@cache
def forms(name: str) -> list[tuple[re.Pattern[str], str]]:
    """Return the records' sentences with places for values: what each looks like, and its translation.

    Those with the most words of their own come first: what fits in there is less likely to be another sentence.
    """
    known = [(english, said) for (context, english), said in catalogue(name).items() if context == RECORD]
    placed = [(english, said) for english, said in known if any(place for _, place, _, _ in Formatter().parse(english))]
    placed.sort(key=lambda entry: -len(re.sub(r"{.*?}", "", entry[0])))
    return [(form_of(english), said) for english, said in placed]


def form_of(sentence: str) -> re.Pattern[str]:
    """Return the pattern of a sentence: anything may stand at its places, the same at all places of one name."""
    parts, seen = [], set()
    for literal, place, _, _ in Formatter().parse(sentence):
        parts.append(re.escape(literal))
        if place:
            parts.append(f"(?P={place})" if place in seen else f"(?P<{place}>.+?)")
            seen.add(place)
    return re.compile("".join(parts), re.DOTALL)
