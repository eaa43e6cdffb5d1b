"""Exports that the tests of this room start from: made once, copied for every test."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compare.exchange.export import export
from compare.experiment import datasets
from compare.experiment.datasets import Dataset
from compare.experiment.files import changes_of, read_experiment

Exported = Callable[..., Path]


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory, small: Dataset) -> Exported:
    """Make an export of an experiment, once."""
    made: dict[tuple, Path] = {}

    def exported(experiment: str, **options: object) -> Path:
        key = (experiment, *sorted(options.items()))
        if key not in made:
            folder = tmp_path_factory.mktemp("export") / "it"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(datasets, "load", lambda *_: small)
                made[key] = export(read_experiment(experiment, changes_of(**options)), folder)
        return made[key]

    return exported


@pytest.fixture
def exported(originals: Exported, tmp_path: Path) -> Exported:
    """Return a copy of an export: article, 3 steps, batches of 7, unless something else is wanted."""

    def copy(experiment: str = "article", **options: object) -> Path:
        options = {"steps": 3, "batch_size": 7, **options}
        folder = tmp_path / f"export{len(list(tmp_path.iterdir()))}"
        shutil.copytree(originals(experiment, **options), folder)
        return folder

    return copy
