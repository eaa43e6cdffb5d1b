"""Every block of code that a reader is shown is run, or says why not and is parsed."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from compare.experiment.datasets import Dataset
from tests.docs.blocks import ROOT, blocks_of, pages
from tests.docs.running import Page
from tests.manual import test_derivation

PAGES = pages()
RUN_THERE = set(test_derivation.PAGES)  # whose sessions are run by the tests of the derivation


@pytest.fixture
def page_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_data: Dataset) -> Page:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("BACKPROOF_LANG", "en")
    return Page(tmp_path, monkeypatch)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
@pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")
def test_every_block_does_what_the_page_says(path: Path, page_of: Any) -> None:
    handled = Counter()
    for block in blocks_of(path):
        if not (block.kind == "doctest" and path in RUN_THERE):
            page_of.handle(block)
        handled[block.kind] += 1
    lines = path.read_text(encoding="utf-8").splitlines()
    fences = [line for line in lines if line.lstrip().startswith(("```", "~~~"))]
    assert 2 * handled.total() == len(fences), "a block was left out"
