"""What becomes of a cell, and what the cells come to together; without a process."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import compare
from compare.experiment.datasets import Dataset
from compare.records.schema import RecordError
from compare.sweep import backends
from compare.sweep import sweep as running
from compare.sweep.backends import SweepError
from compare.sweep.cells import cells_of
from compare.sweep.grid import read_grid
from compare.sweep.summary import spread
from compare.sweep.sweep import Sweep, prepare, run_sweep
from compare.sweep.worker import Row, Task, finished_record, row, row_of_outcome, row_of_process, work
from compare.views.report import ReportError
from compare.views.sweep import as_markdown, counts_line, seeds, table_of, write_report
from tests.views.records import copied, edit

TASK = Task(1, "key", "config", "folder", "directory", 0)


def outcome(verdict: str = "AGREES", accuracy: float | None = 0.5, used: Any = 0.25, **more: Any) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "steps": 3,
        "tightest": {"loss": {"used": 0.125, "step": 1}, "linear1.output": {"used": used, "step": 2}},
        "accuracy": accuracy and {"manual": accuracy, "reference": 0.5, "disagreements": 0, "mcnemar_p": 1.0},
        "divergence": None,
        "seconds": 1.0,
        "record": None,
        **more,
    }


def printed(**more: Any) -> str:
    return json.dumps(outcome(**more), indent=1) + "\n"


@pytest.mark.parametrize(
    ("status", "out", "err", "became", "said"),
    [
        (0, printed(), "", "finished", None),
        (0, "{\n noise\n" + printed(), "", "finished", None),  # a layer of the user's own prints
        (3, printed(verdict="INCONCLUSIVE"), "", "finished", None),
        (0, "nonsense", "", "failed", "said nothing that is an outcome, with exit status 0"),
        (0, "{}\n", "", "failed", "said nothing that is an outcome"),
        (1, "", "Traceback ...\nKeyError: 3\n", "failed", "exit status 1. Its last words: KeyError: 3"),
        (2, "", "backproof: training.seed is -1.\n", "failed", "training.seed is -1."),
        (3, "", "a warning\nbackproof: The digits are gone.\n", "failed", "The digits are gone."),
        (7, "", "", "failed", "broke off, with exit status 7."),
        (-9, "", "", "died", "signal 9 (SIGKILL): out of memory?"),
        (-11, printed(), "oh\n", "died", "signal 11 (SIGSEGV). Its last words: oh"),
        (-99, "", "", "died", "signal 99 (unknown)."),
        (130, printed(), "", "interrupted", "interrupted"),
    ],
)  # fmt: skip
def test_whatever_ends_a_process_its_row_says_so(
    status: int, out: str, err: str, became: str, said: str | None
) -> None:
    found = row_of_process(TASK, status, out, err)
    assert found["status"] == became
    assert (found["verdict"] is not None) == (became == "finished")
    assert said is None or said in found["reason"]


@pytest.mark.parametrize(("used", "tensor"), [(0.25, "linear1.output"), (0.1, "loss"), ("nan", "linear1.output")])
def test_the_tightest_margin_is_the_largest_share_of_a_bound(used: Any, tensor: str) -> None:
    assert row_of_outcome(TASK, outcome(used=used))["tightest"]["tensor"] == tensor
    assert row_of_outcome(TASK, outcome(tightest={}))["tightest"] is None  # trained apart: nothing is audited


def test_a_worker_never_raises(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = work(Task(1, "key", "config", str(tmp_path / "file" / "below"), str(tmp_path), os.getpid()))
    assert found["status"] == "failed"
    assert found["reason"].startswith("NotADirectoryError")


@pytest.fixture
def recorded(tmp_path: Path, small_data: Dataset) -> Path:
    """The record of a run of one step, alone in a cell's folder."""
    made = compare.run("article", steps=1, mode="lockstep", out=tmp_path / "cell").record
    assert made is not None
    return made


