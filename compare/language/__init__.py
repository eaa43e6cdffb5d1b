"""What is said in prose, in the reader's language: English, or its translation in the one catalogue, locale/zh.po.

from compare.language import say, use_language

say("The gradient of {weight} is {value:.3e}.", weight=name, value=value)

The English sentence is its own key. Only prose is translated: names of tensors, options, keys and exceptions stay as
they are, and are given as values.

choice      which language: use_language, or the environment
saying      say; mark and tell: a sentence in a table, said later
retelling   stored and retell: a sentence that a record keeps in English, and a view tells in the reader's language

`make translations` brings locale/zh.po up to date with what is said: see compare/translation.
"""

from compare.language.choice import LANGUAGES, Language, LanguageError, language, use_language
from compare.language.retelling import retell, stored
from compare.language.saying import Sentence, joint, listing, mark, passage, say, tell, translation

__all__ = [
    "LANGUAGES", "Language", "LanguageError", "Sentence", "joint", "language", "listing", "mark", "passage", "retell",
    "say", "stored", "tell", "translation", "use_language",
]  # fmt: skip
