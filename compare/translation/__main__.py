"""Bring the catalogue up to date with the source; exit status 1 while translations are missing."""

import sys

from compare.translation import CATALOGUE_FILE, extracted, read, updated, write

if __name__ == "__main__":
    catalogue = updated(read(), extracted())
    write(catalogue)
    missing = sum(not message.string for message in catalogue if message.id)
    print(f"{CATALOGUE_FILE}: {len(catalogue)} sentences, {missing} without a translation")
    sys.exit(missing > 0)
