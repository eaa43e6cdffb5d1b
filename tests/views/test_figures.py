"""The figures of the derivation: the committed files show what the command draws and what the text prints."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compare import cli
from compare.experiment.datasets import load_mnist
from compare.views.figures.drawing import FIGURES

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "manual" / "figures"
TEXT = (ROOT / "manual" / "DERIVATION.md").read_text(encoding="utf-8")


def command(monkeypatch: pytest.MonkeyPatch, folder: Path) -> int:
    monkeypatch.setattr(sys, "argv", ["backproof", "figures", str(folder)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code if isinstance(left.value.code, int) else 0


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The figures as the command draws them now."""
    folder = tmp_path_factory.mktemp("drawn") / "new" / "figures"
    with pytest.MonkeyPatch.context() as patch:
        assert command(patch, folder) == 0
    return folder


def marks(file: Path) -> dict[str, float]:
    """Return what the marks of a figure say of themselves: name -> number."""
    said = re.findall(
        r'aria-label="((?:pixel|output|target|difference|delta)[^":]*): ([-\d.]+)"', file.read_text("utf-8")
    )
    assert len(said) == len(dict(said))
    return {name: float(number) for name, number in said}


@pytest.mark.parametrize("name", FIGURES)
def test_the_committed_figure_shows_what_the_command_draws(name: str, drawn: Path) -> None:
    assert marks(COMMITTED / f"{name}.svg") == marks(drawn / f"{name}.svg")


def test_the_page_shows_every_figure_and_no_other_lies_there(drawn: Path) -> None:
    shown = re.findall(r"!\[[^\]]+\]\(figures/(.+)\.svg\)", TEXT)
    assert shown == list(FIGURES) == [name for name in FIGURES if (drawn / f"{name}.svg").is_file()]
    assert sorted(shown) == sorted(file.stem for file in COMMITTED.iterdir())


def test_the_bars_are_what_the_example_prints() -> None:
    bars = marks(COMMITTED / "one-layer.svg")
    line = r"^(\d):  z +\S+   output (\S+)   target (\S+)   difference +(\S+)$"
    rows = re.findall(line, TEXT, flags=re.M)
    assert len(rows) == 10
    for k, *values in rows:
        titles = "output a", "target t", "difference a - t"
        assert [bars[f"{title}, output {k}"] for title in titles] == [float(value) for value in values]
    assert len(bars) == 30


def test_what_the_hidden_unit_is_handed_is_what_the_example_prints() -> None:
    bars = marks(COMMITTED / "hidden-unit.svg")
    rows = re.findall(r"^output (\d): .* = +(\S+)$", TEXT, flags=re.M)
    assert {name.rpartition(" ")[2]: value for name, value in bars.items()} == {k: float(value) for k, value in rows}
    assert len(rows) == 10


def test_the_image_is_the_first_zero_of_the_training_set() -> None:
    (images, labels), _ = load_mnist()
    pixels = images[np.flatnonzero(labels == 0)[0]].ravel()
    assert marks(COMMITTED / "zero.svg") == {f"pixel {i}": pixels[i] for i in np.flatnonzero(pixels)}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_a_background_of_its_own_and_is_small(name: str) -> None:
    svg = (COMMITTED / f"{name}.svg").read_text("utf-8")
    width, height = re.findall(r'<svg[^>]* width="(\d+)" height="(\d+)"', svg)[0]
    assert f'<rect width="{width}" height="{height}" fill="#ffffff"/>' in svg
    assert int(width) < 700
    assert len(svg) < 40_000


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert command(monkeypatch, tmp_path) == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "vl_convert" in error
    assert "pip install 'backproof[report]'" in error


def test_a_folder_that_cannot_be_made_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "file").write_text("")
    assert command(monkeypatch, tmp_path / "file") == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "cannot be written" in error
