"""What a learner reads is Chinese throughout: `explain` in the terminal, its page, an exercise and its check."""

import ast
import json
import re
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from compare import cli
from compare.exercise.entries import find_entry
from compare.exercise.paper import WIDTH, text_of
from compare.experiment.files import read_experiment
from compare.explain.explanation import explain
from compare.language import use_language
from compare.views.explain import show_explanation
from compare.views.explainer import write_explainer
from tests.exercise.conftest import answered
from tests.language.test_report_in_chinese import CHINESE, THREE_WORDS, Prose

COMMAND = re.compile(r"backproof [!-~ ]+")
CODE = re.compile(r"^  manual/\S+:\d+ .*", re.M)  # lines of the source, with their comments
NAMES = {"loss", "autograd"}


@pytest.fixture(autouse=True)
def chinese() -> Iterator[None]:
    """All that is said in a test is said in Chinese."""
    use_language("zh")
    yield
    use_language(None)


def english_in(text: str) -> list[str]:
    """Return what is left in English of a printed text: three words on end, and cells of a table that are words."""
    prose = CODE.sub("", COMMAND.sub("", text))
    cells = [cell for line in prose.splitlines() for cell in re.split(r"  +", line.strip())]
    words = [cell for cell in cells if re.fullmatch(r"[A-Za-z][a-z]*( [a-z]+)*", cell) and cell not in NAMES]
    return THREE_WORDS.findall(prose) + words


@pytest.mark.parametrize(
    ("experiment", "weight"),
    [
        ("article", None),
        ("relu", "linear1.weight[3,:]"),
        ("attention-rows", "residual1.multiheadattention1.in_proj_weight[5,3]"),
    ],
)
def test_an_explanation_is_chinese(experiment: str, weight: str | None) -> None:
    shown = StringIO()
    show_explanation(explain(read_experiment(experiment), weight=weight), Console(file=shown))
    assert len(CHINESE.findall(shown.getvalue())) > 100
    assert english_in(shown.getvalue()) == []


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the tutorial's network at its first step, in Chinese."""
    use_language("zh")
    file = tmp_path_factory.mktemp("explainer") / "page.html"
    return write_explainer(read_experiment("article"), file, steps=[1]).read_text(encoding="utf-8")


def test_the_explainer_is_chinese(page: str) -> None:
    prose = Prose(page)
    assert prose.language == "zh"
    assert len(prose.seen) > 40
    assert [text for text in prose.seen if re.search("[A-Za-z]{2}", text) and not CHINESE.search(text)] == []
    assert [text for text in prose.seen if THREE_WORDS.search(text)] == []
    assert [text for text in prose.seen if re.search(r"^[,;.:]|[\u4e00-\u9fff。][,;.:]", text)] == []


def leaves(value: Any) -> list[str]:
    """Return all texts in JSON data."""
    return [leaf for each in value.values() for leaf in leaves(each)] if isinstance(value, dict) else [value]


def test_what_the_explainers_script_fills_in_is_chinese(page: str) -> None:
    (words,) = re.findall(r'<script type="application/json" id="words">(.*?)</script>', page, flags=re.S)
    said = leaves(json.loads(words))
    assert len(said) > 80
    assert [text for text in said if not CHINESE.search(text) or THREE_WORDS.search(text)] == []


@pytest.mark.parametrize("name", ["linear", "crossentropyloss", "adam", "article"])
def test_an_exercise_says_in_chinese_what_is_to_be_derived(name: str) -> None:
    said = ast.get_docstring(ast.parse(text_of(find_entry(name)))) or ""
    assert ".zh.md" in said
    assert len(CHINESE.findall(said)) > 80
    assert english_in(said.removeprefix(f"Exercise: {name}")) == []
    assert max(len(line) + len(CHINESE.findall(line)) for line in said.splitlines()) <= WIDTH


def test_the_check_of_exercises_is_chinese(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {
        "sigmoid": "return grad_output * self.a", "tanh": "return grad_output[:-1]", "softplus": "import os",
        "relu": "raise ValueError('Wrong')", "article": "raise NotImplementedError('derive it')",
    }  # fmt: skip
    for name, body in answers.items():
        (tmp_path / f"{name}.py").write_text(answered(name, body), encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["backproof", "exercise", "check", ".", "--hint", "3", "--lang", "zh"])
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().out
    names = re.sub(rf"\b({'|'.join(answers)})(\.py)?\b", "", said)
    assert "WRONG（错误）" in said
    assert "导数写成 a，而不是 a (1 - a)。" in said
    assert "DERIVATION.zh.md" in said
    assert english_in(names) == []