def test_only_a_finished_record_of_this_very_experiment_counts(recorded: Path) -> None:
    folder, config = recorded.parent, (recorded / "config.toml").read_text()
    for name, content in (("y4", "{"), ("y5", "[]"), ("y6", "{}")):  # behind the record in the order of names
        (folder / name).mkdir()
        (folder / name / "manifest.json").write_text(content)
    running = copied(recorded, "z", folder)
    edit(running, "manifest", lambda manifest: manifest | {"status": "running"})
    found = finished_record(folder, config)
    assert found
    assert found.folder == recorded
    assert finished_record(folder, config + "\n") is None
    assert finished_record(folder / "nowhere", config) is None


def test_a_record_that_was_changed_is_run_again(recorded: Path) -> None:
    config = (recorded / "config.toml").read_text()
    metrics = recorded / "metrics.json"
    metrics.write_text(metrics.read_text().replace('"AGREES"', '"DIVERGES"'))
    assert finished_record(recorded.parent, config) is None


def test_spread_over_seeds() -> None:
    assert spread([0.5, 0.75, 0.25]) == {"mean": 0.5, "deviation": 0.25, "least": 0.25, "most": 0.75, "runs": 3}
    assert spread([0.5])["deviation"] is None
    assert seeds([3, 1, 2, 7, 9, 10]) == "1-3, 7, 9-10"


# ------------------------------------------------------------------------------------- sweeps of cells that are not run


@pytest.fixture
def made(tmp_path: Path) -> Sweep:
    """A sweep of two losses and two seeds."""
    file = tmp_path / "four.toml"
    file.write_text('[grid]\nloss = [{ kind = "MSELoss" }, { kind = "BCELoss" }]\ntraining.seed = [1, 2]\n')
    grid = read_grid(str(file))
    return prepare(grid, cells_of(grid), tmp_path / "out")


def answering(monkeypatch: pytest.MonkeyPatch, *rounds: Mapping[int, Row | BaseException]) -> list[list[int]]:
    """Let the workers answer so, round for round; return the cells that each round was asked for."""
    asked: list[list[int]] = []

    def results(tasks: Sequence[Task]) -> Iterator[Row]:
        answers = rounds[len(asked)]
        asked.append([task.number for task in tasks])
        for task in tasks:
            answer = answers[task.number]
            if isinstance(answer, BaseException):
                raise answer
            yield answer | {"key": task.key}

    monkeypatch.setattr(running, "results", results)
    return asked


def ended(number: int, **more: Any) -> Row:
    return row_of_outcome(Task(number, "", "", "", "", 0), outcome(**more))


