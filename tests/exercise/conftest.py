"""Answers to exercises: the empty file with something in the place of its empty method."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from compare.exercise.check import Checked, check_exercise
from compare.exercise.entries import find_entry
from compare.exercise.paper import text_of
from compare.exercise.sheet import EMPTY

Write = Callable[..., Path]
Check = Callable[..., Checked]


def answered(name: str, body: str, more: str = "") -> str:
    """Return an exercise's file with an answer."""
    lines = textwrap.indent(textwrap.dedent(body).strip(), " " * 8)
    empty = text_of(find_entry(name))
    assert f"        {EMPTY}" in empty
    return empty.replace(f"        {EMPTY}", lines) + textwrap.dedent(more)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an answer into a file."""

    def file(name: str, body: str, more: str = "") -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(answered(name, body, more), encoding="utf-8")
        return path

    return file


@pytest.fixture
def check(write: Write) -> Check:
    """Check an answer."""
    return lambda name, body, more="", hint=0: check_exercise(write(name, body, more), hint)
