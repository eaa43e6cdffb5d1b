"""An export, read back: only as it was written. What the port is given must be what the reference is given."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from compare.agreement.carried import is_rate
from compare.agreement.operations import own_kind, preparation
from compare.exchange.architecture import FORMAT, SCHEMA_VERSION
from compare.exchange.files import ARCHITECTURE, BATCHES, INITIAL, ExchangeError, digest, digest_of, key_of, read_json
from compare.experiment.description import DescriptionError, Experiment
from compare.experiment.files import from_document
from compare.experiment.networks import parameter_shapes


@dataclass(frozen=True)
class Batch:
    """What a step is given: inputs, targets, and the masks that its layers have to use, by name."""

    x: np.ndarray
    target: np.ndarray
    drawn: Mapping[str, np.ndarray]

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """All of it by name."""
        return {"input": self.x, "target": self.target, **self.drawn}


@dataclass(frozen=True)
class Bundle:
    """An export: the experiment, the number of its steps, what the first starts from, all tensors' names in order."""

    folder: Path
    experiment: Experiment
    steps: int
    parameters: Mapping[str, np.ndarray]  # initial ones
    buffers: Mapping[str, np.ndarray]
    names: tuple[str, ...]
    classes: int

    @property
    def drawn(self) -> list[str]:
        """The names of the masks that every step is given."""
        return [name for name in self.names if own_kind(name) == "drawn"]

    def computed(self, step: int) -> list[str]:
        """Return the names of the tensors that a step makes, in order: no state before the first update, for one."""
        given = {"input", "target", *self.parameters, *self.buffers, *self.drawn}
        every, optimizer = preparation(self.experiment)["accumulate"], f"{self.experiment.optimizer.kind.lower()}."
        missing = [".grad.clipped"] if step % every else []
        kept = step >= every
        return [
            name for name in self.names
            if name not in given and not name.endswith(tuple(missing))
            and (kept or is_rate(name) or not name.startswith(optimizer))
        ]  # fmt: skip

    def batch(self, step: int) -> Batch:
        """Return what a step, from 1, is given."""
        path = self.folder / BATCHES
        try:
            with safe_open(path, framework="numpy") as file:
                x, target = file.get_tensor(key_of(step, "input")), file.get_tensor(key_of(step, "target"))
                return Batch(x, target, {name: file.get_tensor(key_of(step, name)) for name in self.drawn})
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
    found = {name: array.shape for name, array in initial.items() if own_kind(name) == "parameters"}
    if found != shapes:
        raise ExchangeError(f"{path}: the layers do not have the parameters of {INITIAL}. Export anew.")
    last = next(t for t in document["tensors"] if t["name"] == f"{experiment.layers[-1].name}.output")
    buffers = {name: initial[name] for name in names if own_kind(name) == "buffers"}
    parameters = {name: initial[name] for name in shapes}
    return Bundle(folder, experiment, steps, parameters, buffers, names, int(last["shape"][-1]))


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
