"""A divergence kept whole: the failing step's traces, and a script that shows it with NumPy and torch alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from compare.experiment.description import Experiment
from compare.lockstep.loop import Step
from compare.records.reproduction import script


def write_divergence(folder: Path, experiment: Experiment, step: Step) -> None:
    """Write the folder of a divergence. Raises OSError."""
    finding = step.finding
    if finding is None:
        raise ValueError("The step has no finding.")
    folder.mkdir()
    save(folder / "manual.npz", step.manual)
    save(folder / "reference.npz", step.reference)
    save(folder / "state.npz", step.state_before)
    (folder / "reproduce.py").write_text(script(experiment, finding), encoding="utf-8")


def save(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays; those of objects are left out, for they would be pickled."""
    kept: dict[str, Any] = {
        name: array for name, array in arrays.items() if isinstance(array, np.ndarray) and not array.dtype.hasobject
    }
    np.savez(path, **kept)
