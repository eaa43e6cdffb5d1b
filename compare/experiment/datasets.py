"""The data: MNIST, which comes with the package, and its relatives, which come through torchvision.

The four files of MNIST are IDX files in gzip. An IDX file is a big-endian header (a magic number 0x0800 + the number
of dimensions, then each dimension in four bytes) and after it the bytes themselves.

SHA-256 is what makes MNIST MNIST here: Fashion-MNIST and KMNIST have files of the same names and the same sizes.
"""

import contextlib
import difflib
import hashlib
import os
import struct
import sys
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from string import ascii_lowercase, digits
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


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images, uint8 (N, 28, 28), and their labels, int64 (N,), each one of 0..len(classes)-1.

    `digests` says what exactly was used: the SHA-256 of every unpacked file where the files were verified, otherwise
    of the bytes of every array (the labels as little-endian int64).
    """

    name: str
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    classes: tuple[str, ...]
    digests: dict[str, str]


# --- MNIST, from its four files ---------------------------------------------------------------------------------------


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
            path = _packed_or_not(folder, file)
            content = _read(path, file)
            _require_header(path, file, content)
            contents.append((path, file, content, hasher.submit(_sha256, content)))
    arrays = []
    for path, file, content, digest in contents:
        _require_digest(path, file, digest.result())
        arrays.append(content[len(file.header) :].reshape(file.shape))
    train_images, train_labels, test_images, test_labels = arrays
    return (train_images, train_labels.astype(np.int64)), (test_images, test_labels.astype(np.int64))


def _packed_or_not(folder: Path, file: IdxFile) -> Path:
    """Return the path of `file` in `folder`: the packed one if it is there, else the one not packed."""
    packed, unpacked = folder / f"{file.name}.gz", folder / file.name
    return unpacked if _is_there(unpacked) and not _is_there(packed) else packed


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


def _sha256(content: NDArray[Any]) -> str:
    return hashlib.sha256(content.data).hexdigest()


# --- MNIST and its relatives, through torchvision ---------------------------------------------------------------------


@dataclass(frozen=True)
class Relative:
    """A data set of torchvision: its class there, the files it reads, and what it leaves to be put right."""

    kind: str  # the class in torchvision.datasets, and the folder in the data root
    files: tuple[str, ...]  # in <data root>/<kind>/raw, unpacked
    classes: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    first_label: int = 0
    transposed: bool = False


def _emnist(split: str, classes: str, first_label: int = 0) -> Relative:
    """Return a split of EMNIST, whose images lie on their side: stored by columns, they come out transposed."""
    files = _files(f"emnist-{split}", "labels-idx1-ubyte")
    return Relative("EMNIST", files, tuple(classes), {"split": split}, first_label, transposed=True)


def _files(prefix: str, labels: str) -> tuple[str, ...]:
    return tuple(f"{prefix}-{half}-{part}" for half in ("train", "test") for part in ("images-idx3-ubyte", labels))


_FOUR = tuple(file.name for file in MNIST_FILES)
_GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_RELATIVES = {
    "mnist": Relative("MNIST", _FOUR, tuple(digits)),
    "fashion-mnist": Relative("FashionMNIST", _FOUR, _GARMENTS),
    "kmnist": Relative("KMNIST", _FOUR, ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")),
    "qmnist": Relative("QMNIST", _files("qmnist", "labels-idx2-int"), tuple(digits)),
    "emnist-letters": _emnist("letters", ascii_lowercase, first_label=1),
    "emnist-digits": _emnist("digits", digits),
}
NAMES: tuple[str, ...] = tuple(_RELATIVES)


def load(name: str = "mnist", data_root: Path | None = None, download: bool = False) -> Dataset:
    """Return the data set `name`, one of NAMES.

    `mnist` without a `data_root` is the MNIST of the package. Everything else is read from `data_root` (by default a
    cache folder of the user's) where torchvision puts it, e.g. `<data_root>/FashionMNIST/raw/`, and downloaded to there
    if it is missing and `download` is true. For `mnist`, `data_root` may also hold the four files itself, packed
    (`.gz`) or not; they are then verified as `load_mnist` does, because other data sets use the same file names. What
    torchvision reads is checked for shapes and labels only: the digests say what it was.

    Raises ValueError for an unknown name, DataError if the data could not be had.
    """
    if name not in NAMES:
        (nearest,) = difflib.get_close_matches(name.lower(), NAMES, n=1, cutoff=0.0)
        raise ValueError(f"No data set is called {name!r}; the nearest is {nearest!r}. Known: {', '.join(NAMES)}.")
    if name == "mnist" and data_root is None:
        return _verified_mnist(PACKAGED)
    root = _root(data_root)
    missing = _missing(name, root)
    if missing and name == "mnist" and any(_is_there(_packed_or_not(root, file)) for file in MNIST_FILES):
        return _verified_mnist(root)
    if missing and not download:
        flat = f", or MNIST's four files in {root} itself" if name == "mnist" else ""
        raise DataError(
            f"{name} was looked for in {_raw(name, root)}: found no {', '.join(missing)}; wanted these files there, "
            f"unpacked{flat}. Pass --download to download them, or put them there."
        )
    return _through_torchvision(name, root, download)


def _verified_mnist(folder: Path) -> Dataset:
    (train_images, train_labels), (test_images, test_labels) = load_mnist(folder)
    verified = {file.name: file.sha256 for file in MNIST_FILES}
    classes = _RELATIVES["mnist"].classes
    return Dataset("mnist", train_images, train_labels, test_images, test_labels, classes, verified)


def _root(data_root: Path | None) -> Path:
    """Return the folder of the data: `data_root`, or without one a folder in the user's cache."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "backproof") if data_root is None else Path(data_root)
    try:
        return root.expanduser()
    except RuntimeError as error:
        raise DataError(f"{root}: found no such home folder ({error}); wanted a folder. Name it in full.") from error


def _is_there(path: Path) -> bool:
    """Return whether there is a file at `path`; in a folder that cannot even be entered, there is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _raw(name: str, root: Path) -> Path:
    """Return the folder in which torchvision looks for the files of the data set `name`."""
    return root / _RELATIVES[name].kind / "raw"


def _missing(name: str, root: Path) -> list[str]:
    return [file for file in _RELATIVES[name].files if not _is_there(_raw(name, root) / file)]


def _through_torchvision(name: str, root: Path, download: bool) -> Dataset:
    """Return the data set `name` as torchvision reads it from `root`, put right and checked; raises DataError."""
    train_images, train_labels = _half(name, root, download, train=True)
    test_images, test_labels = _half(name, root, download, train=False)
    arrays = {
        "train_images": train_images,
        "train_labels": train_labels.astype("<i8", copy=False),
        "test_images": test_images,
        "test_labels": test_labels.astype("<i8", copy=False),
    }
    found = {key: _sha256(array) for key, array in arrays.items()}
    classes = _RELATIVES[name].classes
    return Dataset(name, train_images, train_labels, test_images, test_labels, classes, found)


def _half(name: str, root: Path, download: bool, train: bool) -> Examples:
    """Return the training or the test examples, upright and with labels from 0; raises DataError."""
    import torchvision.datasets  # takes 1.5 s, and the MNIST of the package does without

    relative = _RELATIVES[name]
    torchvision_class = getattr(torchvision.datasets, relative.kind)
    try:
        # Releases of torchvision announce a download on standard output, which belongs to the results.
        with contextlib.redirect_stdout(sys.stderr):
            data = torchvision_class(root, train=train, download=download, **relative.options)
    except Exception as error:  # of any kind: torchvision raises whatever its download or its parser trips over
        raise _refused(name, root, error) from error
    images, labels = data.data.numpy(), data.targets.numpy()
    if labels.ndim == 2:  # QMNIST: the class, then seven columns of where the digit comes from
        labels = np.ascontiguousarray(labels[:, 0])
    if relative.transposed and images.ndim == 3:
        images = np.ascontiguousarray(images.transpose(0, 2, 1))
    labels = labels - relative.first_label
    _require_examples(f"{name} ({'training' if train else 'test'} half, {_raw(name, root)})", images, labels, relative)
    return images, labels


def _refused(name: str, root: Path, error: Exception) -> DataError:
    """Return what a failure of torchvision's means: the files could not be downloaded, or are there and are damaged."""
    reason = " ".join(str(error).split()) or type(error).__name__
    raw, missing = _raw(name, root), _missing(name, root)
    if missing:
        return DataError(
            f"{name} could not be downloaded to {raw}: {reason}. Still wanted there: {', '.join(missing)}. Check the "
            "network connection and the folder and try again, or put the unpacked files there yourself."
        )
    return DataError(
        f"{name} in {raw} cannot be read, found: {reason}; wanted intact IDX files: "
        f"{', '.join(_RELATIVES[name].files)}. Delete that folder and pass --download, or restore the files."
    )


def _require_examples(where: str, images: Images, labels: Labels, relative: Relative) -> None:
    """Raise DataError unless there are images of 28 x 28 pixels, each with a label of one of the classes."""
    remedy = "Delete that folder and pass --download, or restore the files."
    if len(images) == 0 or images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{where}: found images of shape {images.shape}; wanted (N, {SIDE}, {SIDE}), N > 0. {remedy}")
    if labels.shape != images.shape[:1]:
        raise DataError(
            f"{where}: found labels of shape {labels.shape}; wanted {images.shape[:1]}, one an image. {remedy}"
        )
    last = len(relative.classes) - 1
    wrong = np.flatnonzero((labels < 0) | (labels > last))
    if wrong.size:
        first, base = wrong[0], relative.first_label
        raise DataError(
            f"{where}: found the label {labels[first] + base} at example {first}; wanted labels from {base} to "
            f"{last + base}. {remedy}"
        )
