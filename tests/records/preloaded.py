"""Imported once by the server that the killed processes are forked from: a run has gone by, so that all is imported.

Without it, most random moments would fall into imports, and each process would take seconds for them.
"""

import tempfile
from pathlib import Path

import torch

import compare
from compare.experiment import datasets
from tests.conftest import first_images

torch.set_num_threads(1)
SMALL = first_images()
datasets.load = lambda *_: SMALL
with tempfile.TemporaryDirectory() as out:
    compare.run("article", out=Path(out), steps=4, checkpoint_every=0.0)
