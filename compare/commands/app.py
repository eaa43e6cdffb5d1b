"""What the commands share: the application, kinds of options, exit statuses."""

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

app = App(
    name="backproof",
    help="Proves hand-derived backpropagation against autograd, tensor by tensor, step by step.",
    help_format="markdown",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # main answers it, with the status that shells expect
)


def whole(_: Any, tokens: Any) -> int:
    """Return a whole number as it was written: 2.5 is none."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f'unable to convert "{tokens[0].value}" into a whole number') from None


Whole = Annotated[int, Parameter(converter=whole)]

USAGE_ERROR, COULD_NOT_RUN, INTERRUPTED = 2, 3, 130
Json = Annotated[
    bool, Parameter(negative="", help="Print one JSON document on standard output, and nothing else there.")
]
Quiet = Annotated[bool, Parameter(negative="")]
Lang = Annotated[  # of a command that speaks in prose, which begins with use_language(lang)
    Literal["en", "zh"] | None,
    Parameter(help="The language of the prose: en or zh; by default from BACKPROOF_LANG, LC_ALL, LC_MESSAGES, LANG."),
]


def dump(value: Any) -> str:
    """Return a value as JSON text."""
    return json.dumps(value, indent=1)


def refuse(message: str) -> int:
    """Print a message about the command line on standard error; return the status of a usage error."""
    print(f"backproof: {message}", file=sys.stderr)
    return USAGE_ERROR


def progress_line(quiet: bool) -> Callable[[str], None]:
    """Return a function that shows what is being done, on one line of standard error, where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        return lambda _: None
    return lambda text: print(f"\r{text:<60}", end="" if text else "\r", file=sys.stderr, flush=True)
