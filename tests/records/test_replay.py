"""Running a recorded run again: equal to the bit, within bounds, or diverged; never the wrong one of the three."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save

import manual
from compare.experiment.datasets import Dataset
from compare.records.replay import replay
from compare.records.schema import RecordError
from tests.records.conftest import change_manifest, forge, make
from tests.records.test_resume import experiment_file, stopped_at


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()]


def forge_lines(folder: Path, lines: list[dict[str, Any]]) -> None:
    forge(folder, "steps.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("article", {}),
        ("article", {"mode": "independent", "dtype": "float32"}),
        ("article", {"mode": "lockstep"}),
        ("article", {"plant": "bias-gradient-averaged"}),
        ("gathered", {}),
        ("adam", {"steps": 6, "batch_size": 8}),
        ("lenet", {"steps": 3, "batch_size": 4}),
    ],
    ids=lambda x: str(x),
)
def test_a_repetition_on_the_same_machine_is_equal_to_the_bit(
    name: str, options: dict[str, Any], tmp_path: Path, small: Dataset, small_data: Dataset
) -> None:
    folder = make(tmp_path / "results", small, experiment_file(name, tmp_path), **options)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    repetition = replay(folder)
    assert repetition.verdict == "BITWISE", repetition
    assert repetition.exit_status == 0
    # The scores of a run before, in this process, have brought SciPy's own pool of threads.
    assert [found for found in repetition.environment_differences if found["key"] != "blas"] == []
    assert repetition.steps == len(lines_of(folder))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_of_an_unfinished_run_the_recorded_steps_are_repeated(
    tmp_path: Path, small: Dataset, small_data: Dataset
) -> None:
    folder = stopped_at(7, tmp_path, small, "article")
    with (folder / "steps.jsonl").open("ab") as file:
        file.write(b'{"step":8,"epo')  # as a kill leaves it
    change_manifest(folder, lambda m: m.update(status="running", files={k: m["files"][k] for k in START}))
    repetition = replay(folder)
    assert (repetition.verdict, repetition.steps, repetition.status) == ("BITWISE", 7, "running")


START = ("config.toml", "environment.json", "data.json", "initial.safetensors")


# ------------------------------------------------------------------------------------------- what is not equal


def test_another_kernel_is_within_bounds_and_said(tmp_path: Path) -> None:
    """A record made with other instructions of the processor: other bits, the same mathematics."""
    command = [sys.executable, "-m", "compare", "run", "article", "--steps", "30", "--out", str(tmp_path), "--json"]
    here = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    plain = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    elsewhere = {"OPENBLAS_CORETYPE": "Nehalem", "ATEN_CPU_CAPABILITY": "default"}
    made = subprocess.run(command, env={**plain, **here, **elsewhere}, capture_output=True, text=True, check=True)
    found = json.loads(json.dumps(replay(json.loads(made.stdout)["record"]).to_json()))
    assert found["verdict"] == "WITHIN BOUNDS"
    keys = {difference["key"] for difference in found["environment_differences"]}
    assert {"torch_simd", "variables.OPENBLAS_CORETYPE"} <= keys
    pools = [difference for difference in found["environment_differences"] if difference["key"].startswith("blas")]
    assert "Nehalem" in json.dumps([pool["recorded"] for pool in pools])
    assert "Nehalem" not in json.dumps([pool["here"] for pool in pools])
    assert found["first"]["step"] == 1
    assert found["first"]["tensor"] == "linear1.output"  # the first matrix product
    assert found["largest"]["step"] in (1, 2)
    assert 0 <= found["largest"]["used"] <= 1  # two losses may be equal to the bit, whatever made them
    assert found["weights"]
    assert 0 < max(found["weights"].values()) < 1e-11


def test_a_last_bit_in_one_operation_is_within_bounds_and_located(
    copied: Path, small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    backward, calls = manual.Sigmoid.backward, iter(range(1000))

    def moved(self: Any, grad_output: np.ndarray) -> np.ndarray:
        gradient = backward(self, grad_output)
        if next(calls) == 11:  # two sigmoids a step, from the last; the first step is walked twice: the fifth's other
            gradient[0, 0] = np.nextafter(gradient[0, 0], np.inf)
        return gradient

    monkeypatch.setattr(manual.Sigmoid, "backward", moved)
    repetition = replay(copied)
    assert repetition.verdict == "WITHIN BOUNDS"
    assert repetition.first is not None
    assert (repetition.first.step, repetition.first.tensor) == (5, "linear1.output.grad")


def test_a_mistake_in_the_repetition_is_a_divergence(
    copied: Path, small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    backward = manual.Sigmoid.backward
    monkeypatch.setattr(manual.Sigmoid, "backward", lambda self, g: backward(self, g) * 0.5)
    repetition = replay(copied)
    assert (repetition.verdict, repetition.exit_status) == ("DIVERGED", 1)
    assert repetition.contradiction is not None
    assert (repetition.contradiction.step, repetition.contradiction.tensor) == (1, "linear2.output.grad")


def test_both_sides_wrong_alike_is_still_a_divergence_from_the_record(
    copied: Path, small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that both sides share passes the lockstep checks; the record shows it."""
    from compare.experiment import batches

    take = batches.take_batch
    monkeypatch.setattr("compare.lockstep.loop.take_batch", lambda *a: (take(*a)[0] * 0.5, take(*a)[1]))
    repetition = replay(copied)
    assert (repetition.verdict, repetition.verdict_here) == ("DIVERGED", "AGREES")
    assert repetition.contradiction is not None
    assert repetition.contradiction.step == 1
    assert repetition.contradiction.used is not None
    assert repetition.contradiction.used > 1e6


