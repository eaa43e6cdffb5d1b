"""That the benchmarks run and report, and that they are fair: both sides of a race compute the same numbers."""

import io
import json
from itertools import islice
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from rich.console import Console

import manual
from compare.benchmark import layers, memory, run_benchmarks, show
from compare.benchmark.child import run_python
from compare.benchmark.entries import LAYERS, LOSSES, OPTIMIZERS, Entry
from compare.benchmark.lockstep import plain
from compare.benchmark.networks import describe
from compare.benchmark.rounds import compared, met, take_turns
from compare.benchmark.selection import Selection
from compare.experiment.datasets import Dataset
from compare.experiment.description import DescriptionError


def equal(mine: Any, others: Any, precision: float) -> bool:
    """Whether an array of manual's and a tensor of torch's are equal but for rounding; None where neither is."""
    if mine is None or others is None:
        return mine is None and others is None
    other = others.detach().numpy()
    scale = float(np.abs(other).max(initial=0.0))
    return np.shape(mine) == other.shape and np.allclose(mine, other, rtol=precision, atol=precision * scale)


DTYPES: list[tuple[Literal["float32", "float64"], float]] = [("float32", 1e-4), ("float64", 1e-11)]


@pytest.mark.parametrize(("dtype", "precision"), DTYPES)
@pytest.mark.parametrize("entry", LAYERS, ids=str)
def test_both_sides_of_a_layers_race_compute_the_same(
    entry: Entry, dtype: Literal["float32", "float64"], precision: float
) -> None:
    race = layers.layer_race(entry, dtype)
    (y, gradient, gradients), (torch_y, torch_gradient, weights) = race["manual"](), race["torch"]()
    assert y.dtype == dtype
    assert y.shape == torch_y.shape
    assert gradients.keys() == weights.keys()
    if entry.kind == "Dropout":  # each draws its own mask
        assert 0.4 < (y == 0).mean() < 0.6
        return
    assert equal(y, torch_y, precision)
    assert equal(gradient, torch_gradient, precision)
    race["torch"]()  # gradients must not add up over the calls
    for name, weight in weights.items():
        assert equal(gradients[name], weight.grad, precision), name


@pytest.mark.parametrize(("dtype", "precision"), DTYPES)
@pytest.mark.parametrize("entry", LOSSES, ids=str)
def test_both_sides_of_a_losss_race_compute_the_same(
    entry: Entry, dtype: Literal["float32", "float64"], precision: float
) -> None:
    race = layers.loss_race(entry, dtype)
    (loss, gradient), (torch_loss, torch_gradient) = race["manual"](), race["torch"]()
    assert equal(loss, torch_loss, precision)
    assert equal(gradient, torch_gradient, precision)


@pytest.mark.parametrize(("dtype", "precision"), DTYPES)
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_all_sides_of_a_steps_race_move_the_weights_alike(kind: str, dtype: str, precision: float) -> None:
    race = layers.step_race(kind, dtype)
    start = [weight.copy() for weight in race["manual"]()]
    own = race["manual"]()
    assert not np.array_equal(start[0], own[0])
    for other in ("torch", "torch foreach"):
        race[other]()
        assert all(equal(a, b, precision) for a, b in zip(own, race[other](), strict=True)), other


def test_every_layer_loss_and_optimizer_of_manual_is_measured() -> None:
    classes = {name for name in manual.__all__ if isinstance(getattr(manual, name), type)}
    measured = {entry.kind for entry in (*LAYERS, *LOSSES)} | OPTIMIZERS.keys()
    schedules = {name for name in classes if name.endswith("LR")}
    assert classes - measured == schedules | {"Network"}


def test_quick_benchmarks_report_their_keys(small_data: Dataset) -> None:
    results = run_benchmarks(
        ["step", "lockstep", "recording", "layers", "startup"], True, Selection("784-10", 10, "float32")
    )
    assert json.loads(json.dumps(results)) == results
    assert results["quick"]
    assert results["threads"] == 1
    assert {"cpu", "python", "packages", "blas"} <= results["environment"].keys()
    raced = [row for row in results["step"] if "ratio" in row]
    assert {row["case"] for row in raced} == {"784-10, batch 10, float32"}
    assert len(results["layers"]) == 2 * (len(LAYERS) + len(LOSSES) + 2 * len(OPTIMIZERS))
    assert all(row["target"] == {"at_least": 1.0} for row in results["layers"])
    for row in [*raced, *results["lockstep"], *results["recording"], *results["layers"]]:
        assert {"case", "ratio", "of", "quartiles", "rounds", "seconds", "target", "met"} <= row.keys()
        assert row["quartiles"][0] <= row["ratio"] <= row["quartiles"][1]
        assert set(row["of"]) == row["seconds"].keys()
    assert [row["case"] for row in results["startup"]] == ["backproof --help", "load_mnist()"]
    assert results["startup"][0]["imports"] == [], "help must not wait for heavy packages"


