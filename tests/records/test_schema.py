"""Every record fits the schema, by a validator that is not the one that reads; and every key of it is documented."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import manual
from compare.experiment.datasets import Dataset
from compare.records.reading import read_record
from compare.records.resume import resume
from compare.records.schema import schema
from tests.records.conftest import make
from tests.records.test_resume import experiment_file, stopped_at

DOCUMENTS = ("manifest", "environment", "data", "metrics")


def validate(folder: Path) -> None:
    """Hold every JSON document and every line of a record against the schema."""
    whole = schema()
    jsonschema.Draft7Validator.check_schema(whole)

    def check(kind: str, value: Any) -> None:
        described = {"$ref": f"#/definitions/{kind}", "definitions": whole["definitions"]}
        jsonschema.Draft7Validator(described).validate(value)

    for kind in DOCUMENTS:
        if (folder / f"{kind}.json").exists():
            check(kind, json.loads((folder / f"{kind}.json").read_text(encoding="utf-8"), parse_constant=no_such))
    for line in (folder / "steps.jsonl").read_text(encoding="utf-8").splitlines():
        check("step", json.loads(line, parse_constant=no_such))


def no_such(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


class Negated(manual.Sigmoid):
    def backward(self, grad_output: Any) -> Any:
        return -super().backward(grad_output)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("article", {}),
        ("article", {"mode": "independent", "dtype": "float32"}),
        ("article", {"mode": "lockstep", "layers": {"sigmoid1": Negated()}}),
        ("article", {"plant": "loss-doubled"}),
        ("relu", {"lr": 1e30}),
        ("gathered", {}),
        ("batchnorm", {"steps": 4}),
        ("lenet", {"steps": 3, "dtype": "float32", "batch_size": 4}),
        ("lstm-rows", {"steps": 2, "batch_size": 4}),
        ("gpt-digits", {"steps": 2, "batch_size": 4}),
    ],
    ids=lambda x: str(x),
)
def test_every_record_fits(
    name: str, options: dict[str, Any], tmp_path: Path, small: Dataset, small_data: Dataset
) -> None:
    folder = make(tmp_path / "results", small, experiment_file(name, tmp_path), **options)
    validate(folder)
    read_record(folder)


def test_an_interrupted_and_a_resumed_one_fit(tmp_path: Path, small: Dataset, small_data: Dataset) -> None:
    folder = stopped_at(5, tmp_path, small, "article", checkpoint_every=0.0)
    validate(folder)
    resume(folder)
    validate(folder)
    assert read_record(folder).manifest["resumed"]


def test_the_record_that_the_readme_cites_fits() -> None:
    kept = [path.parent for path in Path("results").glob("*/manifest.json") if is_cited(path.parent.name)]
    assert kept
    for folder in kept:
        validate(folder)
        read_record(folder)


def is_cited(name: str) -> bool:
    return name in Path("results/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("step", {"step": -1, "epoch": 0, "loss": [1.0, 1.0]}),
        ("step", {"step": 1, "epoch": 0, "loss": [1.0]}),
        ("step", {"step": 1, "epoch": 0, "loss": [1.0, "many"]}),
        ("step", {"step": 1, "epoch": 0, "loss": [1.0, 1.0], "more": 1}),
        ("step", {"step": 1.5, "epoch": 0, "loss": [1.0, 1.0]}),
        ("step", {"step": 1, "epoch": 0, "loss": [1.0, 1.0], "errors": {"<b>": 1.0}}),
        ("step", {"step": 1, "epoch": 0, "loss": [1.0, 10**400]}),
        ("data", {}),
        ("manifest", {"schema_version": 2}),
    ],
)
def test_what_is_no_record_does_not_fit(kind: str, value: Any) -> None:
    described = {"$ref": f"#/definitions/{kind}", "definitions": schema()["definitions"]}
    assert not jsonschema.Draft7Validator(described).is_valid(value)


def keys_of(kind: str) -> set[str]:
    """Return every key that the schema names in a kind of document, those of nested objects too."""
    definitions, found, seen = schema()["definitions"], set(), set()

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            found.update(part.get("properties", {}))
            if "$ref" in part and part["$ref"] not in seen:
                seen.add(part["$ref"])
                walk(definitions[part["$ref"].rpartition("/")[2]])
            for inner in part.values():
                walk(inner)
        elif isinstance(part, list):
            for inner in part:
                walk(inner)

    walk(definitions[kind])
    return found


@pytest.mark.parametrize("kind", [*DOCUMENTS, "step"])
def test_every_key_is_documented(kind: str) -> None:
    text = Path("results/README.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`([a-z_0-9A-Z]+)`", text))
    assert keys_of(kind) - documented == set()
