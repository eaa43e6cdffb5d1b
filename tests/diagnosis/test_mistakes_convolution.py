"""The mistakes in convolution and pooling: each spoils what it says, and no two come out the same."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as everywhere

import compare.diagnosis.mistakes.convolution
import compare.diagnosis.mistakes.pooling  # noqa: F401 - importing a room declares its mistakes
from compare.diagnosis.mistakes.catalogue import CATALOGUE
from compare.diagnosis.site import Site
from compare.selftest.networks.convolution import NETWORKS
from manual.convolution import Conv2d
from manual.pooling import AvgPool2d, MaxPool2d

LAYERS: dict[str, Any] = {layer.__name__: layer for layer in (Conv2d, MaxPool2d, AvgPool2d)}
MISTAKES = {m.name: m for m in CATALOGUE.values() if set(m.on) <= LAYERS.keys()}


def conv(channels: int, outputs: int, kernel: Any, **more: Any) -> dict[str, Any]:
    return {"in_channels": channels, "out_channels": outputs, "kernel_size": kernel, **more}


SITES: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("Conv2d", conv(2, 3, 3), (7, 2, 5, 6)),
    ("Conv2d", conv(2, 3, (2, 3), stride=(2, 1), padding=(1, 2)), (7, 2, 6, 5)),
    ("Conv2d", conv(4, 6, 3, groups=2, stride=2, padding=2, dilation=2), (7, 4, 6, 6)),
    ("Conv2d", conv(4, 6, [3, 2], stride=[2, 2], bias=False), (7, 4, 7, 6)),
    ("Conv2d", conv(2, 3, 3, padding=(1, 2), padding_mode="reflect"), (7, 2, 4, 5)),
    ("Conv2d", conv(2, 3, 3, padding="same"), (2, 5, 4)),
    ("MaxPool2d", {"kernel_size": 2}, (7, 2, 4, 6)),
    ("MaxPool2d", {"kernel_size": 3, "stride": 1}, (7, 2, 5, 6)),
    ("MaxPool2d", {"kernel_size": [2, 3], "stride": 2, "padding": (1, 1), "ceil_mode": True}, (7, 2, 4, 5)),
    ("MaxPool2d", {"kernel_size": 2, "stride": 1, "dilation": 2}, (2, 6, 7)),
    ("AvgPool2d", {"kernel_size": 2}, (7, 2, 4, 6)),
    ("AvgPool2d", {"kernel_size": (3, 2), "stride": 1}, (2, 6, 5)),
    ("AvgPool2d", {"kernel_size": 3, "stride": 2, "padding": 1}, (7, 2, 6, 5)),
    ("AvgPool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}, (7, 2, 6, 5)),
    ("AvgPool2d", {"kernel_size": 2, "padding": 1, "divisor_override": 3}, (7, 2, 4, 5)),
]


def site_of(
    kind: str, arguments: dict[str, Any], shape: tuple[int, ...], dtype: Any = np.float64, ties: bool = False
) -> Site:
    rng = np.random.default_rng(12)
    layer = LAYERS[kind](**arguments)
    layer.parameters = {k: rng.normal(size=a.shape).astype(dtype) for k, a in getattr(layer, "parameters", {}).items()}
    layer.gradients = {}
    x = rng.normal(size=shape).astype(dtype)
    if ties:
        x = np.maximum(x, 0)
    y = layer.forward(x)
    dy = rng.normal(size=y.shape).astype(dtype)
    right = {"output": y, "input": layer.backward(dy), **layer.gradients}
    return Site("layer1", kind, x, right, y=y, dy=dy, parameters=layer.parameters, arguments=arguments)


def way(name: str, site: Site) -> np.ndarray:
    (only,) = MISTAKES[name].ways(site)
    return only


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("ties", [False, True], ids=["generic", "ties"])
@pytest.mark.parametrize(("kind", "arguments", "shape"), SITES, ids=str)
def test_each_differs_from_the_right_tensor_and_from_every_other(
    kind: str, arguments: dict[str, Any], shape: tuple[int, ...], ties: bool, dtype: Any
) -> None:
    site = site_of(kind, arguments, shape, dtype, ties)
    before = {key: array.copy() for key, array in [("x", site.x), ("dy", site.dy), *site.right.items()]}
    made: dict[str, list[tuple[str, np.ndarray]]] = {}
    for mistake in MISTAKES.values():
        for wrong in mistake.ways(site):
            right = site.right[mistake.key]
            assert wrong.shape == right.shape, mistake.name
            assert wrong.dtype == dtype, mistake.name
            assert np.abs(wrong - right).max() > 1e-4 * np.abs(right).max(), mistake.name
            made.setdefault(mistake.key, []).append((mistake.name, wrong))
    assert made
    for key, ways in made.items():
        for (one, a), (other, b) in combinations(ways, 2):
            assert np.abs(a - b).max() > 1e-4 * np.abs(site.right[key]).max(), (one, other)
    for key, array in [("x", site.x), ("dy", site.dy), *site.right.items()]:
        np.testing.assert_array_equal(array, before[key])


def test_every_mistake_can_be_made_in_the_small_networks() -> None:
    made: set[str] = set()
    for network in NETWORKS:
        shape = (7, *network["shape"])
        for i, table in enumerate(network["layers"]):
            kind, arguments = table["kind"], {key: value for key, value in table.items() if key != "kind"}
            if kind == "Flatten":
                assert int(np.prod(shape[1:])) == network["layers"][i + 1]["in_features"]
                break
            if kind == "ReLU":
                continue
            site = site_of(kind, arguments, shape, ties=network["layers"][i - 1]["kind"] == "ReLU")
            made |= {
                name for name, mistake in MISTAKES.items() if mistake.ways(site) and (i > 0 or mistake.key != "input")
            }
            shape = site.right["output"].shape
    assert made == MISTAKES.keys()


def test_what_makes_no_difference_is_not_made() -> None:
    """No flip of one weight, no groups in one group, no ties among generic numbers, no padding where there is none."""
    single = site_of("Conv2d", conv(2, 3, 1), (7, 2, 4, 5))
    for name in MISTAKES:
        if any(word in name for word in ("flipped", "turned", "groups", "stride", "dilation", "overlaps", "padding")):
            assert not MISTAKES[name].ways(single), name
    generic = site_of("MaxPool2d", {"kernel_size": 2}, (7, 2, 4, 6))
    for name in ("maxpool-tie-to-all", "maxpool-tie-shared", "maxpool-last-of-ties", "maxpool-padding-counts",
                 "maxpool-overlaps-overwritten"):  # fmt: skip
        assert not MISTAKES[name].ways(generic), name
    positive = site_of("MaxPool2d", {"kernel_size": 2}, (7, 2, 4, 6), ties=True)
    assert not MISTAKES["maxpool-magnitude"].ways(positive)
    average = site_of("AvgPool2d", {"kernel_size": 2}, (7, 2, 4, 6))
    for name in ("avgpool-padding-miscounted-forward", "avgpool-override-ignored-backward",
                 "avgpool-overlaps-overwritten"):  # fmt: skip
        assert not MISTAKES[name].ways(average), name


def test_convolutions_against_torch() -> None:
    """The formulas once more, from the sentences alone."""
    site = site_of("Conv2d", conv(2, 3, 3, padding=1), (7, 2, 5, 6))
    x, dy = torch.tensor(site.x), torch.tensor(site.dy)
    weight, bias = torch.tensor(site.parameters["weight"]), torch.tensor(site.parameters["bias"])
    expected = {
        "conv-kernel-flipped-forward": F.conv2d(x, weight.flip(2, 3), bias, padding=1),
        "conv-kernel-turned-forward": F.conv2d(x, weight.transpose(2, 3), bias, padding=1),
        "conv-bias-forgotten": F.conv2d(x, weight, padding=1),
        "conv-padding-on-one-side": F.conv2d(F.pad(x, (0, 2, 0, 2)), weight, bias),
        "conv-kernel-not-flipped-backward": F.conv2d(dy, weight.transpose(0, 1), padding=1),
        "conv-padding-cropped-at-the-end": F.conv_transpose2d(dy, weight)[:, :, :5, :6],
        "conv-bias-gradient-at-one-place": dy[:, :, 0, 0].sum(0),
        "conv-bias-gradient-of-one-example": dy[0].sum((1, 2)),
        "conv-bias-gradient-averaged-over-places": dy.mean((2, 3)).sum(0),
    }
    for name, tensor in expected.items():
        np.testing.assert_allclose(way(name, site), tensor.numpy(), rtol=1e-10, atol=1e-12, err_msg=name)
    strided = site_of("Conv2d", conv(2, 3, 2, stride=2), (7, 2, 6, 6))
    gathered = F.conv_transpose2d(torch.tensor(strided.dy), torch.tensor(strided.parameters["weight"]))
    np.testing.assert_allclose(
        way("conv-stride-ignored-backward", strided), F.pad(gathered, (0, 2, 0, 2)).numpy(), rtol=1e-10, atol=1e-12
    )


def test_overlaps_by_hand() -> None:
    """A kernel (2, 3) on three pixels: the middle one gets 3 from the left window, then 2 from the right one."""
    parameters = {"weight": np.array([[[[2.0, 3.0]]]]), "bias": np.zeros(1)}
    x, dy = np.ones((1, 1, 1, 3)), np.ones((1, 1, 1, 2))
    right = {"input": np.array([[[[2.0, 5.0, 3.0]]]])}
    site = Site("layer1", "Conv2d", x, right, dy=dy, parameters=parameters, arguments=conv(1, 1, (1, 2)))
    assert way("conv-overlaps-overwritten", site).ravel().tolist() == [2, 3, 3]  # offset 0 first, then offset 1


def test_ties_and_winners_by_hand() -> None:
    x = np.array([[[[5.0, 1.0, 0.0, 4.0], [5.0, 5.0, 2.0, 3.0]]]])
    pool = MaxPool2d(2)
    pool.forward(x)
    dy = np.array([[[[6.0, 1.0]]]])
    site = Site("layer1", "MaxPool2d", x, {"input": pool.backward(dy)}, dy=dy, arguments={"kernel_size": 2})
    assert site.right["input"].tolist() == [[[[6, 0, 0, 1], [0, 0, 0, 0]]]]
    for name, wanted in {
        "maxpool-tie-to-all": [[6, 0, 0, 1], [6, 6, 0, 0]],
        "maxpool-tie-shared": [[2, 0, 0, 1], [2, 2, 0, 0]],
        "maxpool-last-of-ties": [[0, 0, 0, 1], [0, 6, 0, 0]],
        "maxpool-gradient-spread": [[1.5, 1.5, 0.25, 0.25], [1.5, 1.5, 0.25, 0.25]],
        "maxpool-winner-turned": [[6, 0, 0, 0], [0, 0, 1, 0]],
        "maxpool-gradient-to-first-pixel": [[6, 0, 1, 0], [0, 0, 0, 0]],
        "maxpool-gradient-to-whole-window": [[6, 6, 1, 1], [6, 6, 1, 1]],
    }.items():
        assert way(name, site).tolist() == [[wanted]], name
