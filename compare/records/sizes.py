"""Whether a record's description and its weights belong together, asked before anything is built of the description.

A line in a file can ask for a network larger than any memory. The weights it started from lie beside it, and no layer
has fewer of them than the product of its input's and its output's sizes.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from compare.records.schema import RecordError

LARGEST = 10**9  # of a number that counts something; larger ones have a message of their own
SIDES = (  # arguments that are one side of a weight's shape
    "in_features", "out_features", "in_channels", "out_channels", "num_embeddings", "embedding_dim", "input_size",
    "hidden_size", "embed_dim", "num_features", "num_channels", "length", "features", "normalized_shape",
)  # fmt: skip


def check_sizes(path: Path, document: Mapping[str, Any], initial: Mapping[str, np.ndarray]) -> None:
    """Raise RecordError if a layer of the document needs more weights than there are."""
    there = sum(array.size for array in initial.values())
    for table in tables(document.get("layers")):
        needed = least_weights(table)
        if needed > max(there, 1):
            raise RecordError(
                f"{path}: a layer {str(table.get('kind'))[:50]} of it needs {needed:.3g} weights or more; "
                f"initial.safetensors has {there:,}: the two do not belong together."
            )


def least_weights(table: Mapping[str, Any]) -> int:
    """Return how many weights a layer has at least: the largest product of two sides of one of its weights' shapes."""
    sides = [product(table[key]) for key in SIDES if key in table]
    pairs = max([*sides, *(a * b for a, b in combinations(sides, 2))], default=0)
    if table.get("kind") == "Conv2d":
        kernel = product(table.get("kernel_size", 1))
        pairs *= kernel if isinstance(table.get("kernel_size"), list) else kernel**2
    return pairs * max(1, product(table.get("num_layers", 1))) // max(1, product(table.get("groups", 1)))


def product(value: Any) -> int:
    """Return a whole number, or the product of a list of such; 0 for anything else, which has a message of its own."""
    numbers = value if isinstance(value, list | tuple) else [value]
    return math.prod(numbers) if all(type(number) is int and 0 <= number <= LARGEST for number in numbers) else 0


def tables(layers: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the tables of layers, those inside a Residual too."""
    for table in layers if isinstance(layers, list | tuple) else ():
        if isinstance(table, Mapping):
            yield table
            yield from tables(table.get("layers"))
