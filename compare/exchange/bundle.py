"""An export, read back: only as it was written. What the port is given must be what the reference is given."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from compare.exchange.architecture import FORMAT, SCHEMA_VERSION
from compare.exchange.files import ARCHITECTURE, BATCHES, INITIAL, ExchangeError, digest, digest_of, key_of, read_json
from compare.experiment.description import DescriptionError, Experiment
from compare.experiment.files import from_document
from compare.experiment.networks import parameter_shapes


@dataclass(frozen=True)
class Bundle:
    """An export: the experiment, the number of its steps, the initial parameters, the names of all tensors in order."""

    folder: Path
    experiment: Experiment
    steps: int
    initial: Mapping[str, np.ndarray]
    names: tuple[str, ...]
    classes: int

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets of a step, from 1."""
        path = self.folder / BATCHES
        try:
            with safe_open(path, framework="numpy") as file:
                return file.get_tensor(key_of(step, "input")), file.get_tensor(key_of(step, "target"))
        except (OSError, SafetensorError) as broken:
            raise ExchangeError(f"{path}: the batch of step {step} cannot be read ({broken}). Export anew.") from None


def read_bundle(folder: Path) -> Bundle:
    """Return the export in `folder`. Raises ExchangeError for what is none, or is not as it was written."""
    path = folder / ARCHITECTURE
    if not path.is_file():
        raise ExchangeError(f"{folder} is no export: there is no {ARCHITECTURE} in it. Make one: backproof export DIR.")
    document = read_json(path)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ExchangeError(f"{path}: not an architecture written by `backproof export`.")
    if document.get("schema_version") != SCHEMA_VERSION:
        found = document.get("schema_version")
        raise ExchangeError(f"{path}: schema version {found!r}; this backproof reads {SCHEMA_VERSION}. Export anew.")
    if document.get("sha256") != digest_of(document):
        raise ExchangeError(f"{path} is not as it was exported. The port has to write into trace/ alone. Export anew.")
    require_unchanged(folder, document["files"])
    try:
        experiment = from_document(document["experiment"], str(path))
        experiment = experiment.changed("training", device="cpu", mode="lockstep")
        names = tuple(tensor["name"] for tensor in document["tensors"])
        steps = int(document["steps"])
        initial = load_file(folder / INITIAL)
    except (KeyError, TypeError, ValueError, DescriptionError, SafetensorError, OSError) as broken:
        raise ExchangeError(f"{path}: does not describe an experiment any more ({broken}). Export anew.") from None
    shapes = parameter_shapes(experiment)
    if {name: array.shape for name, array in initial.items()} != shapes:
        raise ExchangeError(f"{path}: the layers do not have the parameters of {INITIAL}. Export anew.")
    last = next(t for t in document["tensors"] if t["name"] == f"{experiment.layers[-1].name}.output")
    return Bundle(folder, experiment, steps, {n: initial[n] for n in shapes}, names, int(last["shape"][-1]))


def require_unchanged(folder: Path, files: Mapping[str, str]) -> None:
    """Raise ExchangeError unless every exported file has the bytes it was written with."""
    for name, wanted in files.items():
        path = folder / name
        try:
            found = digest(path)
        except OSError as missing:
            raise ExchangeError(f"{path}: cannot be read ({missing.strerror}). Export anew.") from None
        if found != wanted:
            raise ExchangeError(
                f"{path} is not as it was exported (its SHA-256 is {found[:12]}..., not {wanted[:12]}...). "
                "The port has to write into trace/ alone. Export anew."
            )
