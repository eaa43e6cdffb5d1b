"""The optimizers' mistakes: each differs, no two coincide, and each can be planted in a live optimizer."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import manual
from compare.diagnosis.mistakes import adam, adaptive, training, updates
from compare.diagnosis.mistakes.catalogue import CATALOGUE, Mistake
from compare.diagnosis.planted import Planted
from compare.diagnosis.planted_optimizer import PlantedOptimizer
from compare.diagnosis.site import Site
from compare.selftest.networks.optimizers import OPTIMIZERS
from manual.optimizers import OPTIONS

STEPS = 8
KINDS = {*OPTIONS, "Accumulation", "Clipping", "Schedule"}
ROOMS = {adam.__name__, adaptive.__name__, training.__name__, updates.__name__}
OURS = {name: m for name, m in CATALOGUE.items() if m.wrong.__module__ in ROOMS or KINDS & {*m.on}}
NEW = {name: m for name, m in OURS.items() if not (m.precision or m.fitted) and {*m.on} != {"SGD"}}
EVERY = {
    **OPTIMIZERS,
    "sgd": {"kind": "SGD", "lr": 0.3},
    "sgd-nesterov": {"kind": "SGD", "lr": 0.3, "momentum": 0.8, "nesterov": True},
    "sgd-decay": {"kind": "SGD", "lr": 0.3, "weight_decay": {"linear1.weight": 0.1}},
    "adam-climbing": {"kind": "Adam", "lr": 0.01, "maximize": True, "eps": 0.01, "weight_decay": 0.1},
    "l1-clipped": {"kind": "Adam", "lr": 0.01, "eps": 0.01, "max_norm": 0.5, "norm_type": 1.0},
    "warm-and-cosine": {
        "kind": "AdamW", "lr": 0.1, "eps": 0.01, "accumulate": 2, "max_norm": 0.3,
        "schedule": {
            "kind": "SequentialLR", "milestones": [1],
            "schedules": [{"kind": "LinearLR", "total_iters": 1}, {"kind": "CosineAnnealingLR", "T_max": 3}],
        },
    },
}  # fmt: skip


def build(options: dict[str, Any], dtype: str = "float64") -> Any:
    """Return manual's optimizer over a small network."""
    rng = np.random.default_rng(5)
    layers = [manual.Linear(6, 5), manual.Tanh(), manual.Linear(5, 3)]
    names = manual.Network(layers, manual.CrossEntropyLoss()).parameters
    parameters = {name: rng.normal(size=p.shape).astype(dtype) for name, p in names.items()}
    network = manual.Network(layers, manual.CrossEntropyLoss(), parameters)
    arguments = dict(options)
    return getattr(manual, arguments.pop("kind"))(network, **arguments)


def backward(optimizer: Any, step: int) -> None:
    rng, network = np.random.default_rng(50 + step), optimizer.network
    network.loss(rng.normal(size=(7, 6)).astype(network.dtype), rng.integers(0, 3, 7))
    network.backward()


def planted(optimizer: Any, mistake: Mistake, where: str) -> PlantedOptimizer:
    return PlantedOptimizer(optimizer, Planted(mistake, where, "", ""), {"nominal": 7, "classes": 3})


def sites(options: dict[str, Any], dtype: str) -> Iterator[dict[str, Site]]:
    """Yield the sites of every right step."""
    optimizer = build(options, dtype)
    spy = planted(optimizer, Mistake("none", "", (), "", lambda _: None), "")
    for step in range(STEPS):
        backward(optimizer, step)
        state = {key: value.copy() for key, value in optimizer.state.items()}
        optimizer.step()
        yield spy.sites(state, optimizer.micro - 1)


