"""The file of an exercise: made of manual's own source, complete but for the answer, and without it."""

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manual
from compare.crosscheck.drawing import Choice
from compare.exercise.answer import parse, read_answer
from compare.exercise.check import check_exercise
from compare.exercise.entries import Entry, entries, preset_of
from compare.exercise.hints import tensors_to_derive
from compare.exercise.judging import judge, setting_of
from compare.exercise.netsheet import tensors_of
from compare.exercise.networks import NetworkSubject, small_layers
from compare.exercise.paper import introduction, sheet_of, text_of
from compare.exercise.sheet import EMPTY
from compare.experiment.classes import LAYERS, LOSSES, OPTIMIZERS

ENTRIES = list(entries().values())
each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
LIBRARIES = {"numpy", "math", "collections.abc"}


def solved(entry: Entry) -> str:
    """Return the file with manual's own lines in it."""
    return f'"""{introduction(entry)}\n"""\n\n{sheet_of(entry).solved}'


def defined(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "exercise"}
    exec(compile(text, "exercise", "exec"), names)
    return names


def test_everything_of_manual_can_be_exercised() -> None:
    kinds = {entry.kind for entry in ENTRIES}
    assert kinds >= {*LAYERS, *LOSSES, *OPTIMIZERS}
    assert {"article", "article-one-layer", "article-cross-entropy", "relu-network"} <= set(entries())


@each
def test_a_file_stands_alone_and_is_empty(entry: Entry) -> None:
    text = text_of(entry)
    imported = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Import | ast.ImportFrom)]
    names = {a.name for n in imported if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module for n in imported if isinstance(n, ast.ImportFrom) and n.module}
    assert names <= LIBRARIES
    assert EMPTY in text
    assert entry.kind in defined(text)
    assert read_answer(parse(text)).unfinished


@each
def test_a_file_holds_neither_derivation_nor_answer(entry: Entry) -> None:
    text, sheet = text_of(entry), sheet_of(entry)
    assert "Derivation." not in text
    for piece in sheet.answer:
        lines = [line.strip() for line in piece.text.splitlines() if re.search(r"#.*\(\d+\)", line)]
        assert not [line for line in lines if line in text and not line.startswith(("if", "for"))]


@pytest.mark.parametrize("kind", ["ELU", "Softplus"])
def test_a_slope_that_forward_keeps_is_the_readers_to_derive(kind: str) -> None:
    assert "self.slope" not in text_of(entries()[kind.lower()])
    assert "self.slope" in sheet_of(entries()[kind.lower()]).solved


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.group in ("layer", "loss")], ids=lambda entry: entry.name)
def test_the_forward_pass_is_manuals_to_the_bit(entry: Entry) -> None:
    setting = setting_of(entry)
    plan = setting.plan
    sizes = {str(s): 3 for spec in plan.inputs.values() for s in spec.shape if isinstance(s, str)}
    given = setting.subject.draw(plan.make(Choice(sizes, 5)))
    own = setting.subject.loaded(given)
    names = defined(text_of(entry))
    arguments = dict(entry.arguments)
    if "layers" in arguments:
        arguments["layers"] = dict(own.layers)
    theirs = names[entry.kind](**arguments)
    for name, array in given.parameters.items():
        theirs.parameters[name] = array
    for name, array in given.buffers.items():
        theirs.buffers[name] = array
    if given.drawn:
        theirs.replay(dict(given.drawn))
    assert np.array_equal(theirs.forward(*given.inputs.values()), own.forward(*given.inputs.values()))


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.group == "network"], ids=lambda entry: entry.name)
def test_a_networks_lines_are_manuals_network(entry: Entry) -> None:
    rng, subject = np.random.default_rng(3), NetworkSubject(entry)
    network = subject.made({name: rng.normal(size=p.shape) for name, p in subject.parameters.items()})
    x, target = rng.normal(size=(5, 4)), rng.dirichlet(np.ones(4), 5)
    cost = network.loss(x, target)
    network.backward()
    theirs = defined(solved(entry))[entry.kind](dict(network.parameters))
    assert np.isclose(theirs.forward(x, target), cost, rtol=1e-14, atol=0)
    gradients = theirs.backward()
    assert list(gradients) == tensors_of(preset_of(entry)) == [n for n in network.trace() if n.endswith(".grad")]
    assert len(small_layers(entry)) == len(preset_of(entry).layers)
    for name, gradient in gradients.items():
        assert np.allclose(gradient, network.trace()[name], rtol=1e-12, atol=1e-15), name


@each
def test_manuals_own_lines_are_right(entry: Entry) -> None:
    judgement = judge(read_answer(parse(solved(entry))), seed=11, examples=0)
    assert judgement.right, (judgement.tensor, judgement.failure)
    assert set(judgement.tensors) >= set(tensors_to_derive(entry))


@pytest.mark.parametrize("name", ["lstm", "adam", "article-one-layer"])
def test_manuals_own_lines_are_right_in_the_whole_check(tmp_path: Path, name: str) -> None:
    file = tmp_path / "solved.py"
    file.write_text(solved(entries()[name]), encoding="utf-8")
    checked = check_exercise(file)
    assert (checked.verdict, checked.reason) == ("RIGHT", "")


def test_shapes_stand_in_comments_as_manual_has_them() -> None:
    comments = [t.string for t in tokenize.generate_tokens(io.StringIO(text_of(entries()["linear"])).readline)
                if t.type == tokenize.COMMENT]  # fmt: skip
    assert "# (N, in) @ (in, out) = (N, out)" in comments


def test_a_file_says_what_to_derive_and_where_to_read() -> None:
    said = ast.get_docstring(ast.parse(text_of(entries()["linear"]))) or ""
    assert 'self.gradients["weight"]: dC/d(weight), here of shape (4, 3)' in said
    assert "manual/DERIVATION.md" in said
    assert manual.Linear.__name__.lower() in said
