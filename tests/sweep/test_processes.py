"""Sweeps whose cells are run: on loky, on a real Dask cluster; with cells that die, and with sweeps that are ended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import LocalCluster

from compare import cli

ROOT = Path(__file__).resolve().parents[2]
LAYERS = """
import os, signal
import numpy as np


class Right:
    def forward(self, z):
        self.a = 1 / (1 + np.exp(-z))
        return self.a

    def backward(self, grad_output):
        return grad_output * self.a * (1 - self.a)


class Talking(Right):
    def forward(self, z):
        print("{")
        return super().forward(z)


class Raising(Right):
    def backward(self, grad_output):
        raise RuntimeError("not derived yet")
"""
KILLING = "    def forward(self, z):\n        os.kill(os.getpid(), signal.SIGKILL)\n"
TINY = 'training.steps = 3\ntraining.mode = "lockstep"\n'


def command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-W", "error", "-m", "compare", "sweep", *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


def sweep(cwd: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    ran = subprocess.run(
        command(*words, "--json"), cwd=cwd, capture_output=True, text=True, timeout=300, env=environment()
    )
    return ran.returncode, json.loads(ran.stdout) if ran.stdout else {}, ran.stderr


def test_a_cell_that_dies_takes_no_other_along_and_is_run_again_when_mended(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text(LAYERS)
    (tmp_path / "killing.py").write_text(f"{LAYERS}\n\nclass Killing(Right):\n{KILLING}")
    (tmp_path / "compare.py").write_text("raise ImportError('the user has a file of this name')\n")
    head = '{ kind = "Linear", in_features = 784, out_features = 10 }'
    networks = [
        f'[{head}, {{ kind = "{kind}", reference = "torch.nn.Sigmoid" }}]'
        for kind in ("killing.py:Killing", "layers.py:Raising", "layers.py:Talking")
    ]
    (tmp_path / "dying.toml").write_text(f"[set]\n{TINY}[grid]\nlayers = [{', '.join(networks)}]\n")

    status, result, err = sweep(tmp_path, "dying.toml", "--workers", "2")
    assert (status, err) == (1, "")
    killed, raised, talked = result["cells"]
    assert [cell["cell"] for cell in result["cells"]] == [1, 2, 3]
    assert (killed["status"], killed["verdict"], killed["record"]) == ("died", None, None)
    assert "SIGKILL" in killed["reason"]
    assert (raised["status"], raised["verdict"]) == ("finished", "DIVERGES")
    assert "RuntimeError: not derived yet" in raised["reason"]
    assert (talked["status"], talked["verdict"], talked["reason"], talked["steps"]) == ("finished", "AGREES", None, 3)
    assert 0 < talked["tightest"]["used"] <= 1
    assert 0 < talked["accuracy"]["manual"] < 1
    folder = tmp_path / "results" / "sweep_dying"
    assert json.loads((folder / "sweep.json").read_text()) == result
    assert "AGREES" in (folder / "table.md").read_text()
    for cell in (raised, talked):
        manifest = json.loads((tmp_path / cell["record"] / "manifest.json").read_text())
        assert (manifest["status"], manifest["verdict"]) == ("finished", cell["verdict"])
        assert manifest["command"][:2] == ["backproof", "run"]

    (tmp_path / "killing.py").write_text(f"{LAYERS}\n\nclass Killing(Right):\n    pass\n")
    status, again, _ = sweep(tmp_path, "dying.toml", "--workers", "1")
    assert (status, again["skipped"]) == (1, 2)
    assert again["cells"][0]["verdict"] == "AGREES"
    for before, after in zip(result["cells"][1:], again["cells"][1:], strict=True):
        assert before == after  # the very record, not another
        assert len(list((tmp_path / after["record"]).parent.glob("*/manifest.json"))) == 1


@pytest.fixture
def cluster() -> Iterator[str]:
    """A Dask cluster with one worker in a process of its own; its address."""
    made: Any = LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=":0")
    with made:
        yield made.scheduler_address


def test_a_dask_cluster_runs_the_cells(cluster: str, tmp_path: Path) -> None:
    (tmp_path / "far.toml").write_text(f"[set]\n{TINY}[grid]\ntraining.seed = [1, 2]\n")
    status, result, _ = sweep(tmp_path, "far.toml", "--backend", "dask", "--address", cluster)
    assert status == 0
    assert [cell["verdict"] for cell in result["cells"]] == ["AGREES", "AGREES"]
    (entry,) = result["summary"]
    assert (entry["seeds"], entry["verdicts"]) == ([1, 2], {"AGREES": 2})
    accuracies = [cell["accuracy"]["manual"] for cell in result["cells"]]
    assert entry["accuracy"]["manual"]["mean"] == pytest.approx(sum(accuracies) / 2)
    assert entry["accuracy"]["manual"]["deviation"] == pytest.approx(abs(accuracies[0] - accuracies[1]) / 2**0.5)
    assert all((tmp_path / cell["record"] / "manifest.json").is_file() for cell in result["cells"])


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_sweep_that_is_ended_takes_its_cells_along_and_keeps_what_is_finished(
    sign: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def listing() -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["backproof", "sweep", "long.toml", "--dry-run", "--json"])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert not left.value.code
        return json.loads(capsys.readouterr().out)

    (tmp_path / "long.toml").write_text('[set]\ntraining.mode = "lockstep"\n[grid]\ntraining.steps = [3, 10_000_000]\n')
    listed = listing()
    folder = tmp_path / listed["folder"]
    long = folder / "cells" / listed["cells"][1]["key"]
    assert [cell["status"] for cell in listed["cells"]] == ["", ""]

    said, children = tmp_path / "said", []
    with said.open("w") as file:
        words = command("long.toml", "--workers", "2")
        running = subprocess.Popen(
            words, cwd=tmp_path, env=environment(), stdout=file, stderr=file, preexec_fn=hears_ctrl_c
        )
    try:
        # Not before the sweep has noted the short cell itself, and nothing but the long one is going on.
        wait_for(lambda: finished(folder) == [1] and any(file.stat().st_size for file in long.glob("*/steps.jsonl")))
        children = psutil.Process(running.pid).children(recursive=True)
        cells = [child for child in children if "compare.sweep.process" in child.cmdline()]
        assert cells
        running.send_signal(sign)
        assert running.wait(timeout=180) == (130 if sign is signal.SIGINT else -9)
        assert psutil.wait_procs(cells, timeout=60)[1] == []
    finally:
        running.kill()
        running.wait()
        for child in children:  # a worker without a cell waits for some minutes before it goes
            if child.is_running():
                child.kill()
    assert "Traceback" not in said.read_text()

    assert [cell["status"] for cell in listing()["cells"]] == ["finished", ""]


def hears_ctrl_c() -> None:
    """Give a process Ctrl-C back: one started in the background of a shell is told to ignore it, and so are its own."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finished(folder: Path) -> list[int]:
    """Return the cells that the sweep says are finished; none while it has said nothing."""
    path = folder / "sweep.json"
    rows = json.loads(path.read_text())["cells"] if path.exists() else []
    return [row["cell"] for row in rows if row["status"] == "finished"]


def wait_for(condition: Any, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
