"""The command line: what is printed where, the exit statuses, and one message instead of a traceback."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from compare import cli
from compare.experiment import datasets
from compare.experiment.datasets import DataError, Dataset
from compare.experiment.files import preset_names, read_experiment

# Under pytest the library of the command line suspects that sys.argv was forgotten; here it is what is tried.
pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

ROOT = Path(__file__).resolve().parents[2]
FINDING = {
    "step", "stage", "tensor", "operation", "index", "manual", "reference", "last_agreeing", "suspects", "ruled_out",
}  # fmt: skip
SMALLEST = '[[layers]]\nkind = "Linear"\nin_features = 784\nout_features = 10\n'


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str


@pytest.fixture
def backproof(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, small_data: Dataset
) -> Any:
    """Run a command line in this process, in a folder of its own, on the small data set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["backproof", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        code = left.value.code
        return Said(code if isinstance(code, int) else 0 if code is None else 1, printed.out, printed.err)

    return run


def process(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "compare", *words],
        cwd=cwd, capture_output=True, text=True, timeout=120, env=environment(**variables),
    )  # fmt: skip


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **variables}


# ----------------------------------------------------------------------------------------------------------- the answer


def test_json_is_one_document_with_the_promised_keys(backproof: Any) -> None:
    said = backproof("run", "--steps", "7", "--json")
    assert (said.status, said.err) == (0, "")
    answer = json.loads(said.out, parse_constant=no_such_number)
    assert (answer["verdict"], answer["steps"], answer["checks"]) == ("AGREES", 7, 7 * 23)
    assert answer["divergence"] is None
    assert answer["kinks"] == []
    assert len(answer["worst"]) == 23
    for worst in answer["worst"].values():
        assert {"error", "bound", "step", "index"} <= worst.keys()
        assert 1 <= worst["step"] <= 7
        assert isinstance(worst["index"], list)
    assert {"manual", "reference", "disagreements"} <= answer["accuracy"].keys()
    assert 0 <= answer["accuracy"]["manual"] <= 1
    assert answer["independent"]["drift"][0]["step"] == 1
    assert Path(answer["record"]).is_dir()
    assert Path(answer["record"]).parent == Path("results")


