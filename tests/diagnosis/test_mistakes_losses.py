"""Mistakes in the losses, each at a site made by hand: it differs from the right, has its shape, and is no other."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from compare.diagnosis.mistakes import CATALOGUE, elementwise_losses, label_losses, margins
from compare.diagnosis.site import Site
from compare.selftest.networks.losses import NETWORKS
from manual import likelihoods, losses, piecewise

Array = np.ndarray[Any, Any]
ROOMS = (elementwise_losses.__name__, label_losses.__name__, margins.__name__)
OWN = {name: m for name, m in CATALOGUE.items() if (made := m.wrong.__module__) in ROOMS and made}
KINDS = {m for mistake in OWN.values() for m in mistake.on}
LABELS = np.array([2, 0, 1, 1, 0, 2, 0])


def build(kind: str, arguments: Mapping[str, Any]) -> Any:
    return getattr(next(room for room in (losses, likelihoods, piecewise) if hasattr(room, kind)), kind)(**arguments)


def site(
    kind: str,
    arguments: Mapping[str, Any],
    dtype: Any = np.float64,
    shape: tuple[int, ...] = (7, 3),
    soft: bool = False,
) -> Site:
    """A loss's site, with seven examples, a nominal batch of ten, and differences on both sides of every corner."""
    rng = np.random.default_rng(4)
    x = (rng.uniform(0.05, 0.95, shape) if kind == "BCELoss" else 1.5 * rng.normal(size=shape)).astype(dtype)
    if kind in ("NLLLoss", "KLDivLoss"):
        x -= np.log(np.exp(x).sum(axis=1, keepdims=True))
    labels = LABELS if len(shape) == 2 else rng.integers(0, 3, (shape[0], *shape[2:]))
    rows = np.exp(rng.normal(size=shape)) if soft else losses.one_hot(labels, x)
    target = (rows / rows.sum(axis=1, keepdims=True)).astype(dtype)
    of_labels = kind in ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss") or (not soft and len(shape) == 2)
    loss = build(kind, arguments)
    value = np.asarray(loss.forward(x, labels if of_labels else target))
    return Site(
        "loss", kind, x, {"value": value, "gradient": loss.backward()}, target=target,
        labels=labels if of_labels else None, nominal=10, classes=3, arguments=arguments,
    )  # fmt: skip


