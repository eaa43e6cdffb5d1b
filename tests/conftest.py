"""What all tests share: one thread everywhere, a small data set of real digits, and the workers that run them."""

import os

# Before NumPy and torch are imported: two thread pools on few cores slow each other down, and bits depend on the count.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

os.environ["BACKPROOF_LANG"] = "en"  # what is said is looked for in English, on whatever machine

from collections.abc import Iterator  # noqa: E402
from dataclasses import replace  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402

from compare.experiment import datasets  # noqa: E402
from compare.experiment.datasets import Dataset  # noqa: E402
from compare.language import use_language  # noqa: E402

torch.set_num_threads(1)

# What one worker runs from the beginning to the end, by how the paths begin: what they share takes long to make (the
# whole self-test, groups of ranks, a process that has imported everything, a browser). Any other file is one piece of
# work, too, but for those with so much in them that all workers take a part: their single tests come last.
GROUPS = {
    "tests/diagnosis/test_selftest.py": "selftest",
    "tests/distributed/": "distributed",
    "tests/records/test_kills.py": "kills",
    "tests/records/test_faults.py": "kills",
    "tests/sweep/test_processes.py": "sweep",
    "tests/views/test_report": "report",
}
SHARED = (
    "tests/catalogue/test_catalogue.py", "tests/compare/test_agreement.py", "tests/compare/test_fuzz.py",
    "tests/crosscheck/test_message.py", "tests/crosscheck/test_plugin.py", "tests/crosscheck/test_wrong.py",
    "tests/diagnosis/test_reproduction.py", "tests/docs/test_code_blocks.py", "tests/exchange/test_form.py",
    "tests/exchange/test_presets.py", "tests/records/test_replay.py", "tests/records/test_resume.py",
)  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_chosen() -> Iterator[None]:
    """After each test that chose a language the environment's is spoken again."""
    yield
    use_language(None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Group by the table above: xdist 3.8 writes its marks into ids that pytest 9.2 no longer reads from there."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling

    class Scheduling(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            group = next((group for start, group in GROUPS.items() if path.startswith(start)), None)
            return group or (nodeid if path in SHARED else path)

    return Scheduling(config, log)


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
