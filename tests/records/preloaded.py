"""Imported once by the server that processes are forked from: a run and its replay have gone by, so all is imported.

Without it, most random moments of a kill would fall into imports, and each process would take seconds for them; and one
that gives up a superuser's rights may be unable to read the interpreter's own files.
"""

import tempfile
from pathlib import Path

import torch

import compare
import compare.cli
import compare.views.console
import compare.views.replay
import tests.records.test_faults  # what runs in these processes, and pytest: else each would import them anew
import tests.records.test_kills  # noqa: F401
from compare.experiment import datasets
from tests.conftest import first_images

torch.set_num_threads(1)
SMALL = first_images()
datasets.load = lambda *_: SMALL
with tempfile.TemporaryDirectory() as out:
    record = compare.run("article", out=Path(out), steps=4, checkpoint_every=0.0).record
    assert record is not None
    compare.replay(record)