def test_peak_memory_is_that_of_a_process_of_its_own() -> None:
    peak = int(run_python("-m", "compare.benchmark.memory", "5").stdout)
    assert 2**26 < peak < 2**32, "between what PyTorch alone takes and what no run should"


def test_memory_compares_a_short_run_with_a_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = {"5": 600 * 2**20, "20": 660 * 2**20}

    def run(*arguments: str) -> SimpleNamespace:
        return SimpleNamespace(stdout=f"{peaks[arguments[-1]]}\n")

    monkeypatch.setattr(memory, "run_python", run)
    results = run_benchmarks(["memory"], quick=True)
    short, long = results["memory"]
    assert (short["steps"], short["bytes"], short["met"]) == (5, 600 * 2**20, True)
    assert long["growth"] == pytest.approx(1.1)
    assert not long["met"], "it fits, but it grows with the steps"
    assert "x 1.100" in shown(results)


def test_what_is_shown_tells_ratios_medians_and_the_machine(small_data: Dataset) -> None:
    results = run_benchmarks(["lockstep"], quick=True)
    assert {tuple(row["of"]) for row in results["lockstep"]} == {
        ("lockstep", "plain"), ("numpy.testing", "lockstep"), ("torch.testing", "lockstep")
    }  # fmt: skip
    text = shown(results)
    assert text.index("ratio") < text.index("median of a step") < text.index(results["environment"]["cpu"])
    assert f"NumPy {results['environment']['packages']['numpy']}" in text


def test_what_is_shown_of_a_layer_is_the_ratio_and_both_medians() -> None:
    seconds = {"torch": [3e-4, 3e-4], "manual": [2e-4, 2e-4]}
    results = run_benchmarks(["startup"], quick=True)
    rows = layers.measure_race("Tanh", {name: lambda: None for name in seconds}, quick=True)
    assert [row["of"] for row in rows] == [["torch", "manual"]]
    results["layers"] = [compared("Tanh (64, 256), float32", seconds, "torch", "manual", {"at_least": 1.0})]
    (line,) = [line for line in shown(results).splitlines() if "Tanh" in line]
    wanted = "torch / manual Tanh (64, 256), float32 1.50 1.50 - 1.50 300.0 200.0 >= 1 met"
    assert " ".join(line.split()) == wanted


def test_ratios_are_taken_round_by_round() -> None:
    seconds = {"slow": [2.0, 30.0, 8.0], "fast": [1.0, 10.0, 2.0]}  # the second round met a busy machine
    row = compared("a case", seconds, "slow", "fast", {"at_least": 3.0})
    assert row["ratio"] == 3.0
    assert row["quartiles"] == [2.5, 3.5]
    assert row["seconds"] == {"slow": 8.0, "fast": 2.0}
    assert row["met"]


def test_contestants_take_turns_as_to_who_begins() -> None:
    order: list[str] = []

    def contestant(name: str) -> float:
        order.append(name)
        return 1.0

    take_turns({"a": lambda: contestant("a"), "b": lambda: contestant("b")}, rounds=2)
    assert order == ["a", "b", "b", "a"]


def test_targets_bound_from_either_side() -> None:
    assert met(4.0, {"at_least": 4.0})
    assert not met(3.9, {"at_least": 4.0})
    assert met(0.4, {"at_most": 0.4})
    assert not met(float("nan"), {"at_most": 0.4})


def test_the_plain_loop_takes_one_step_at_every_turn(small: Dataset) -> None:
    assert len(list(islice(plain(describe("784-30-10", 10, "float64", steps=7), small), 10))) == 7


def test_an_unknown_benchmark_is_named() -> None:
    with pytest.raises(DescriptionError, match="'stepp'"):
        run_benchmarks(["stepp"], quick=True)


def shown(results: dict[str, object]) -> str:
    console = Console(file=io.StringIO(), width=150)
    show(results, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
