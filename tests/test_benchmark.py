"""That the benchmarks run and report, and that they are fair: both sides of a race compute the same numbers."""

import io
import json
from itertools import islice
from types import SimpleNamespace

import pytest
from rich.console import Console

from compare.benchmark import memory, run_benchmarks, show
from compare.benchmark.child import run_python
from compare.benchmark.contestants import describe, manual_step, rows_of, torch_step
from compare.benchmark.lockstep import plain
from compare.benchmark.rounds import compared, met, take_turns
from compare.experiment.datasets import Dataset
from compare.experiment.description import DescriptionError, DTypeName


@pytest.mark.parametrize(("dtype", "precision"), [("float32", 1e-5), ("float64", 1e-12)])
@pytest.mark.parametrize(("hidden", "batch_size"), [(30, 10), (100, 64)])
def test_both_sides_of_a_race_compute_the_same_losses(
    hidden: int, batch_size: int, dtype: DTypeName, precision: float, small: Dataset
) -> None:
    experiment = describe(hidden, batch_size, dtype)
    by_hand, by_autograd = manual_step(experiment, small), torch_step(experiment, small)
    rows = list(islice(rows_of(experiment, small), 8))
    losses = [float(by_hand(batch)) for batch in rows]
    assert losses == pytest.approx([float(by_autograd(batch)) for batch in rows], rel=precision)
    assert losses[0] != pytest.approx(losses[-1], rel=1e-3), "the weights did not move: a race without an update"


def test_quick_benchmarks_report_their_keys(small_data: Dataset) -> None:
    results = run_benchmarks(["step", "lockstep", "startup"], quick=True)
    assert json.loads(json.dumps(results)) == results
    assert results["quick"]
    assert results["threads"] == 1
    assert {"cpu", "python", "packages", "blas"} <= results["environment"].keys()
    assert len(results["step"]) == 4
    for row in [*results["step"], *results["lockstep"]]:
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
    text = shown(results)
    assert text.index("ratio") < text.index("median of a step") < text.index(results["environment"]["cpu"])
    assert f"NumPy {results['environment']['packages']['numpy']}" in text


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
    assert len(list(islice(plain(describe(30, 10, "float64", steps=7), small), 10))) == 7


def test_an_unknown_benchmark_is_named() -> None:
    with pytest.raises(DescriptionError, match="'stepp'"):
        run_benchmarks(["stepp"], quick=True)


def shown(results: dict[str, object]) -> str:
    console = Console(file=io.StringIO(), width=150)
    show(results, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
