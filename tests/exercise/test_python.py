"""Exercises from Python, and what is no fault of the answer."""

import sys
from pathlib import Path
from typing import Any

import pytest

import compare.exercise
from compare import cli
from compare.exercise import judging
from tests.exercise.conftest import answered


def test_an_exercise_is_written_and_checked(tmp_path: Path) -> None:
    file = compare.exercise.write_exercise("Tanh", tmp_path / "mine.py")
    assert compare.exercise.check_exercise(file).verdict == "UNFINISHED"
    with pytest.raises(ValueError, match="exists"):
        compare.exercise.write_exercise("Tanh", file)


def test_a_machine_without_processes_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(*_: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(judging, "Process", none)
    file = tmp_path / "tanh.py"
    file.write_text(answered("tanh", "return grad_output * (1 - self.a * self.a)"))
    monkeypatch.setattr(sys, "argv", ["backproof", "exercise", "check", str(file)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 3
    assert "could not be run" in capsys.readouterr().err
