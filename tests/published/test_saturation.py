"""What is said of stuck units is what their numbers are: against loops and formulas written out here."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.experiment.files import changes_of, read_experiment
from compare.experiment.networks import parameter_shapes
from compare.experiment.streams import initial_parameters
from compare.published.runs import Runs
from compare.published.saturation import BIAS, WEIGHT, Course, Shared, look_at, rank_correlation
from compare.published.stuck import Setting, Watched, trained, watched, what_became, what_foretells, what_frees


@pytest.fixture
def experiment() -> Experiment:
    return read_experiment("article-one-layer", changes_of(epochs=2, batch_size=60))


def drawn(experiment: Experiment) -> dict[str, np.ndarray]:
    return initial_parameters(experiment, parameter_shapes(experiment))


def test_a_look_is_what_the_formulas_say(
    experiment: Experiment, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compare.published.saturation.BLOCK", 70)  # the last block is a short one
    parameters = drawn(experiment)
    look = look_at(experiment, parameters, small)
    x, labels = small.train_images.reshape(600, 784) / 255, small.train_labels
    z = x @ parameters[WEIGHT].T + parameters[BIAS]
    a = 1 / (1 + np.exp(-z))
    delta = (a - np.eye(10)[labels]) * a * (1 - a) / 600
    np.testing.assert_allclose(look.z, z.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(look.spread, z.std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(look.factor, (a * (1 - a)).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(look.gradient, np.linalg.norm(delta.T @ x, axis=1), rtol=1e-12)
    test = 1 / (1 + np.exp(-(small.test_images.reshape(200, 784) / 255 @ parameters[WEIGHT].T + parameters[BIAS])))
    for k in range(10):
        assert look.own_z[k] == pytest.approx(z[labels == k, k].mean(), rel=1e-12)
        own = test[small.test_labels == k]
        assert look.own[k] == pytest.approx(own[:, k].mean(), rel=1e-12)
        assert look.recall[k] == pytest.approx((own.argmax(axis=1) == k).mean())
        assert look.answers[k] == (test.argmax(axis=1) == k).sum()


def test_the_first_push_is_that_of_a_step_from_zero(experiment: Experiment, small: Dataset) -> None:
    """From weights of zero, where a = 1/2, and a batch of all images with as many of each digit."""
    shared = Shared.of(experiment, small)
    x, labels = take_batch(small.train_images, small.train_labels, slice(None), "float64", experiment.data)
    push = []
    for k in range(10):
        delta = (0.5 - (labels == k)) * 0.25 / len(x)
        push.append(5.0 * (delta @ x @ shared.mean + delta.sum()))
    assert np.mean(push) == pytest.approx(shared.first_push(5.0), rel=0.02)  # means over own images differ a little


def test_the_spread_at_the_start_is_that_of_many_draws(experiment: Experiment, small: Dataset) -> None:
    shared = Shared.of(experiment, small)
    rng = np.random.default_rng(0)
    z = rng.uniform(-0.5, 0.5, (20_000, 784)) @ shared.mean + rng.uniform(-0.5, 0.5, 20_000)
    assert z.std() == pytest.approx(shared.start_spread(0.5), rel=0.02)


def test_a_course_keeps_the_deepest_fall() -> None:
    course = Course(np.array([1.0, 2.0]))
    for first in (0.0, 3.0, -4.0, -5.0):
        course.add(np.array([[first, 1.0], [1.0, -first]]), np.zeros(2))
    np.testing.assert_array_equal(course.path[0], [2.0, 1.0])
    np.testing.assert_array_equal(course.largest_fall, [7.0, 6.0])


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=30))
def test_the_rank_correlation_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, dtype=float).T
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert np.isnan(rank_correlation(a, b))
    else:
        wanted: Any = spearmanr(a, b)
        assert rank_correlation(a, b) == pytest.approx(wanted.statistic, abs=1e-12)


def test_a_run_that_is_watched_and_the_manual_side_alone_go_the_same_way(
    experiment: Experiment, small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compare.published.stuck.read_experiment", lambda *_: experiment)
    runs = Runs("article-one-layer")
    outcome, seen = watched(runs, "article-one-layer", 1)
    assert str(outcome.verdict) == runs.made[0].verdict == "AGREES"
    assert list(seen.looks) == ["start", "after epoch 1", "end"]
    course = Course(Shared.of(experiment, small_data).mean)
    parameters = trained(runs, experiment, small_data, course)
    np.testing.assert_array_equal(course.path, seen.course.path)
    np.testing.assert_array_equal(look_at(experiment, parameters, small_data).z, seen.end.z)


def test_a_unit_out_of_reach_is_told_from_the_others(
    experiment: Experiment, small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One unit is made to begin far below zero: it stays there, has no gradient, and is the one that is named."""
    parameters = {name: 0.01 * array for name, array in drawn(experiment).items()}
    parameters[BIAS][7] = -60.0
    monkeypatch.setattr("compare.published.stuck.initial_parameters", lambda *_: dict(parameters))
    slow = experiment.changed("optimizer", lr=0.5).changed("training", epochs=20)
    course = Course(Shared.of(slow, small_data).mean)
    end = look_at(slow, trained(Runs("x"), slow, small_data, course), small_data)
    assert np.flatnonzero(end.stuck).tolist() == [7]
    looks = {"start": look_at(slow, parameters, small_data), "end": end}
    became = what_became({3: Watched(slow, course, looks)})
    assert [row[1] for row in became.rows] == ["unit 7", "unit 7", "others, median", "others, median"]
    assert became.says.startswith("Output units that do not answer to their digit at the end: 1 with seed 3.")
    setting = Setting(0.01, 0.5, 3, course.path[0], course.largest_fall, end)
    shared = Shared.of(slow, small_data)
    (row,) = what_frees(shared, [setting]).rows
    assert row[:4] == ("0.01", "0.5", 1, "seed 3: 7")
    (row,) = what_foretells([setting]).rows
    assert row[4] == pytest.approx(-60, abs=1)


def test_a_network_without_a_stuck_unit_is_told_so(experiment: Experiment, small: Dataset) -> None:
    look = replace(look_at(experiment, drawn(experiment), small), own=np.full(10, 0.5))
    became = what_became({1: Watched(experiment, Course(np.zeros(784)), {"end": look})})
    assert [row[1] for row in became.rows] == ["others, median"]
    assert became.says.endswith("0 with seed 1.")
    setting = Setting(1.0, 5.0, 1, look.z, look.z, look)
    assert what_frees(Shared.of(experiment, small), [setting]).rows[0][2:4] == (0, "seed 1: none")
    assert "none" in what_foretells([setting]).rows[0]
