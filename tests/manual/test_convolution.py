"""Convolution and pooling: against torch, against the complex step, and by hand."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from manual.convolution import Conv2d
from manual.pooling import AvgPool2d, MaxPool2d
from tests.catalogue.cases.convolution import CASES

Array = np.ndarray[Any, Any]
LAYERS: dict[str, Any] = {layer.__name__: layer for layer in (Conv2d, MaxPool2d, AvgPool2d)}


def pair(kind: str, arguments: dict[str, Any], dtype: Any = np.float64) -> tuple[Any, torch.nn.Module]:
    """Return the layer and torch's, with the same weights."""
    module = getattr(torch.nn, kind)(**arguments).to(torch.float64 if dtype == np.float64 else torch.float32)
    layer = LAYERS[kind](**arguments)
    if kind == "Conv2d":
        layer.parameters = {name: p.detach().numpy().copy() for name, p in module.named_parameters()}
    return layer, module


def agree(layer: Any, module: torch.nn.Module, x: Array, rng: np.random.Generator) -> None:
    module.zero_grad()
    torch_x = torch.from_numpy(x.copy()).requires_grad_()
    expected = module(torch_x)
    y = layer.forward(x)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    dy = rng.normal(size=y.shape)
    expected.backward(torch.from_numpy(dy))
    assert torch_x.grad is not None
    np.testing.assert_allclose(layer.backward(dy), torch_x.grad.numpy(), rtol=1e-10, atol=1e-12)
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None
        np.testing.assert_allclose(layer.gradients[name], parameter.grad.numpy(), rtol=1e-10, atol=1e-12)


def sized(shape: tuple[int | str, ...], n: int) -> tuple[int, ...]:
    return tuple(n if isinstance(size, str) else size for size in shape)


# -------------------------------------------------------------------------------------------------------- against torch


@pytest.mark.parametrize(
    ("kernel_size", "stride", "dilation"),
    [(1, 1, 1), (3, 1, 1), ((3, 2), 2, 1), (2, (1, 3), (2, 1)), ([2, 3], [2, 1], [1, 2])],
    ids=str,
)
@pytest.mark.parametrize("padding", [0, 1, (2, 1), "same", "valid"], ids=str)
@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate", "circular"])
def test_convolution(kernel_size: Any, stride: Any, dilation: Any, padding: Any, padding_mode: str) -> None:
    rng = np.random.default_rng(5)
    for groups, bias in [(1, True), (2, False)]:
        arguments = {
            "in_channels": 4, "out_channels": 6, "kernel_size": kernel_size, "stride": stride, "padding": padding,
            "dilation": dilation, "groups": groups, "bias": bias, "padding_mode": padding_mode,
        }  # fmt: skip
        if padding == "same" and stride != 1:
            with pytest.raises(ValueError, match="'same' with stride 1"):
                Conv2d(**arguments)
            continue
        layer, module = pair("Conv2d", arguments)
        for shape in [(2, 4, 6, 7), (4, 7, 6)]:
            agree(layer, module, rng.normal(size=shape), rng)


@pytest.mark.parametrize("kernel_size", [1, 2, 3, (3, 2)], ids=str)
@pytest.mark.parametrize("stride", [None, 1, (2, 3)], ids=str)
@pytest.mark.parametrize("padding", [0, 1, (1, 0)], ids=str)
@pytest.mark.parametrize("ceil_mode", [False, True], ids=["floor", "ceil"])
def test_pooling(kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
    """With ties, minus infinities and NaN for the maximum; windows that stick out; images smaller than a window."""
    rng = np.random.default_rng(6)
    common = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    kinds = [("MaxPool2d", {"dilation": d}) for d in (1, 2, (1, 2))]
    kinds += [
        ("AvgPool2d", {"count_include_pad": counted, "divisor_override": override})
        for counted, override in [(True, None), (False, None), (True, 3), (False, -2)]
    ]
    for (kind, more), shape in itertools.product(kinds, [(2, 3, 6, 5), (3, 5, 7), (2, 3, 3, 2)]):
        layer_kind, arguments = kind, common | more
        x = np.round(2 * rng.normal(size=shape)) / 2  # full of ties
        try:
            module = getattr(torch.nn, layer_kind)(**arguments)
            module(torch.from_numpy(x))
        except RuntimeError:  # what torch refuses
            with pytest.raises(ValueError, match=r"wants|wanted"):
                LAYERS[layer_kind](**arguments).forward(x)
            continue
        layer, module = pair(layer_kind, arguments)
        agree(layer, module, x, rng)
        if kind == "MaxPool2d":
            x[rng.random(shape) < 0.15] = np.nan
            x[rng.random(shape) < 0.3] = -np.inf
            agree(layer, module, x, rng)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # torch: it copies the input
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_cases(case: Any) -> None:
    """Against torch, for several batches; the shape that is announced, and how the layer prints."""
    rng = np.random.default_rng(7)
    layer, module = pair(case.kind, dict(case.arguments))
    assert repr(layer) == repr(module)
    for n in (1, 2, 7):
        x = rng.normal(size=sized(case.shape, n))
        agree(layer, module, x, rng)
        assert layer.output_shape(x.shape[-3:]) == layer.forward(x).shape[-3:]


# --------------------------------------------------------------------------------------------- derivative and structure


@pytest.mark.parametrize("case", CASES, ids=str)
def test_complex_step(case: Any) -> None:
    """Every derivative of the sum of dy * y, by h = 1e-30 i, which has no cancellation."""
    rng = np.random.default_rng(8)
    layer = LAYERS[case.kind](**case.arguments)
    layer.parameters = dict(getattr(layer, "parameters", {}))
    layer.gradients = {}
    x = rng.normal(size=sized(case.shape, 2))
    dy = rng.normal(size=layer.forward(x).shape)
    dx = layer.backward(dy)
    analytic = {"input": dx.copy()} | {name: gradient.copy() for name, gradient in layer.gradients.items()}
    for name, gradient in analytic.items():
        source = x if name == "input" else layer.parameters[name]
        for place in [tuple(int(rng.integers(n)) for n in source.shape) for _ in range(12)]:
            moved = source.astype(complex)
            moved[place] += 1e-30j
            if name == "input":
                y = layer.forward(moved)
            else:
                layer.parameters[name] = moved
                y = layer.forward(x.astype(complex))
                layer.parameters[name] = source
            assert (dy * y).sum().imag / 1e-30 == pytest.approx(gradient[place], rel=1e-12, abs=1e-13), (name, place)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble], ids=lambda dtype: dtype.__name__)
