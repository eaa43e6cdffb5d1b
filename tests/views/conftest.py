"""Records to report on, made once."""

from pathlib import Path

import pytest

from compare.experiment.datasets import Dataset
from tests.views.records import hostile, killed, run


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, small: Dataset) -> dict[str, Path]:
    """Folders of records, by what became of the run: finished, diverged, kinked, killed, hostile."""
    out = tmp_path_factory.mktemp("records") / "results"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compare.experiment.datasets.load", lambda *_: small)
        finished = run(out, steps=60)
        diverged = run(out, plant="bias-gradient-averaged", steps=60)
        kinked = run(out, "lenet", steps=20, batch_size=8)
    return {
        "finished": finished, "diverged": diverged, "convolved": kinked, "killed": killed(finished),
        "hostile": hostile(diverged, out),
    }  # fmt: skip
