"""Chapter 1's quadratic cost: what counts as a stuck output unit, what it costs, and that all of it is computed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compare.experiment.datasets import Dataset
from compare.published import quadratic
from compare.published.quadratic import Measured, Unit
from compare.published.runs import Runs


class Answers:
    """A network that gives the outputs that it was made with."""

    def __init__(self, outputs: np.ndarray):
        self.outputs = outputs

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.outputs[: len(x)]


def answers(small: Dataset, stuck: int | None = None) -> np.ndarray:
    """Return outputs that are 0.9 for the digit and 0.1 else; those of a stuck unit are 0.001 throughout."""
    outputs = np.where(np.eye(10)[small.test_labels] > 0, 0.9, 0.1)
    if stuck is not None:
        outputs[:, stuck] = 0.001
    return outputs


def test_a_unit_is_measured_on_its_own_digit(small: Dataset) -> None:
    found = quadratic.measure(Answers(answers(small)), small)
    assert found.accuracy == 100
    assert [unit.images for unit in found.units] == np.bincount(small.test_labels).tolist()
    assert [unit.activation for unit in found.units] == pytest.approx([0.9] * 10)
    assert [unit.slope for unit in found.units] == pytest.approx([0.09] * 10)
    assert (found.stuck, found.lost) == ((), 0)


@pytest.mark.parametrize("digit", range(10))
def test_a_stuck_unit_costs_its_digit_its_share(digit: int, small: Dataset) -> None:
    found = quadratic.measure(Answers(answers(small, digit)), small)
    share = 100 * np.mean(small.test_labels == digit)
    assert [unit.digit for unit in found.stuck] == [digit]
    assert found.weakest.digit == digit
    assert found.weakest.activation == pytest.approx(0.001)
    assert found.weakest.slope == pytest.approx(0.001 * 0.999)
    assert found.lost == pytest.approx(share)
    assert found.accuracy + found.lost == pytest.approx(100)


def at(accuracy: float, right: float, slope: float) -> Measured:
    """Return a moment of a network of two units, the first of which has these figures."""
    return Measured(accuracy, (Unit(0, 10, right, slope, slope), Unit(1, 90, 0.95, 0.9, 0.08)))


def test_what_guessing_gets_is_not_stuck_and_less_is() -> None:
    assert not at(90, 0.1, 1e-5).stuck
    assert at(90, 0.0999, 1e-5).stuck


def test_what_is_said_is_made_of_the_figures() -> None:
    first = {1: [at(91.0, 0.9, 0.07)], 2: [at(82.5, 0.0, 3e-5)], 3: [at(80.25, 0.02, 5e-6)]}
    table = quadratic.first_epoch(first)
    assert table.rows[1] == (2, 82.5, 0, 0.0, 3e-5, 3e-5, "yes")
    assert [row[-1] for row in table.rows] == ["no", "yes", "yes"]
    for words in (
        "2 of 3 seeds have one",
        "5e-06 to 3e-05",
        "80.25 to 82.50 % with",
        "91.00 % without",
        "90.25 to 92.50 %",
    ):
        assert words in table.says
    assert quadratic.first_epoch({1: first[1]}).says.endswith("0 of 1 seeds have one. ")


def test_a_unit_that_is_freed_late_costs_only_until_then() -> None:
    stuck, freed = at(85.0, 0.0, 1e-6), at(94.0, 0.9, 0.02)
    whole = {
        1: [freed, freed, freed], 2: [at(85.0, 0.0, 4e-5), freed, freed], 3: [at(85.0, 0.0, 3e-5), stuck, freed],
        4: [stuck, stuck, stuck],
    }  # fmt: skip
    table = quadratic.all_epochs(whole)
    assert [row[3] for row in table.rows] == [0, 1, 2, 3]
    assert [row[4] for row in table.rows] == ["none", "none", "none", "0"]
    assert [row[1] for row in table.rows] == [94.0, 94.0, 94.0, 85.0]
    assert "3 of these 4 seeds have no stuck unit at their peak: 94.00 %" in table.says
    assert "In 1 a unit is stuck to the end: 85.00 %" in table.says
    assert "added, 95.00 %" in table.says
    assert "1 to 3 of 30 epochs in the 3 seeds" in table.says
    assert "the rank correlation is -1.00" in table.says


def test_the_whole_of_it_on_a_few_images(small_data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    few: dict[str, Any] = {
        "EXPERIMENT": replace(quadratic.EXPERIMENT, data=replace(quadratic.EXPERIMENT.data, train=450)).changed(
            "training", epochs=2
        ),
        "SEEDS": (1, 2), "OTHERS": range(3, 5), "EPOCHS": 2,
    }  # fmt: skip
    for name, value in few.items():
        monkeypatch.setattr(quadratic, name, value)
    found = quadratic.chapter_1(Runs("nielsen-chapter-1"))
    assert [run.verdict for run in found.runs] == ["AGREES", "AGREES"]
    assert [run.steps for run in found.runs] == [90, 90]
    best, *each = found.comparisons
    assert best.theirs == 95.42
    assert best.ours == max(c.ours for c in each)
    assert best.met is False  # two epochs of 450 images
    assert [row[0] for row in found.explanation[0].rows] == [1, 2, 3, 4]
    assert {row[0] for row in found.explanation[1].rows} >= {1, 2}
