"""The page of the classic confusions: its commands find its mistakes, and its table is what was measured."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compare import cli
from compare.commands import confusions as commands
from compare.diagnosis.plant import find_mistake
from compare.experiment import datasets
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.experiment.files import read_experiment
from compare.lockstep.loop import Loop
from compare.lockstep.run import threads
from compare.selftest import self_test
from compare.selftest.accuracy import CONFUSIONS, accuracies, measure
from compare.selftest.run import watch
from compare.views.confusions import document, read, table, trial

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "manual" / "derivation" / "confusions.md").read_text(encoding="utf-8")
MEASURED = read(ROOT / "results" / "confusions.json")
EARLY = MEASURED["after"][0]


@pytest.fixture(scope="module")
def article() -> Experiment:
    return read_experiment("article", {"training": {"mode": "lockstep", "seed": 1}})


def early(experiment: Experiment, name: str | None) -> float:
    """Measure the accuracy after the first steps, on the whole test set."""
    with threads(1):
        return accuracies(experiment, datasets.load(), find_mistake(name) if name else None, [EARLY])[0]


def recorded(name: str | None, seed: int) -> dict:
    (found,) = [each for each in MEASURED["trials"] if (each["mistake"], each["seed"]) == (name, seed)]
    return found


def test_the_page_plants_every_mistake_that_is_measured_in_that_order() -> None:
    assert tuple(re.findall(r"^backproof run article --steps 3 --plant (\S+)$", PAGE, flags=re.M)) == CONFUSIONS


@pytest.mark.parametrize("name", CONFUSIONS)
def test_a_run_of_three_steps_finds_and_names_it(name: str, article: Experiment, small: Dataset) -> None:
    mistake = find_mistake(name)
    found = watch(Loop(article.changed("training", steps=3), small, mistake=mistake), mistake)
    assert found.located
    assert found.named_first
    assert {(each["named"], each["step"]) for each in MEASURED["trials"] if each["mistake"] == name} == {(name, 1)}


def test_the_plain_transpositions_are_found_where_the_page_says() -> None:
    (names,) = re.findall(r"^backproof selftest (.+)$", PAGE, flags=re.M)
    result = self_test([find_mistake(name) for name in names.split()], alarms=False, digits=False).to_json()
    assert (result["mistakes"], result["named"], result["unplantable"]) == (2, 2, [])


@pytest.mark.parametrize(("page", "lang"), [("confusions.md", "en"), ("confusions.zh.md", "zh")])
def test_the_table_is_that_of_the_file(
    page: str, lang: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "manual" / "derivation" / page).read_text(encoding="utf-8")
    (shown,) = re.findall(r"<!-- table: begin -->\n(.*?)<!-- table: end -->", text, flags=re.S)
    assert command(monkeypatch, str(ROOT / "results" / "confusions.json"), "--markdown", "--lang", lang) == 0
    assert shown == capsys.readouterr().out


def test_the_file_holds_whole_trainings_of_every_mistake_and_of_the_correct_network(article: Experiment) -> None:
    seeds = {each["seed"] for each in MEASURED["trials"]}
    assert len(seeds) > 1
    trials = [(each["mistake"], each["seed"]) for each in MEASURED["trials"]]
    assert sorted(trials, key=str) == sorted(((name, seed) for name in (None, *CONFUSIONS) for seed in seeds), key=str)
    assert MEASURED["after"][-1] == article.training.epochs * 60_000 / article.training.batch_size


@pytest.mark.parametrize("name", [None, "bias-gradient-zero"])
def test_an_early_accuracy_measured_again_is_the_one_of_the_file(name: str | None, article: Experiment) -> None:
    assert early(article, name) == recorded(name, 1)["accuracies"][0]


def test_a_doubled_delta_is_to_the_bit_a_doubled_learning_rate(article: Experiment) -> None:
    doubled = article.changed("optimizer", lr=2 * article.optimizer.lr)  # equation (257), c a power of two
    assert early(article, "delta-doubled") == early(doubled, None) != recorded(None, 1)["accuracies"][0]


def test_measuring_takes_the_accuracy_when_it_is_asked_to(article: Experiment, small: Dataset) -> None:
    with threads(1):
        both = accuracies(article, small, None, [5, 40])
        assert both == [accuracies(article, small, None, [steps])[0] for steps in (5, 40)]
    assert both[0] < both[1]


def test_a_measurement_says_what_a_run_finds(article: Experiment, small: Dataset) -> None:
    measured = list(measure(article, small, [4], [1, 2]))
    assert [each.mistake for each in measured] == [None, *CONFUSIONS]
    correct, first = trial(measured[0]), trial(measured[1])
    assert (correct["named"], correct["step"]) == (None, None)
    assert (first["named"], first["step"], first["tensor"]) == ("delta-doubled", 1, "sigmoid2.output.grad")
    assert all(np.isfinite(each.accuracies).all() and len(each.accuracies) == 2 for each in measured)
    content = document("article", [1, 2], measured, {"packages": {"numpy": "2"}, "machine": "m"})
    assert table(content).count("\n| `") == len(CONFUSIONS)


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["backproof", "confusions", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code if isinstance(left.value.code, int) else 0


def test_the_command_measures_writes_and_prints(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any, small_data: Dataset
) -> None:
    monkeypatch.setattr(commands, "SEEDS", (5, 6))
    monkeypatch.setattr(commands, "EARLY", 2)
    monkeypatch.setattr("compare.selftest.accuracy.CONFUSIONS", ("delta-halved",))
    file = tmp_path / "new" / "confusions.json"
    assert command(monkeypatch, str(file), "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content == read(file)
    steps = 4 * len(small_data.train_images) / 20
    assert (content["experiment"], content["after"]) == ("article", [2, steps])
    assert [(each["mistake"], each["seed"]) for each in content["trials"]] == [
        (None, 5), (None, 6), ("delta-halved", 5), ("delta-halved", 6),
    ]  # fmt: skip
    assert command(monkeypatch, str(file), "--markdown") == 0
    assert capsys.readouterr().out == table(content)


@pytest.mark.parametrize("text", [None, "no JSON", "[]", '{"trials": [{"seed": 1}]}', '{"trials": []}'])
def test_a_file_that_is_none_is_one_sentence(
    text: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    file = tmp_path / "confusions.json"
    if text is not None:
        file.write_text(text)
    assert command(monkeypatch, str(file), "--markdown") == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "backproof confusions FILE" in error


def test_the_summary_counts_what_the_rows_show() -> None:
    accuracies = {None: 0.94, "a": 0.95, "b": 0.935, "c": 0.925, "d": 0.84}
    trials = [
        {"mistake": name, "seed": 1, "accuracies": [0.5, value], "step": 1, "tensor": "loss"}
        for name, value in accuracies.items()
    ]
    content = {
        "experiment": "x",
        "after": [1, 2],
        "trials": trials,
        "environment": {"packages": {"numpy": "2"}, "machine": "m"},
    }
    assert "Of 4 mistakes 2 end less than one point below the correct network, 1 of them above it.\n1 more" in table(
        content
    )
    assert "| `b` | 50.00 | 93.50 | 93.50 | -0.50 | step 1, `loss` |" in table(content)