@pytest.mark.parametrize(("by", "verdict"), [(1 + 2**-52, "WITHIN BOUNDS"), (1 + 1e-9, "DIVERGED")])
def test_a_forged_loss(by: float, verdict: str, copied: Path, small_data: Dataset) -> None:
    lines = lines_of(copied)
    lines[6]["loss"][0] *= by
    forge_lines(copied, lines)
    repetition = replay(copied)
    assert repetition.verdict == verdict
    assert repetition.first is not None
    assert (repetition.first.step, repetition.first.tensor) == (7, "loss")


def test_a_forged_weight(copied: Path, small_data: Dataset) -> None:
    for file in ("final_manual", "final_reference"):
        weights = load_file(copied / f"{file}.safetensors")
        weights["linear2.bias"][3] = np.nextafter(weights["linear2.bias"][3], 1)
        forge(copied, f"{file}.safetensors", save(weights))
        repetition = replay(copied)
        assert repetition.verdict == "DIVERGED"
        assert repetition.contradiction is not None
        assert repetition.contradiction.tensor.endswith("/linear2.bias")


def test_a_forged_verdict(copied: Path, small_data: Dataset) -> None:
    metrics = json.loads((copied / "metrics.json").read_text())
    metrics["outcome"]["verdict"] = "EXPLAINED"
    forge(copied, "metrics.json", json.dumps(metrics).encode())
    change_manifest(copied, lambda m: m.update(verdict="EXPLAINED"))
    repetition = replay(copied)
    assert repetition.verdict == "DIVERGED"
    assert "EXPLAINED" in repetition.reason


@pytest.mark.parametrize("count", [11, 13])
def test_a_step_too_few_or_too_many(count: int, copied: Path, small_data: Dataset) -> None:
    lines = lines_of(copied)
    forge_lines(copied, lines[:count] if count < 12 else [*lines, {**lines[-1], "step": 13}])
    assert replay(copied).verdict == "DIVERGED"


def test_other_initial_weights_are_another_run(copied: Path, small_data: Dataset) -> None:
    weights = load_file(copied / "initial.safetensors")
    weights["linear1.weight"][4, 300] += 0.25
    forge(copied, "initial.safetensors", save(weights))
    assert replay(copied).verdict == "DIVERGED"


# --------------------------------------------------------------------------------------------------------- refusals


def test_a_changed_file_is_refused_by_name(copied: Path, small_data: Dataset) -> None:
    for name in sorted(path.name for path in copied.iterdir() if path.name != "manifest.json"):
        content = (copied / name).read_bytes()
        (copied / name).write_bytes(content[:-2] + b" \n")
        with pytest.raises(RecordError, match=rf"{name}: was changed"):
            replay(copied)
        (copied / name).write_bytes(content)
    assert replay(copied).verdict == "BITWISE"


def test_other_data_are_refused(copied: Path, small_data: Dataset) -> None:
    data = json.loads((copied / "data.json").read_text())
    data["digests"] = dict.fromkeys(data["digests"], "0" * 64)
    forge(copied, "data.json", json.dumps(data).encode())
    with pytest.raises(RecordError, match="other data"):
        replay(copied)


def test_another_order_is_refused(copied: Path, small_data: Dataset) -> None:
    config = (copied / "config.toml").read_text()
    forge(copied, "config.toml", config.replace("seed = 5", "seed = 6").encode())
    with pytest.raises(RecordError, match="other data: order"):
        replay(copied)


def test_code_that_the_record_names_is_executed_on_demand_alone(
    tmp_path: Path, small: Dataset, small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "class Squash:\n"
        "    def forward(self, z):\n        self.a = np.tanh(z)\n        return self.a\n"
        "    def backward(self, grad_output):\n        return grad_output * (1 - self.a**2)\n"
    )
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\n'
        "layers = [\n"
        '  { kind = "Linear", in_features = 784, out_features = 10 },\n'
        '  { kind = "mine.py:Squash", reference = "torch.nn.Tanh" },\n]\n'
    )
    folder = make(tmp_path / "results", small, "mine.toml", steps=3)
    with pytest.raises(RecordError, match=r"mine\.py.*--trust"):
        replay(folder)
    assert replay(folder, trust=True).verdict == "BITWISE"
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text() + "\n")
    with pytest.raises(RecordError, match=r"mine\.py: is not the file"):
        replay(folder, trust=True)


# ------------------------------------------------------------------------------ forgeries that are harder to see


