"""Writing an experiment for a program elsewhere. Exporting twice gives equal files."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from compare.agreement.operations import own_kind, preparation
from compare.exchange.architecture import architecture
from compare.exchange.files import (
    ARCHITECTURE,
    BATCHES,
    FORM,
    INDEX,
    INITIAL,
    RAW,
    ExchangeError,
    digest,
    digest_of,
    dump,
    key_of,
    write_raw,
    write_safetensors,
)
from compare.exchange.form import form
from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import DescriptionError, Experiment
from compare.experiment.examples import load_examples
from compare.experiment.networks import Side, build_reference, check_data, parameter_shapes
from compare.experiment.streams import batches, count_steps, initial_parameters

Batch = tuple[np.ndarray, np.ndarray]


def export(experiment: Experiment, folder: Path) -> Path:
    """Write the experiment's architecture, initial state, batches and FORM.md into `folder`; return it.

    A folder that holds this very export already is left as it is. Raises DescriptionError for an experiment that cannot
    be run or a folder that holds something else, DataError for data that cannot be had, ExchangeError where the folder
    cannot be written.
    """
    dataset = load_examples(experiment.data)
    experiment = experiment.changed("training", world_size=1)  # a port is held against one process
    check_data(experiment, dataset)
    folder = folder.expanduser().absolute()
    require_free(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            write(experiment, dataset, Path(beside))
            put_in_place(Path(beside), folder)
    except OSError as failure:
        raise ExchangeError(f"{folder}: the export cannot be written ({failure.strerror}).") from None
    return folder


def require_free(folder: Path) -> None:
    """Raise DescriptionError unless the folder is missing, empty, or an export."""
    if folder.is_dir():
        if not any(folder.iterdir()) or (folder / ARCHITECTURE).is_file():
            return
    elif not folder.exists():
        return
    raise DescriptionError(f"{folder} holds something else already; wanted a new or an empty folder. Nothing written.")


def put_in_place(beside: Path, folder: Path) -> None:
    """Move a finished export to its folder; DescriptionError where another export is there already."""
    if folder.is_dir() and any(folder.iterdir()):
        if all(same(path, folder / path.relative_to(beside)) for path in beside.rglob("*") if path.is_file()):
            return
        raise DescriptionError(
            f"{folder} holds another export, or one that has been changed; wanted a new or an empty folder. "
            "Nothing written."
        )
    folder.mkdir(exist_ok=True)
    for path in sorted(beside.iterdir()):
        shutil.move(path, folder / path.name)


def same(path: Path, other: Path) -> bool:
    """Whether two files have the same bytes."""
    return other.is_file() and path.stat().st_size == other.stat().st_size and digest(path) == digest(other)


def write(experiment: Experiment, dataset: Dataset, folder: Path) -> None:
    """Write all files of the export."""
    steps = count_steps(experiment, len(dataset.train_images))
    parameters = initial_parameters(experiment, parameter_shapes(experiment))
    walk = list(exported_batches(experiment, dataset))
    document = architecture(experiment, steps, first_update(experiment, parameters, walk))
    given, initial = list(drawn_beside(experiment, parameters, walk)), with_buffers(experiment, parameters)
    (folder / RAW).mkdir()
    write_safetensors(folder / INITIAL, initial)
    named = {key_of(step, name): array for step, name, array in parts(given)}
    write_safetensors(folder / BATCHES, named)
    entries = write_raw(folder / RAW, "initial.bin", (({"name": n}, array) for n, array in initial.items()))
    entries += write_raw(
        folder / RAW, "batches.bin", (({"step": step, "name": name}, array) for step, name, array in parts(given))
    )
    (folder / RAW / INDEX).write_text(dump(entries), encoding="utf-8")
    (folder / FORM).write_text(form(document, initial), encoding="utf-8")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    document["files"] = {path.relative_to(folder).as_posix(): digest(path) for path in files}
    document["sha256"] = digest_of(document)
    (folder / ARCHITECTURE).write_text(dump(document), encoding="utf-8")


def exported_batches(experiment: Experiment, dataset: Dataset) -> Iterator[Batch]:
    """Yield the batches of the steps, in their order."""
    for _, rows in batches(experiment, len(dataset.train_images)):
        yield take_batch(dataset.train_images, dataset.train_labels, rows, experiment.training.dtype, experiment.data)


def parts(given: list[dict[str, np.ndarray]]) -> Iterator[tuple[int, str, np.ndarray]]:
    """Yield step, name and array of everything that the steps are given."""
    for step, tensors in enumerate(given, start=1):
        for name, array in tensors.items():
            yield step, name, array


def fresh(experiment: Experiment, initial: Mapping[str, np.ndarray]) -> Side:
    """Return a reference that has not taken a step: what it draws at random, a run draws, too."""
    return build_reference(experiment.changed("training", device="cpu"), initial)


def with_buffers(experiment: Experiment, parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the initial parameters, and the buffers as their layers make them, by name."""
    buffers = fresh(experiment, parameters).network.buffers
    return parameters | {name: np.array(buffer.numpy()) for name, buffer in buffers.items()}


def drawn_beside(
    experiment: Experiment, parameters: Mapping[str, np.ndarray], given: list[Batch]
) -> Iterator[dict[str, np.ndarray]]:
    """Yield for every step its input and target, and beside them the masks that a run draws in it."""
    draws = any(layer.kind == "Dropout" for _, layer in experiment.leaves())
    network = fresh(experiment, parameters).network if draws else None
    for x, target in given:
        tensors = {"input": x, "target": target}
        if network:
            network.loss(x, target)
            tensors |= {n: np.array(array) for n, array in network.trace().items() if own_kind(n) == "drawn"}
        yield tensors


def first_update(experiment: Experiment, parameters: Mapping[str, np.ndarray], given: list[Batch]) -> dict[str, Any]:
    """Return the trace of the reference's first step that updates: what tensors there are, and of what shape."""
    side, trace = fresh(experiment, parameters), {}
    for x, target in given[: preparation(experiment)["accumulate"]]:
        side.network.loss(x, target)
        side.network.backward()
        trace = side.network.trace()
        side.optimizer.step()
        trace |= side.optimizer.trace()
    return trace
