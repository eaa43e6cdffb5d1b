"""For translators: what backproof says, found in its source, and the catalogue brought up to date with it.

`make translations` writes compare/language/locale/zh.po: sentences that are new stand in it without a translation,
sentences that are no longer said are gone. It runs from a checkout, with the extra `report` installed.
"""

from compare.translation.extraction import extracted
from compare.translation.updating import CATALOGUE_FILE, read, updated, write

__all__ = ["CATALOGUE_FILE", "extracted", "read", "updated", "write"]
