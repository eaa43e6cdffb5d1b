"""Moments that many tests look at: a network at a step, an image gone through it and back."""

import functools

import pytest

from compare.experiment.files import read_experiment
from compare.explain.moment import Moment, moment


@functools.cache
def at(experiment: str, step: int = 1, sample: int | None = None) -> Moment:
    return moment(read_experiment(experiment), step, sample)


@pytest.fixture(scope="session")
def article() -> Moment:
    return at("article")
