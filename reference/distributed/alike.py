"""Whether several ranks have the same: each tells digests of its arrays, and they are compared."""

import hashlib
from collections.abc import Mapping

import numpy as np

Digests = dict[str, bytes]


def digests(arrays: Mapping[str, np.ndarray]) -> Digests:
    """Return a digest of every array's bits, by name: equal digests, equal arrays."""
    return {name: hashlib.blake2b(np.ascontiguousarray(a).data, digest_size=16).digest() for name, a in arrays.items()}


def first_unlike(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> str | None:
    """Return the name of the first array that differs, or that only one of the two has; None if all are alike."""
    return next((name for name in {**one, **other} if one.get(name) != other.get(name)), None)
