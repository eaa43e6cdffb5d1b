"""The data: that MNIST is read as others read it, and that no damaged, missing or mistaken file passes for it."""

import gzip
import hashlib
import io
import shutil
import subprocess
import sys
import tracemalloc
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets
from hypothesis import given, settings
from hypothesis import strategies as st

from compare.experiment.datasets import NAMES, DataError, Dataset, load, load_mnist
from compare.experiment.idx import PACKAGED

FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
SMALL = "t10k-labels-idx1-ubyte.gz"


# --- MNIST of the package ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MNIST unpacked by the gzip module, laid out as torchvision wants it: this folder is a data root."""
    root = tmp_path_factory.mktemp("data")
    (root / "MNIST" / "raw").mkdir(parents=True)
    for name in FILES:
        (root / "MNIST" / "raw" / name).write_bytes(gzip.decompress((PACKAGED / f"{name}.gz").read_bytes()))
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the packaged files, to be damaged."""
    return shutil.copytree(PACKAGED, tmp_path / "mnist")


def test_mnist_is_what_torchvision_reads_from_the_same_files(unpacked: Path) -> None:
    for train, (images, labels) in zip((True, False), load_mnist(), strict=True):
        theirs = torchvision.datasets.MNIST(unpacked, train=train)
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(images, theirs.data.numpy(), strict=True)
        np.testing.assert_array_equal(labels, theirs.targets.numpy(), strict=True)


def test_mnist_has_sixty_and_ten_thousand_digits() -> None:
    (train_images, train_labels), (test_images, test_labels) = load_mnist()
    assert train_images.shape == (60000, 28, 28)
    assert test_images.shape == (10000, 28, 28)
    assert train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_what_one_caller_does_to_the_arrays_no_other_sees() -> None:
    (images, labels), _ = load_mnist()
    images[:] = 7
    labels[:] = 7
    (images, labels), _ = load_mnist()
    assert images[0].max() == 255
    assert labels[0] == 5


def test_the_digests_are_those_of_the_published_files(unpacked: Path) -> None:
    assert load("mnist").digests == FILES
    for name, digest in FILES.items():
        assert hashlib.sha256((unpacked / "MNIST" / "raw" / name).read_bytes()).hexdigest() == digest


def test_mnist_needs_neither_torch_nor_a_network() -> None:
    program = """
import socket, sys
def refuse(*_, **__): raise AssertionError("a connection was opened")
socket.socket.connect = refuse
from compare.experiment.datasets import DataError, load, load_mnist
load_mnist()
assert load().name == "mnist"
try:
    load("kmnist", data_root="nowhere")
except DataError:
    pass
