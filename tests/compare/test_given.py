"""Initial parameters that are handed in: from Python or in a file, recorded, repeated, refused where they misfit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import compare
from compare import cli
from compare.experiment.datasets import Dataset
from compare.experiment.description import Data, DescriptionError, Experiment, Initial, Layer, Loss, Training
from compare.explain.moment import moment
from compare.records.replay import replay
from compare.records.resume import resume
from tests.records.conftest import assert_same_bits, make

EXPERIMENT = Experiment(
    "handed-in", (Layer("Linear", arguments={"in_features": 784, "out_features": 10}),), loss=Loss("CrossEntropyLoss"),
    training=Training(steps=8, batch_size=5, mode="both"),
)  # fmt: skip
Parameters = dict[str, np.ndarray]


def parameters(dtype: str = "float64") -> Parameters:
    rng = np.random.default_rng(7)
    return {
        "linear1.weight": rng.normal(size=(10, 784)).astype(dtype),
        "linear1.bias": rng.normal(size=10).astype(dtype),
    }


def test_they_are_what_both_sides_start_from(small_data: Dataset, tmp_path: Path) -> None:
    steps: list[Any] = []
    given = parameters()
    outcome = compare.run(
        EXPERIMENT, initial=given, out=tmp_path, steps=1,
        watchers=[lambda step: steps.append({n: np.array(step.reference[n]) for n in given})],
    )  # fmt: skip
    assert str(outcome.verdict) == "AGREES"
    assert all(np.array_equal(steps[0][name], array) for name, array in given.items())
    assert outcome.experiment.initial.weight == outcome.experiment.initial.bias == "given"
    assert outcome.precision  # the exhibit starts from them, too, rounded to each dtype
    assert outcome.record is not None
    kept = load_file(outcome.record / "initial.safetensors")
    assert all(np.array_equal(kept[name], array) for name, array in given.items())
    assert np.array_equal(given["linear1.weight"], parameters()["linear1.weight"])  # they were copied


def test_a_file_says_the_same(small_data: Dataset, tmp_path: Path) -> None:
    save_file(parameters(), tmp_path / "w.safetensors")
    ends: list[Parameters] = []
    ways: tuple[dict[str, Any], ...] = ({"initial": parameters()}, {})
    for options in ways:
        described = (
            EXPERIMENT if options else replace(EXPERIMENT, initial=Initial(file=str(tmp_path / "w.safetensors")))
        )
        loops: list[Any] = []
        compare.run(described, begin=loops.append, **options)
        ends.append({name: np.array(array) for name, array in loops[0].manual.network.parameters.items()})
    assert all(np.array_equal(array, ends[1][name]) for name, array in ends[0].items())
    told = moment(replace(EXPERIMENT, initial=Initial(file=str(tmp_path / "w.safetensors"))))
    assert np.array_equal(told.trace["linear1.weight"], parameters()["linear1.weight"])


@pytest.mark.parametrize("options", [{}, {"plant": "bias-gradient-averaged"}, {"dtype": "float32"}], ids=str)
def test_such_a_run_repeats_itself_to_the_bit(options: dict[str, Any], small_data: Dataset, tmp_path: Path) -> None:
    given = parameters(options.get("dtype", "float64"))
    record = compare.run(EXPERIMENT, initial=given, out=tmp_path, **options).record
    assert record is not None
    assert replay(record).verdict == "BITWISE"


def test_another_weight_in_the_record_is_seen(small_data: Dataset, tmp_path: Path) -> None:
    other = parameters()
    other["linear1.weight"][3, 400] *= 1 + 1e-6
    records = [compare.run(EXPERIMENT, initial=x, out=tmp_path).record for x in (parameters(), other)]
    final = [load_file(record / "final_manual.safetensors") for record in records if record]
    assert not np.array_equal(final[0]["linear1.weight"], final[1]["linear1.weight"])


RECIPE: dict[str, Any] = {
    "order": "python-shuffle", "epochs_before": 1, "epochs": 2, "steps": 0, "batch_size": 45, "checkpoint_every": 0.0,
}  # fmt: skip


def test_a_recipe_goes_on_after_a_stop_to_the_same_bits(small: Dataset, small_data: Dataset, tmp_path: Path) -> None:
    described = replace(
        EXPERIMENT, training=replace(EXPERIMENT.training, **RECIPE),
        data=Data(divisor=256.0, train=450, score_on="held-out"),
    )  # fmt: skip
    whole = make(tmp_path / "whole", small, described, initial=parameters(), steps=None)  # pyright: ignore[reportArgumentType]
    seen: list[int] = []
    stopped = make(
        tmp_path / "stopped", small, described, initial=parameters(), steps=None,  # pyright: ignore[reportArgumentType]
        watchers=[lambda step: seen.append(step.number)], stop=lambda: len(seen) == 13,
    )  # fmt: skip
    outcome = resume(stopped)
    assert outcome.tally.steps == 20
    assert_same_bits(whole, stopped)
    assert replay(stopped).verdict == "BITWISE"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.pop("linear1.bias"), "has no linear1.bias; wanted linear1.weight (10, 784), linear1.bias (10,)"),
        (lambda p: p.update(bias=p["linear1.bias"]), "has 'bias', which the network has not; wanted linear1.weight"),
        (
            lambda p: p.update({"linear1.bias": np.zeros(9)}),
            "linear1.bias of what was handed in has shape (9,); wanted",
        ),
        (
            lambda p: p.update({"linear1.weight": p["linear1.weight"].T}),
            "has shape (784, 10); wanted (10, 784). It is (out, in), as in torch: hand in its transpose.",
        ),
        (lambda p: p["linear1.weight"].__setitem__((2, 5), np.nan), "linear1.weight[2,5] of what was handed in is nan"),
        (lambda p: p["linear1.bias"].__setitem__(1, -np.inf), "linear1.bias[1] of what was handed in is -inf"),
        (lambda p: p.update({"linear1.bias": np.arange(10)}), "is an array of int64; wanted an array of float64"),
        (lambda p: p.update({"linear1.bias": [0.0] * 10}), "is a list; wanted an array of float64"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(change: Any, words: str, small_data: Dataset) -> None:
    given = parameters()
    change(given)
    with pytest.raises(DescriptionError) as refused:
        compare.run(EXPERIMENT, initial=given)
    assert words in str(refused.value)


def test_no_bit_is_lost_on_the_way(small_data: Dataset) -> None:
    with pytest.raises(DescriptionError, match=r"rounding it to training\.dtype, float32, would change it"):
        compare.run(EXPERIMENT, initial=parameters(), dtype="float32")
    single = {name: array.astype(np.float64) for name, array in parameters("float32").items()}
    assert str(compare.run(EXPERIMENT, initial=single, dtype="float32").verdict) == "AGREES"
    assert str(compare.run(EXPERIMENT, initial=parameters("float32")).verdict) == "AGREES"


def test_given_by_nobody_is_refused(small_data: Dataset) -> None:
    with pytest.raises(DescriptionError, match=r"initial\.weight is 'given', and no parameters were handed in; wanted"):
        compare.run(replace(EXPERIMENT, initial=Initial("given")))
    with pytest.raises(DescriptionError, match=r"initial\.bias is 'given'; wanted given with initial\.weight alone"):
        Initial("zeros", "given")


def test_the_command_takes_a_file_and_refuses_what_is_none(
    small_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    layer = '[[layers]]\nkind = "Linear"\nin_features = 784\nout_features = 10\n'
    loss = '[loss]\nkind = "CrossEntropyLoss"\n'
    Path("mine.toml").write_text(f'{layer}{loss}[initial]\nweight = "zeros"\n', encoding="utf-8")
    Path("given.toml").write_text('[initial]\nfile = "w.safetensors"\n', encoding="utf-8")
    command = ["run", "mine.toml", "--config", "given.toml", "--steps", "2", "--json"]
    assert run_cli(monkeypatch, command) == 2
    assert "initial.file is 'w.safetensors'; there is no such file" in capsys.readouterr().err
    Path("w.safetensors").write_bytes(b"no tensors")
    assert run_cli(monkeypatch, command) == 2
    assert "cannot be read as safetensors" in capsys.readouterr().err
    save_file(parameters(), "w.safetensors")
    assert run_cli(monkeypatch, command) == 0
    record = Path(json.loads(capsys.readouterr().out)["record"])
    assert np.array_equal(load_file(record / "initial.safetensors")["linear1.bias"], parameters()["linear1.bias"])
    assert 'file = "w.safetensors"' in (record / "config.toml").read_text(encoding="utf-8")
    Path("w.safetensors").unlink()
    assert replay(record).verdict == "BITWISE"  # a record holds them itself


def run_cli(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> int:
    monkeypatch.setattr("sys.argv", ["backproof", *command])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)
