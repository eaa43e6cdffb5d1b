"""Trackers as plug-ins of other packages: what they are shown, and that nothing they do takes the proof along."""

import json
import sys
from pathlib import Path

import pytest

import compare
from compare import cli
from compare.experiment.datasets import Dataset
from compare.experiment.files import read_experiment
from compare.trackers.loading import TrackerError
from tests.trackers.conftest import Install

DIARY = """
class Diary:
    def __init__(self, experiment, folder):
        self.lines = [f"made for {experiment.name} in {folder.name}"]
        self.file = folder / "diary.txt"
        assert folder.is_dir() and (folder.parent / "manifest.json").is_file()

    def begin(self, loop):
        self.lines.append(f"begin {loop.steps}")

    def step(self, step):
        self.lines.append(f"step {step.number} {step.loss_manual > 0} {len(step.errors)}")

    def finish(self, outcome):
        self.lines.append(f"finish {outcome.verdict} {outcome.record == self.file.parents[1]}")

    def close(self):
        self.file.write_text("\\n".join([*self.lines, "close"]))


class Terse:
    def __init__(self, experiment, folder): pass
    def step(self, step): pass
    def finish(self, outcome): pass
    def close(self): pass


class Stumbling(Diary):
    def step(self, step):
        super().step(step)
        if step.number == 2:
            raise OSError("the server went away")


class Meddling(Diary):
    def step(self, step):
        step.manual["linear1.weight"][:] = 0


class Rewriting(Diary):
    def step(self, step):
        for noted in (step.errors, step.bounds):
            noted.update(dict.fromkeys(noted, 1e9))
        step.checks.clear()
        step.kinks.clear()
        for state in step.state_before.values():
            try:
                state[...] = 0
            except ValueError:
                self.lines.append("refused")


class Quitting(Diary):
    def begin(self, loop):
        raise SystemExit(0)


class Unmakeable:
    def __init__(self, experiment, folder):
        raise PermissionError("no key")


class Incomplete:
    def __init__(self, experiment, folder): pass
    def step(self, step): pass


number = 3
"""
NAMES = ("diary", "terse", "stumbling", "meddling", "quitting", "rewriting")
POINTS = {name: f"diaries:{name.capitalize()}" for name in NAMES}


@pytest.fixture(autouse=True)
def diaries(install: Install, small_data: Dataset) -> None:
    install(
        "diaries", DIARY, **POINTS, unmakeable="diaries:Unmakeable", incomplete="diaries:Incomplete",
        number="diaries:number", misspelt="diaries:Dairy", homeless="no_such_module:X",
    )  # fmt: skip
    sys.modules.pop("diaries", None)


def run(tmp_path: Path, *names: str) -> compare.Outcome:
    return compare.run("article", steps=3, mode="lockstep", out=tmp_path / "results", track=names)


def written(outcome: compare.Outcome, name: str) -> list[str]:
    assert outcome.record
    return (outcome.record / name / "diary.txt").read_text().splitlines()


def test_a_tracker_of_another_package_is_shown_every_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run(tmp_path, "diary", "terse", "diary")
    assert written(outcome, "diary") == [
        "made for article in diary", "begin 3", "step 1 True 23", "step 2 True 23", "step 3 True 23",
        "finish AGREES True", "close",
    ]  # fmt: skip
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "said", "last"),
    [
        (
            "stumbling",
            "the tracker stumbling raised OSError at step 2 and is switched off: the server",
            "step 2 True 23",
        ),
        ("meddling", "the tracker meddling raised ValueError at step 1 and is switched off: assignment", "begin 3"),
        ("quitting", "the tracker quitting raised SystemExit before the first step", "made for article in quitting"),
    ],
)
def test_a_tracker_that_raises_is_reported_once_and_switched_off(
    name: str, said: str, last: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = compare.run("article", steps=3, mode="lockstep")
    outcome = run(tmp_path, name, "diary")
    assert outcome.verdict is compare.Verdict.AGREES
    assert outcome.to_json()["worst"] == alone.to_json()["worst"]
    assert written(outcome, name)[-2:] == [last, "close"]
    assert written(outcome, "diary")[-2:] == ["finish AGREES True", "close"]  # the other goes on
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"backproof: {said}")
    assert json.loads(Path(str(outcome.record), "manifest.json").read_text())["status"] == "finished"


def test_what_a_tracker_is_shown_is_its_own(tmp_path: Path) -> None:
    momentum = {"optimizer": {"kind": "SGD", "lr": 0.1, "momentum": 0.9}}
    experiment = read_experiment("article", {**momentum, "training": {"steps": 3, "mode": "lockstep"}})
    alone = compare.run(experiment, out=tmp_path / "alone")
    outcome = compare.run(experiment, out=tmp_path / "results", track=("rewriting", "diary"))
    assert outcome.to_json()["worst"] == alone.to_json()["worst"]
    assert "refused" in written(outcome, "rewriting")
    assert alone.record
    assert outcome.record
    lines = [(record / "steps.jsonl").read_text() for record in (alone.record, outcome.record)]
    assert lines[0] == lines[1]


def test_trackers_are_closed_where_a_run_is_broken_off(tmp_path: Path) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare.run("article", steps=3, out=tmp_path / "results", track=["diary"], watchers=[interrupt])
    (diary,) = tmp_path.glob("results/*/diary/diary.txt")
    assert diary.read_text().splitlines()[-2:] == ["step 1 True 23", "close"]


def test_trackers_need_a_record(tmp_path: Path) -> None:
    with pytest.raises(compare.DescriptionError, match="out="):
        compare.run("article", steps=1, track=["diary"])
    assert written(compare.run("article", steps=1, out=tmp_path, track="diary"), "diary")  # one name is a name


@pytest.mark.parametrize("name", ["unmakeable", "incomplete"])
def test_a_tracker_that_cannot_be_made_ends_the_run_before_it_begins(name: str, tmp_path: Path) -> None:
    wanted = "PermissionError: no key" if name == "unmakeable" else "without finish, close"
    with pytest.raises(TrackerError, match=wanted):
        run(tmp_path, "diary", name)
    (record,) = (tmp_path / "results").iterdir()
    assert json.loads((record / "manifest.json").read_text())["status"] == "failed"
    assert (record / "diary" / "diary.txt").read_text().endswith("close")


@pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")
@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("dairy", 2, "There is no tracker 'dairy'. Did you mean 'diary'?"),
        ("tensorflow", 2, "Did you mean 'tensorboard'?"),
        ("homeless", 3, "The tracker homeless of the package diaries cannot be imported: No module named"),
        ("misspelt", 3, "The tracker misspelt of the package diaries cannot be loaded: AttributeError"),
        ("number", 3, "diaries:number is int; wanted (experiment, folder) -> tracker."),
        ("tensorboard", 3, "Install what it needs: pip install 'backproof[track]'"),
    ],
)
def test_a_tracker_that_cannot_be_had_is_one_message(
    name: str,
    status: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if name == "tensorboard":  # as where it is not installed
        for module in [key for key in sys.modules if "tensorboard" in key]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["backproof", "run", "--steps", "1", "--track", name])
    with pytest.raises(SystemExit) as left:
        cli.main()
    printed = capsys.readouterr()
    assert (left.value.code, printed.out) == (status, "")
    assert printed.err.startswith("backproof: ")
    assert said in printed.err
    assert len(printed.err.splitlines()) == 1
    assert not Path("results").exists()
