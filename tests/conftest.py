"""What all tests share: one thread everywhere, and a small data set of real digits."""

import os

# Before NumPy and torch are imported: two thread pools on few cores slow each other down, and bits depend on the count.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

from dataclasses import replace  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402

from compare.experiment import datasets  # noqa: E402
from compare.experiment.datasets import Dataset  # noqa: E402

torch.set_num_threads(1)


def first_images() -> Dataset:
    """Return the first 600 training and 200 test images of the packaged MNIST, read-only."""
    whole = datasets.load()
    parts = {
        "train_images": whole.train_images[:600].copy(),
        "train_labels": whole.train_labels[:600].copy(),
        "test_images": whole.test_images[:200].copy(),
        "test_labels": whole.test_labels[:200].copy(),
    }
    for array in parts.values():
        array.setflags(write=False)
    return replace(whole, **parts)


@pytest.fixture(scope="session")
def small() -> Dataset:
    """A small data set of real digits. Nobody writes to it."""
    return first_images()


@pytest.fixture
def small_data(monkeypatch: pytest.MonkeyPatch, small: Dataset) -> Dataset:
    """The small data set in the place of every one that would be loaded."""
    monkeypatch.setattr(datasets, "load", lambda *_: small)
    return small
