"""The reference names everything that there is: keys of JSON documents, commands, public classes and functions."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import compare
import manual
from compare import cli
from compare.commands import app
from compare.experiment.datasets import Dataset
from tests.docs.blocks import ROOT

REFERENCE = ROOT / "docs" / "reference"


def documented_keys(command: str) -> set[str]:
    """Return the keys in the first column of a command's tables on the page about JSON."""
    sections = re.split(r"^## ", (REFERENCE / "json.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    section = next(s for s in sections[1:] if command in s.splitlines()[0].split(", "))
    rows = re.findall(r"^\| (`[^|]*) \|", section, flags=re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`(\w+)`", row)}


@pytest.fixture
def answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, small_data: Dataset
) -> Any:
    """Run a command in a folder of its own; return the document that it prints."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["backproof", *words, "--json"])
        with pytest.raises(SystemExit):
            cli.main()
        return json.loads(capsys.readouterr().out)

    return run


def test_the_keys_of_a_run_and_of_its_repetition_are_those_of_the_reference(answer: Any) -> None:
    outcome = answer("run", "--steps", "2")
    assert outcome.keys() == documented_keys("run")
    assert answer("replay", outcome["record"]).keys() == documented_keys("replay")
    assert answer("report", outcome["record"]).keys() == documented_keys("report")


def test_the_keys_of_a_check_are_those_of_the_reference(answer: Any) -> None:
    double = """
class Double:
    def forward(self, x):
        return 2 * x
    def backward(self, grad_output):
        return 2 * grad_output
def double(x):
    return 2 * x
"""
    Path("double.py").write_text(double, encoding="utf-8")
    checked = answer("check", "double.py:Double", "--against", "double.py:double", "--examples", "5")
    assert checked.keys() == documented_keys("check")


def test_the_keys_of_a_self_test_are_those_of_the_reference(answer: Any) -> None:
    assert answer("selftest", "bias-gradient-averaged").keys() == documented_keys("selftest")


def test_the_keys_of_an_export_are_those_of_the_reference(answer: Any) -> None:
    assert answer("export", "article", "ported", "--steps", "1").keys() == documented_keys("export")


def test_the_keys_of_reproductions_are_those_of_the_reference(answer: Any) -> None:
    found = answer("reproduce", "cs231n-toy")
    assert found.keys() == answer("reproduce", "--list").keys() == documented_keys("reproduce")
    section = (ROOT / "results" / "README.md").read_text(encoding="utf-8").split("## reproductions/NAME.json")[1]
    rows = re.findall(r"^\| (`[^|]*) \|", section.split("\n## ")[0], flags=re.MULTILINE)
    assert found["reproductions"][0].keys() == {key for row in rows for key in re.findall(r"`(\w+)`", row)}


def test_the_keys_of_the_lists_are_those_of_the_reference(answer: Any) -> None:
    keys = {key for what in ("experiments", "layers", "mistakes") for key in answer("list", what)}
    assert keys == documented_keys("list")


def test_every_command_that_prints_json_has_its_keys_in_the_reference() -> None:
    headings = re.findall(r"^## (.*)$", (REFERENCE / "json.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    printing = {name for name in app if not name.startswith("-") and "--json" in app[name].generate_docs()}
    assert printing == {name for heading in headings for name in heading.split(", ")}


@pytest.mark.parametrize("module", [manual, compare], ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_reference(module: Any) -> None:
    page = (REFERENCE / "python" / f"{module.__name__}.md").read_text(encoding="utf-8")
    entries = {name.rpartition(".")[2] for name in re.findall(r"^\.\. auto\w+:: ([\w.]+)", page, flags=re.MULTILINE)}
    rooms = {name for name in module.__all__ if isinstance(getattr(module, name), ModuleType)} - {"crosscheck"}
    assert set(module.__all__) - rooms <= entries
