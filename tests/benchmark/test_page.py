"""That the page and the picture are what the JSON says; and what the command answers."""

import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compare.benchmark import Selection, read_results, run_benchmarks, step, suite, write_results
from compare.benchmark.contestants.contestant import Contestant
from compare.benchmark.contestants.field import ENTRANTS, Entrant
from compare.benchmark.files import made_of
from compare.benchmark.networks import initial
from compare.benchmark.page import as_markdown
from compare.benchmark.rounds import compared
from compare.commands import app
from compare.experiment.datasets import Dataset
from compare.experiment.description import DescriptionError

RESULTS = Path(__file__).resolve().parents[2] / "results"


def bench(*words: str) -> Any:
    """Return the exit status of the command with these words."""
    return app(["bench", *words], exit_on_error=False, print_error=False, result_action="return_value")


def made_up(ratio: float) -> dict[str, Any]:
    """Return results of one case, in which torch takes `ratio` times as long as manual, and another is absent."""
    where = {"network": "784-10", "batch": 10, "dtype": "float32"}
    seconds = {"torch": [ratio * 1e-4] * 2, "manual": [1e-4] * 2}
    row = compared("784-10, batch 10, float32", seconds, "torch", "manual", {"at_least": 2.0}) | where
    absent = {"case": row["case"], "of": ["jax.jit", "manual"], "absent": "jax is not installed", **where}
    environment = {
        "cpu": "A processor", "cpu_count": 2, "system": "Linux 6", "python": "3.11.7",
        "packages": {"numpy": "2.0", "torch": "2.3"},
        "blas": [{"user_api": "blas", "internal_api": "openblas", "version": "0.3", "architecture": "Haswell"}],
    }  # fmt: skip
    return {"quick": False, "threads": 1, "date": "2026-01-02", "environment": environment, "step": [row, absent]}


def test_the_page_says_ratio_medians_machine_and_who_is_absent() -> None:
    page = as_markdown(made_up(3.0))
    for said in (
        "| 784-10, batch 10, float32 | 3.00 |",
        "100.0 | 300.0",
        "Haswell",
        "2026-01-02",
        "jax is not installed",
    ):
        assert said in page
    assert "Of 1 targets 1 were met." in page


def test_a_missed_target_is_told_with_what_was_measured() -> None:
    page = as_markdown(made_up(1.5))
    assert "Of 1 targets 0 were met. Missed:" in page
    assert "| step | torch / manual: 784-10, batch 10, float32 | 1.50 | >= 2 |" in page
    assert "1.50 *" in page


def test_the_picture_has_a_mark_for_every_ratio_and_says_it() -> None:
    picture = ET.fromstring(made_of(made_up(3.0))["benchmarks.svg"])
    said = [title.text for title in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert "torch, batch 10: 3.00" in said
    assert not any("jax" in (text or "") for text in said)


def test_written_results_are_read_back_and_make_the_same_files(tmp_path: Path) -> None:
    results = made_up(3.0)
    files = write_results(results, tmp_path)
    assert {file.name for file in files} == {"benchmarks.json", "benchmarks.md", "benchmarks.svg"}
    assert read_results(tmp_path / "benchmarks.json") == results
    assert bench("--from", str(tmp_path / "benchmarks.json"), "--write", str(tmp_path / "again")) == 0
    for file in files:
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_the_page_that_is_kept_is_what_the_numbers_that_are_kept_make() -> None:
    for name, content in made_of(read_results(RESULTS / "benchmarks.json")).items():
        assert (RESULTS / name).read_text(encoding="utf-8") == content, f"make {name} again: bench --from ... --write"


@pytest.mark.parametrize("content", ["no json", "[1]", '{"step": []}'])
def test_a_file_without_results_is_answered_in_a_sentence(content: str, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(DescriptionError, match=r"other\.json does not hold results; wanted"):
        read_results(file)
    with pytest.raises(DescriptionError, match=r"cannot be read"):
        read_results(tmp_path / "none.json")


def test_unknown_cases_are_answered() -> None:
    with pytest.raises(DescriptionError, match="'784-20-10'"):
        Selection(network="784-20-10")
    with pytest.raises(DescriptionError, match="'float16'"):
        Selection(dtype="float16")
    with pytest.raises(DescriptionError, match="batch is -1"):
        Selection(batch=-1)


def test_one_case_is_measured_alone(small_data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    case = ["--network", "784-10", "--batch", "1", "--dtype", "float32"]
    assert bench("step", "--quick", "--json", *case) == 0
    results = json.loads(capsys.readouterr().out)
    assert {row["case"] for row in results["step"]} == {"784-10, batch 1, float32"}
    raced = {row["of"][0] for row in results["step"] if "ratio" in row}
    assert {"torch", "torch foreach", "torch fused", "scikit-learn", "per example"} <= raced
    assert all(row["absent"] for row in results["step"] if "ratio" not in row), "who is absent says why"


def test_who_computes_another_step_is_not_timed_but_named(
    small_data: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    idle = Entrant(lambda experiment, _: Contestant(lambda rows: None, lambda: list(initial(experiment).values())))
    monkeypatch.setattr(step, "ENTRANTS", {"manual": ENTRANTS["manual"], "torch": ENTRANTS["torch"], "idle": idle})
    case = ["--network", "784-10", "--batch", "10", "--dtype", "float64"]
    assert bench("step", "--quick", "--json", *case) == 1
    timed, named = json.loads(capsys.readouterr().out)["step"]
    assert timed["of"] == ["torch", "manual"]
    assert timed["apart"] < 1e-9
    assert named["unequal"]
    assert "idle moves linear1.weight otherwise than manual" in named["absent"]


def test_a_tuned_blas_is_left_to_a_process_without_the_tuning(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def run(*arguments: str, without: tuple[str, ...]) -> SimpleNamespace:
        asked.append((arguments, without))
        return SimpleNamespace(stdout='{"quick": true}')

    monkeypatch.setattr(suite, "run_python", run)
    monkeypatch.setitem(os.environ, "OPENBLAS_CORETYPE", "Haswell")
    assert run_benchmarks(["step"], True, Selection("784-10", 10)) == {"quick": True}
    ((arguments, without),) = asked
    assert arguments == ("-m", "compare", "bench", "step", "--quick", "--network", "784-10", "--batch", "10", "--json")
    assert "OPENBLAS_CORETYPE" in without