def wrongs(site: Site) -> dict[str, tuple[str, np.ndarray]]:
    """Return what every mistake makes at a site, where it makes a difference."""
    made = {}
    for name, mistake in OURS.items():
        if mistake.precision or mistake.fitted:
            continue
        for number, way in enumerate(mistake.ways(site)):
            if not np.array_equal(way, site.right[mistake.key]):
                made[f"{name} {number}"] = (mistake.key, way)
    return made


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(
        np.linalg.norm(np.ravel(a - b)) / max(np.linalg.norm(np.ravel(a)), np.linalg.norm(np.ravel(b)), 1e-300)
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("network", EVERY)
def test_each_differs_from_the_right_tensor_and_no_two_coincide(network: str, dtype: str) -> None:
    noise = 1e3 * float(np.finfo(dtype).eps)
    every = list(sites(EVERY[network], dtype))
    for at_step in every:
        for site in at_step.values():
            made = wrongs(site)
            for name, (key, way) in made.items():
                right = site.right[key]
                assert way.shape == right.shape, name
                assert way.dtype == right.dtype, name
                # By parameters, not by steps: an update is a small part of what it changes.
                assert apart(way, right) > noise / 30, name
    for site in every[-1].values():  # at the last step, where nothing is the same by having just begun
        made = list(wrongs(site).items())
        for position, (name, (key, way)) in enumerate(made):
            for other, (other_key, other_way) in made[:position]:
                if key == other_key and site.kind in OURS[name.split()[0]].on:
                    assert apart(way, other_way) > noise / 30, f"{name}, {other} at {site.name}"


def test_every_mistake_can_be_made_in_the_networks_of_the_self_test() -> None:
    made: set[str] = set()
    for options in OPTIMIZERS.values():
        for at_step in sites(options, "float64"):
            for site in at_step.values():
                made |= {name.split()[0] for name in wrongs(site)}
    assert NEW.keys() - made == {"weight-decay-on-biases"}  # this one in the network sigmoid-nll-decay


def test_there_are_at_least_two_for_every_rule() -> None:
    for kind in KINDS:
        particular = [m for m in OURS.values() if {*m.on} <= {kind} or ({*m.on} == {"Adam", "AdamW"} and kind in m.on)]
        assert len(particular) >= 2, kind


# The right optimizer's trace beside that of the one with the mistake in it: what is wrong, and what follows.


def tensor_of(mistake: Mistake, where: str, optimizer: Any) -> str:
    if mistake.key == "updated":
        return f"{where}.updated"
    return where if mistake.key in ("accumulated", "clipped", "lr") else f"{optimizer.name}.{where}.{mistake.key}"


def first_effect(mistake: Mistake) -> tuple[dict[str, Any], str] | None:
    """Return the options of the first network where the mistake makes a difference, and where."""
    for options in EVERY.values():
        for at_step in sites(options, "float64"):
            for name, site in at_step.items():
                if any(key == mistake.key for n, (key, _) in wrongs(site).items() if n.split()[0] == mistake.name):
                    return options, name
    return None


@pytest.mark.parametrize("name", sorted(n for n, m in NEW.items() if not m.fitted))
def test_planted_it_spoils_its_tensor_first_and_what_follows_is_right(name: str) -> None:
    mistake = NEW[name]
    place = first_effect(mistake)
    assert place is not None
    options, where = place
    right, inner = build(options), build(options)
    spoiled = planted(inner, mistake, where)
    for step in range(STEPS):
        backward(right, step)
        backward(inner, step)
        right.step()
        spoiled.step()
        expected, found = right.trace(), spoiled.trace()
        assert list(expected) == list(found)
        assert spoiled.micro == right.micro
        differing = [n for n in expected if not np.array_equal(expected[n], found[n])]
        if not differing:
            assert spoiled.planted.first_effect is None
            continue
        assert differing[0] == tensor_of(mistake, where, inner)
        assert spoiled.planted.first_effect == step + 1
        return
    pytest.fail("without effect")


def test_what_follows_from_a_wrong_state_is_the_right_rule_on_it() -> None:
    """A wrong square_avg: the mean, the momentum and the update follow from it as RMSprop has them."""
    options = {"kind": "RMSprop", "lr": 0.1, "alpha": 0.9, "eps": 0.01, "momentum": 0.8}
    mistake = CATALOGUE["rmsprop-alpha-swapped"]
    inner = build(options)
    spoiled = planted(inner, mistake, "linear1.weight")
    backward(inner, 0)
    before = {name: array.copy() for name, array in inner.network.parameters.items()}
    spoiled.step()
    for name, gradient in inner.network.gradients.items():
        square = 0.9 * gradient**2  # swapped: the right one is a tenth
        buffer = gradient / (np.sqrt(square) + 0.01)
        np.testing.assert_allclose(inner.state[f"{name}.square_avg"], square, rtol=1e-14)
        np.testing.assert_allclose(inner.state[f"{name}.momentum_buffer"], buffer, rtol=1e-13)
        np.testing.assert_allclose(inner.network.parameters[name], before[name] - 0.1 * buffer, rtol=1e-13)
        np.testing.assert_array_equal(inner.previous[name], before[name])
        assert inner.state[f"{name}.step"] == 1
    assert type(inner.state) is dict


def test_what_follows_from_wrong_clipping_and_a_wrong_rate() -> None:
    options = {"kind": "SGD", "lr": 0.3, "max_norm": 0.1, "schedule": {"kind": "LinearLR"}}
    for name, factor, rate in (("clipping-without-effect", 1.0, 0.1), ("schedule-ignored", None, 0.3)):
        inner = build(options)
        spoiled = planted(inner, CATALOGUE[name], "sgd.lr" if "schedule" in name else "linear1.weight.grad.clipped")
        backward(inner, 0)
        before = {n: array.copy() for n, array in inner.network.parameters.items()}
        spoiled.step()
        for n, gradient in inner.network.gradients.items():
            clipped = gradient if factor else inner.clipped[n]
            np.testing.assert_allclose(inner.network.parameters[n], before[n] - rate * clipped, rtol=1e-13)
        assert inner.trace()["sgd.lr"] == pytest.approx(rate)
        assert inner.lr == pytest.approx(0.3 * (1 / 3 + 2 / 3 / 5))  # the next rate is the schedule's own
        assert "clip" not in vars(inner)


def test_a_state_that_is_restored_goes_to_the_inner_optimizer() -> None:
    inner = build({"kind": "Adam"})
    spoiled = planted(inner, CATALOGUE["adam-uncorrected"], "linear1.weight")
    spoiled.micro, spoiled.state = 7, {}
    assert (inner.micro, inner.state) == (7, {})
    assert spoiled.lr == inner.lr