SITES = [
    *(
        (network["loss"]["kind"], {k: v for k, v in network["loss"].items() if k != "kind"}, False)
        for network in NETWORKS
    ),
    ("KLDivLoss", {"reduction": "batchmean"}, True),
    ("BCEWithLogitsLoss", {"pos_weight": [1.9, 0.7, 1.4]}, True),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kind", "arguments", "soft"), SITES, ids=str)
@pytest.mark.parametrize("key", ["value", "gradient"])
def test_every_mistake_is_wrong_and_no_two_are_alike(
    kind: str, arguments: Any, soft: bool, key: str, dtype: Any
) -> None:
    at = site(kind, arguments, dtype, soft=soft)
    right = at.right[key]
    found = {
        (name, i): way for name, m in CATALOGUE.items() if m.key == key and not m.fitted and not m.precision
        for i, way in enumerate(m.ways(at))
    }  # fmt: skip
    assert any(name in OWN for name, _ in found)
    distinct = 1e4 * np.finfo(dtype).eps * np.abs(right).max()
    for (name, _), way in found.items():
        assert way.shape == right.shape, name
        assert way.dtype == dtype, name
        assert np.isfinite(way).all(), name
        assert np.abs(way - right).max() > distinct, name
    for (one, first), (other, second) in itertools.combinations(found.items(), 2):
        assert np.abs(first - second).max() > distinct, (one, other)


@pytest.mark.parametrize("name", OWN)
def test_every_mistake_can_be_made_in_a_network_of_the_self_test(name: str) -> None:
    at = [site(kind, arguments, soft=soft) for kind, arguments, soft in SITES if not soft or kind == "KLDivLoss"]
    if name in ("divergence-turned-round", "divergence-for-the-target"):  # of labels only as logarithms
        at = at[:-1]
    assert any(OWN[name].ways(one) for one in at)


@pytest.mark.parametrize("kind", sorted(KINDS - {"BCELoss"}))
def test_a_new_loss_has_two_mistakes_of_its_own(kind: str) -> None:
    assert sum(kind in m.on for m in OWN.values()) >= 2
    for key in ("value", "gradient"):
        assert sum(kind in m.on and m.key == key for m in OWN.values()) >= 1


@pytest.mark.parametrize(("kind", "arguments", "soft"), [s for s in SITES if s[0] != "MultiMarginLoss"], ids=str)
def test_more_dimensions_are_taken(kind: str, arguments: Any, soft: bool) -> None:
    if kind in ("BCELoss", "BCEWithLogitsLoss"):
        arguments = {k: np.reshape(v, (3, 1)) if "weight" in k else v for k, v in arguments.items()}
    at = site(kind, arguments, shape=(7, 3, 2), soft=soft)
    made = 0
    for name, m in OWN.items():
        for way in m.ways(at):
            made += 1
            assert way.shape == at.right[m.key].shape, name
            assert np.abs(way - at.right[m.key]).max() > 1e-9 * np.abs(at.right[m.key]).max(), name
    assert made >= 2


def test_without_the_option_its_mistakes_cannot_be_made() -> None:
    for kind in sorted(KINDS):
        at = site(kind, {"reduction": "sum"})
        for name, m in OWN.items():
            if any(word in name for word in ("weight", "ignored", "smoothing", "square-as-hinge", "log-target")):
                assert m.ways(at) == [], (name, kind)


def test_the_delta_of_the_mistakes_by_hand() -> None:
    """Some formulas once more, on a single example: written out from the sentence alone."""
    z, p = np.array([[0.5, -1.0, 2.0]]), np.exp([0.5, -1.0, 2.0]) / np.exp([0.5, -1.0, 2.0]).sum()
    loss = build("CrossEntropyLoss", {"label_smoothing": 0.3})
    value = np.asarray(loss.forward(z, np.array([2])))
    at = Site(
        "loss", "CrossEntropyLoss", z, {"value": value, "gradient": loss.backward()}, target=np.array([[0, 0, 1.0]]),
        labels=np.array([2]), arguments={"label_smoothing": 0.3},
    )  # fmt: skip
    for name, q in {
        "label-smoothing-over-the-others": [0.15, 0.15, 0.7], "label-smoothing-not-shared": [0, 0, 0.7],
        "label-smoothing-on-top": [0.1, 0.1, 1.1], "label-smoothing-forgotten": [0, 0, 1],
    }.items():  # fmt: skip
        (wrong,) = CATALOGUE[name].ways(at)
        np.testing.assert_allclose(wrong, -(np.array(q) * np.log(p)).sum(), rtol=1e-13)
        (wrong,) = CATALOGUE[f"{name}-backward"].ways(at)
        np.testing.assert_allclose(wrong, [p * np.sum(q) - q], rtol=1e-12, atol=1e-15)
    d = np.array([[0.1, -0.2, 3.0, -4.0]])
    huber = build("HuberLoss", {"delta": 0.5, "reduction": "sum"})
    at = Site(
        "loss", "HuberLoss", d, {"value": np.asarray(huber.forward(d, 0 * d)), "gradient": huber.backward()},
        target=0 * d, arguments={"delta": 0.5, "reduction": "sum"},
    )  # fmt: skip
    for name, wanted in {
        "huber-gradient-not-clipped": d, "huber-gradient-cut-to-zero": [[0.1, -0.2, 0, 0]],
        "huber-lines-without-sign": [[0.1, -0.2, 0.5, 0.5]], "huber-delta-missing-in-slope": [[0.1, -0.2, 1, -1]],
        "huber-lines-not-lowered": 0.005 + 0.02 + 1.5 + 2, "huber-half-missing": 0.01 + 0.04 + 1.375 + 1.875,
        "huber-delta-missing": 0.005 + 0.02 + 2.75 + 3.75,
    }.items():  # fmt: skip
        (wrong,) = CATALOGUE[name].ways(at)
        np.testing.assert_allclose(wrong, wanted, rtol=1e-14)
