"""The mistakes of recurrent layers and of attention: made at hand-built sites, visible, and no two of them alike."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from compare.diagnosis.mistakes import attention, gated, recurrent
from compare.diagnosis.mistakes.catalogue import CATALOGUE, Mistake
from compare.diagnosis.site import Site
from manual.attention import MultiheadAttention
from manual.gru import GRU
from manual.lstm import LSTM
from manual.rnn import RNN

CLASSES: dict[str, Any] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU, "MultiheadAttention": MultiheadAttention}
ROOMS = (recurrent.__name__, gated.__name__, attention.__name__)
OWN = [m for m in CATALOGUE.values() if m.wrong.__module__ in ROOMS]
SIZES = {"input_size": 3, "hidden_size": 4}
DEEP = SIZES | {"num_layers": 2, "bidirectional": True, "batch_first": True, "dropout": 0.3}
HEADS = {"embed_dim": 6, "num_heads": 2}
SITES: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "rnn": ("RNN", SIZES, (5, 2, 3)),
    "rnn, relu": ("RNN", SIZES | {"nonlinearity": "relu"}, (5, 2, 3)),
    "rnn, deep": ("RNN", DEEP, (2, 5, 3)),
    "lstm": ("LSTM", SIZES, (5, 2, 3)),
    "lstm, projected": ("LSTM", DEEP | {"proj_size": 2}, (2, 5, 3)),
    "lstm, one sequence": ("LSTM", SIZES | {"bias": False}, (5, 3)),
    "gru": ("GRU", SIZES, (5, 2, 3)),
    "gru, deep": ("GRU", DEEP, (2, 5, 3)),
    "attention": ("MultiheadAttention", HEADS, (5, 2, 6)),
    "attention, causal": ("MultiheadAttention", HEADS | {"is_causal": True, "batch_first": True}, (2, 5, 6)),
    "attention, causal, dropout": ("MultiheadAttention", HEADS | {"is_causal": True, "dropout": 0.2}, (5, 2, 6)),
    "attention, one sequence": ("MultiheadAttention", HEADS | {"bias": False, "add_bias_kv": True}, (5, 6)),
}


def site_of(ground: str, dtype: str = "float64", steps: int | None = None) -> Site:
    kind, arguments, shape = SITES[ground]
    rng = np.random.default_rng(21)
    layer = CLASSES[kind](**arguments, rng=rng)
    for key, value in layer.parameters.items():
        layer.parameters[key] = rng.normal(0, 0.6, value.shape).astype(dtype)
    x = rng.normal(size=shape).astype(dtype)
    output = layer.forward(x if steps is None else x[:steps])
    dy = rng.normal(size=output.shape).astype(dtype)
    right = {"output": output, "input": layer.backward(dy), **layer.gradients}
    x = x if steps is None else x[:steps]
    return Site(
        "here", kind, x, right, y=output, dy=dy, parameters=dict(layer.parameters), arguments=arguments,
        drawn=dict(layer.drawn), training=True,
    )  # fmt: skip


def made(site: Site) -> list[tuple[Mistake, np.ndarray]]:
    """Return every mistake of the three rooms that can be made at the site, and the wrong tensor."""
    return [(m, way) for m in OWN for way in m.ways(site)]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ground", SITES)
def test_every_mistake_that_is_made_is_far_from_right_and_from_every_other(ground: str, dtype: str) -> None:
    site = site_of(ground, dtype)
    wrong = made(site)
    assert len(wrong) >= 10
    visible = 1e4 * np.finfo(dtype).eps
    for mistake, way in wrong:
        assert way.shape == site.right[mistake.key].shape, mistake.name
        assert way.dtype == dtype, mistake.name
        assert np.isfinite(way).all(), mistake.name
        assert distance(way, site.right[mistake.key]) > visible, mistake.name
    for (first, a), (second, b) in combinations(wrong, 2):
        if first.key == second.key:
            assert distance(a, b) > visible, (first.name, second.name)


def test_every_mistake_can_be_made_somewhere_and_has_a_sentence() -> None:
    possible = {mistake.name for ground in SITES for mistake, _ in made(site_of(ground))}
    assert possible == {mistake.name for mistake in OWN}
    assert all(mistake.about.endswith(".") for mistake in OWN)
    for kind in CLASSES:
        assert sum(kind in mistake.on for mistake in OWN) >= 10


@pytest.mark.parametrize("ground", ["rnn", "lstm", "gru"])
def test_over_a_single_step_nothing_is_lost_between_steps(ground: str) -> None:
    names = {mistake.name for mistake, _ in made(site_of(ground, steps=1))}
    assert names
    assert not names & {
        "recurrent-gradient-cut", "recurrent-last-step-only", "recurrent-averaged-over-time",
        "recurrent-state-not-carried", "lstm-cell-gradient-lost", "gru-direct-path-missing",
    }  # fmt: skip


def test_a_site_is_not_changed_by_its_mistakes() -> None:
    for ground in SITES:
        site, fresh = site_of(ground), site_of(ground)
        for arrays in (site.parameters, site.drawn, site.right, {"x": site.x, "dy": site.dy}):
            for array in arrays.values():
                assert array is not None
                array.flags.writeable = False
        made(site)
        for key, value in fresh.right.items():
            np.testing.assert_array_equal(site.right[key], value)
