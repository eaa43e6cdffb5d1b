"""Which language is spoken: the one asked for, or else the environment's."""

import os
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Literal, get_args

Language = Literal["en", "zh"]
LANGUAGES: tuple[str, ...] = get_args(Language)
VARIABLES = ("BACKPROOF_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")  # ours, then gettext's, in its order

chosen: ContextVar[str | None] = ContextVar("chosen", default=None)


class LanguageError(ValueError):
    """A language that there is no translation into."""


def language() -> str:
    """Return the language that is spoken now: "en" or "zh"."""
    return chosen.get() or language_of(os.environ)


def use_language(name: str | None) -> None:
    """Speak this language from here on, in this thread; None: that of the environment. Raises LanguageError."""
    if name is not None and name not in LANGUAGES:
        raise LanguageError(f"There is no translation into {name!r}; there are {', '.join(LANGUAGES)}.")
    chosen.set(name)


def language_of(environment: Mapping[str, str]) -> str:
    """Return the language of an environment: the first variable that names one we speak, else English.

    As with gettext a later variable is asked only where the earlier ones are empty; LANGUAGE may hold several, in
    order of preference: `de:zh_CN:en`.
    """
    for variable in VARIABLES:
        if value := environment.get(variable, ""):
            spoken = (entry[:2].lower() for entry in value.split(":") if entry[2:3] in ("", "_", "-", "."))
            return next((name for name in spoken if name in LANGUAGES), "en")
    return "en"
