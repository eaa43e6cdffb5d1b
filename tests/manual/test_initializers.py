"""Initial weights: within their range, of the variance that their papers give, and repeatable from one seed."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from manual import Linear, kaiming_normal, kaiming_uniform, normal, uniform, xavier_normal, xavier_uniform
from manual.initializers import fans, torch_default

Initializer = Callable[..., np.ndarray[Any, Any]]
SHAPE = (300, 200)  # 60,000 draws: fan_in 200, fan_out 300
ALL: list[Initializer] = [uniform, normal, xavier_uniform, xavier_normal, kaiming_uniform, kaiming_normal]
VARIANCES: dict[Initializer, float] = {
    uniform: 1 / 3,  # of U(-1, 1)
    normal: 1,
    xavier_uniform: 2 / (200 + 300),
    xavier_normal: 2 / (200 + 300),
    kaiming_uniform: 2 / 200,
    kaiming_normal: 2 / 200,
}


def draw(initializer: Initializer, seed: int = 0, shape: tuple[int, ...] = SHAPE, **options: float) -> Any:
    return initializer(np.random.default_rng(seed), shape, **options)


@pytest.mark.parametrize("initializer", ALL)
def test_mean_and_variance(initializer: Initializer) -> None:
    weight, variance = draw(initializer), VARIANCES[initializer]
    assert weight.shape == SHAPE
    assert weight.dtype == np.float64
    # Six standard errors of 60,000 draws; the variance's own standard error is at most variance * sqrt(2 / 60,000).
    assert abs(weight.mean()) < 6 * math.sqrt(variance / weight.size)
    assert abs(weight.var() / variance - 1) < 6 * math.sqrt(2 / weight.size)


@pytest.mark.parametrize("initializer", ALL)
def test_one_seed_gives_one_weight_and_another_seed_another(initializer: Initializer) -> None:
    np.testing.assert_array_equal(draw(initializer, seed=3), draw(initializer, seed=3))
    assert (draw(initializer, seed=3) != draw(initializer, seed=4)).all()


@pytest.mark.parametrize("initializer", ALL)
def test_the_generator_moves_on(initializer: Initializer) -> None:
    rng = np.random.default_rng(5)
    assert (initializer(rng, (3, 4)) != initializer(rng, (3, 4))).all()


@pytest.mark.parametrize(
    ("initializer", "limit"),
    [(uniform, 1.0), (xavier_uniform, math.sqrt(6 / 500)), (kaiming_uniform, math.sqrt(6 / 200))],
)
def test_a_uniform_draw_fills_its_range_and_stays_within(initializer: Initializer, limit: float) -> None:
    weight = draw(initializer)
    assert 0.999 * limit < weight.max() < limit
    assert -limit <= weight.min() < -0.999 * limit


def test_the_tutorials_weights_are_those_of_numpys_generator() -> None:
    np.testing.assert_array_equal(draw(uniform, shape=(10, 784)), np.random.default_rng(0).uniform(-1, 1, (10, 784)))


def test_options_move_and_scale() -> None:
    weight = draw(uniform, low=2.0, high=5.0)
    assert 2 <= weight.min() < 2.01
    assert 4.99 < weight.max() < 5
    weight = draw(normal, mean=7.0, std=0.5)
    assert weight.mean() == pytest.approx(7, abs=0.02)
    assert weight.std() == pytest.approx(0.5, rel=0.02)
    for xavier in (xavier_uniform, xavier_normal):
        np.testing.assert_allclose(draw(xavier, gain=3.0), 3 * draw(xavier), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shape", [(30, 784), (6, 3, 5, 5), (7, 2, 3)])
def test_fans_are_those_of_torch(shape: tuple[int, ...]) -> None:
    assert fans(shape) == torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))


@pytest.mark.parametrize("shape", [(10,), ()])
def test_a_bias_has_no_fans(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least two dimensions"):
        draw(xavier_uniform, shape=shape)


def test_a_linear_layer_starts_as_in_torch() -> None:
    ours = Linear(400, 300, rng=np.random.default_rng(0)).parameters
    theirs = {name: value.detach().numpy() for name, value in torch.nn.Linear(400, 300).named_parameters()}
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.shape == theirs[name].shape
        for drawn in (value, theirs[name]):
            assert 0.98 / 20 < np.abs(drawn).max() <= 1 / 20 * (1 + 1e-6)  # +-1/sqrt(400)
        assert value.min() < 0 < value.max()


def test_a_linear_layer_without_bias_has_none() -> None:
    assert Linear(3, 2, bias=False).parameters.keys() == {"weight"}
    assert torch_default(3, 2, bias=False).keys() == {"weight"}


def test_linear_layers_draw_from_the_generator_given_and_freshly_without_one() -> None:
    first, second = (Linear(3, 2, rng=np.random.default_rng(6)).parameters for _ in range(2))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert (Linear(3, 2).parameters["weight"] != Linear(3, 2).parameters["weight"]).all()
