"""The course of a training for one image: the weights are those of the training, and autograd saw the image alone."""

import numpy as np
import pytest
import torch

from compare.experiment.datasets import Dataset
from compare.experiment.description import DescriptionError, Experiment
from compare.experiment.files import read_experiment
from compare.explain.course import Course, CourseError, record_course
from compare.lockstep.loop import Loop

STEPS = (5, 1, 3)
SAMPLE = 7


@pytest.fixture(scope="module")
def article() -> Experiment:
    return read_experiment("article")


@pytest.fixture(scope="module")
def course(article: Experiment, small: Dataset) -> Course:
    return record_course(article, small, STEPS, SAMPLE)


def test_the_course_holds_the_image_and_the_steps_in_their_order(course: Course, small: Dataset) -> None:
    assert [instant.step for instant in course.instants] == [1, 3, 5]
    assert np.array_equal(course.image, small.train_images[SAMPLE])
    assert course.label == small.train_labels[SAMPLE]


def test_the_weights_are_those_before_the_step_of_an_ordinary_training(
    course: Course, article: Experiment, small: Dataset
) -> None:
    loop = Loop(article.changed("training", mode="lockstep", steps=4), small)
    before = {1: {name: np.array(weight) for name, weight in loop.initial.items()}}
    for step in loop:
        before[step.number + 1] = {name: np.array(weight) for name, weight in loop.manual.network.parameters.items()}
    for instant in course.instants:
        assert instant.parameters.keys() == before[instant.step].keys()
        for name, weight in instant.parameters.items():
            assert np.array_equal(weight, before[instant.step][name])


def test_autograds_numbers_are_those_of_the_image_alone(course: Course) -> None:
    """The tutorial's network written out in torch, without anything of the project's."""
    x, target = torch.tensor(course.image.reshape(784) / 255), torch.eye(10, dtype=torch.float64)[course.label]
    for instant in course.instants:
        weights = {name: torch.tensor(w, requires_grad=True) for name, w in instant.parameters.items()}
        hidden = torch.sigmoid(weights["linear1.weight"] @ x + weights["linear1.bias"])
        output = torch.sigmoid(weights["linear2.weight"] @ hidden + weights["linear2.bias"])
        hidden.retain_grad()
        loss = ((output - target) ** 2).sum() / 2
        loss.backward()
        assert instant.autograd["loss"] == pytest.approx(loss.item(), rel=1e-14)
        assert hidden.grad is not None
        assert np.allclose(instant.autograd["sigmoid2.output"], output.detach().numpy(), rtol=1e-13)
        assert np.allclose(instant.autograd["sigmoid1.output.grad"], hidden.grad.numpy(), rtol=1e-12, atol=1e-17)
        for name, weight in weights.items():
            assert weight.grad is not None
            assert np.allclose(instant.autograd[f"{name}.grad"], weight.grad.numpy(), rtol=1e-12, atol=1e-17)


def test_a_weight_from_a_pixel_without_ink_has_no_gradient_at_all(course: Course) -> None:
    ink = course.image.reshape(784) > 0
    assert 0 < ink.sum() < 784
    for instant in course.instants:
        gradient = instant.autograd["linear1.weight.grad"]
        assert np.all(gradient[:, ~ink] == 0)
        assert np.all(gradient[:, ink] != 0)


def test_the_steps_before_a_chosen_one_leave_their_arrays_alone(course: Course) -> None:
    first, last = course.instants[0], course.instants[-1]
    assert not np.array_equal(first.parameters["linear1.weight"], last.parameters["linear1.weight"])
    for kept in ("parameters", "autograd"):
        for name, array in getattr(first, kept).items():
            assert not np.shares_memory(array, getattr(last, kept)[name])


@pytest.mark.parametrize(
    ("steps", "sample", "says"),
    [
        ((), 0, "at least one"),
        ((0, 1), 0, "1 or above"),
        ((1,), 600, "0 to 599"),
        ((1,), -1, "0 to 599"),
        ((121,), 0, "trained for 120 steps"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(
    steps: tuple[int, ...], sample: int, says: str, article: Experiment, small: Dataset
) -> None:
    with pytest.raises(CourseError if sample == 0 else DescriptionError, match=says):
        record_course(article, small, steps, sample)


def test_a_training_that_overflows_is_shown_no_further(article: Experiment, small: Dataset) -> None:
    wild = read_experiment("relu").changed("optimizer", lr=1e200)
    with pytest.raises(CourseError, match="cannot be shown beyond step"):
        record_course(wild, small, (6,), 0)
