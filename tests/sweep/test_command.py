"""`backproof sweep`: its words, and what it says of wrong ones."""

import sys
from pathlib import Path
from typing import Any

import pytest

from compare import cli

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


@pytest.fixture
def backproof(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Run a command line in this process, in a folder of its own; return status, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["backproof", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return left.value.code or 0, printed.out, printed.err  # pyright: ignore[reportReturnType]

    return run


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("sweep", 2, "file"),
        ("sweep optimizer", 2, "There is no sweep 'optimizer'. Did you mean 'optimizers'?"),
        ("sweep two.toml --workers 0", 2, "--workers is 0; wanted at least 1"),
        ("sweep two.toml --workers two", 2, "two"),
        ("sweep two.toml --backend spark", 2, "spark"),
        ("sweep two.toml --address here:1", 2, "say --backend dask or --backend ray with it"),
        ("sweep two.toml --backend dask --address here:1 --workers 3", 2, "the cluster at --address has its own"),
        ("sweep two.toml --backend dask --address nonsense", 3, "no scheduler answers at nonsense"),
        ("sweep wrong.toml", 2, "wrong.toml: [grid] has no key 'training.sed'. Did you mean 'training.seed'?"),
        ("sweep two.toml --out file", 3, "cannot be written"),
    ],
)
def test_a_mistake_of_the_users_is_one_message(words: str, status: int, said: str, backproof: Any) -> None:
    Path("two.toml").write_text("[grid]\ntraining.seed = [1, 2]\n")
    Path("wrong.toml").write_text("[grid]\ntraining.sed = [1, 2]\n")
    Path("file").write_text("")
    code, out, err = backproof(*words.split())
    assert (code, out) == (status, "")
    assert err.startswith("backproof: ")
    assert said in err
    assert "Traceback" not in err


def test_a_dry_run_lists_the_cells_and_writes_nothing(backproof: Any) -> None:
    code, out, err = backproof("sweep", "optimizers", "--dry-run")
    assert (code, err) == (0, "")
    assert "RMSprop(lr=0.003)" in out
    assert "48 cells, 0 of them finished" in out
    assert not Path("results").exists()
