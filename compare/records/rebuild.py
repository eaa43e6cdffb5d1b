"""From a record back to its loop: the same experiment, data, order and initial weights, or a refusal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compare.diagnosis.plant import find_mistake
from compare.experiment.datasets import Dataset
from compare.experiment.description import DescriptionError, Experiment
from compare.experiment.examples import load_examples
from compare.experiment.files import from_document
from compare.experiment.networks import check_data
from compare.lockstep.loop import Loop
from compare.records.reading import Recorded, digest
from compare.records.record import data_facts, sources
from compare.records.schema import RecordError
from compare.records.sizes import check_sizes


def rebuild(
    record: Recorded,
    layers: Mapping[str, Any] | None = None,
    data_root: Path | str | None = None,
    trust: bool = False,
    watched: bool = False,
) -> tuple[Loop, Dataset]:
    """Return a loop that starts where the recorded run started, and its data.

    `layers` are objects of the user's own that the run was given from Python. `data_root` is where the data lies here.
    With `trust` the Python files that the record names are imported, which is to execute them. With `watched` every
    step is compared, also of networks that trained apart.

    Raises RecordError for a record that cannot be run again: of other data, of files that have changed.
    """
    check_code(record, layers, trust)
    initial = record.weights("initial")
    check_sizes(record.folder / "config.toml", record.document, initial)
    experiment = experiment_of(record, data_root)
    if watched and experiment.training.mode == "independent":
        experiment = experiment.changed("training", mode="both")
    dataset = load_examples(experiment.data)
    check_data(experiment, dataset)
    check_facts(record, data_facts(experiment, dataset))
    plant = record.manifest["plant"]
    try:
        loop = Loop(experiment, dataset, layers, find_mistake(plant) if plant else None, initial)
    except (ValueError, KeyError, TypeError) as misfit:
        raise RecordError(
            f"{record.folder / 'initial.safetensors'}: these are not the weights of the network in config.toml: "
            f"{misfit}"
        ) from None
    return loop, dataset


def check_code(record: Recorded, layers: Mapping[str, Any] | None, trust: bool) -> None:
    """Raise RecordError unless everything that the run executed is here, unchanged, and may be executed."""
    replaced = record.manifest["replaced"]
    if sorted(layers or {}) != replaced:
        raise RecordError(
            f"{record.folder}: the run was given layers from Python in the places of {', '.join(replaced) or 'none'}; "
            "replay or resume it from Python, with the same in `layers`."
        )
    named = sources(record.document.get("layers"))
    recorded = record.manifest["sources"]
    if named and not trust:
        raise RecordError(
            f"{record.folder}: to run it again is to execute {', '.join(named)}, which the record names. If you know "
            "these files, pass --trust."
        )
    for file in named:
        path = Path(file)
        if not path.is_file():
            raise RecordError(f"{file}: is not here; the run used layers from it.")
        if file not in recorded or digest(path) != recorded[file]:
            raise RecordError(f"{file}: is not the file that the run used: its SHA-256 is not the recorded one.")


def experiment_of(record: Recorded, data_root: Path | str | None = None) -> Experiment:
    """Return the recorded experiment; nothing is downloaded for it."""
    path = record.folder / "config.toml"
    document = dict(record.document)
    given = document.get("data")
    if isinstance(given, Mapping):
        document["data"] = {**given, "download": False} | ({"data_root": str(data_root)} if data_root else {})
    try:
        return from_document(document, str(path))
    except DescriptionError as wrong:
        raise RecordError(str(wrong)) from None
    except MemoryError:
        raise RecordError(f"{path}: the network that it describes is larger than the memory.") from None


def check_facts(record: Recorded, here: Mapping[str, Any]) -> None:
    """Raise RecordError unless the data and their order are those of the record."""
    for key, recorded in record.data.items():
        if here.get(key) != recorded:
            raise RecordError(
                f"{record.folder / 'data.json'}: the run used other data: {key} is {here.get(key)!r} here; recorded is "
                f"{recorded!r}."
            )