def test_the_table_has_a_row_for_every_combination_without_its_seed(
    made: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverging = {"step": 2, "stage": "backward", "tensor": "t", "operation": "o", "reason": "It is wrong."}
    answers = {
        1: ended(1, accuracy=0.9, used=0.3),
        2: ended(2, accuracy=0.8, used=0.5),
        3: ended(3, verdict="DIVERGES", divergence=diverging, accuracy=None),
        4: row(Task(4, "", "", "", "", 0), "died", "By a signal."),
    }
    answering(monkeypatch, answers)
    run_sweep(made)
    result = made.to_json()
    names, rows = table_of(result, {"loss": "loss"}, lambda value: value["kind"])
    assert dict(zip(names, rows[0], strict=True)) == {
        "loss": "MSELoss", "seeds": "1-2", "verdict": "AGREES", "tightest %": "50.0", "of": "linear1.output",
        "accuracy % manual": "85.00 +- 7.07", "accuracy % reference": "50.00 +- 0.00",
    }  # fmt: skip
    assert rows[1] == ["BCELoss", "1-2", "DIVERGES 1, died 1", "25.0", "linear1.output", "", ""]
    assert result["summary"][0]["tightest"]["seed"] == 2
    text = as_markdown(result, {"loss": "loss"}, lambda value: value["kind"])
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1
    assert "- cell 3: DIVERGES. It is wrong.\n- cell 4: died. By a signal.\n" in text
    assert json.loads((made.folder / "sweep.json").read_text()) == result


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["AGREES", "AGREES", "EXPLAINED", "AGREES"], 0),
        (["AGREES", "INCONCLUSIVE", "AGREES", "AGREES"], 3),
        (["AGREES", "died", "AGREES", "AGREES"], 3),
        (["AGREES", "died", "DIVERGES", "AGREES"], 1),
    ],
)
def test_the_exit_status(words: list[str], status: int, made: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = row(TASK, "died", "")
    answers = {i: dead | {"cell": i} if w == "died" else ended(i, verdict=w) for i, w in enumerate(words, start=1)}
    answering(monkeypatch, answers)
    run_sweep(made)
    assert made.exit_status == status


def test_a_pool_that_breaks_is_made_anew_for_what_it_left(made: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = OSError("a worker is gone")
    asked = answering(monkeypatch, {1: ended(1), 2: broken}, {2: ended(2), 3: ended(3), 4: ended(4)})
    run_sweep(made)
    assert asked == [[1, 2, 3, 4], [2, 3, 4]]
    assert made.exit_status == 0


def test_a_pool_that_breaks_again_leaves_rows_with_the_reason(made: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = OSError("a worker is gone")
    answering(monkeypatch, {1: ended(1), 2: broken}, {2: ended(2), 3: broken})
    run_sweep(made)
    assert [made.rows[i]["status"] for i in range(1, 5)] == ["finished", "finished", "failed", "failed"]
    assert "OSError: a worker is gone" in made.rows[3]["reason"]
    assert made.exit_status == 3


def test_an_interrupt_keeps_what_is_there(made: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, {1: ended(1), 2: KeyboardInterrupt()})
    run_sweep(made)
    kept = json.loads((made.folder / "sweep.json").read_text())
    assert [cell["status"] for cell in kept["cells"]] == ["finished", *["interrupted"] * 3]
    assert made.exit_status == 130
    assert counts_line(kept).endswith("of 4 cells; interrupted: start it again to run the rest")


def test_cells_whose_records_lie_on_other_machines_are_skipped_by_their_rows(
    made: Sweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    far = {"record": "/on/the/worker/record"}
    answers = {1: ended(1, **far), 2: row(TASK, "died", "") | {"cell": 2}, 3: ended(3, **far), 4: ended(4, **far)}
    answering(monkeypatch, answers)
    run_sweep(made)
    assert made.records == []
    again = prepare(made.grid, made.cells, tmp_path / "out")
    assert (sorted(again.rows), again.skipped) == ([1, 3, 4], 3)
    asked = answering(monkeypatch, {2: ended(2)})
    run_sweep(again)
    assert asked == [[2]]
    assert again.to_json()["cells"][0]["record"] == "/on/the/worker/record"


def test_a_folder_that_cannot_be_written_is_one_message(made: Sweep, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(SweepError, match="cannot be written"):
        run_sweep(made)


@pytest.mark.parametrize("name", ["dask", "ray"])
def test_a_backend_that_is_not_installed_is_told_with_what_to_install(
    name: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    with pytest.raises(SweepError, match=rf"pip install 'backproof\[{name}\]'"):
        backends.backend(name, None, None)


def test_two_sweeps_of_one_name_do_not_share_a_folder(made: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, {i: ended(i) for i in range(1, 5)})
    with made.held(), pytest.raises(SweepError, match="another process is writing this sweep"):
        run_sweep(made)
    assert not asked
    assert not (made.folder / "sweep.json").exists()
    run_sweep(made)
    assert made.exit_status == 0


@pytest.mark.parametrize("wrong", [ReportError("A report needs jinja2: install it"), RecordError("changed")])
def test_a_report_that_cannot_be_had_is_advice(
    wrong: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise wrong

    monkeypatch.setattr("compare.views.report.write_report", refuse)
    assert write_report([tmp_path], tmp_path / "report.html") == f"There is no report.html: {wrong}"


def test_without_records_there_is_no_report(tmp_path: Path) -> None:
    assert write_report([], tmp_path / "report.html") == ""
    assert not (tmp_path / "report.html").exists()
