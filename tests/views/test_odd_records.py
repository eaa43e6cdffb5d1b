"""Odd and resumed records on the page and on the console: shown, or refused with one message; never a traceback."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file, save_file

from compare.agreement.trace import place
from compare.commands.reports import show as say
from compare.records.folder import LOCK, in_use, only_writer
from compare.records.reading import read_record
from compare.records.schema import RecordError
from compare.views.console import show
from compare.views.report import write_report
from compare.views.tables import record_table
from tests.views.records import copied, edit, sealed

pytestmark = pytest.mark.xdist_group("report")

Change = Callable[[dict[str, Any]], dict[str, Any]]
RESUMED = {
    "step": 30, "time": "now", "computed_again": 12, "same_bits": False,
    "environment_differences": [{"key": "cpu", "recorded": "[/old]", "here": "<b>new"}],
}  # fmt: skip


def console(record: Path) -> str:
    """Return what the console says of a record."""
    read, printed = read_record(record), io.StringIO()
    assert read.outcome
    show(read.outcome, Console(file=printed, width=110), lambda t: place(t).stage, read.manifest["resumed"])
    return printed.getvalue() + record_table(record, read.outcome, read.environment)


def changed(record: Path, where: Path, name: str, change: Change) -> Path:
    folder = copied(record, "odd", where)
    edit(folder, name, change)
    return sealed(folder)


def texts(metrics: dict[str, Any]) -> dict[str, Any]:
    outcome = metrics["outcome"]
    outcome |= {"seconds": "inf", "accuracy": outcome["accuracy"] | {"manual": "nan", "mcnemar_p": "nan"}}
    outcome["independent"]["drift"][-1]["parameters"] = "inf"
    for power in outcome["power"].values():
        power |= {"smallest_relative_mistake": "inf", "zeros": "nan"}
    for tight in outcome["tightest"].values():
        tight["used"] = "inf"
    kink = {"step": 1, "layer": "relu1", "example": 0, "unit": "[/x]", "value": "nan", "reference": 1, "bound": "inf"}
    outcome["kinks"] = [kink, kink | {"apart": "nan"}]
    outcome["worst"]["updated"] = next(iter(outcome["worst"].values()))
    return metrics


def no_drift(metrics: dict[str, Any]) -> dict[str, Any]:
    metrics["outcome"]["independent"]["drift"] = []
    return metrics


def confusion(reference: list[list[int]], manual: list[list[int]] | None = None) -> Change:
    def change(metrics: dict[str, Any]) -> dict[str, Any]:
        metrics["metrics"]["confusion_reference"] = reference
        metrics["metrics"]["confusion_manual"] = (
            manual if manual is not None else metrics["metrics"]["confusion_manual"]
        )
        return metrics

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("metrics", texts),
        ("metrics", no_drift),
        ("metrics", confusion([[1]])),
        ("metrics", confusion([], [])),
        ("metrics", confusion([[1, 2], [3]], [[1], [2, 3]])),
        ("data", lambda data: data | {"classes": ["one"]}),
        ("environment", lambda environment: environment | {"packages": {}}),
    ],
)
def test_odd_values_are_shown(name: str, change: Change, runs: dict[str, Path], tmp_path: Path) -> None:
    record = changed(runs["finished"], tmp_path, name, change)
    assert console(record).startswith("AGREES")
    assert "AGREES" in write_report([record], tmp_path / "r.html").read_text(encoding="utf-8")


def test_odd_witnesses_are_shown(runs: dict[str, Path]) -> None:
    assert console(runs["hostile"]).startswith("DIVERGES")


@pytest.mark.parametrize("weight", [np.array(1.0), np.zeros((0, 784))])
def test_a_weight_of_another_shape_has_no_picture(weight: np.ndarray, runs: dict[str, Path], tmp_path: Path) -> None:
    record = copied(runs["finished"], "odd", tmp_path)
    path = record / "final_manual.safetensors"
    save_file(load_file(path) | {"linear1.weight": weight}, path)
    assert "first layer" not in write_report([sealed(record)], tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["config.toml", "environment.json"])
def test_what_is_nested_too_deep_or_too_long_is_refused(name: str, runs: dict[str, Path], tmp_path: Path) -> None:
    record = copied(runs["finished"], "odd", tmp_path)
    if name == "config.toml":
        text = "training.seed = 0x" + "f" * 5000
    else:
        read = json.loads((record / name).read_text(encoding="utf-8"))
        text = json.dumps(read | {"torch_blas": "DEEP"}).replace('"DEEP"', '{"a":' * 900 + "1" + "}" * 900)
    (record / name).write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=r"whole number of more than 300|nested deeper than 64"):
        sealed(record)


def test_a_resumption_is_told_and_other_bits_loudly(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = changed(runs["finished"], tmp_path, "manifest", lambda m: m | {"resumed": [RESUMED]})
    page = write_report([record], tmp_path / "r.html").read_text(encoding="utf-8")
    say(read_record(record), alone=False)
    for told in (page, console(record), capsys.readouterr().out):
        for part in ("Resumed after step 30; 12 recorded steps were computed again", "OTHER BITS", "ANOTHER than"):
            assert part in told
    assert "WARNING" not in console(runs["finished"])


def test_running_now_is_told_from_killed(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = copied(runs["killed"], "again", tmp_path)
    with only_writer(record):
        page = write_report([record], tmp_path / "r.html").read_text(encoding="utf-8")
        say(read_record(record), alone=True)
    assert "still going on" in page
    assert "backproof resume" not in page
    say(read_record(record), alone=True)
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == ["running now", "killed"]


def test_a_lock_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept", encoding="utf-8")
    (tmp_path / LOCK).symlink_to(tmp_path / "precious")
    assert not in_use(tmp_path)
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "kept"
