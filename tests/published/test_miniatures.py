"""The worked miniatures, whole: every figure is met, and none is when a digit of the published ones is changed."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compare.diagnosis.mistakes import CATALOGUE
from compare.lockstep.loop import Loop
from compare.published import cs231n, mazur
from compare.published.miniature import dataset_of
from compare.published.registry import REGISTRY
from compare.published.reproduction import Reproduction
from compare.published.runs import Runs
from compare.published.source import figures

MINIATURES = {
    "mazur-2-2-2": "2-2-2 worked example",
    "cs231n-toy": "two-layer toy network",
    "cs231n-adam": "Adam, one step",
}
each_miniature = pytest.mark.parametrize("name", MINIATURES)
PUBLISHED = figures("miniatures")


def reproduced(name: str) -> Reproduction:
    return REGISTRY[name].load()(Runs(name))


def numbers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the places of all numbers in a document."""
    if isinstance(value, float):
        yield path
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from numbers(item, (*path, key))


PLACES = [(name, path) for name, key in MINIATURES.items() for path in numbers(PUBLISHED[key], (key,))]


@each_miniature
def test_all_its_figures_are_met_and_the_reference_agrees(name: str) -> None:
    found = reproduced(name)
    assert found.met
    assert found.exit_status == 0
    assert len(found.comparisons) == len(list(numbers(PUBLISHED[MINIATURES[name]])))
    assert [run.verdict for run in found.runs] == ["AGREES", "DIVERGES"][: len(found.runs)]
    assert all(run.checks > 0 and run.audits > 0 and run.steps == 1 for run in found.runs)


@pytest.mark.parametrize(("name", "path"), PLACES, ids=[f"{name}:{path[1:]}" for name, path in PLACES])
def test_a_changed_digit_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, path: tuple[Any, ...]) -> None:
    changed = copy.deepcopy(PUBLISHED)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] += 2e-9
    for module in (mazur, cs231n):
        monkeypatch.setattr(module, "figures", lambda source: changed)
    found = reproduced(name)
    assert not found.met
    assert found.exit_status == 1
    assert [c.met for c in found.comparisons].count(False) == 1


@pytest.mark.parametrize(("name", "mistake"), [("mazur-2-2-2", mazur.MISTAKE), ("cs231n-adam", cs231n.MISTAKE)])
def test_the_planted_mistake_is_found_and_named(name: str, mistake: str) -> None:
    table = reproduced(name).explanation[-1]
    (row,) = table.rows
    assert row[0] == row[3] == mistake
    assert row[1] == "DIVERGES"


def test_the_step_that_leaves_biases_alone_moves_the_weights_alike() -> None:
    rows = {str(row[0]): row[1:] for row in reproduced("mazur-2-2-2").explanation[0].rows}
    for name, (moved, apart) in rows.items():
        assert (apart == 0) is name.endswith("weight")
        assert (moved == 0) is name.endswith("bias")


def test_a_mistake_that_nobody_finds_is_not_met() -> None:
    """The runs with a planted mistake are wanted to diverge."""
    found = reproduced("mazur-2-2-2")
    silent = replace(found, runs=(found.runs[0], replace(found.runs[1], verdict="AGREES")))
    assert not silent.met


def test_the_numbers_of_another_mistake_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every mistake in that place gives the example's wrong numbers."""
    monkeypatch.setattr(mazur, "MISTAKE", "input-gradient-doubled")
    found = reproduced("mazur-2-2-2")
    assert [c.met for c in found.comparisons][-2:] == [False, False]


def test_the_moments_are_those_given_and_the_step_is_the_sixth() -> None:
    gradient = np.linspace(-0.6, 0.4, 20)
    seen = []

    def watch(loop: Loop) -> None:
        cs231n.begin_from(loop, state)
        seen.append(loop)

    first, second = np.linspace(0.6, 0.9, 20).reshape(4, 5), np.linspace(0.7, 0.5, 20).reshape(4, 5)
    name = "linear1.weight"
    state = {f"{name}.step": np.float32(5), f"{name}.exp_avg": first, f"{name}.exp_avg_sq": second}
    weights = np.linspace(-0.4, 0.6, 20).reshape(4, 5)
    data = dataset_of("adam", np.eye(5), (weights - gradient.reshape(4, 5)).T.copy())
    step = Runs("adam").step(cs231n.ADAM, data, "step", initial={name: weights}, begin=watch)
    assert step.number == 6
    np.testing.assert_allclose(step.manual[f"{name}.grad"].ravel(), gradient, rtol=0, atol=1e-15)
    for side in (step.manual, step.reference):
        assert float(side[f"adam.{name}.step"]) == 6
        np.testing.assert_allclose(
            side[f"adam.{name}.exp_avg"].ravel(), 0.9 * first.ravel() + 0.1 * gradient, rtol=1e-14
        )
    assert len(seen) == 1


def test_published_figures_are_nowhere_but_in_their_files() -> None:
    """A figure in the code would be compared with itself."""
    from pathlib import Path

    room = Path(mazur.__file__).parent
    code = "".join(path.read_text(encoding="utf-8") for path in room.glob("*.py"))
    for name in ("hw0", "miniatures", "nielsen"):
        text = json.dumps(figures(name))
        for path in numbers(json.loads(text)):
            value: Any = figures(name)
            for key in path:
                value = value[key]
            assert len(repr(value)) < 7 or repr(value) not in code


def test_every_mistake_that_is_planted_is_one_of_the_catalogue() -> None:
    assert {mazur.MISTAKE, cs231n.MISTAKE} <= CATALOGUE.keys()
