"""What several tests of the diagnosis need: a process that runs the scripts of divergences without this project."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# Runs scripts as main programs, where neither this project nor what else it needs can be imported. One process for all
# of them, for the import of torch takes longer than everything else here.
ALONE = """
import contextlib, io, json, runpy, sys, traceback
for name in ("manual", "reference", "compare", "backproof", "torchvision", "sklearn", "scipy", "safetensors", "rich"):
    sys.modules[name] = None
for line in sys.stdin:
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(line.rstrip(), run_name="__main__")
        except SystemExit as end:
            status = end.code
        except BaseException:
            traceback.print_exc()
            status = -1
    print(json.dumps([status, out.getvalue(), err.getvalue()]), flush=True)
"""


@dataclass
class Shown:
    returncode: int
    stdout: str
    stderr: str


Reproduce = Callable[[Path], Shown]


@pytest.fixture(scope="session")
def reproduce(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reproduce]:
    """Run the script of a folder, in a process outside the repository, isolated (-I)."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", ALONE], cwd=elsewhere, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    given, answers = process.stdin, process.stdout

    def run(folder: Path) -> Shown:
        print(folder / "reproduce.py", file=given, flush=True)
        return Shown(*json.loads(answers.readline()))

    yield run
    given.close()
    process.wait(timeout=60)
    answers.close()
