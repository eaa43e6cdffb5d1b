"""What the sections of a description have in common: every value is checked as it is made."""

import sys
from dataclasses import fields
from functools import cache
from typing import Any, get_args, get_type_hints

from compare.experiment.classes import require, require_known


@cache
def types_of(section: type) -> dict[str, Any]:
    """Return the types that a section's fields are declared with."""
    return get_type_hints(section)


class Section:
    """A section of the description: checks the types of its fields, then its own `check`."""

    def __post_init__(self) -> None:
        hints = types_of(type(self))
        for entry in fields(self):  # pyright: ignore[reportArgumentType]
            self.check_type(entry.name, hints[entry.name])
        self.check()

    def check_type(self, key: str, wanted: Any) -> None:
        """Raise DescriptionError unless the field's value is of the declared type; an int serves as a float."""
        value, where = getattr(self, key), f"{type(self).__name__.lower()}.{key}"
        if choices := get_args(wanted):
            if all(isinstance(choice, str) for choice in choices):
                require(isinstance(value, str), where, value, f"one of {', '.join(choices)}")
                require_known(where, value, choices)
        elif wanted is float:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            finite = number and abs(value) <= sys.float_info.max  # not so for nan, nor for a whole number too large
            require(finite, where, value if len(repr(value)) < 40 else "a very large number", "a finite number")
            object.__setattr__(self, key, float(value))
        elif wanted is int:
            require(isinstance(value, int) and not isinstance(value, bool), where, value, "a whole number")
        elif wanted in (bool, str):
            require(isinstance(value, wanted), where, value, "true or false" if wanted is bool else "a text")

    def check(self) -> None:
        """Raise DescriptionError for a value out of range."""
