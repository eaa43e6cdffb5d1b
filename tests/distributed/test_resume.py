"""A run with a distributed reference goes on with the same bits, and its repetition has them."""

from pathlib import Path
from typing import Any

import compare
from compare.experiment.datasets import Dataset
from tests.records.conftest import assert_same_bits, make
from tests.records.test_resume import stopped_at


def test_it_ends_with_the_bits_of_an_undisturbed_run(tmp_path: Path, small: Dataset, small_data: Dataset) -> None:
    """Adam, with masks, clipping and a schedule: whatever a rank could forget."""
    options: dict[str, Any] = {"steps": 8, "world_size": 2, "batch_size": 7, "checkpoint_every": 0.0}
    whole = make(tmp_path / "whole", small, "adam", **options)
    folder = stopped_at(5, tmp_path / "stopped", small, "adam", **options)
    compare.resume(folder)
    assert_same_bits(folder, whole)
    assert compare.replay(folder).verdict == "BITWISE"