def only_difference_is_rounding(folder: Path) -> None:
    """Make the record look like one of another machine: the marks of a late tensor of its first step differ."""
    lines = lines_of(folder)
    lines[0]["marks"] = lines[0]["marks"][:-4] + ("AQA=" if lines[0]["marks"][-4:] != "AQA=" else "AgA=")
    forge_lines(folder, lines)


def test_another_learning_rate_shows_at_the_step_after(copied: Path, small_data: Dataset) -> None:
    """The first step's losses are equal; the weights that it made are not, and by far more than rounding."""
    config = (copied / "config.toml").read_text()
    assert "lr = 4.0" in config
    forge(copied, "config.toml", config.replace("lr = 4.0", "lr = 4.0001").encode())
    repetition = replay(copied)
    assert repetition.first is not None
    assert (repetition.first.step, repetition.first.tensor) == (1, "linear1.weight.updated")
    assert repetition.verdict == "DIVERGED"
    assert repetition.contradiction is not None
    assert (repetition.contradiction.step, repetition.contradiction.tensor) == (2, "loss")
    assert repetition.contradiction.used is not None
    assert repetition.contradiction.used > 100


def test_a_count_that_rounding_does_not_move(copied: Path, small_data: Dataset) -> None:
    lines = lines_of(copied)
    lines[4]["checks"] += 1
    forge_lines(copied, lines)
    repetition = replay(copied)
    assert repetition.verdict == "DIVERGED"
    assert "checks" in repetition.reason


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("accuracy", lambda o: o["accuracy"].update(manual=0.9999)),
        ("worst", lambda o: o["worst"]["loss"].update(error=0.5)),
        ("power", lambda o: o["power"]["loss"].update(smallest_relative_mistake=1e-18)),
        ("metrics", None),
    ],
)
def test_a_forged_result_of_equal_steps(where: str, change: Any, copied: Path, small_data: Dataset) -> None:
    content = json.loads((copied / "metrics.json").read_text())
    if change:
        change(content["outcome"])
    else:
        content["metrics"]["confusion_manual"][3][3] += 1
    forge(copied, "metrics.json", json.dumps(content).encode())
    repetition = replay(copied)
    assert repetition.verdict == "DIVERGED"
    assert repetition.contradiction is not None
    assert repetition.contradiction.tensor == f"metrics.json/{where}"


@pytest.mark.parametrize("change", [{"verdict": "EXPLAINED"}, {"steps": 99_999}, {"config_id": "00000000"}])
def test_a_manifest_that_says_something_else_than_its_files(
    change: dict[str, Any], copied: Path, small_data: Dataset
) -> None:
    change_manifest(copied, lambda m: m.update(change))
    with pytest.raises(RecordError, match=rf"manifest\.json: {next(iter(change))}"):
        replay(copied)


def test_agreement_with_and_without_kinks_is_the_same_where_bits_differ(copied: Path, small_data: Dataset) -> None:
    metrics = json.loads((copied / "metrics.json").read_text())
    metrics["outcome"]["verdict"] = "EXPLAINED"
    forge(copied, "metrics.json", json.dumps(metrics).encode())
    change_manifest(copied, lambda m: m.update(verdict="EXPLAINED"))
    only_difference_is_rounding(copied)
    assert replay(copied).verdict == "WITHIN BOUNDS"


def test_a_record_without_steps_proves_nothing(copied: Path, small_data: Dataset) -> None:
    forge(copied, "steps.jsonl", b"")
    with pytest.raises(RecordError, match="no step"):
        replay(copied)


def test_a_repetition_that_is_interrupted_says_how_far_it_came(copied: Path, small_data: Dataset) -> None:
    seen: list[int] = []
    repetition = replay(copied, watchers=[lambda step: seen.append(step.number)], stop=lambda: len(seen) == 4)
    assert (repetition.verdict, repetition.steps, repetition.interrupted) == ("BITWISE", 4, True)
    assert repetition.exit_status == 130


def test_networks_that_trained_apart_are_held_to_bounds_as_well(
    tmp_path: Path, small: Dataset, small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path, small, mode="independent")
    repetition = replay(folder)
    assert repetition.verdict == "BITWISE"
    lines = lines_of(folder)
    lines[5]["loss"][0] *= 1 + 1e-9
    forge_lines(folder, lines)
    assert replay(folder).verdict == "DIVERGED"
    lines[5]["loss"][0] = np.nextafter(lines[5]["loss"][0] / (1 + 1e-9), 0)
    forge_lines(folder, lines)
    repetition = replay(folder)
    assert repetition.verdict == "WITHIN BOUNDS"
    assert repetition.largest is not None
    assert 0 < (repetition.largest.used or 0) <= 1


def test_infinite_losses_that_are_equal_are_equal(tmp_path: Path, small: Dataset, small_data: Dataset) -> None:
    from compare.views.replay import show_repetition

    folder = make(tmp_path, small, "relu", lr=1e30, dtype="float32")
    repetition = replay(folder)
    assert repetition.verdict == "BITWISE"
    lines = lines_of(folder)
    lines[-1]["loss"] = ["inf", "nan"]
    forge_lines(folder, lines)
    show_repetition(replay(folder).to_json())  # whatever it says, it can be said
