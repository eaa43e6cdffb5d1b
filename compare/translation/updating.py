"""The catalogue's file: read, brought up to date, written."""

import io
from importlib import resources
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

CATALOGUE_FILE = Path(str(resources.files("compare.language"))) / "locale" / "zh.po"
HEADER = """\
# Chinese translation of what backproof says in prose. `make translations` brings it up to date.
msgid ""
msgstr ""
"Project-Id-Version: backproof\\n"
"Language: zh\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


def read() -> Catalog:
    """Return the Chinese catalogue."""
    with CATALOGUE_FILE.open("rb") as file:
        return read_po(file, locale="zh")


def updated(old: Catalog, wanted: Catalog) -> Catalog:
    """Return a catalogue of what is wanted, in its order, with the translations that there are already.

    Nothing is guessed from similar sentences, and nothing is kept that is no longer said.
    """
    new = Catalog(locale="zh", fuzzy=False)
    for message in wanted:
        if message.id:
            known = old.get(str(message.id), message.context)
            new.add(message.id, known.string if known else "", context=message.context)
    return new


def write(catalogue: Catalog) -> None:
    """Write the Chinese catalogue."""
    CATALOGUE_FILE.write_bytes(as_bytes(catalogue))


def as_bytes(catalogue: Catalog) -> bytes:
    """Return the catalogue as it stands in its file: nothing in it depends on the day."""
    file = io.BytesIO()
    write_po(file, catalogue, width=120, omit_header=True)
    return HEADER.encode() + file.getvalue()
