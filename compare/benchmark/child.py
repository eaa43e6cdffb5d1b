"""A Python process of its own, in which this package is the one that is imported."""

import os
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2]  # the folder that holds manual, reference and compare


def run_python(*arguments: str, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments, `without` some variables of the environment, and return what it printed.

    Raises CalledProcessError if it fails.
    """
    path = os.pathsep.join(filter(None, (str(SOURCES), os.environ.get("PYTHONPATH"))))
    kept = {name: value for name, value in os.environ.items() if name not in without}
    environment = kept | {"PYTHONPATH": path}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