heavy = {"torch", "torchvision", "sklearn", "PIL"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=PACKAGED.parents[2], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


# --- Damage -----------------------------------------------------------------------------------------------------------


def repack(change: Callable[[bytearray], object]) -> Callable[[bytes], bytes]:
    """Return a damage to the content that leaves the gzip stream intact."""

    def damage(packed: bytes) -> bytes:
        content = bytearray(gzip.decompress(packed))
        change(content)
        return gzip.compress(bytes(content), compresslevel=1)

    return damage


def put(at: int, some: bytes) -> Callable[[bytearray], object]:
    return lambda content: content.__setitem__(slice(at, at + len(some)), some)


DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes], str, str]] = {  # file, damage, what is found, what is wanted
    "empty": (SMALL, lambda _: b"", "found nothing at its beginning", "1f 8b"),
    "not gzip": (SMALL, gzip.decompress, "found 00 00 at its beginning", "1f 8b"),
    "cut in the gzip header": (SMALL, lambda packed: packed[:5], "a truncated gzip stream", "all of its 10008 bytes"),
    "cut in the middle": (SMALL, lambda packed: packed[:2000], "a truncated gzip stream", "all of its 10008 bytes"),
    "cut in the checksum": (SMALL, lambda packed: packed[:-1], "a truncated gzip stream", "all of its 10008 bytes"),
    "bytes after the end": (SMALL, lambda packed: packed + b"\0", "more after the end", "nothing else"),
    "two streams": (SMALL, lambda packed: packed + packed, "more after the end", "nothing else"),
    "garbled": (SMALL, lambda packed: packed[:99] + bytes(500) + packed[599:], "a corrupt gzip stream", "intact"),
    "wrong checksum": (SMALL, lambda packed: packed[:-8] + bytes(8), "a corrupt gzip stream (Error -3", "intact"),
    "no header": (
        SMALL,
        repack(lambda content: content.__delitem__(slice(3, None))),
        "3 bytes, too few",
        "10008 bytes",
    ),
    "another magic number": (SMALL, repack(put(2, b"\x0d")), "00 00 0d 01", "00 00 08 01"),
    "images where labels are wanted": (SMALL, repack(put(3, b"\3")), "00 00 08 03", "00 00 08 01"),
    "dimensions that say less": (
        SMALL,
        repack(put(4, b"\0\0\0\1")),
        "says (1,) and 10008 bytes",
        "(10000,), 10008 bytes",
    ),
    "dimensions that say more": (
        SMALL,
        repack(put(4, b"\x7f")),
        "says (2130716432,) and 10008",
        "(10000,), 10008 bytes",
    ),
    "one example too few": (
        SMALL,
        repack(lambda content: content.pop()),
        "says (10000,) and 10007 bytes",
        "10008 bytes",
    ),
    "one example too many": (SMALL, repack(lambda content: content.append(0)), "more than 10008 bytes", "10008 bytes"),
    "the other half": (
        "train-labels-idx1-ubyte.gz",
        lambda _: (PACKAGED / SMALL).read_bytes(),
        "says (10000,) and 10008 bytes",
        "(60000,), 60008 bytes",
    ),
    "one label changed": (SMALL, repack(put(5000, b"\x0a")), "SHA-256", FILES[SMALL.removesuffix(".gz")]),
    "one pixel changed": (
        "t10k-images-idx3-ubyte.gz",
        repack(put(7840015, b"\1")),
        "SHA-256",
        FILES["t10k-images-idx3-ubyte"],
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_with_what_was_found_and_wanted(folder: Path, damage: str) -> None:
    name, spoil, found, wanted = DAMAGES[damage]
    path = folder / name
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        load_mnist(folder)
    before, after = str(caught.value).split("; wanted ")
    assert before.startswith(f"{path}: found ")
    assert found in before
    assert wanted in after
    assert "Restore the file, or name no folder" in after


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_verified(unpacked: Path, tmp_path: Path, name: str) -> None:
    root = shutil.copytree(unpacked / "MNIST" / "raw", tmp_path / "changed")
    with (root / name).open("r+b") as file:
        file.seek(20)
        file.write(b"\xaa")
    with pytest.raises(DataError, match=f"{name}: .*SHA-256.*{FILES[name]}"):
        load_mnist(root)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / f"{name}.gz").unlink()
    with pytest.raises(DataError, match=f"{name}.gz: found no such file; wanted .*Restore the file"):
        load_mnist(folder)


def test_a_folder_in_place_of_a_file_is_no_file(folder: Path) -> None:
    (folder / SMALL).unlink()
    (folder / SMALL).mkdir()
    with pytest.raises(DataError, match=f"{SMALL}: .*cannot be read"):
        load_mnist(folder)


def test_the_packaged_files_are_restored_by_installing_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compare.experiment.datasets.PACKAGED", folder)
    monkeypatch.setattr("compare.experiment.idx.PACKAGED", folder)
    (folder / SMALL).unlink()
    with pytest.raises(DataError, match="Restore the file by installing backproof again"):
        load("mnist")


def test_a_decompression_bomb_is_not_unpacked(folder: Path) -> None:
    bomb = 200_000_000
    with gzip.open(folder / SMALL, "wb", compresslevel=1) as file:
        file.write(bytes([0, 0, 8, 1, 0, 0, 0x27, 0x10]))
        for _ in range(100):
            file.write(bytes(bomb // 100))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more than 10008 bytes"):
            load_mnist(folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 80_000_000  # the 60,000 images and little else


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(PACKAGED, tmp_path_factory.mktemp("spoiled") / "mnist")


PACKED = (PACKAGED / SMALL).read_bytes()
TEST_LABELS = np.frombuffer(gzip.decompress(PACKED), np.uint8)[8:]


@given(bit=st.integers(0, 8 * len(PACKED) - 1))
@settings(max_examples=10, deadline=None)
def test_a_flipped_bit_is_an_error_or_changes_nothing(spoiled: Path, bit: int) -> None:
    flipped = bytearray(PACKED)
    flipped[bit // 8] ^= 1 << bit % 8
    (spoiled / SMALL).write_bytes(flipped)
    try:
        _, (_, labels) = load_mnist(spoiled)
    except DataError as error:
        complaint = str(error)
    else:  # a bit that says nothing about the content: the time in the gzip header, the padding of the last byte
        complaint = None
        np.testing.assert_array_equal(labels, TEST_LABELS)
    assert complaint is None or str(spoiled / SMALL) in complaint


@given(length=st.integers(0, len(PACKED) - 1))
@settings(max_examples=6, deadline=None)
def test_a_file_cut_off_anywhere_is_an_error(spoiled: Path, length: int) -> None:
    (spoiled / SMALL).write_bytes(PACKED[:length])
    with pytest.raises(DataError, match=SMALL):
        load_mnist(spoiled)


# --- A folder of one's own --------------------------------------------------------------------------------------------


def assert_equal_data(one: Dataset, other: Dataset) -> None:
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)
    assert one.classes == other.classes


@pytest.mark.parametrize("layout", ["as torchvision lays it out", "unpacked in the folder", "packed in the folder"])
def test_mnist_in_a_folder_of_ones_own(unpacked: Path, folder: Path, layout: str) -> None:
    roots = {
        "as torchvision lays it out": unpacked,
        "unpacked in the folder": unpacked / "MNIST" / "raw",
        "packed in the folder": folder,
    }
    found = load("mnist", data_root=roots[layout])
    assert_equal_data(found, load())
    assert found.classes == tuple("0123456789")


def test_files_with_the_names_of_mnist_are_not_taken_for_mnist(unpacked: Path, tmp_path: Path) -> None:
    root = shutil.copytree(unpacked / "MNIST" / "raw", tmp_path / "fashion")
    header, pixels = np.split(np.fromfile(root / "train-images-idx3-ubyte", np.uint8), [16])
    np.concatenate([header, pixels[::-1]]).tofile(
        root / "train-images-idx3-ubyte"
    )  # another data set of the same shape
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte: .*SHA-256"):
        load("mnist", data_root=root)


@pytest.mark.parametrize(("length", "found"), [(0, "0 bytes, too few"), (9, "and 9 bytes")])
def test_an_unpacked_file_that_is_too_short(unpacked: Path, tmp_path: Path, length: int, found: str) -> None:
    root = shutil.copytree(unpacked / "MNIST" / "raw", tmp_path / "short")
    path = root / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=f"train-labels-idx1-ubyte: .*{found}"):
        load("mnist", data_root=root)


def test_a_folder_with_three_of_the_four_files_lacks_the_fourth(folder: Path) -> None:
    (folder / SMALL).unlink()
    with pytest.raises(DataError, match=f"{SMALL}: found no such file"):
        load("mnist", data_root=folder)


# --- The relatives ----------------------------------------------------------------------------------------------------


def idx(array: np.ndarray[Any, Any]) -> bytes:
    """Return an IDX file of uint8 (type 8) or int32 (type 12)."""
    kind = {"uint8": 8, "int32": 12}[array.dtype.name]
    return (
        np.array([kind * 256 + array.ndim, *array.shape], ">u4").tobytes()
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


MNIST_NAMES = tuple(FILES)
QMNIST_NAMES = tuple(
    f"qmnist-{half}-{part}" for half in ("train", "test") for part in ("images-idx3-ubyte", "labels-idx2-int")
)
LAYOUT = {  # the folder, the files, the lowest label in them, the number of classes
    "mnist": ("MNIST", MNIST_NAMES, 0, 10),
    "fashion-mnist": ("FashionMNIST", MNIST_NAMES, 0, 10),
    "kmnist": ("KMNIST", MNIST_NAMES, 0, 10),
    "qmnist": ("QMNIST", QMNIST_NAMES, 0, 10),
    "emnist-letters": (
        "EMNIST",
        tuple(
            f"emnist-letters-{half}-{part}"
            for half in ("train", "test")
            for part in ("images-idx3-ubyte", "labels-idx1-ubyte")
        ),
        1,
        26,
    ),
    "emnist-digits": (
        "EMNIST",
        tuple(
            f"emnist-digits-{half}-{part}"
            for half in ("train", "test")
            for part in ("images-idx3-ubyte", "labels-idx1-ubyte")
        ),
        0,
        10,
    ),
}


class Laid:
    """A small data set as it should come out, and where its files lie."""

    def __init__(self, name: str, root: Path) -> None:
        kind, self.files, self.lowest, self.classes = LAYOUT[name]
        self.raw = root / kind / "raw"
        self.raw.mkdir(parents=True)
        random = np.random.default_rng(0)
        self.train_images = random.integers(0, 256, (40, 28, 28), dtype=np.uint8)
        self.test_images = random.integers(0, 256, (30, 28, 28), dtype=np.uint8)
        self.train_labels = np.arange(40) % self.classes
        self.test_labels = np.arange(30)[::-1] % self.classes
        halves = (self.train_images, self.train_labels), (self.test_images, self.test_labels)
        stored = [
            array for images, labels in halves for array in (self.stored_images(images), self.stored_labels(labels))
        ]
        for file, array in zip(self.files, stored, strict=True):
            self.write(file, array)

    def stored_images(self, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return images.transpose(0, 2, 1) if "EMNIST" in self.raw.parts else images

    def stored_labels(self, labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if "QMNIST" in self.raw.parts:  # the class, then where the digit comes from
            return np.column_stack([labels, *[np.full(len(labels), 99)] * 7]).astype(np.int32)
        return (labels + self.lowest).astype(np.uint8)

    def write(self, file: str, array: np.ndarray[Any, Any]) -> None:
        (self.raw / file).write_bytes(idx(array))


def test_the_names_are_the_data_sets_tested_here() -> None:
    assert set(NAMES) == set(LAYOUT)


@pytest.mark.parametrize("name", LAYOUT)
def test_a_relative_comes_out_upright_and_numbered_from_zero(tmp_path: Path, name: str) -> None:
    laid = Laid(name, tmp_path)
    found = load(name, data_root=tmp_path)
    assert found.name == name
    assert len(found.classes) == laid.classes
    for half in ("train", "test"):
        images, labels = getattr(found, f"{half}_images"), getattr(found, f"{half}_labels")
        np.testing.assert_array_equal(images, getattr(laid, f"{half}_images"), strict=True)
        np.testing.assert_array_equal(labels, getattr(laid, f"{half}_labels"), strict=True)
        assert found.digests[f"{half}_images"] == hashlib.sha256(images.tobytes()).hexdigest()
        assert found.digests[f"{half}_labels"] == hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()
    assert len(found.digests) == 4


@pytest.mark.parametrize(("name", "kind"), [("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")])
def test_the_classes_are_in_torchvisions_order(tmp_path: Path, name: str, kind: str) -> None:
    Laid(name, tmp_path)
    assert load(name, data_root=tmp_path).classes == tuple(getattr(torchvision.datasets, kind).classes)


def test_the_letters_are_called_by_their_names(tmp_path: Path) -> None:
    Laid("emnist-letters", tmp_path)
    classes = load("emnist-letters", data_root=tmp_path).classes
    assert ("N/A", *classes) == tuple(torchvision.datasets.EMNIST.classes_split_dict["letters"])


@pytest.mark.parametrize(
    ("name", "label", "found"),
    [
        ("mnist", 10, "the label 10 at example 3; wanted labels from 0 to 9"),
        ("fashion-mnist", 255, "the label 255 at example 3; wanted labels from 0 to 9"),
        ("emnist-letters", 0, "the label 0 at example 3; wanted labels from 1 to 26"),
        ("emnist-letters", 27, "the label 27 at example 3; wanted labels from 1 to 26"),
    ],
)
def test_a_label_of_no_class_is_an_error(tmp_path: Path, name: str, label: int, found: str) -> None:
    laid = Laid(name, tmp_path)
    labels = laid.stored_labels(laid.test_labels)
    labels[3] = label
    laid.write(laid.files[3], labels)
    with pytest.raises(DataError, match=found) as caught:
        load(name, data_root=tmp_path)
    assert f"test half, {laid.raw}" in str(caught.value)


def test_a_negative_label_of_qmnist_is_an_error(tmp_path: Path) -> None:
    laid = Laid("qmnist", tmp_path)
    laid.write(laid.files[1], laid.stored_labels(laid.train_labels - 1))
    with pytest.raises(DataError, match="the label -1 at example 0; wanted labels from 0 to 9"):
        load("qmnist", data_root=tmp_path)


@pytest.mark.parametrize(
    ("shape", "found"),
    [((40, 32, 32), r"\(40, 32, 32\); wanted \(N, 28, 28\)"), ((40, 784), "dimension"), ((0, 28, 28), "kmnist")],
)
def test_images_of_another_size_are_an_error(tmp_path: Path, shape: tuple[int, ...], found: str) -> None:
    laid = Laid("kmnist", tmp_path)
    laid.write(laid.files[0], np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match=found):
        load("kmnist", data_root=tmp_path)


def test_images_without_labels_are_an_error(tmp_path: Path) -> None:
    laid = Laid("kmnist", tmp_path)
    laid.write(laid.files[1], laid.stored_labels(laid.train_labels)[:-1])
    with pytest.raises(DataError, match=r"labels of shape \(39,\); wanted \(40,\), one an image"):
        load("kmnist", data_root=tmp_path)


@pytest.mark.parametrize("name", LAYOUT)
@pytest.mark.parametrize("length", [0, 7, 500])
def test_a_truncated_file_is_an_error_that_says_where(tmp_path: Path, name: str, length: int) -> None:
    laid = Laid(name, tmp_path)
    path = laid.raw / laid.files[2]
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"cannot be read, found: .+; wanted intact IDX files") as caught:
        load(name, data_root=tmp_path)
    assert str(laid.raw) in str(caught.value)
    assert "--download" in str(caught.value)


# --- Missing, and downloads -------------------------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuse every connection; the list says which were asked for."""
    asked: list[str] = []

    def refuse(request: urllib.request.Request) -> None:
        asked.append(request.full_url)
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return asked


@pytest.mark.parametrize("name", LAYOUT)
def test_without_download_nothing_is_downloaded(tmp_path: Path, no_network: list[str], name: str) -> None:
    kind, files, *_ = LAYOUT[name]
    with pytest.raises(DataError) as caught:
        load(name, data_root=tmp_path)
    for part in (name, str(tmp_path / kind / "raw"), *files, "--download"):
        assert part in str(caught.value)
    assert no_network == []
    assert list(tmp_path.iterdir()) == []


def test_only_the_missing_files_are_asked_for(tmp_path: Path) -> None:
    laid = Laid("qmnist", tmp_path)
    (laid.raw / laid.files[3]).unlink()
    with pytest.raises(DataError, match=f"found no {laid.files[3]}; wanted"):
        load("qmnist", data_root=tmp_path)


def test_for_mnist_the_four_files_may_lie_in_the_folder_itself(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"or MNIST's four files in {tmp_path} itself"):
        load("mnist", data_root=tmp_path)


@pytest.mark.parametrize("name", LAYOUT)
def test_a_download_that_fails_says_why(tmp_path: Path, no_network: list[str], name: str) -> None:
    with pytest.raises(DataError, match=r"could not be downloaded to .*no network") as caught:
        load(name, data_root=tmp_path, download=True)
    assert str(tmp_path) in str(caught.value)
    assert "network connection" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert no_network != []


def test_a_download_into_a_file_is_an_error(tmp_path: Path, no_network: list[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"could not be downloaded to .*file"):
        load("kmnist", data_root=tmp_path / "file", download=True)


def test_what_is_there_is_not_downloaded_again(tmp_path: Path, no_network: list[str]) -> None:
    Laid("fashion-mnist", tmp_path)
    assert len(load("fashion-mnist", data_root=tmp_path, download=True).test_labels) == 30
    assert no_network == []


def test_a_download_arrives_and_standard_output_stays_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    laid = Laid("fashion-mnist", tmp_path / "there")
    served = {f"{file}.gz": gzip.compress((laid.raw / file).read_bytes()) for file in laid.files}

    class Response(io.BytesIO):
        url = None
        length = None

    def serve(request: urllib.request.Request) -> Response:
        print("Downloading", request.full_url)  # as releases of torchvision do
        return Response(served[request.full_url.rpartition("/")[2]])

    monkeypatch.setattr(urllib.request, "urlopen", serve)
    resources = [(file, hashlib.md5(packed, usedforsecurity=False).hexdigest()) for file, packed in served.items()]
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", resources)
    here = load("fashion-mnist", data_root=tmp_path / "here", download=True)
    assert_equal_data(here, load("fashion-mnist", data_root=tmp_path / "there"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "HOME"])
def test_the_default_folder_is_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    cache = tmp_path if variable == "XDG_CACHE_HOME" else tmp_path / ".cache"
    Laid("kmnist", cache / "backproof")
    assert len(load("kmnist").train_labels) == 40


def test_a_tilde_is_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Laid("kmnist", tmp_path / "data")
    assert len(load("kmnist", data_root=Path("~/data")).train_labels) == 40
    with pytest.raises(DataError, match=r"~no-such-user/data: .*home"):
        load("kmnist", data_root=Path("~no-such-user/data"))


def test_a_folder_whose_name_is_too_long_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--download"):
        load("mnist", data_root=tmp_path / ("a" * 5000))


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [("MNIST", "mnist"), ("fashon-mnist", "fashion-mnist"), ("kmnst", "kmnist"), ("emnist-leters", "emnist-letters")],
)
def test_an_unknown_name_is_answered_with_the_nearest(asked: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"'{asked}'; the nearest is '{nearest}'. Known: mnist, "):
        load(asked)


def test_even_a_name_like_no_other_is_answered() -> None:
    with pytest.raises(ValueError, match="Known: mnist, "):
        load("")
