"""The command line of exercises: a course written, answers judged, one table, JSON for a gradebook."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from compare import cli
from tests.exercise.conftest import answered

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

SLOPE = "return grad_output * (1 - self.a * self.a)"
KEYS = {"file", "exercise", "verdict", "agrees_up_to", "hints", "equation", "mistake"}


@pytest.fixture
def backproof(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Run a command line in this process, in a folder of its own; return status, output, messages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["backproof", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


def test_without_a_name_it_lists_what_there_is(backproof: Any) -> None:
    status, out, _ = backproof("exercise")
    assert status == 0
    assert {"Linear", "MultiheadAttention", "CrossEntropyLoss", "AdamW", "article"} <= set(out.split())
    known = json.loads(backproof("exercise", "--json")[1])
    assert "article" in known["networks"]


def test_a_name_in_any_case_writes_a_file_and_never_over_another(backproof: Any, tmp_path: Path) -> None:
    assert backproof("exercise", "LiNeAr")[0] == 0
    before = (tmp_path / "linear.py").read_text()
    status, out, err = backproof("exercise", "linear")
    assert (status, out) == (2, "")
    assert "linear.py exists" in err
    assert (tmp_path / "linear.py").read_text() == before
    assert backproof("exercise", "linear", "--out", "mine.py")[0] == 0
    assert (tmp_path / "mine.py").read_text() == before


def test_a_wrong_name_gets_the_nearest(backproof: Any) -> None:
    status, _, err = backproof("exercise", "Sigmoyd")
    assert status == 2
    assert "Sigmoid" in err


def test_a_course_is_a_folder_and_one_table(backproof: Any, tmp_path: Path) -> None:
    status, _, _ = backproof("exercise", "tanh", "sigmoid", "article", "--out", "course")
    assert status == 0
    course = tmp_path / "course"
    assert sorted(file.name for file in course.iterdir()) == ["article.py", "sigmoid.py", "tanh.py"]
    (course / "tanh.py").write_text(answered("tanh", SLOPE))
    (course / "sigmoid.py").write_text(answered("sigmoid", "return grad_output * self.a"))
    (course / "note.py").write_text("print('not an exercise')")

    status, out, _ = backproof("exercise", "check", "course", "--json")
    marks = json.loads(out)
    assert status == 1
    assert (marks["right"], marks["of"]) == (1, 4)
    found = {Path(entry["file"]).name: entry for entry in marks["exercises"]}
    assert all(entry.keys() >= KEYS for entry in found.values())
    assert {name: entry["verdict"] for name, entry in found.items()} == {
        "article.py": "UNFINISHED", "note.py": "REFUSED", "sigmoid.py": "WRONG", "tanh.py": "RIGHT",
    }  # fmt: skip
    assert found["sigmoid.py"]["mistake"] == "sigmoid-derivative-without-rest"
    assert found["sigmoid.py"]["equation"] == 14
    assert found["tanh.py"]["agrees_up_to"] == "input.grad"

    (course / "sigmoid.py").unlink()
    status, out, _ = backproof("exercise", "check", "course")
    assert status == 1
    assert "1 of 3 are right." in out
    assert any("tanh.py" in line and "RIGHT" in line for line in out.splitlines())


def test_nothing_is_written_of_a_course_of_which_a_file_is_there(backproof: Any, tmp_path: Path) -> None:
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "tanh.py").write_text("mine")
    assert backproof("exercise", "sigmoid", "tanh", "--out", "course")[0] == 2
    assert [file.name for file in (tmp_path / "course").iterdir()] == ["tanh.py"]


def test_a_right_answer_leaves_with_0(backproof: Any, tmp_path: Path) -> None:
    (tmp_path / "tanh.py").write_text(answered("tanh", SLOPE))
    status, out, _ = backproof("exercise", "check", "tanh.py")
    assert status == 0
    assert out.startswith("RIGHT")


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--hint", "2"], 2), (["--hint", "--hint"], 2), (["--hint=3"], 3), (["--hint"], 1), ([], 0)],
)
def test_hints_by_number_or_repeated(backproof: Any, words: list[str], said: int) -> None:
    backproof("exercise", "tanh")  # unfinished: judged without a process
    status, out, _ = backproof("exercise", "check", "tanh.py", *words, "--json")
    assert status == 1
    assert len(json.loads(out)["exercises"][0]["hints"]) == said


@pytest.mark.parametrize("words", [["nowhere.py"], [], ["tanh.py", "--hint", "9"], ["empty"], ["tanh.py", "--unknown"]])
def test_a_mistake_in_the_command_line_is_one_message(backproof: Any, tmp_path: Path, words: list[str]) -> None:
    backproof("exercise", "tanh")
    (tmp_path / "empty").mkdir()
    status, out, err = backproof("exercise", "check", *words)
    assert (status, out) == (2, "")
    assert err.startswith("backproof: ")
    assert "Traceback" not in err
