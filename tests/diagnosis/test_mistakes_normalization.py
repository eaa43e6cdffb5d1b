"""The mistakes in normalising layers: each spoils what it says, and no two come out the same.

The missing roads are held against autograd with that road cut (`detach`), not against the formulas of the catalogue.
"""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

import compare.diagnosis.mistakes.normalization  # noqa: F401 - declares the mistakes
from compare.diagnosis.mistakes.catalogue import CATALOGUE
from compare.diagnosis.site import Site
from compare.selftest.networks.normalization import NETWORKS
from manual.batchnorm import BatchNorm1d, BatchNorm2d
from manual.groupnorm import GroupNorm
from manual.layernorm import LayerNorm, RMSNorm

LAYERS: dict[str, Any] = {layer.__name__: layer for layer in (BatchNorm1d, BatchNorm2d, LayerNorm, RMSNorm, GroupNorm)}
MISTAKES = [m for m in CATALOGUE.values() if set(m.on) <= LAYERS.keys()]


def site_of(kind: str, arguments: dict[str, Any], shape: tuple[int, ...], dtype: str, training: bool = True) -> Any:
    """Return the site of a layer with drawn weights at drawn numbers."""
    rng = np.random.default_rng(31)
    layer = LAYERS[kind](**arguments)
    layer.training = training
    for key, array in layer.parameters.items():
        layer.parameters[key] = rng.normal(1, 0.5, array.shape).astype(dtype)
    before = {
        key: array if array.ndim == 0 else rng.uniform(0.2, 2, array.shape).astype(dtype)
        for key, array in getattr(layer, "buffers", {}).items()
    }
    layer.buffers = dict(before)
    x, dy = rng.normal(0.5, 0.4, shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    y = layer.forward(x)
    right = {"output": y, "input": layer.backward(dy), **layer.gradients, **layer.buffers}
    return Site(
        "layer1", kind, x, right, y=y, dy=dy, parameters=layer.parameters,
        arguments=arguments, buffers=before, training=training,
    )  # fmt: skip


Place = tuple[str, dict[str, Any], tuple[int, ...]]

SITES: list[Place] = [
    ("BatchNorm1d", {"num_features": 5}, (7, 5)),
    ("BatchNorm1d", {"num_features": 3, "momentum": None, "eps": 1e-3}, (4, 3, 5)),
    ("BatchNorm2d", {"num_features": 3, "momentum": 0.3}, (4, 3, 2, 5)),
    ("LayerNorm", {"normalized_shape": 6}, (7, 6)),
    ("LayerNorm", {"normalized_shape": (3, 4)}, (5, 2, 3, 4)),
    ("RMSNorm", {"normalized_shape": 6, "eps": 1e-4}, (7, 6)),
    ("RMSNorm", {"normalized_shape": (3, 4), "eps": 1e-3}, (5, 2, 3, 4)),
    ("GroupNorm", {"num_groups": 2, "num_channels": 6}, (4, 6, 5)),
    ("GroupNorm", {"num_groups": 3, "num_channels": 6, "eps": 1e-3}, (4, 6, 2, 3)),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("place", SITES, ids=str)
def test_each_is_wrong_beyond_rounding_and_unlike_every_other(place: Place, dtype: str) -> None:
    site = site_of(*place, dtype)
    u = np.finfo(dtype).eps
    made: dict[str, list[tuple[str, np.ndarray]]] = {}
    for mistake in MISTAKES:
        for way in mistake.ways(site):
            right = site.right[mistake.key]
            assert way.shape == right.shape, mistake.name
            assert np.isfinite(way).all(), mistake.name
            assert abs(way - right).max() > 50 * u * abs(right).max(), mistake.name
            made.setdefault(mistake.key, []).append((mistake.name, way))
    for key, ways in made.items():
        for (one, a), (other, b) in combinations(ways, 2):
            assert abs(a - b).max() > 50 * u * abs(a).max(), (key, one, other)


def test_every_mistake_can_be_made_and_every_class_has_several() -> None:
    sites = [site_of(*place, "float64") for place in SITES]
    made = {m.name: {site.kind for site in sites if m.ways(site)} for m in MISTAKES}
    assert all(made.values()), [name for name, kinds in made.items() if not kinds]
    for kind in LAYERS:
        names = [m.name for m in MISTAKES if kind in m.on]
        assert len(names) >= 10
        assert all(kind in made[name] or (kind == "BatchNorm2d" and "positions" in name) for name in names)


def cut(kind: str, arguments: dict[str, Any], site: Any, mean_cut: bool, variance_cut: bool) -> np.ndarray:
    """Return autograd's gradient for the input with the road through mean or variance cut."""
    x = torch.tensor(site.x, requires_grad=True)
    n = len(site.x)
    match kind:
        case "LayerNorm" | "RMSNorm":
            seen, dims, beside = x.reshape(-1, site.parameters["weight"].size), (1,), (-1,)
        case "GroupNorm":
            groups, channels = arguments["num_groups"], arguments["num_channels"]
            seen, dims = x.reshape(n, groups, channels // groups, -1), (2, 3)
            beside = (groups, -1, 1)
        case _:
            seen, dims, beside = x.reshape(n, arguments["num_features"], -1), (0, 2), (-1, 1)
    mean = torch.zeros(1) if kind == "RMSNorm" else seen.mean(dims, keepdim=True)
    centred = seen - (mean.detach() if mean_cut else mean)
    variance = (centred**2).mean(dims, keepdim=True)
    variance = variance.detach() if variance_cut else variance
    x_hat = centred / torch.sqrt(variance + arguments.get("eps", 1e-5))
    y = x_hat * torch.tensor(site.parameters["weight"]).reshape(beside)
    y.backward(torch.tensor(site.dy).reshape(y.shape))
    assert x.grad is not None
    return x.grad.numpy()


@pytest.mark.parametrize("place", SITES, ids=str)
def test_a_missing_term_is_a_road_that_is_cut(place: Place) -> None:
    kind, arguments, _ = place
    site = site_of(*place, "float64")
    entry = "batchnorm" if "Batch" in kind else kind.lower()
    missing = {"mean-term": (True, False), "variance-term": (False, True), "both-terms": (True, True)}
    if kind == "RMSNorm":
        missing = {"x-hat-term": (False, True)}
    for name, cuts in missing.items():
        (way,) = CATALOGUE[f"{entry}-{name}-missing"].ways(site)
        np.testing.assert_allclose(way, cut(kind, arguments, site, *cuts), rtol=1e-10, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(site.right["input"], cut(kind, arguments, site, False, False), rtol=1e-10, atol=1e-12)


def one(name: str, site: Any) -> np.ndarray:
    (way,) = CATALOGUE[name].ways(site)
    return way


def test_batch_norm_written_out_from_the_sentences() -> None:
    site = site_of("BatchNorm1d", {"num_features": 5}, (7, 5), "float64")
    x, dy, gamma, beta = site.x, site.dy, site.parameters["weight"], site.parameters["bias"]
    mean, var, eps = x.mean(axis=0), x.var(axis=0), 1e-5
    old_mean, old_var = site.buffers["running_mean"], site.buffers["running_var"]
    x_hat = (x - mean) / np.sqrt(var + eps)
    rows = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + eps)
    for name, expected in {
        "batchnorm-unbiased-variance": gamma * (x - mean) / np.sqrt(x.var(axis=0, ddof=1) + eps) + beta,
        "batchnorm-divided-by-variance": gamma * (x - mean) / (var + eps) + beta,
        "batchnorm-mean-not-subtracted": gamma * x / np.sqrt(var + eps) + beta,
        "batchnorm-eps-outside-root": gamma * (x - mean) / (np.sqrt(var) + eps) + beta,
        "batchnorm-eps-forgotten": gamma * (x - mean) / np.sqrt(var) + beta,
        "batchnorm-over-features": gamma * rows + beta,
        "batchnorm-running-statistics-in-training": gamma * (x - old_mean) / np.sqrt(old_var + eps) + beta,
        "batchnorm-running-mean-momentum-swapped": 0.1 * old_mean + 0.9 * mean,
        "batchnorm-running-mean-frozen": old_mean,
        "batchnorm-running-mean-adds-up": old_mean + 0.1 * mean,
        "batchnorm-running-var-biased": 0.9 * old_var + 0.1 * var,
        "batchnorm-running-var-momentum-swapped": 0.1 * old_var + 0.9 * x.var(axis=0, ddof=1),
        "batchnorm-running-var-of-deviation": 0.9 * old_var + 0.1 * x.std(axis=0, ddof=1),
        "batchnorm-gamma-gradient-without-x-hat": dy.sum(axis=0),
        "batchnorm-gamma-gradient-of-input": (dy * x).sum(axis=0),
        "batchnorm-gamma-gradient-averaged": (dy * x_hat).mean(axis=0),
        "batchnorm-gamma-gradient-not-divided": (dy * (x - mean)).sum(axis=0),
        "batchnorm-beta-gradient-averaged": dy.mean(axis=0),
    }.items():
        np.testing.assert_allclose(one(name, site), expected, rtol=1e-11, atol=1e-13, err_msg=name)


def test_groups_and_examples_written_out_from_the_sentences() -> None:
    site = site_of("GroupNorm", {"num_groups": 2, "num_channels": 6}, (4, 6, 5), "float64")
    x, gamma, beta = site.x, site.parameters["weight"], site.parameters["bias"]
    torch_x = torch.tensor(x)
    affine = gamma[:, None], beta[:, None]
    whole = torch.nn.functional.layer_norm(torch_x, (6, 5)).numpy() * affine[0] + affine[1]
    apart = torch.nn.functional.instance_norm(torch_x).numpy() * affine[0] + affine[1]
    dealt = x[:, [0, 2, 4, 1, 3, 5]]  # even channels, then odd ones: then neighbours are right
    interleaved = torch.nn.functional.group_norm(torch.tensor(dealt), 2).numpy()[:, [0, 3, 1, 4, 2, 5]]
    np.testing.assert_allclose(one("groupnorm-over-whole-layer", site), whole, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(one("groupnorm-channels-apart", site), apart, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        one("groupnorm-channels-interleaved", site), interleaved * affine[0] + affine[1], rtol=1e-10, atol=1e-12
    )
    site = site_of("LayerNorm", {"normalized_shape": 6}, (7, 6), "float64")
    over_batch = (site.x - site.x.mean(axis=0)) / np.sqrt(site.x.var(axis=0) + 1e-5)
    expected = over_batch * site.parameters["weight"] + site.parameters["bias"]
    np.testing.assert_allclose(one("layernorm-over-batch", site), expected, rtol=1e-11, atol=1e-13)
    site = site_of("RMSNorm", {"normalized_shape": 6, "eps": 1e-5}, (7, 6), "float64")
    expected = torch.nn.functional.layer_norm(torch.tensor(site.x), (6,)).numpy() * site.parameters["weight"]
    np.testing.assert_allclose(one("rmsnorm-mean-subtracted", site), expected, rtol=1e-11, atol=1e-13)
    expected = site.x / np.sqrt((site.x**2).sum(axis=1, keepdims=True) + 1e-5) * site.parameters["weight"]
    np.testing.assert_allclose(one("rmsnorm-sum-of-squares", site), expected, rtol=1e-11, atol=1e-13)


def test_in_evaluation_no_road_through_the_batch_can_be_missed() -> None:
    site = site_of("BatchNorm1d", {"num_features": 5}, (7, 5), "float64", training=False)
    assert not [m.name for m in MISTAKES if m.key == "input" and m.ways(site)]


def test_the_small_networks_admit_every_mistake() -> None:
    """Each kind of layer stands above one with weights, with more than one channel, group and position."""
    shapes = {"small-batchnorm": (7, 8), "small-batchnorm-images": (7, 3, 4, 4), "small-groupnorm": (7, 6, 3, 3)}
    made: set[str] = set()
    for network in NETWORKS:
        for below, table in zip(network["layers"], network["layers"][1:], strict=False):
            if table["kind"] in LAYERS:
                assert below["kind"] in ("Linear", "Conv2d")
                arguments = {key: value for key, value in table.items() if key != "kind"}
                shape = shapes.get(network["name"], (7, arguments.get("normalized_shape", 0)))
                site = site_of(table["kind"], arguments, shape, "float64")
                made |= {m.name for m in MISTAKES if m.ways(site)}
    assert made == {m.name for m in MISTAKES}
