"""The data: MNIST, which comes with the package, and its relatives, which come through torchvision."""

import contextlib
import difflib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_lowercase, digits

import numpy as np

from compare.experiment.idx import (
    MNIST_FILES,
    PACKAGED,
    SIDE,
    DataError,
    Examples,
    Images,
    Labels,
    is_there,
    load_mnist,
    packed_or_not,
    sha256,
)

__all__ = ["NAMES", "DataError", "Dataset", "load", "load_mnist"]


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
    if missing and name == "mnist" and any(is_there(packed_or_not(root, file)) for file in MNIST_FILES):
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


def _raw(name: str, root: Path) -> Path:
    """Return the folder in which torchvision looks for the files of the data set `name`."""
    return root / _RELATIVES[name].kind / "raw"


def _missing(name: str, root: Path) -> list[str]:
    return [file for file in _RELATIVES[name].files if not is_there(_raw(name, root) / file)]


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
    found = {key: sha256(array) for key, array in arrays.items()}
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
