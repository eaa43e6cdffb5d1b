"""Small networks for the mistakes of the catalogue's entries, as plain tables.

name, layers, loss, optimizer   as in an experiment's file
side                            the images are side x side random pixels
shape                           of an example: one dimension: flat, two: rows, three: an image with one channel
indices                         pixels are given as whole numbers below this one instead
batch_size, classes
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

ROOMS = sorted(module.name for module in iter_modules(__path__))
NETWORKS: list[dict[str, Any]] = [table for room in ROOMS for table in import_module(f"{__name__}.{room}").NETWORKS]
