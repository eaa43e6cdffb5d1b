"""How arrays travel between the checker and the process that runs an answer: a header in JSON, and raw numbers.

Nothing is pickled, and nothing that arrives is believed: a header that does not fit its numbers is a WireError. NumPy
and the standard library alone are imported here, for both sides read this file.
"""

import json
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

LIMIT = 1 << 26  # bytes of a message
KINDS = "fiub"


class WireError(ValueError):
    """What arrived is no message."""


def encode(facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return a message: facts that JSON has, and arrays by name."""
    plain = {name: np.asarray(array) for name, array in arrays.items()}
    listed = [[name, a.dtype.str, list(a.shape)] for name, a in plain.items()]
    header = json.dumps({"facts": dict(facts), "arrays": listed}).encode()
    body = b"".join(a.tobytes() for a in plain.values())
    return struct.pack("<QQ", len(header), len(body)) + header + body


def decode(read: Callable[[int], bytes]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the facts and arrays of a message; `read` returns exactly as many bytes as it is asked for.

    Raises WireError for anything that is no message.
    """
    sizes = struct.unpack("<QQ", read(16))
    if max(sizes) > LIMIT:
        raise WireError("a message is too long")
    header, body = read(sizes[0]), read(sizes[1])
    try:
        told = json.loads(header)
        facts, listed, arrays, start = told["facts"], told["arrays"], {}, 0
        for name, code, shape in listed:
            dtype = np.dtype(str(code))
            if dtype.kind not in KINDS or not all(isinstance(size, int) and size >= 0 for size in shape):
                raise WireError("an array is of no kind that is compared")
            end = start + math.prod(shape) * dtype.itemsize
            if end > len(body):
                raise WireError("an array is shorter than it says")
            arrays[str(name)] = np.frombuffer(body[start:end], dtype).reshape(shape).copy()
            start = end
    except (ValueError, TypeError, KeyError, RecursionError) as wrong:
        raise WireError(f"no message: {type(wrong).__name__}") from None
    if not isinstance(facts, dict):
        raise WireError("no message: no facts")
    return facts, arrays
