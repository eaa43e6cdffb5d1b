"""The shape of a record's files: `schema.json` beside this file, and what a file must be to be read at all.

A record may come from anywhere, and may have been damaged or made up. So nothing of it is believed: sizes are looked at
before a file is read, texts must be UTF-8, numbers must be numbers, and every value must have the type and the range
that the schema gives it. What does not is one message that names the file and the place in it.
"""

import functools
import json
import stat
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

import fastjsonschema

SCHEMA_VERSION = 2
LARGEST_DOCUMENT = 16 * 2**20  # bytes of a JSON document; the largest of a real run has some hundred kilobytes
DEEPEST = 64  # levels of a document; a network's Residual takes two
LARGEST_NUMBER = 2**1023  # what is larger has no place in a float, nor perhaps in a text
LONGEST_LINE = 2**20  # bytes of a line of steps.jsonl; the longest of a real run has some ten kilobytes


class RecordError(Exception):
    """A record could not be written or read: says which file and why. Exit status 3."""


@functools.cache
def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 7): a definition for each kind of file."""
    return json.loads((resources.files("compare.records") / "schema.json").read_text(encoding="utf-8"))


@functools.cache
def validator(kind: str) -> Callable[[Any], Any]:
    """Return the compiled check of one definition of the schema."""
    whole = schema()
    check = fastjsonschema.compile(
        {"$schema": whole["$schema"], "$ref": f"#/definitions/{kind}", "definitions": whole["definitions"]}
    )
    assert callable(check)
    return check


def regular_file(path: Path, largest: int) -> int:
    """Return the size of a file in bytes; raise RecordError unless it is a plain file of at most `largest` bytes.

    A link may lead out of the record, and a pipe or a device may never end.
    """
    try:
        found = path.lstat()
    except (OSError, ValueError) as missing:
        reason = getattr(missing, "strerror", None) or missing
        raise RecordError(f"{path}: cannot be read ({reason}); wanted the folder of a record.") from None
    if not stat.S_ISREG(found.st_mode):
        raise RecordError(f"{path}: found no plain file (a link, a folder or a device); wanted a file of the record.")
    if found.st_size > largest:
        raise RecordError(f"{path}: found {found.st_size:,} bytes; wanted at most {largest:,}.")
    return found.st_size


def read_document(folder: Path, kind: str) -> dict[str, Any]:
    """Return `<kind>.json` of a record, with every value of the type and range that the schema gives it."""
    path = folder / f"{kind}.json"
    return read_object(path, kind, read_bytes(path))


def check_extent(path: Path, document: Any) -> None:
    """Raise RecordError for a document that is nested too deep, or has a number too long, to be shown or compared."""
    level = [document]
    for _ in range(DEEPEST):
        if any(isinstance(value, int) and abs(value) > LARGEST_NUMBER for value in level):
            raise RecordError(f"{path}: found a whole number of more than 300 digits; wanted a shorter one.")
        inner = [
            value.values() if isinstance(value, dict) else value for value in level if isinstance(value, dict | list)
        ]
        level = [value for values in inner for value in values]
    if level:
        raise RecordError(f"{path}: nested deeper than {DEEPEST} levels; wanted a file of the record.")


def read_bytes(path: Path, largest: int = LARGEST_DOCUMENT) -> bytes:
    """Return the content of a plain file of at most `largest` bytes."""
    size = regular_file(path, largest)
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as failure:
        raise RecordError(f"{path}: cannot be read ({failure.strerror}).") from None


def read_object(path: Path, kind: str, content: bytes, where: str = "") -> dict[str, Any]:
    """Return the JSON object of these bytes, checked as the schema's `kind`; `path` and `where` are for the message."""
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=no_number)
    except (ValueError, RecursionError) as broken:
        raise RecordError(f"{path}{where}: not JSON ({broken}).") from None
    check_extent(path, value)
    try:
        validator(kind)(value)
    except fastjsonschema.JsonSchemaValueException as wrong:
        version = value.get("schema_version") if kind == "manifest" and isinstance(value, dict) else None
        if isinstance(version, int) and version != SCHEMA_VERSION:
            raise RecordError(f"{path}: schema_version is {version}; wanted {SCHEMA_VERSION}.") from None
        said = wrong.message if len(wrong.message) < 300 else wrong.message[:300] + "..."
        raise RecordError(f"{path}{where}: {said}.") from None
    return value


def no_number(text: str) -> NoReturn:
    """Refuse NaN and Infinity, which JSON has no word for: a record writes them as texts."""
    raise ValueError(f"{text} is no JSON")


def read_lines(path: Path, kind: str, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a file with one a line, each checked; at most the first `limit` bytes of the file."""
    regular_file(path, 2**40)
    try:
        with path.open("rb") as file:
            number, taken = 0, 0
            while line := file.readline(LONGEST_LINE + 1):
                number, taken = number + 1, taken + len(line)
                if limit is not None and taken > limit:
                    return
                if len(line) > LONGEST_LINE:
                    raise RecordError(f"{path}, line {number}: longer than {LONGEST_LINE:,} bytes.")
                if not line.endswith(b"\n"):
                    raise RecordError(f"{path}, line {number}: it ends in the middle of the line.")
                yield read_object(path, kind, line, f", line {number}")
    except OSError as failure:
        raise RecordError(f"{path}: cannot be read ({failure.strerror}).") from None
