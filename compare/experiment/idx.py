"""The four files of MNIST, read and verified: IDX files in gzip.

An IDX file is a big-endian header (a magic number 0x0800 + the number of dimensions, then each dimension in four bytes)
and after it the bytes themselves. SHA-256 is what makes MNIST MNIST here: Fashion-MNIST and KMNIST have files of the
same names and the same sizes.
"""

import hashlib
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]  # (N, 28, 28)
Labels = NDArray[np.int64]  # (N,)
Examples = tuple[Images, Labels]

PACKAGED = Path(__file__).with_name("mnist")
SIDE = 28  # pixels


class DataError(Exception):
    """The data could not be had: a file is missing, damaged or not what its name says, or a download failed."""


@dataclass(frozen=True)
class IdxFile:
    """One of MNIST's files: its name when unpacked, the shape of what it holds, the SHA-256 of its unpacked content."""

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def header(self) -> bytes:
        """The bytes the file begins with."""
        return struct.pack(f">{1 + len(self.shape)}I", 0x0800 + len(self.shape), *self.shape)

    @property
    def size(self) -> int:
        """The unpacked file's size in bytes."""
        return len(self.header) + prod(self.shape)


MNIST_FILES = (
    IdxFile(
        "train-images-idx3-ubyte",
        (60000, SIDE, SIDE),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    IdxFile(
        "train-labels-idx1-ubyte",
        (60000,),
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    IdxFile(
        "t10k-images-idx3-ubyte",
        (10000, SIDE, SIDE),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    IdxFile(
        "t10k-labels-idx1-ubyte",
        (10000,),
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)


def load_mnist(folder: Path = PACKAGED) -> tuple[Examples, Examples]:
    """Return ((train images, train labels), (test images, test labels)) of MNIST: 60,000 and 10,000 examples.

    Images are uint8 (N, 28, 28), labels int64 (N,). `folder` holds the four IDX files, each packed (`.gz`) or not.
    Every file is verified by its SHA-256; raises DataError if one is missing, damaged or another than MNIST's.
    Neither a network nor torchvision is needed.
    """
    # The largest file is hashed while the next ones are unpacked: zlib and hashlib both let go of the interpreter.
    with ThreadPoolExecutor(max_workers=1) as hasher:
        contents = []
        for file in MNIST_FILES:
            path = packed_or_not(folder, file)
            content = _read(path, file)
            _require_header(path, file, content)
            contents.append((path, file, content, hasher.submit(sha256, content)))
    arrays = []
    for path, file, content, digest in contents:
        _require_digest(path, file, digest.result())
        arrays.append(content[len(file.header) :].reshape(file.shape))
    train_images, train_labels, test_images, test_labels = arrays
    return (train_images, train_labels.astype(np.int64)), (test_images, test_labels.astype(np.int64))


def packed_or_not(folder: Path, file: IdxFile) -> Path:
    """Return the path of `file` in `folder`: the packed one if it is there, else the one not packed."""
    packed, unpacked = folder / f"{file.name}.gz", folder / file.name
    return unpacked if is_there(unpacked) and not is_there(packed) else packed


def _read(path: Path, file: IdxFile) -> Images:
    """Return the unpacked content of the file at `path`, and of a file that is too long, one byte more than wanted."""
    try:
        with path.open("rb") as stream:
            if path.suffix == ".gz":
                return _unpack(path, stream, file.size + 1)
            return np.fromfile(stream, np.uint8, count=file.size + 1)
    except FileNotFoundError:
        raise _damage(path, "no such file", f"a file of MNIST, {file.size} bytes when unpacked") from None
    except OSError as error:
        raise _damage(path, f"a file that cannot be read ({error.strerror})", "a readable file") from error


def _unpack(path: Path, stream: BinaryIO, at_most: int) -> Images:
    """Return the content of the gzip stream, but no more than `at_most` bytes: a bomb is never unpacked."""
    content = np.empty(at_most, np.uint8)
    filled = 0
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # 16: a gzip wrapper, whose CRC-32 zlib checks
    packed = stream.read(1 << 14)  # small pieces in and out stay in the processor's cache: measured, a fifth faster
    if not packed.startswith(b"\x1f\x8b"):
        raise _damage(path, f"{_bytes(packed[:2])} at its beginning", "a gzip file, which begins with 1f 8b")
    while packed and filled < at_most:
        try:
            piece = unpacker.decompress(packed, at_most - filled)
        except zlib.error as error:
            raise _damage(path, f"a corrupt gzip stream ({error})", "an intact gzip stream") from error
        content[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
        packed = unpacker.unused_data or stream.read(1 << 14)
        if unpacker.eof and packed:
            raise _damage(path, "more after the end of its gzip stream", "one gzip stream and nothing else")
    if filled < at_most and not unpacker.eof:
        raise _damage(path, f"a truncated gzip stream, {filled} bytes when unpacked", f"all of its {at_most - 1} bytes")
    return content[:filled]


def _require_header(path: Path, file: IdxFile, content: Images) -> None:
    """Raise DataError unless `content` begins with the header of `file` and has its size."""
    wanted = f"an IDX file of shape {file.shape}, {file.size} bytes when unpacked"
    found = f"{len(content)} bytes" if len(content) <= file.size else f"more than {file.size} bytes"
    header = content[: len(file.header)].tobytes()
    if len(header) < len(file.header):
        raise _damage(path, f"{found}, too few for a header", wanted)
    if header[:4] != file.header[:4]:
        wanted = f"{_bytes(file.header[:4])}, that of an IDX file of {len(file.shape)}-dimensional bytes"
        raise _damage(path, f"the magic number {_bytes(header[:4])}", wanted)
    if header != file.header or len(content) != file.size:
        shape = struct.unpack_from(f">{len(file.shape)}I", header, 4)
        raise _damage(path, f"a header that says {shape} and {found} when unpacked", wanted)


def _require_digest(path: Path, file: IdxFile, digest: str) -> None:
    """Raise DataError unless `digest` is that of `file`."""
    if digest != file.sha256:
        raise _damage(path, f"unpacked content with the SHA-256 {digest}", f"that of MNIST, {file.sha256}")


def _damage(path: Path, found: str, wanted: str) -> DataError:
    """Return the error that says what was found at `path`, what was wanted, and what to do."""
    if path.parent == PACKAGED:
        remedy = "Restore the file by installing backproof again."
    else:
        remedy = "Restore the file, or name no folder, and the MNIST that comes with backproof is used."
    return DataError(f"{path}: found {found}; wanted {wanted}. {remedy}")


def _bytes(some: bytes) -> str:
    return some.hex(" ") or "nothing"


def sha256(content: NDArray[Any]) -> str:
    """Return the SHA-256 of an array's bytes."""
    return hashlib.sha256(content.data).hexdigest()


def is_there(path: Path) -> bool:
    """Return whether there is a file at `path`; in a folder that cannot even be entered, there is none."""
    try:
        return path.is_file()
    except OSError:
        return False
