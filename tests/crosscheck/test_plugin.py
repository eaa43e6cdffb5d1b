"""The pytest plug-in, in a process of its own: nothing heavy is imported before it is needed; and the command."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest

import compare
from compare import cli

ROOT = Path(compare.__file__).resolve().parent.parent
LAYERS = """
import numpy as np


class Swish:
    def forward(self, z):
        self.z, self.s = z, 1 / (1 + np.exp(-z))
        return z * self.s

    def backward(self, grad_output):
        return grad_output * (self.s + self.z * self.s * (1 - self.s))


class Wrong(Swish):
    def backward(self, grad_output):
        return grad_output * self.s


class Squared:
    def forward(self, prediction, target):
        self.off = prediction - target
        return (self.off**2).mean()

    def backward(self):
        return 2 * self.off / self.off.size


class Product:
    def forward(self, a, b):
        self.a, self.b = a, b
        return a * b

    def backward(self, grad_output):
        return grad_output * self.b, grad_output * self.a


class Leaky:
    def __init__(self, negative_slope=0.01):
        self.slope = negative_slope

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.slope * x)

    def backward(self, grad_output):
        return np.where(self.x > 0, grad_output, self.slope * grad_output)


def product(a, b):
    return a * b


made = Swish()
"""
YES = "AGREES"
TESTS = """
import torch

from my_layers import Swish, Wrong


def test_right(crosscheck):
    result = crosscheck(Swish(), torch.nn.functional.silu, input_shape=("batch", "n"), examples=20)
    assert result.agrees


def test_wrong(crosscheck):
    crosscheck(Wrong(), torch.nn.functional.silu, input_shape=("batch", "n"), examples=20)
"""
UNUSED = """
import sys


def test_nothing_heavy_is_imported():
    assert "compare.crosscheck.plugin" in sys.modules
    heavy = {"torch", "numpy", "hypothesis.strategies", "manual", "compare.crosscheck.check"}
    assert heavy.isdisjoint(sys.modules)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_layers.py").write_text(LAYERS)
    return tmp_path


def process(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def run_pytest(folder: Path, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_own.py").write_text(code)
    installed = any(entry.value == "compare.crosscheck.plugin" for entry in metadata.entry_points(group="pytest11"))
    by_hand = () if installed else ("-p", "compare.crosscheck.plugin")
    return process(folder, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *by_hand, *words)


class Said(NamedTuple):
    """What the command said, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def check(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The command `backproof check`, in this process, in the folder of one's own layers."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["backproof", "check", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert isinstance(left.value.code, int)
        printed = capsys.readouterr()
        return Said(left.value.code, printed.out, printed.err)

    return run


def test_the_entry_point_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"backproof": "compare.crosscheck.plugin"}
    assert any(name.startswith("hypothesis") for name in project["dependencies"])


def test_the_fixture_passes_right_and_fails_wrong(folder: Path) -> None:
    said = run_pytest(folder, TESTS, "-W", "error")
    assert "1 failed, 1 passed" in said.stdout, said.stdout + said.stderr
    assert "DerivationError: Wrong DIVERGES from torch.nn.functional.silu in input.grad" in said.stdout
    assert "The smallest failing input:" in said.stdout
    assert "search.py" not in said.stdout  # the user's line is shown, not ours
    assert not (folder / ".hypothesis").exists()


def test_torch_is_not_imported_where_the_fixture_is_not_used(folder: Path) -> None:
    said = run_pytest(folder, UNUSED)
    assert "1 passed" in said.stdout, said.stdout + said.stderr


@pytest.mark.parametrize(
    ("words", "status", "verdict"),
    [
        (["my_layers.py:Swish", "--against", "torch.nn.functional.silu", "--shape", "batch,n"], 0, "AGREES"),
        (["my_layers.py:made", "--against", "torch.nn.SiLU", "--dtype", "float32"], 0, "AGREES"),
        (["my_layers.py:Wrong", "--against", "torch.nn.functional.silu", "--shape", "batch,n"], 1, "DIVERGES"),
        (["my_layers.py:Squared", "--against", "torch.nn.MSELoss", "--target", "like"], 0, "AGREES"),
        (["my_layers.py:Product", "--against", "torch.mul", "--shape", "n,3", "--shape", "n,3"], 0, "AGREES"),
        (["my_layers.py:Product", "--against", "my_layers.py:product", "--shape", "a=n,3", "--shape", "b=n,3"], 0, YES),
        (
            ["my_layers.py:Leaky", "--against", "torch.nn.LeakyReLU", "--arguments", "negative_slope=0.3"], 0, "AGREES",
        ),
    ],
)  # fmt: skip
def test_the_command_says_its_verdict_and_leaves_with_its_status(
    check: Callable[..., Said], words: list[str], status: int, verdict: str
) -> None:
    said = check(*words, "--examples", "20", "--quiet")
    assert (said.returncode, said.stdout.strip(), said.stderr) == (status, verdict, "")


def test_json_and_nothing_else(check: Callable[..., Said]) -> None:
    said = check("my_layers.py:Wrong", "--against", "torch.nn.SiLU", "--examples", "20", "--seed", "3", "--json")
    data = json.loads(said.stdout)
    assert said.returncode == 1
    assert (data["verdict"], data["seed"], data["dtypes"]) == ("DIVERGES", 3, ["float64", "float32"])
    assert data["divergence"]["tensor"] == "input.grad"
    assert {"index", "manual", "reference", "error", "bound", "suspects", "ruled_out", "witnesses"} <= set(
        data["divergence"]
    )


def test_the_message_without_json(folder: Path) -> None:
    said = process(folder, "compare", "check", "my_layers.py:Wrong", "--against", "torch.nn.SiLU", "--examples", "20")
    assert "Wrong DIVERGES from torch.nn.SiLU in input.grad" in said.stdout
    assert "Traceback" not in said.stdout + said.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["my_layers.py:Swich", "--against", "torch.nn.SiLU"], "Did you mean 'Swish'?"),
        (["my_layer.py:Swish", "--against", "torch.nn.SiLU"], "Did you mean 'my_layers.py'?"),
        (["my_layers.py", "--against", "torch.nn.SiLU"], "wanted FILE.py:NAME"),
        (["my_layers.py:Swish", "--against", "torch.nn.SiLUU"], "Did you mean 'SiLU'?"),
        (["my_layers.py:Swish", "--against", "torch.nn.SiLU", "--shape", "batch,-2"], "wanted sizes"),
        (["my_layers.py:Swish", "--against", "torch.nn.SiLU", "--arguments", "slope"], "wanted NAME=VALUE"),
        (
            ["my_layers.py:Leaky", "--against", "torch.nn.LeakyReLU", "--arguments", "slop=1"],
            "neither side has an argument 'slop'",
        ),
        (["my_layers.py:Swish", "--against", "torch.nn.SiLU", "--dtype", "float16"], "float16"),
        (["my_layers.py:Swish"], "against"),
    ],
)
def test_usage_is_one_sentence_and_status_2(check: Callable[..., Said], words: list[str], told: str) -> None:
    said = check(*words)
    assert said.returncode == 2
    assert told in said.stderr
    assert said.stdout == ""
    assert "Traceback" not in said.stderr


def test_a_file_that_cannot_be_imported(folder: Path, check: Callable[..., Said]) -> None:
    (folder / "broken.py").write_text("import nothing_of_that_name\n")
    said = check("broken.py:Swish", "--against", "torch.nn.SiLU")
    assert said.returncode == 2
    assert "broken.py cannot be imported: ModuleNotFoundError" in said.stderr
