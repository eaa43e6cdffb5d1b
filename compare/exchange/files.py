"""Tensors on disk: safetensors, and raw little-endian binaries with a JSON index. Equal tensors give equal bytes."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

ARCHITECTURE, FORM = "architecture.json", "FORM.md"
INITIAL, BATCHES = "initial.safetensors", "batches.safetensors"
RAW = "tensors"  # the folder of the raw binaries and their index
TRACE = "trace"  # the folder that the port writes
INDEX = "index.json"

# The numbers that travel: name in files -> little-endian dtype.
DTYPES = {
    "float64": np.dtype("<f8"),
    "float32": np.dtype("<f4"),
    "int64": np.dtype("<i8"),
    "int32": np.dtype("<i4"),
    "uint8": np.dtype("u1"),
    "bool": np.dtype("?"),
}


class ExchangeError(Exception):
    """A folder of an exchange that cannot be read or written: says which file and why. Exit status 3."""


def key_of(step: int, name: str) -> str:
    """Return the name of a batch's tensor in batches.safetensors: `step-000001.input`."""
    return f"step-{step:06d}.{name}"


def dump(value: Any) -> str:
    """Return JSON text for a file."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def read_json(path: Path, numbers_as_text: bool = False) -> Any:
    """Return the document of a JSON file; with `numbers_as_text` its fractions as written. Raises ExchangeError."""
    try:
        text = path.read_bytes().decode("utf-8")
        return json.loads(text, parse_float=str, parse_constant=str) if numbers_as_text else json.loads(text)
    except OSError as missing:
        raise ExchangeError(f"{path}: cannot be read ({missing.strerror}).") from None
    except (ValueError, RecursionError) as broken:
        raise ExchangeError(f"{path}: not JSON ({broken}). Wanted a whole JSON document in UTF-8.") from None


def write_safetensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write named tensors to one safetensors file."""
    path.write_bytes(save({name: np.array(array, order="C") for name, array in tensors.items()}))


def write_raw(folder: Path, name: str, tensors: Iterable[tuple[dict[str, Any], np.ndarray]]) -> list[dict[str, Any]]:
    """Write tensors to one raw binary, one after the other in C order; return their entries of the index.

    An entry is what is given with the tensor, then its dtype and shape, the file, offset and length in bytes.
    """
    offset, entries = 0, []
    with (folder / name).open("wb") as file:
        for known, array in tensors:
            data = array.astype(DTYPES[array.dtype.name], copy=False).tobytes()
            place = {"file": name, "offset": offset, "length": len(data)}
            entries.append({**known, "dtype": array.dtype.name, "shape": list(array.shape), **place})
            file.write(data)
            offset += len(data)
    return entries


def digest_of(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a document as it is written, without its own digest."""
    return hashlib.sha256(dump({k: v for k, v in document.items() if k != "sha256"}).encode()).hexdigest()


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()
