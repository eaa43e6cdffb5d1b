"""The record: what a run leaves behind, whatever ended it."""

import hashlib
import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import compare
import manual
from compare.experiment.datasets import Dataset
from compare.experiment.files import changes_of, read_experiment, to_document
from compare.lockstep.loop import Loop, Step
from compare.records import folder as folder_module
from compare.records.reading import read_record
from compare.records.record import Record
from compare.records.schema import RecordError

ALWAYS = {
    "manifest.json", "config.toml", "environment.json", "data.json", "initial.safetensors", "steps.jsonl",
}  # fmt: skip
AT_THE_END = {"metrics.json", "final_manual.safetensors", "final_reference.safetensors"}


def run(out: Path, **options: Any) -> compare.Outcome:
    arguments: dict[str, Any] = {"steps": 12, "seed": 5} | options
    return compare.run("article", out=out, **arguments)


def only_folder(out: Path) -> Path:
    (folder,) = out.iterdir()
    return folder


def manifest_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def steps_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()]


def assert_digests_match(folder: Path) -> None:
    """Every file but the manifest is named in it, with its SHA-256."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("manifest.json", ".lock")]
    digests = {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    assert manifest_of(folder)["files"] == digests


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small: Dataset) -> tuple[Path, compare.Outcome, Loop]:
    """A record, its outcome, and the loop that the run left behind."""
    out, loops = tmp_path_factory.mktemp("results"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compare.experiment.datasets.load", lambda *_: small)
        outcome = compare.run("article", out=out, steps=12, seed=5, begin=loops.append)
    return only_folder(out), outcome, loops[0]


# ---------------------------------------------------------------------------------------------- a run that ended well


def test_the_folder_holds_what_the_record_is_made_of(finished: Any) -> None:
    folder, outcome, _ = finished
    assert {path.name for path in folder.iterdir()} == ALWAYS | AT_THE_END
    assert outcome.record == folder
    assert folder.name.split("_")[1:3] == ["article", "s5"]


def test_the_manifest_says_how_it_ended(finished: Any) -> None:
    manifest = manifest_of(finished[0])
    assert (manifest["status"], manifest["verdict"], manifest["exit_reason"]) == ("finished", "AGREES", None)
    assert manifest["steps"] == 12
    assert manifest["start"] <= manifest["end"]
    assert_digests_match(finished[0])


def test_there_is_one_line_a_step(finished: Any) -> None:
    lines = steps_of(finished[0])
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert all(line["epoch"] == 0 for line in lines)
    assert all(line["loss"][0] == pytest.approx(line["loss"][1], rel=1e-12) for line in lines)
    assert all(line["checks"] == 23 for line in lines)
    assert {line["step"] for line in lines if "audit" in line} == {1, 2, 3, 12}
    assert {1, 2, 5, 10} <= {line["step"] for line in lines if "drift" in line}
    used = [value for line in lines for value in line.get("audit", {}).values()]
    assert 0 < max(used) <= 1


def test_the_losses_are_those_of_the_run(finished: Any, small: Dataset) -> None:
    losses = [step.loss_manual for step in Loop(read_experiment("article", changes_of(steps=12, seed=5)), small)]
    assert [line["loss"][0] for line in steps_of(finished[0])] == losses


def test_the_weights_are_those_of_both_networks(finished: Any) -> None:
    folder, _, loop = finished
    assert load_file(folder / "initial.safetensors").keys() == loop.initial.keys()
    for name, array in load_file(folder / "initial.safetensors").items():
        np.testing.assert_array_equal(array, loop.initial[name], strict=True)
    mine, theirs = load_file(folder / "final_manual.safetensors"), load_file(folder / "final_reference.safetensors")
    for name, array in loop.manual.network.parameters.items():
        np.testing.assert_array_equal(mine[name], array, strict=True)
        trained = loop.trained_reference.network.weights[name].detach().numpy()
        np.testing.assert_array_equal(theirs[name], trained, strict=True)
        assert not np.array_equal(array, loop.initial[name])


def test_the_configuration_is_the_resolved_experiment(finished: Any) -> None:
    folder, outcome, _ = finished
    assert read_experiment(str(folder / "config.toml")) == outcome.experiment
    assert tomllib.loads((folder / "config.toml").read_text()) == to_document(outcome.experiment)


def test_the_metrics_hold_what_json_prints(finished: Any) -> None:
    folder, outcome, _ = finished
    content = read_record(folder)
    assert content.outcome == json.loads(json.dumps(outcome.to_json()))
    metrics = content.metrics
    assert metrics is not None
    confusion = np.array(metrics["confusion_manual"])
    assert confusion.sum() == 200
    assert confusion.trace() / 200 == metrics["accuracy_manual"]


def test_data_and_environment_say_what_the_numbers_depend_on(finished: Any, small: Dataset) -> None:
    folder, _, _ = finished
    data = json.loads((folder / "data.json").read_text())
    assert (data["dataset"], data["train"], data["test"]) == ("mnist", 600, 200)
    assert data["digests"] == small.digests
    environment = read_record(folder).environment
    assert environment["packages"]["numpy"] == np.__version__
    assert torch.__version__.startswith(environment["packages"]["torch"])
    assert environment["blas"]


def test_no_file_names_the_user_or_a_folder_of_the_machine(finished: Any) -> None:
    folder = finished[0]
    for path in folder.iterdir():
        if path.suffix in (".toml", ".jsonl") or path.name in ("environment.json", "data.json", "manifest.json"):
            content = path.read_text(encoding="utf-8")
            assert str(Path.home()) not in content
            assert str(Path(compare.__file__).parents[1]) not in content


def test_two_equal_runs_have_equal_weights_and_steps_to_the_bit(
    finished: Any, tmp_path: Path, small_data: Dataset
) -> None:
    run(tmp_path)
    for name in ("final_manual.safetensors", "final_reference.safetensors", "initial.safetensors", "steps.jsonl"):
        assert (only_folder(tmp_path) / name).read_bytes() == (finished[0] / name).read_bytes(), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_keep_their_dtype(dtype: str, tmp_path: Path, small_data: Dataset) -> None:
    run(tmp_path, dtype=dtype, steps=2)
    for name in ("initial", "final_manual", "final_reference"):
        weights = load_file(only_folder(tmp_path) / f"{name}.safetensors")
        assert {array.dtype for array in weights.values()} == {np.dtype(dtype)}


# -------------------------------------------------------------------------------------------- runs that end otherwise


class WrongSign(manual.Sigmoid):
    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        return -super().backward(grad_output)


def test_a_divergence_is_a_finished_run(tmp_path: Path, small_data: Dataset) -> None:
    outcome = run(tmp_path, layers={"sigmoid1": WrongSign()})
    folder = only_folder(tmp_path)
    manifest = manifest_of(folder)
    assert (manifest["status"], manifest["verdict"], manifest["steps"]) == ("finished", "DIVERGES", 1)
    assert "sigmoid1.backward" in manifest["exit_reason"]
    (line,) = steps_of(folder)
    assert line["finding"] == "linear1.output.grad"
    recorded = read_record(folder).outcome
    assert recorded is not None
    assert recorded["divergence"] == json.loads(json.dumps(outcome.to_json()["divergence"]))
    assert_digests_match(folder)


@pytest.mark.parametrize("returned", [None, "raise", np.nan], ids=["None", "an exception", "NaN"])
def test_a_layer_that_cannot_be_compared_leaves_a_whole_record(
    returned: Any, tmp_path: Path, small_data: Dataset
) -> None:
    class Broken(manual.Sigmoid):
        def backward(self, grad_output: np.ndarray) -> Any:
            if returned == "raise":
                raise ZeroDivisionError("as the user wrote it")
            return None if returned is None else super().backward(grad_output) * returned

    outcome = run(tmp_path, layers={"sigmoid1": Broken()})
    folder = only_folder(tmp_path)
    assert str(outcome.verdict) == "DIVERGES"
    assert manifest_of(folder)["status"] == "finished"
    assert len(steps_of(folder)) == 1
    assert json.loads((folder / "metrics.json").read_text(), parse_constant=no_such_number)
    assert_digests_match(folder)


def no_such_number(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


def failing_at(step: int, error: BaseException) -> Callable[[Step], None]:
    def watch(seen: Step) -> None:
        if seen.number == step:
            raise error

    return watch


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ZeroDivisionError("no such thing"), "failed", "ZeroDivisionError: no such thing"),
        (MemoryError(), "failed", "MemoryError"),
        (SystemExit(3), "failed", "SystemExit"),
        (KeyboardInterrupt(), "interrupted", "interrupted"),
    ],
    ids=["exception", "memory", "exit", "interrupt"],
)
def test_whatever_ends_a_run_leaves_a_readable_record(
    error: BaseException, status: str, reason: str, tmp_path: Path, small_data: Dataset
) -> None:
    with pytest.raises(type(error)):
        run(tmp_path, watchers=[failing_at(4, error)])
    folder = only_folder(tmp_path)
    assert {path.name for path in folder.iterdir()} == ALWAYS | {".lock"}
    manifest = manifest_of(folder)
    assert manifest["status"] == status
    assert reason in manifest["exit_reason"]
    assert manifest["steps"] == 4
    assert manifest["end"] is not None
    assert [line["step"] for line in steps_of(folder)] == [1, 2, 3, 4]
    assert_digests_match(folder)


def test_an_error_in_the_middle_of_a_step_leaves_the_steps_before_it(tmp_path: Path, small_data: Dataset) -> None:
    def spoil(loop: Loop) -> None:
        step, calls = loop.manual.optimizer.step, iter((False, False, True))

        def until_the_third() -> None:
            if next(calls):
                raise KeyboardInterrupt
            step()

        loop.manual.optimizer.step = until_the_third

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, begin=spoil)
    folder = only_folder(tmp_path)
    assert manifest_of(folder)["status"] == "interrupted"
    assert [line["step"] for line in steps_of(folder)] == [1, 2]
    assert_digests_match(folder)


@pytest.mark.parametrize("after", [1, 5])
def test_a_run_may_be_stopped_after_a_step(after: int, tmp_path: Path, small_data: Dataset) -> None:
    seen: list[int] = []
    outcome = run(tmp_path, watchers=[lambda step: seen.append(step.number)], stop=lambda: len(seen) == after)
    assert seen == list(range(1, after + 1))
    assert outcome.interrupted
    assert outcome.exit_status == 130
    assert outcome.to_json()["accuracy"] is None
    folder = only_folder(tmp_path)
    assert (manifest_of(folder)["status"], manifest_of(folder)["steps"]) == ("interrupted", after)
    assert {path.name for path in folder.iterdir()} == ALWAYS | AT_THE_END | {".lock"}
    recorded = read_record(folder).outcome
    assert recorded is not None
    assert recorded["steps"] == after
    assert_digests_match(folder)


def test_a_stop_after_the_last_step_stops_nothing(tmp_path: Path, small_data: Dataset) -> None:
    outcome = run(tmp_path, steps=1, stop=lambda: True)
    assert (outcome.interrupted, outcome.exit_status) == (False, 0)


def test_while_it_runs_the_record_says_so_and_can_be_read(tmp_path: Path, small_data: Dataset) -> None:
    seen: list[dict[str, Any]] = []
    run(tmp_path, steps=2, watchers=[lambda _: seen.append(manifest_of(only_folder(tmp_path)))])
    assert [manifest["status"] for manifest in seen] == ["running", "running"]
    assert seen[0]["end"] is None


# ------------------------------------------------------------------------------------------------------------- folders


def test_two_records_of_the_same_second_have_folders_of_their_own(
    tmp_path: Path, small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(folder_module.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls(2024, 2, 29, 12, 0, 0, tzinfo=tz)

    monkeypatch.setattr(folder_module, "datetime", Stopped)
    first, second, third = (run(tmp_path, steps=1).record for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    assert len({first, second, third}) == 3
    assert first.name.startswith("20240229T120000Z_article_s5_")
    assert (second.name, third.name) == (f"{first.name}_2", f"{first.name}_3")
    for folder in (first, second, third):
        assert_digests_match(folder)


def test_another_configuration_has_another_name(tmp_path: Path, small_data: Dataset) -> None:
    for lr in (0.1, 0.2):
        run(tmp_path, steps=1, lr=lr)
    assert len({folder.name.split("_")[3] for folder in tmp_path.iterdir()}) == 2


def test_the_folder_is_made_with_its_parents(tmp_path: Path, small_data: Dataset) -> None:
    assert (run(tmp_path / "a" / "b", steps=1).record or Path()).parent == tmp_path / "a" / "b"


def unwritable(kind: str, folder: Path) -> Path:
    """Return a path in which no folder can be made."""
    match kind:
        case "a file":
            (folder / "file").write_text("")
            return folder / "file"
        case "in a file":
            (folder / "file").write_text("")
            return folder / "file" / "results"
        case "a link to nowhere":
            (folder / "link").symlink_to(folder / "nowhere" / "at" / "all")
            return folder / "link"
        case "a name too long":
            return folder / ("x" * 300)
        case _:
            return Path("/proc/backproof")


@pytest.mark.parametrize("kind", ["a file", "in a file", "a link to nowhere", "a name too long", "no file system"])
def test_a_folder_that_cannot_be_made_is_one_message_naming_it(kind: str, tmp_path: Path, small_data: Dataset) -> None:
    out = unwritable(kind, tmp_path)
    with pytest.raises(RecordError) as refused:
        run(out, steps=1)
    assert str(out) in str(refused.value)
    assert "cannot be written" in str(refused.value)
    assert "1000 records" not in str(refused.value)


@pytest.mark.parametrize("victim", ["config.toml", "initial.safetensors", "manifest.json", "steps.jsonl"])
def test_a_file_that_cannot_be_written_at_the_start_is_one_message(
    victim: str, tmp_path: Path, small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_path = Path.open

    def with_a_full_disk(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if path.name.startswith(victim) and mode != "rb":
            raise OSError(28, "No space left on device")
        return open_path(path, mode, *arguments, **options)

    open_descriptor = os.open

    def without_room(path: Any, *arguments: Any, **options: Any) -> int:
        if Path(path).name == victim:
            raise OSError(28, "No space left on device")
        return open_descriptor(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", with_a_full_disk)
    monkeypatch.setattr(os, "open", without_room)
    with pytest.raises(RecordError, match=r"cannot be written.*No space left"):
        run(tmp_path, steps=1)
    hidden = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert hidden == []  # nothing is left half made


@pytest.mark.parametrize("victim", ["metrics.json", "final_manual.safetensors"])
def test_a_file_that_cannot_be_written_at_the_end_is_one_message(
    victim: str, tmp_path: Path, small_data: Dataset
) -> None:
    with pytest.raises(RecordError, match="cannot be finished"):
        run(tmp_path, steps=1, watchers=[lambda _: (only_folder(tmp_path) / victim).mkdir()])
    assert manifest_of(only_folder(tmp_path))["status"] == "failed"


def test_a_disk_that_is_full_in_the_middle_is_one_message(
    tmp_path: Path, small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            raise OSError(28, "No space left on device")

        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    def with_a_full_disk(self: Record, written: int = 0) -> None:
        self.log = Full()  # pyright: ignore[reportAttributeAccessIssue]

    monkeypatch.setattr(Record, "open_log", with_a_full_disk)
    with pytest.raises(RecordError, match="No space left on device"):
        run(tmp_path, steps=1)
    assert manifest_of(only_folder(tmp_path))["status"] == "failed"
