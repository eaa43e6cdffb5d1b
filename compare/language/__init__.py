"""What is said in prose, in the reader's language: English, or its translation in the one catalogue, locale/zh.po.

from compare.language import say, use_language

say("The gradient of {weight} is {value:.3e}.", weight=name, value=value)

The English sentence is its own key. Only prose is translated: names of tensors, options, keys and exceptions stay as
they are, and are given as values.
"""

from compare.language.choice import LANGUAGES, Language, LanguageError, language, use_language
from compare.language.saying import say

__all__ = ["LANGUAGES", "Language", "LanguageError", "language", "say", "use_language"]