def test_structure(case: Any, dtype: Any) -> None:
    """The dtype stays, nothing given is changed, backward is linear and repeatable, any layout in memory will do."""
    rng = np.random.default_rng(9)
    layer = LAYERS[case.kind](**case.arguments)
    layer.parameters = {name: p.astype(dtype) for name, p in getattr(layer, "parameters", {}).items()}
    layer.gradients = {}
    x = rng.normal(size=sized(case.shape, 3)).astype(dtype)
    y = layer.forward(x)
    dy = rng.normal(size=y.shape).astype(dtype)
    given = [x, dy, *layer.parameters.values()]
    kept = [array.copy() for array in given]

    def backward(delta: Array) -> list[Array]:
        dx = layer.backward(delta)
        return [dx.copy(), *(gradient.copy() for gradient in layer.gradients.values())]

    once = backward(dy)
    for gradient, source in zip(once, [x, *layer.parameters.values()], strict=True):
        assert gradient.dtype == dtype
        assert gradient.shape == source.shape
    assert y.dtype == dtype
    for found, wanted in zip(backward(2 * dy), once, strict=True):
        np.testing.assert_array_equal(found, 2 * wanted)
    for found in backward(0 * dy):
        assert not found.any()
    spread = np.zeros((*x.shape, 2), dtype)[..., 0]
    spread[...] = x
    np.testing.assert_allclose(layer.forward(spread), y, rtol=1e-5)
    for other in (np.asfortranarray(dy), dy):
        layer.forward(x)
        for found, wanted in zip(backward(other), once, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    layer.forward(x)
    for found, wanted in zip(backward(dy), once, strict=True):
        np.testing.assert_array_equal(found, wanted)
    for array, before in zip(given, kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_without_the_input_gradient() -> None:
    layer = Conv2d(2, 3, 2)
    layer.needs_input_gradient = False
    y = layer.forward(np.ones((2, 2, 4, 3)))
    assert layer.backward(np.ones_like(y)) is None
    assert set(layer.gradients) == {"weight", "bias"}


def test_parameters_are_read_where_they_stand() -> None:
    """A weight that is put in place of the old one between two passes is the one that counts."""
    layer, x = Conv2d(1, 1, 1, bias=False), np.ones((1, 1, 1, 2))
    layer.parameters["weight"] = np.full((1, 1, 1, 1), 3.0)
    assert layer.forward(x).tolist() == [[[[3, 3]]]]
    layer.parameters["weight"] = np.full((1, 1, 1, 1), 5.0)
    assert layer.forward(x).tolist() == [[[[5, 5]]]]
    dx = layer.backward(np.ones((1, 1, 1, 2)))
    assert dx is not None
    assert dx.tolist() == [[[[5, 5]]]]


def test_initial_weights() -> None:
    """As torch draws them: uniform on +-1/sqrt(fan_in), fan_in = 6/2 * 5 * 5; the same seed, the same weights."""
    layer = Conv2d(6, 40, 5, groups=2, rng=np.random.default_rng(3))
    limit = 1 / np.sqrt(75)
    weight, bias = layer.parameters["weight"], layer.parameters["bias"]
    assert weight.shape == (40, 3, 5, 5)
    assert bias.shape == (40,)
    assert 0.99 * limit < np.abs(weight).max() <= limit
    assert np.abs(bias).max() <= limit
    assert weight.std() == pytest.approx(limit / np.sqrt(3), rel=0.03)
    again = Conv2d(6, 40, 5, groups=2, rng=np.random.default_rng(3))
    np.testing.assert_array_equal(again.parameters["weight"], weight)
    assert "bias" not in Conv2d(1, 1, 1, bias=False).parameters


# -------------------------------------------------------------------------------------------------------------- by hand


def test_the_winners_can_be_replayed_on_another_input() -> None:
    """The choice of the last forward pass, not the larger numbers of the other input; backward follows the choice."""
    pool = MaxPool2d((1, 2))
    assert pool.forward(np.array([[[1.0, 2.0, 4.0, 3.0]]])).tolist() == [[[2, 4]]]
    assert pool.winner.tolist() == [[[1, 2]]]
    assert pool.take(np.array([[[9.0, 5.0, 6.0, 8.0]]])).tolist() == [[[5, 6]]]
    assert pool.backward(np.array([[[1.0, -1.0]]])).tolist() == [[[0, 1, -1, 0]]]
    with pytest.raises(ValueError, match=r"has shape \(1, 1, 2\); wanted \(1, 1, 4\)"):
        pool.take(np.ones((1, 1, 2)))


def test_max_pooling_keeps_the_imaginary_part_of_the_winner() -> None:
    pool = MaxPool2d((1, 2))
    assert pool.forward(np.array([[[1 + 9j, 2 - 1j]]])).tolist() == [[[2 - 1j]]]


def test_infinite_gradients_stay_with_the_winner() -> None:
    """A mask that multiplies would leave NaN beside it."""
    pool = MaxPool2d((1, 2))
    pool.forward(np.array([[[1.0, 2.0]]]))
    assert pool.backward(np.array([[[np.inf]]])).tolist() == [[[0, np.inf]]]


# ------------------------------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Conv2d(3, 4, 2, groups=2), r"groups is 2; wanted a divisor of in_channels 3 and of out_channels 4"),
        (lambda: Conv2d(4, 3, 2, groups=2), r"groups is 2; wanted a divisor"),
        (lambda: Conv2d(2, 2, 2, groups=0), r"groups is 0; wanted a divisor"),
        (lambda: Conv2d(1, 1, 2, padding_mode="mirror"), r"padding_mode is 'mirror'; wanted one of zeros, reflect"),
        (lambda: Conv2d(1, 1, 2, padding="full"), r"padding is 'full' .* 'valid', or 'same' with stride 1"),
        (lambda: Conv2d(1, 1, 0), r"kernel_size is 0; wanted at least 1"),
        (lambda: Conv2d(1, 1, 2, stride=(1, 0)), r"stride is \(1, 0\); wanted at least 1"),
        (lambda: Conv2d(1, 1, 2, padding=-1), r"padding is -1; wanted at least 0"),
        (lambda: MaxPool2d(2, return_indices=True), r"return_indices is True; wanted False"),
        (lambda: MaxPool2d(2, padding=2), r"padding is 2; wanted at most half of the window, 1"),
        (lambda: AvgPool2d(2, divisor_override=0), r"divisor_override is 0"),
        (lambda: Conv2d(2, 3, 2).forward(np.ones((2, 4, 4))[0]), r"input of shape \(4, 4\); wanted \(N, 2, H, W\)"),
        (lambda: Conv2d(2, 3, 2).forward(np.ones((7, 3, 4, 4))), r"shape \(7, 3, 4, 4\); it wants images of shape \(2"),
        (lambda: Conv2d(1, 1, 5).forward(np.ones((7, 1, 4, 6))), r"it wants 5 pixels or more along each axis"),
        (
            lambda: Conv2d(1, 1, 3, padding=2, padding_mode="reflect").forward(np.ones((1, 1, 2, 9))),
            r"it wants padding of at most 1 for 2 pixels in mode 'reflect'",
        ),
        (lambda: AvgPool2d(3).forward(np.ones((1, 2, 2, 5))), r"it wants 3 pixels or more"),
        (lambda: MaxPool2d(2).forward(np.ones((2, 2))), r"wanted \(N, C, H, W\) or \(C, H, W\)"),
        (
            lambda: MaxPool2d(2, padding=1, dilation=2).forward(np.ones((1, 1, 1))),
            r"a window lies in the padding with all offsets",
        ),
        (lambda: MaxPool2d(2).output_shape((784,)), r"wants images of shape \(C, H, W\)"),
        (lambda: Conv2d(1, 6, 5).output_shape((784,)), r"wants images of shape \(1, H, W\)"),
    ],
)
def test_what_is_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_what_is_not_known_is_not_announced() -> None:
    assert Conv2d(1, 6, 5).output_shape(None) is None
    assert MaxPool2d(2).output_shape(None) is None
