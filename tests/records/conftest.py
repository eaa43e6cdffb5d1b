"""Records to look at, to change, and to break."""

import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import compare
from compare.experiment import datasets
from compare.experiment.datasets import Dataset

ARRAYS = ("final_manual.safetensors", "final_reference.safetensors", "initial.safetensors", "steps.jsonl")


def make(out: Path, small: Dataset, experiment: str = "article", **options: Any) -> Path:
    """Return the record of a run on the small data."""
    arguments: dict[str, Any] = {"steps": 12, "seed": 5} | options
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load", lambda *_: small)
        record = compare.run(experiment, out=out, **arguments).record
    assert record is not None
    return record


@pytest.fixture(scope="session")
def processes() -> Any:
    """Processes that have imported everything already, so that they can be killed while they run, not import."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.records.preloaded"])
    return context


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory, small: Dataset) -> Path:
    """A finished record, for looking at."""
    return make(tmp_path_factory.mktemp("recorded"), small)


@pytest.fixture
def copied(recorded: Path, tmp_path: Path) -> Path:
    """A copy of it, for changing."""
    return Path(shutil.copytree(recorded, tmp_path / recorded.name))


def forge(folder: Path, name: str, content: bytes) -> None:
    """Put other content into a file of the record, and its digest into the manifest: a forgery that is consistent."""
    (folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    if name == "config.toml":
        change_manifest(folder, lambda m: m.update(config_id=digest[:8]))
    if name != "manifest.json":
        change_manifest(folder, lambda m: m["files"].__setitem__(name, digest))


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the manifest of a record."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def manifest_of(folder: Path) -> dict[str, Any]:
    """Return the manifest of a record."""
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def assert_same_bits(one: Path, other: Path) -> None:
    """The two records tell of the same run to the bit: steps, weights, and everything that was found."""
    for name in ARRAYS:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    outcomes = []
    for folder in (one, other):
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        metrics["outcome"] |= {"seconds": None, "record": None}
        outcomes.append(metrics)
    assert outcomes[0] == outcomes[1]