def no_such_number(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


def test_json_of_an_overflow_is_still_json(backproof: Any) -> None:
    said = backproof("run", "relu", "--steps", "20", "--lr", "1e6", "--json")
    assert said.status == 3
    answer = json.loads(said.out, parse_constant=no_such_number)
    assert answer["verdict"] == "INCONCLUSIVE"
    divergence = answer["divergence"]
    assert divergence.keys() >= FINDING
    assert divergence["tensor"] in divergence["reason"]
    assert answer["accuracy"] is None


def test_json_of_a_divergence_names_what_diverged(backproof: Any) -> None:
    said = backproof("run", "--steps", "3", "--plant", "bias-gradient-averaged", "--json")
    assert said.status == 1
    answer = json.loads(said.out, parse_constant=no_such_number)
    assert answer["verdict"] == "DIVERGES"
    divergence = answer["divergence"]
    assert (divergence["step"], divergence["stage"], divergence["tensor"], divergence["operation"]) == (
        1, "backward", "linear1.bias.grad", "linear1.backward",
    )  # fmt: skip
    assert divergence["last_agreeing"] == "linear1.weight.grad"
    assert divergence["suspects"][0]["name"] == "bias-gradient-averaged"
    assert divergence["suspects"][0]["residual"] < 1e-10
    assert divergence["ruled_out"]


def test_without_json_the_verdict_is_printed_first(backproof: Any) -> None:
    said = backproof("run", "--steps", "3", "--out", "here")
    assert said.status == 0
    assert said.out.startswith("AGREES")
    assert "3 steps" in said.out.splitlines()[0]
    assert "linear1.weight.grad" in said.out
    (record,) = Path("here").iterdir()
    assert str(record) in said.out


def test_a_divergence_is_printed_with_its_place(backproof: Any) -> None:
    said = backproof("run", "--steps", "3", "--plant", "bias-gradient-averaged")
    assert said.status == 1
    assert said.out.startswith("DIVERGES")
    for word in ("linear1.backward", "linear1.bias.grad", "bias-gradient-averaged"):
        assert word in said.out


def test_quiet_is_the_verdict_alone(backproof: Any) -> None:
    assert backproof("run", "--steps", "2", "--quiet") == Said(0, "AGREES\n", "")
    said = backproof("run", "--steps", "2", "--quiet", "--plant", "bias-gradient-averaged")
    assert (said.status, said.out.splitlines()[0], said.err) == (1, "DIVERGES", "")


def test_there_are_no_colours_where_there_is_no_terminal(backproof: Any) -> None:
    for words in (("run", "--steps", "2"), ("list",), ("--help",)):
        said = backproof(*words)
        assert "\x1b" not in said.out + said.err


@pytest.mark.parametrize("forced", [True, False], ids=["forced", "NO_COLOR"])
def test_no_color_is_respected(forced: bool, backproof: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not forced:
        monkeypatch.setenv("NO_COLOR", "1")
    said = backproof("run", "--steps", "2")
    coloured = re.search(r"\x1b\[[0-9;]*3[0-7]m|\x1b\[[0-9;]*9[0-7]m", said.out) is not None
    assert coloured == forced


def test_the_options_reach_the_experiment(backproof: Any) -> None:
    Path("over.toml").write_text("[optimizer]\nmomentum = 0.5\n")
    said = backproof(
        "run", "article-one-layer", "--steps", "4", "--epochs", "3", "--seed", "8", "--dtype", "float32",
        "--lr", "0.25", "--batch-size", "5", "--mode", "lockstep", "--config", "over.toml", "--threads", "1",
        "--device", "cpu", "--dataset", "kmnist", "--data-root", "somewhere", "--download", "--show-config",
    )  # fmt: skip
    assert (said.status, said.err) == (0, "")
    Path("shown.toml").write_text(said.out)
    found = read_experiment("shown.toml")
    training, data = found.training, found.data
    assert (training.steps, training.epochs, training.seed, training.batch_size) == (4, 3, 8, 5)
    assert (training.dtype, training.mode, training.threads, training.device) == ("float32", "lockstep", 1, "cpu")
    assert (found.optimizer.lr, found.optimizer.momentum) == (0.25, 0.5)
    assert (data.dataset, data.data_root, data.download) == ("kmnist", "somewhere", True)
    assert not Path("results").exists()


def test_a_file_of_ones_own_runs(backproof: Any) -> None:
    Path("mine.toml").write_text(SMALLEST + "[training]\nsteps = 3\n")
    said = backproof("run", "mine.toml", "--json")
    assert said.status == 0
    assert json.loads(said.out)["experiment"] == "mine"


# -------------------------------------------------------------------------------------------------------- report, list


def test_a_record_is_reported_as_it_was_shown(backproof: Any) -> None:
    shown = backproof("run", "--steps", "3").out
    (record,) = Path("results").iterdir()
    said = backproof("report", str(record))
    assert said == Said(0, f"{shown}report: {record / 'report.html'}\n", "")
    assert (record / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    as_json = backproof("report", str(record), "--json")
    assert json.loads(as_json.out)["record"] == str(record)


def test_a_record_is_reported_as_markdown(backproof: Any) -> None:
    backproof("run", "--steps", "3", "--quiet")
    (record,) = Path("results").iterdir()
    said = backproof("report", str(record), "--markdown")
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0].startswith("**AGREES**: `article`, 3 steps")
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + 23
    assert len({row.count("|") for row in rows}) == 1
    assert any(row.startswith("| `linear1.weight.grad` | backward |") for row in rows)


@pytest.mark.parametrize("end", ["diverged", "overflowed"])
def test_whatever_ended_a_run_its_record_can_be_reported(end: str, backproof: Any) -> None:
    if end == "diverged":
        backproof("run", "--steps", "3", "--plant", "bias-gradient-averaged", "--quiet")
    else:
        backproof("run", "relu", "--steps", "20", "--lr", "1e6", "--quiet")
    (record,) = Path("results").iterdir()
    for option in ([], ["--json"], ["--markdown"]):
        said = backproof("report", str(record), *option)
        assert (said.status, said.err) == (0, "")
        assert ("DIVERGES" if end == "diverged" else "INCONCLUSIVE") in said.out


def test_list_names_every_experiment(backproof: Any) -> None:
    said, as_json = backproof("list"), backproof("list", "--json")
    assert (said.status, as_json.status) == (0, 0)
    names = [entry["name"] for entry in json.loads(as_json.out)["experiments"]]
    assert names == preset_names()
    assert all(name in said.out for name in names)
    assert all(entry["about"] for entry in json.loads(as_json.out)["experiments"])


@pytest.mark.parametrize("what", ["layers", "mistakes"])
def test_list_names_layers_and_mistakes(what: str, backproof: Any) -> None:
    said, as_json = backproof("list", what), backproof("list", what, "--json")
    assert (said.status, as_json.status, as_json.err) == (0, 0, "")
    groups = json.loads(as_json.out)
    entries = [entry for group in groups.values() for entry in group]
    assert len(entries) > 10
    assert all(entry["name"] and entry["about"] for entry in entries)
    if what == "layers":
        assert {"layers", "losses", "optimizers", "initializers"} <= groups.keys()
        assert any(entry["name"].startswith("Linear(in_features, out_features") for entry in groups["layers"])


def test_help_and_version(backproof: Any) -> None:
    for words in (["--help"], ["-h"], [], ["run", "--help"], ["list", "--help"]):
        said = backproof(*words)
        assert said.status == 0
        assert "backproof" in said.out
    assert "--batch-size" in backproof("run", "--help").out
    assert re.fullmatch(r"\d+\.\d+\S*\n", backproof("--version").out)


# ---------------------------------------------------------------------------------------------- no traceback for a user

# words of the command line ("{toml}": a file with what follows the arrow), the exit status, a fragment of the message
BAD: list[tuple[str, int, str]] = [
    ("rum", 2, "rum"),
    ("run artcle", 2, "Did you mean 'article'?"),
    ("run article extra", 2, "extra"),
    ("run --stepz 3", 2, "--stepz"),
    ("run --steps", 2, "--steps"),
    ("run --steps three", 2, "three"),
    ("run --steps 2.5", 2, "2.5"),
    ("run --steps 0", 2, "steps is 0"),
    ("run --steps -4", 2, "-4"),
    ("run --epochs 0", 2, "training.epochs is 0"),
    ("run --seed -1", 2, "training.seed is -1"),
    ("run --seed 9223372036854775808", 2, "training.seed"),
    ("run --dtype float16", 2, "float16"),
    ("run --lr -1", 2, "optimizer.lr is -1"),
    ("run --lr nan", 2, "optimizer.lr is nan"),
    ("run --lr inf", 2, "optimizer.lr is inf"),
    ("run --lr fast", 2, "fast"),
    ("run --batch-size 0", 2, "training.batch_size is 0"),
    ("run --batch-size 601", 2, "training.batch_size is 601; wanted at most 600"),
    ("run --mode parallel", 2, "parallel"),
    ("run --threads 0", 2, "training.threads is 0"),
    ("run --device gpu", 2, "training.device is 'gpu'"),
    ("run --device cuda:99", 2, "cuda:99"),
    ("run --device mps", 2, "mps"),
    ("run --dataset fashionmnist", 2, "Did you mean 'fashion-mnist'?"),
    ("run --config missing.toml", 2, "missing.toml: cannot be read"),
    ("run missing.toml", 2, "missing.toml: cannot be read"),
    ("run .", 2, "'.'"),
    (f"run {'x' * 300}", 2, "There is no experiment"),
    ("run --plant weight-gradient-transpose", 2, "weight-gradient-transpose"),
    ("run --plant bias-gradient-averaged article --show-config --plant", 2, "--plant"),
    ("run --out file --steps 1", 3, "file"),
    ("run --out file/below --steps 1", 3, "file"),
    (f"run --out {'x' * 300} --steps 1", 3, "cannot be written"),
    ("run --json=5", 2, "json"),
    ("list everything", 2, "everything"),
    ("list layers mistakes", 2, "mistakes"),
    ("report", 2, "RECORD"),
    ("report nowhere", 3, "nowhere"),
    ("report file", 3, "file"),
    ("report empty", 3, "manifest.json"),
    ("report broken", 3, "manifest.json: not JSON"),
    ("report hollow", 3, "manifest.json"),
    ("report hollow --markdown", 3, "manifest.json"),
    ("report hollow --json", 3, "manifest.json"),
    ("report --json empty broken", 2, "--json is about one record; found 2"),
    ("selftest no-such-mistake", 2, "no-such-mistake"),
    ("bench everything", 2, "everything"),
    ("run {toml} -> this is no toml", 2, "not a TOML file"),
    ("run {toml} -> layers = []", 2, "at least one layer"),
    ("run {toml} -> [[layers]]\nkind = 'Conv3d'", 2, "layers.kind is 'Conv3d'"),
    ("run {toml} -> [[layers]]\nkind = 'Linear'\nin_features = 784\nout_features = 9", 2, "10 classes"),
    ("run {toml} -> [[layers]]\nkind = 'Linear'\nin_features = 7\nout_features = 10", 2, "wants 7 inputs"),
    ("run {toml} -> [[layers]]\nkind = 'Sigmoid'", 2, "classes"),
    (f"run {{toml}} -> {SMALLEST}[loss]\nkind = 'BCELoss'", 2, "BCELoss"),
    (f"run {{toml}} -> {SMALLEST}[[layers]]\nkind = 'LogSoftmax'\ndim = 3", 2, "dim"),
    (f"run {{toml}} -> {SMALLEST}[training]\nseed = 'one'", 2, "training.seed is 'one'"),
    (f"run {{toml}} -> {SMALLEST}[optimizer]\nlr = 1{'0' * 400}", 2, "optimizer.lr"),
    (f"run {{toml}} -> {SMALLEST}[optimizer]\nlr = 1{'0' * 5000}", 2, "experiment.toml"),
    (f"run {{toml}} -> {SMALLEST}[training]\ndevice = 'cuda:99'", 2, "cuda:99"),
    (f"run --config {{toml}} -> training = 3\n{SMALLEST}", 2, "training is 3"),
    (f"run --config {{toml}} --steps 3 -> training = 3\n{SMALLEST}", 2, "training is 3"),
]


@pytest.mark.parametrize(("line", "status", "fragment"), BAD, ids=[line[:50].replace("\n", " ") for line, *_ in BAD])
def test_a_mistake_of_the_users_is_one_message_and_no_traceback(
    line: str, status: int, fragment: str, backproof: Any
) -> None:
    Path("file").write_text("")
    for folder in ("empty", "broken", "hollow"):
        Path(folder).mkdir()
    Path("broken", "manifest.json").write_text("{")
    for name in ("manifest", "metrics", "environment"):
        Path("hollow", f"{name}.json").write_text("{}")
    command, _, content = line.partition(" -> ")
    Path("experiment.toml").write_text(content)
    said = backproof(*command.replace("{toml}", "experiment.toml").split())
    assert said.status == status
    assert fragment in said.err
    assert said.err.startswith("backproof: ")
    assert "Traceback" not in said.err
    assert said.out == ""
    assert len(said.err.splitlines()) <= 4


def test_data_that_cannot_be_had_is_status_3(backproof: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Dataset:
        raise DataError("The digits are gone. Restore them.")

    monkeypatch.setattr(datasets, "load", fail)
    assert backproof("run", "--steps", "1") == Said(3, "", "backproof: The digits are gone. Restore them.\n")
    assert not Path("results").exists()


def test_a_fault_of_ours_is_not_dressed_up_as_the_users(backproof: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Dataset:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(datasets, "load", fail)
    monkeypatch.setattr(sys, "argv", ["backproof", "run", "--steps", "1"])
    with pytest.raises(ZeroDivisionError, match="ours"):
        cli.main()


def test_an_interrupt_before_the_first_step_is_status_130(backproof: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> Dataset:
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load", interrupt)
    said = backproof("run", "--steps", "1")
    assert (said.status, said.out) == (130, "")
    assert "Interrupted" in said.err


# ------------------------------------------------------------------------------------------ processes of their own


def test_python_m_compare_is_the_command(tmp_path: Path) -> None:
    ran = process("run", "--steps", "2", "--json", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["verdict"] == "AGREES"
    assert len(list((tmp_path / "results").iterdir())) == 1


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["run", "--stepz"], ["--version"], []], ids=" ".join)
def test_help_and_wrong_words_are_answered_before_anything_heavy_is_imported(words: list[str], tmp_path: Path) -> None:
    program = (
        "import sys, atexit\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'torchvision'}\n"
        "atexit.register(lambda: print('heavy', sorted(heavy & set(sys.modules))))\n"
        f"sys.argv = ['backproof', *{words!r}]\n"
        "from compare.cli import main\n"
        "main()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, env=environment()
    )
    assert ran.returncode == (2 if "--stepz" in words else 0)
    assert ran.stdout.splitlines()[-1] == "heavy []"


@pytest.mark.parametrize("signals", [1, 2])
def test_ctrl_c_leaves_a_readable_record_and_status_130(signals: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "compare", "run", "--epochs", "50", "--out", "results"]
    running = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    try:
        assert wait_for(lambda: steps_recorded(tmp_path), 90), "no step was recorded"
        for _ in range(signals):
            running.send_signal(signal.SIGINT)
            time.sleep(0.001)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 130, err
    assert "Traceback" not in err
    assert "Interrupted" in err
    (record,) = (tmp_path / "results").iterdir()
    manifest = json.loads((record / "manifest.json").read_text())
    assert manifest["status"] == "interrupted"
    lines = [json.loads(line) for line in (record / "steps.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, manifest["steps"] + 1))
    if signals == 1:
        assert "interrupted" in out
        assert json.loads((record / "metrics.json").read_text())["outcome"]["interrupted"] is True


def wait_for(condition: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def steps_recorded(folder: Path) -> bool:
    return any(path.stat().st_size for path in folder.glob("results/*/steps.jsonl"))


def test_a_reader_that_has_gone_away_is_no_error_of_a_table_either(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "compare", "list"], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as ran:  # fmt: skip
        assert ran.stdout is not None
        assert ran.stderr is not None
        ran.stdout.close()  # before anything is printed
        assert ran.stderr.read() == b""
        assert ran.wait(60) == 0


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m compare list mistakes --json | head -c 1"
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=environment(),
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
