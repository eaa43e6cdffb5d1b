"""What all pages for a browser have in common: one file of parts, which can run nothing of others and call nobody."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any


def templates(room: str) -> Any:
    """Return the templates of a room, which escape all that is not marked as our own. Needs jinja2."""
    import jinja2

    folder = str(resources.files(room) / "templates")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment


def part(room: str, name: str) -> str:
    """Return a file of a room's templates as it is."""
    return (resources.files(room) / "templates" / name).read_text(encoding="utf-8")


def ours(trusted: str) -> Any:
    """Return text of our own, which is not to be escaped."""
    from markupsafe import Markup

    return Markup(trusted)


def policy(scripts: Sequence[str]) -> str:
    """Return a page's content security policy: these scripts and no others, and not a single request.

    So even a text of others that slipped through as HTML could neither run nor call home.
    """
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def write(page: str, file: Path, called: str, error: Callable[[str], Exception]) -> Path:
    """Write a page into a file, and return that. Raises the error of the page's room where it cannot be written."""
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as failure:
        raise error(
            f"{file}: the {called} cannot be written ({failure.strerror}). Choose another file with --html FILE."
        ) from None
    return file
