"""`backproof reproduce` as its user meets it: what it prints and writes, and its exit status."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compare import cli
from compare.experiment.datasets import Dataset
from compare.published.comparison import equal_count
from compare.published.registry import REGISTRY, Recipe, find_recipes
from compare.published.reproduction import Reproduction
from compare.published.runs import Runs
from compare.views.published import BEGIN, END
from tests.published.conftest import RUN, made

Answer = tuple[int, str, str]


@pytest.fixture
def backproof(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Run a command in a folder of its own; return its status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["backproof", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    return run


def test_a_reproduction_is_shown_and_kept(backproof: Any, tmp_path: Path) -> None:
    status, out, err = backproof("reproduce", "mazur-2-2-2", "cs231n-toy")
    assert (status, err) == (0, "")
    assert "0.2983711087600027" in out
    assert "within 1e-09" in out
    written = tmp_path / "results" / "reproductions"
    assert sorted(path.name for path in written.iterdir()) == ["cs231n-toy.json", "mazur-2-2-2.json"]


def test_json_is_all_that_is_printed(backproof: Any, tmp_path: Path) -> None:
    status, out, err = backproof("reproduce", "cs231n-adam", "--out", "elsewhere", "--json")
    (found,) = json.loads(out)["reproductions"]
    assert (status, err) == (0, "")
    assert found == json.loads((tmp_path / "elsewhere/reproductions/cs231n-adam.json").read_text(encoding="utf-8"))
    assert found["met"]


@pytest.mark.parametrize(
    ("reproduction", "status"),
    [
        (made(), 0),
        (made((equal_count("right", 9270, 9271),)), 1),
        (made(runs=(replace(RUN, verdict="DIVERGES", reason="somewhere"),)), 1),
        (made(runs=(replace(RUN, verdict="INCONCLUSIVE", reason="it overflowed"),)), 3),
    ],
)
def test_the_exit_status(
    backproof: Any, only: Callable[[Reproduction], None], reproduction: Reproduction, status: int
) -> None:
    only(reproduction)
    found, out, _ = backproof("reproduce", "--quiet")
    assert found == status
    assert out.startswith(f"book  {'met' if status == 0 else 'NOT MET'}: ")
    assert out.count("\n") == 1


def test_an_unknown_name_is_answered_with_the_nearest(backproof: Any, tmp_path: Path) -> None:
    status, out, err = backproof("reproduce", "mazur")
    assert (status, out) == (2, "")
    assert "no reproduction 'mazur'. Did you mean 'mazur-2-2-2'?" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_all_names_are_asked_before_any_runs(backproof: Any, tmp_path: Path) -> None:
    status, _, err = backproof("reproduce", "cs231n-toy", "cs231n-adm")
    assert status == 2
    assert "'cs231n-adam'" in err
    assert not (tmp_path / "results").exists()


def test_the_list_has_them_all(backproof: Any) -> None:
    status, out, _ = backproof("reproduce", "--list", "--json")
    assert status == 0
    assert [each["name"] for each in json.loads(out)["reproductions"]] == list(REGISTRY)
    assert all(name in backproof("reproduce", "--list")[1] for name in REGISTRY)


def test_every_reproduction_can_be_loaded() -> None:
    for recipe in find_recipes(()).values():
        assert callable(recipe.load())
        assert recipe.about


@pytest.mark.parametrize("option", ["--list", "--write"])
def test_what_runs_nothing_takes_no_names(backproof: Any, option: str) -> None:
    status, _, err = backproof("reproduce", "mazur-2-2-2", option)
    assert status == 2
    assert f"{option} takes no names" in err


def test_the_section_is_written_from_the_files(backproof: Any, tmp_path: Path) -> None:
    backproof("reproduce", "cs231n-toy", "--quiet")
    page = tmp_path / "results" / "README.md"
    page.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    status, out, err = backproof("reproduce", "--write")
    assert (status, out) == (0, "")
    assert "README.md: 1 reproductions written" in err
    assert "1.2658570521180532" in page.read_text(encoding="utf-8")


def test_a_section_without_files_or_place_is_refused_in_a_sentence(backproof: Any, tmp_path: Path) -> None:
    status, _, err = backproof("reproduce", "--write")
    assert (status, len(err.splitlines())) == (3, 1)
    assert "found no reproductions" in err
    backproof("reproduce", "cs231n-toy", "--quiet")
    status, _, err = backproof("reproduce", "--write")
    assert (status, len(err.splitlines())) == (3, 1)
    assert "README.md" in err


def test_a_half_written_file_is_refused_in_a_sentence(backproof: Any, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "reproductions"
    folder.mkdir(parents=True)
    (folder / "cs231n-toy.json").write_text('{"name": "cs231n-toy", "met": tr', encoding="utf-8")
    status, _, err = backproof("reproduce", "--write")
    assert (status, len(err.splitlines())) == (3, 1)
    assert "backproof reproduce cs231n-toy --out results" in err


@pytest.mark.parametrize(
    ("experiment", "options", "verdict", "status"),
    [("article", {"plant": "bias-gradient-averaged"}, "DIVERGES", 1),
     ("relu", {"lr": 1e150}, "INCONCLUSIVE", 3)],
)  # fmt: skip
def test_a_run_that_breaks_off_is_told_with_its_reason(
    backproof: Any, monkeypatch: pytest.MonkeyPatch, small_data: Dataset, experiment: str, options: dict[str, Any],
    verdict: str, status: int,
) -> None:  # fmt: skip
    def recipe(runs: Runs) -> Reproduction:
        runs.run(experiment, "the first", steps=20, mode="lockstep", **options)
        raise AssertionError("nothing comes after a run that broke off")

    class Broken(Recipe):
        def load(self) -> Any:
            return recipe

    monkeypatch.setattr("compare.published.registry.REGISTRY", {"book": Broken("A book.", "nowhere")})
    found, out, err = backproof("reproduce", "book", "--json")
    assert (found, err) == (status, "")
    (kept,) = json.loads(out)["reproductions"]
    (run,) = kept["runs"]
    assert not kept["met"]
    assert run["verdict"] == verdict
    assert run["reason"]
    assert Path("results", run["record"]).is_dir()
    assert run["reason"] in backproof("reproduce", "book")[1]


def test_who_is_interrupted_leaves_no_file(backproof: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("compare.published.runs.Runs.step", interrupted)
    status, out, err = backproof("reproduce", "cs231n-toy")
    assert (status, out) == (130, "")
    assert "Interrupted." in err
    assert not (tmp_path / "results").exists()
