"""Normalising layers: against torch, against their own steps, by hand, and against what is published of them."""

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from manual.batchnorm import BatchNorm1d, BatchNorm2d
from manual.groupnorm import GroupNorm
from manual.layernorm import LayerNorm, RMSNorm
from manual.normalization import (
    standardize,
    standardize_backward,
    standardize_in_steps,
    standardize_in_steps_backward,
)
from tests.catalogue.cases.case import Case
from tests.catalogue.cases.normalization import CASES

LAYERS: dict[str, Any] = {layer.__name__: layer for layer in (BatchNorm1d, BatchNorm2d, LayerNorm, RMSNorm, GroupNorm)}


def draw(layer: Any, rng: np.random.Generator, dtype: str) -> None:
    """Give the layer parameters and running statistics that are not those it starts with."""
    for key, array in layer.parameters.items():
        layer.parameters[key] = rng.normal(1.0, 0.5, array.shape).astype(dtype)
    for key, array in getattr(layer, "buffers", {}).items():
        if array.ndim:
            layer.buffers[key] = rng.uniform(0.5, 2.0, array.shape).astype(dtype)


def twin(layer: Any, arguments: Any, dtype: str) -> Any:
    """Return torch's layer with copies of the same parameters and buffers."""
    other = getattr(torch.nn, type(layer).__name__)(**arguments).to(getattr(torch, dtype))
    state = {**layer.parameters, **getattr(layer, "buffers", {})}
    other.load_state_dict({key: torch.tensor(array) for key, array in state.items()})
    return other.train(getattr(layer, "training", True))


def sizes(shape: Any, size: int) -> tuple[int, ...]:
    return tuple(size if isinstance(n, str) else n for n in shape)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_gradients_and_running_statistics_are_those_of_torch(case: Case, dtype: str) -> None:
    rng = np.random.default_rng(3)
    rtol = 1e-10 if dtype == "float64" else 2e-4
    for size in (1, 3, 7):
        layer: Any = LAYERS[case.kind](**case.arguments)
        draw(layer, rng, dtype)
        layer.training = case.training
        other = twin(layer, case.arguments, dtype)
        for _ in range(3):  # the running statistics of the third step have seen the two before
            x = rng.normal(2.0, 3.0, sizes(case.shape, size)).astype(dtype)
            g = rng.normal(size=x.shape).astype(dtype)
            kept = x.copy(), g.copy()
            tensor = torch.tensor(x, requires_grad=True)
            y = other(tensor)
            other.zero_grad()
            y.backward(torch.tensor(g))
            output, grad = layer.forward(x), layer.backward(g)
            pairs = {"output": (output, y), "input": (grad, tensor.grad)}
            assert layer.gradients.keys() == layer.parameters.keys() == dict(other.named_parameters()).keys()
            pairs |= {key: (layer.gradients[key], p.grad) for key, p in other.named_parameters()}
            buffers = dict(other.named_buffers())
            assert getattr(layer, "buffers", {}).keys() == buffers.keys()
            pairs |= {key: (layer.buffers[key], buffer) for key, buffer in buffers.items()}
            for key, (mine, theirs) in pairs.items():
                theirs = theirs.detach().numpy()
                assert mine.dtype == theirs.dtype, key
                np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=rtol * (1 + abs(theirs).max()), err_msg=key)
            assert np.array_equal(x, kept[0])
            assert np.array_equal(g, kept[1])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_backward_is_the_complex_step_through_forward(case: Case) -> None:
    rng = np.random.default_rng(5)
    layer: Any = LAYERS[case.kind](**case.arguments)
    draw(layer, rng, "float64")
    layer.training = case.training
    shape = sizes(case.shape, 2)
    x, g = rng.normal(2.0, 3.0, shape), rng.normal(size=shape)
    buffers = dict(getattr(layer, "buffers", {}))
    layer.forward(x)
    grad = layer.backward(g)
    for index in itertools.islice(np.ndindex(shape), 0, None, 3):
        moved = x.astype(complex)
        moved[index] += 1e-30j
        if buffers:
            layer.buffers = dict(buffers)
        slope = (g * layer.forward(moved)).sum().imag / 1e-30
        np.testing.assert_allclose(grad[index], slope, rtol=1e-9, atol=1e-12)
        assert all(buffer.dtype.kind in "fi" for buffer in getattr(layer, "buffers", {}).values())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_backward_is_linear_repeatable_and_reads_any_memory_order(case: Case) -> None:
    rng = np.random.default_rng(7)
    layer: Any = LAYERS[case.kind](**case.arguments)
    draw(layer, rng, "float64")
    layer.training = case.training
    x, g = rng.normal(size=sizes(case.shape, 3)), rng.normal(size=sizes(case.shape, 3))
    layer.forward(x)
    grad, gradients = layer.backward(g), dict(layer.gradients)
    for factor in (1, 2, 0):
        assert np.array_equal(layer.backward(factor * g), factor * grad)
        assert all(np.array_equal(layer.gradients[key], factor * gradients[key]) for key in gradients)
    layer.needs_input_gradient = False
    assert layer.backward(g) is None
    assert all(np.array_equal(layer.gradients[key], gradients[key]) for key in gradients)
    layer.needs_input_gradient = True
    turned = np.asfortranarray(np.repeat(x, 2, axis=-1))[..., ::2]
    assert x.ndim == 1 or not turned.flags.c_contiguous
    layer.forward(turned)
    np.testing.assert_allclose(layer.backward(np.asfortranarray(g)), grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shape", [(1, 2), (4, 3), (7, 50), (3, 1)])
def test_the_steps_and_the_fused_form_agree(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(11)
    x, h = rng.normal(5.0, 2.0, shape), rng.normal(size=shape)
    centred, inverse_std = standardize(x, 1e-5)
    x_hat = centred * inverse_std
    steps = standardize_in_steps(x, 1e-5)
    np.testing.assert_allclose(x_hat, steps.x_hat, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(inverse_std, steps.inverse_std, rtol=1e-12)
    mean, along = h.mean(axis=1, keepdims=True), (h * x_hat).mean(axis=1, keepdims=True)
    fused = standardize_backward(inverse_std * h, centred, inverse_std * mean, inverse_std**2 * along)
    scale = inverse_std.max() * abs(h).max()
    np.testing.assert_allclose(fused, standardize_in_steps_backward(h, steps), rtol=1e-12, atol=1e-12 * scale)


def in_steps(rows: Any, g: Any, gamma: Any, eps: float) -> Any:
    """Return dC/dX of rows by the chain form, for Y = gamma X_hat."""
    return standardize_in_steps_backward(g * gamma, standardize_in_steps(rows, eps))


def test_every_layer_agrees_with_the_steps() -> None:
    """Each layer only says which numbers form a row."""
    rng = np.random.default_rng(13)
    x, g = rng.normal(1.0, 2.0, (4, 6, 3, 2)), rng.normal(size=(4, 6, 3, 2))

    batch: Any = BatchNorm2d(6)
    draw(batch, rng, "float64")
    batch.forward(x)
    rows, grads = (t.swapaxes(0, 1).reshape(6, 24) for t in (x, g))
    expected = in_steps(rows, grads, batch.parameters["weight"][:, None], 1e-5)
    np.testing.assert_allclose(batch.backward(g).swapaxes(0, 1).reshape(6, 24), expected, rtol=1e-12, atol=1e-12)

    layer: Any = LayerNorm((3, 2))
    draw(layer, rng, "float64")
    layer.forward(x)
    expected = in_steps(x.reshape(24, 6), g.reshape(24, 6), layer.parameters["weight"].reshape(6), 1e-5)
    np.testing.assert_allclose(layer.backward(g).reshape(24, 6), expected, rtol=1e-12, atol=1e-12)

    group: Any = GroupNorm(3, 6)
    draw(group, rng, "float64")
    group.forward(x)
    gamma = np.broadcast_to(group.parameters["weight"][:, None, None], x.shape).reshape(12, 12)
    expected = in_steps(x.reshape(12, 12), g.reshape(12, 12), gamma, 1e-5)
    np.testing.assert_allclose(group.backward(g).reshape(12, 12), expected, rtol=1e-12, atol=1e-12)


# By hand, in fractions. x = 0, 2, 4, 10: mean 4, centred -4, -2, 0, 6, variance (16 + 4 + 0 + 36) / 4 = 14. With
# eps = 2 the root is 4, so x_hat = -1, -1/2, 0, 3/2. Let g = 1, 0, 0, 0: mean(g) = 1/4, mean(g x_hat) = -1/4, and (104)
#     dx_1 = 1/4 (1 - 1/4 - 1/4) = 1/8        dx_2 = 1/4 (0 - 1/4 - 1/8)  = -3/32
#     dx_3 = 1/4 (0 - 1/4 - 0)   = -1/16      dx_4 = 1/4 (0 - 1/4 + 3/8)  =  1/32
# Every number is a fraction of a power of two: the layers have to give it to the bit.
X, G, X_HAT = [0.0, 2.0, 4.0, 10.0], [1.0, 0.0, 0.0, 0.0], [-1.0, -1 / 2, 0.0, 3 / 2]
DX = [1 / 8, -3 / 32, -1 / 16, 1 / 32]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (BatchNorm1d(1, eps=2), (4, 1)),
        (BatchNorm1d(1, eps=2), (2, 1, 2)),
        (BatchNorm2d(1, eps=2), (1, 1, 2, 2)),
        (LayerNorm(4, eps=2), (1, 4)),
        (LayerNorm((2, 2), eps=2), (2, 2)),
        (GroupNorm(1, 2, eps=2), (1, 2, 2)),
    ],
    ids=repr,
)
def test_four_numbers_by_hand(layer: Any, shape: tuple[int, ...]) -> None:
    assert layer.forward(np.reshape(X, shape)).ravel().tolist() == X_HAT
    assert layer.backward(np.reshape(G, shape)).ravel().tolist() == DX
    assert layer.gradients["weight"].sum() == -1  # sum of g x_hat
    assert layer.gradients["bias"].sum() == 1


def test_running_statistics_by_hand() -> None:
    """Mean 4, unbiased variance 56/3; momentum 1/4: 0 + 4/4, 3/4 + 14/3."""
    layer = BatchNorm1d(1, momentum=0.25)
    layer.forward(np.reshape(X, (4, 1)))
    assert layer.buffers["running_mean"].tolist() == [1.0]
    assert layer.buffers["running_var"][0] == pytest.approx(float(Fraction(3, 4) + Fraction(14, 3)), rel=1e-15)
    assert layer.buffers["num_batches_tracked"].tolist() == 1
    assert layer.buffers["num_batches_tracked"].shape == ()
    assert layer.buffers["num_batches_tracked"].dtype == np.int64


def test_root_mean_square_by_hand() -> None:
    """x = 1, 7: mean square 25, eps = 0: r = 1/5. g = 1, 0: mean(g x_hat) = 1/10, dx = 1/5 (1 - 1/50), -1/5 * 7/50."""
    layer: Any = RMSNorm(2, eps=0.0)
    np.testing.assert_allclose(layer.forward(np.array([[1.0, 7.0]])), [[0.2, 1.4]], rtol=1e-15)
    np.testing.assert_allclose(layer.backward(np.array([[1.0, 0.0]])), [[49 / 250, -7 / 250]], rtol=1e-14)


def test_running_statistics_without_momentum_are_plain_averages() -> None:
    rng = np.random.default_rng(17)
    layer = BatchNorm1d(3, momentum=None)
    batches = [rng.normal(size=(6, 3)) for _ in range(5)]
    for batch in batches:
        layer.forward(batch)
    np.testing.assert_allclose(layer.buffers["running_mean"], np.mean([b.mean(axis=0) for b in batches], axis=0))
    np.testing.assert_allclose(layer.buffers["running_var"], np.mean([b.var(axis=0, ddof=1) for b in batches], axis=0))


def test_buffers_are_assigned_anew_and_only_in_training() -> None:
    layer = BatchNorm1d(2)
    before = dict(layer.buffers)
    layer.training = False
    layer.forward(np.ones((3, 2)))
    assert all(layer.buffers[key] is before[key] for key in before)
    layer.training = True
    layer.forward(np.arange(6.0).reshape(3, 2))
    assert all(layer.buffers[key] is not before[key] for key in before)
    assert before["running_mean"].tolist() == [0, 0]
    assert before["num_batches_tracked"] == 0


def test_running_statistics_do_not_impose_their_dtype() -> None:
    layer = BatchNorm1d(2, affine=False)  # its buffers are float64 as made
    for training in (False, True):
        layer.training = training
        assert layer.forward(np.arange(6, dtype=np.float32).reshape(3, 2)).dtype == np.float32
    assert layer.buffers["running_mean"].dtype == layer.buffers["running_var"].dtype == np.float32


def cs231n(n: int, d2: int, d3: int, seed: int = 231) -> np.ndarray:
    """Return the activations that the CS231n notebook BatchNormalization.ipynb draws."""
    legacy = np.random.RandomState(seed)
    x, w1, w2 = legacy.randn(n, 50), legacy.randn(50, d2), legacy.randn(d2, d3)
    return np.maximum(0, x @ w1) @ w2


def test_the_facts_of_the_cs231n_notebook() -> None:
    """Its printed means and deviations before and after, in training, in evaluation after 50 batches, and by row."""
    a = cs231n(200, 60, 3)
    np.testing.assert_allclose(a.mean(axis=0), [-2.3814598, -13.18038246, 1.91780462], atol=1e-7)
    np.testing.assert_allclose(a.std(axis=0), [27.18502186, 34.21455511, 37.68611762], atol=1e-7)
    layer = BatchNorm1d(3)
    y = layer.forward(a)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(y.std(axis=0), [0.99999999, 1, 1], atol=1e-8)
    layer.parameters |= {"weight": np.array([1.0, 2, 3]), "bias": np.array([11.0, 12, 13])}
    y = layer.forward(a)
    np.testing.assert_allclose(y.mean(axis=0), [11, 12, 13], rtol=1e-13)
    np.testing.assert_allclose(y.std(axis=0), [0.99999999, 1.99999999, 2.99999999], atol=1.5e-8)

    a = cs231n(4, 60, 3)
    np.testing.assert_allclose(a.mean(axis=1), [-59.06673243, -47.60782686, -43.31137368, -26.40991744], atol=1e-7)
    np.testing.assert_allclose(a.std(axis=1), [10.07429373, 28.39478981, 35.28360729, 4.01831507], atol=1e-7)
    y = LayerNorm(3).forward(a)
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(y.std(axis=1), [0.99999995, 0.99999999, 1, 0.99999969], atol=1e-8)


def test_the_examples_of_the_torch_documentation() -> None:
    rng = np.random.default_rng(19)
    for layer, shape in [
        (BatchNorm1d(100), (20, 100)),
        (BatchNorm1d(100, affine=False), (20, 100)),
        (BatchNorm2d(100), (20, 100, 3, 5)),
        (LayerNorm(10), (20, 5, 10)),
        (LayerNorm([5, 10, 10]), (20, 5, 10, 10)),
        (RMSNorm([2, 3]), (2, 2, 3)),
        (GroupNorm(3, 6), (20, 6, 10, 10)),
    ]:
        assert layer.forward(rng.normal(size=shape)).shape == shape
    x = rng.normal(size=(20, 6, 10, 10))
    one, all_apart = GroupNorm(1, 6).forward(x), GroupNorm(6, 6).forward(x)
    np.testing.assert_allclose(one, LayerNorm([6, 10, 10]).forward(x), rtol=1e-12, atol=1e-13)
    instance = torch.nn.InstanceNorm2d(6)(torch.tensor(x)).numpy()
    np.testing.assert_allclose(all_apart, instance, rtol=1e-12, atol=1e-13)


def test_the_default_eps_of_rms_norm_is_that_of_the_dtype_as_in_torch() -> None:
    """Numbers so small that eps decides: with another eps the outputs would be apart by orders of magnitude."""
    for dtype, size in (("float32", 1e-5), ("float64", 1e-10)):
        x = (size * np.random.default_rng(23).normal(size=(3, 4))).astype(dtype)
        theirs = torch.nn.RMSNorm(4, elementwise_affine=False)(torch.tensor(x)).numpy()
        np.testing.assert_allclose(RMSNorm(4, elementwise_affine=False).forward(x), theirs, rtol=1e-6)


def test_numbers_that_are_all_equal_and_numbers_that_are_large() -> None:
    for layer, x in [
        (BatchNorm1d(2), np.full((4, 2), 3.0)),
        (LayerNorm(4), np.full((2, 4), 3.0)),
        (GroupNorm(2, 4), np.zeros((2, 4))),
        (RMSNorm(4), np.zeros((2, 4))),
    ]:
        assert np.array_equal(layer.forward(x), np.zeros_like(x))
        assert np.isfinite(layer.backward(np.ones_like(x))).all()
    x = np.random.default_rng(29).normal(size=(4, 6)).astype(np.float32) * np.float32(1e17)
    for kind, arguments in (("BatchNorm1d", (6,)), ("LayerNorm", (6,)), ("RMSNorm", (6,)), ("GroupNorm", (2, 6))):
        theirs = getattr(torch.nn, kind)(*arguments)(torch.tensor(x)).detach().numpy()
        np.testing.assert_allclose(LAYERS[kind](*arguments).forward(x), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("tracks", [True, False])
def test_a_single_value_a_channel_is_refused_as_in_torch(training: bool, tracks: bool) -> None:
    for kind, shape in (("BatchNorm1d", (1, 3)), ("BatchNorm1d", (1, 3, 1)), ("BatchNorm2d", (1, 3, 1, 1))):
        layer: Any = LAYERS[kind](3, track_running_stats=tracks)
        layer.training = training
        other = getattr(torch.nn, kind)(3, track_running_stats=tracks).train(training)
        if training or not tracks:
            message = "Expected more than 1 value per channel when training, got input size"
            with pytest.raises(ValueError, match=message):
                other(torch.ones(shape))
            with pytest.raises(ValueError, match=message):
                layer.forward(np.ones(shape))
            assert not tracks or layer.buffers["num_batches_tracked"] == 0
        else:
            np.testing.assert_allclose(layer.forward(np.ones(shape)), other(torch.ones(shape)).detach(), rtol=1e-6)


def test_a_single_value_a_group_is_refused_as_in_torch() -> None:
    for make in (lambda: GroupNorm(3, 3).forward(np.ones((1, 3))), lambda: torch.nn.GroupNorm(3, 3)(torch.ones(1, 3))):
        with pytest.raises(ValueError, match="Expected more than 1 value per channel when training, got input size"):
            make()
    assert GroupNorm(3, 3).forward(np.ones((2, 3))).tolist() == [[0.0] * 3] * 2  # torch lets this pass, all zeros


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (BatchNorm1d(3), (4, 2), r"BatchNorm1d\(3\) got an input of shape \(4, 2\); wanted \(N, 3\) or \(N, 3, L\)"),
        (BatchNorm1d(3), (4, 3, 2, 2), r"wanted \(N, 3\) or \(N, 3, L\)"),
        (BatchNorm2d(3), (4, 3), r"BatchNorm2d\(3\) got an input of shape \(4, 3\); wanted \(N, 3, H, W\)"),
        (LayerNorm(3), (4, 2), r"LayerNorm\(\(3,\)\) got an input of shape \(4, 2\); wanted \(\*, 3\)"),
        (LayerNorm((2, 3)), (3,), r"wanted \(\*, 2, 3\)"),
        (RMSNorm((2, 3)), (3, 2), r"RMSNorm\(\(2, 3\)\) got an input of shape \(3, 2\)"),
        (GroupNorm(2, 4), (3,), r"GroupNorm\(2, 4\) got an input of shape \(3,\); wanted \(N, 4, \*\)"),
        (GroupNorm(2, 4), (3, 2), r"wanted \(N, 4, \*\)"),
    ],
)
def test_a_shape_that_does_not_fit_is_a_sentence(layer: Any, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer.forward(np.ones(shape))


def test_constructors_refuse_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="num_channels is 5; wanted a multiple of num_groups, which is 2"):
        GroupNorm(2, 5)
    with pytest.raises(ValueError, match="normalized_shape is empty"):
        LayerNorm(())


def test_the_shape_of_one_example() -> None:
    for layer, fits, misfits in [
        (BatchNorm1d(3), [(3,), (3, 5)], [(4,), (3, 2, 2), ()]),
        (BatchNorm2d(3), [(3, 2, 2)], [(3,), (2, 2, 2)]),
        (LayerNorm((2, 3)), [(2, 3), (5, 2, 3)], [(3,), (3, 2)]),
        (RMSNorm(3), [(3,), (2, 3)], [(2,)]),
        (GroupNorm(2, 4), [(4,), (4, 2, 2)], [(2, 4), ()]),
    ]:
        assert layer.output_shape(None) is None
        for shape in fits:
            assert layer.output_shape(shape) == shape
        for shape in misfits:
            with pytest.raises(ValueError, match="wants"):
                layer.output_shape(shape)


@pytest.mark.parametrize("kind", LAYERS)
def test_it_starts_and_prints_as_in_torch(kind: str) -> None:
    arguments = {"GroupNorm": (2, 4)}.get(kind, (4,))
    layer, other = LAYERS[kind](*arguments), getattr(torch.nn, kind)(*arguments)
    assert repr(layer) == repr(other).replace(", bias=True", "")  # which newer torch prints
    assert {key: array.shape for key, array in layer.parameters.items()} == {
        key: tuple(tensor.shape) for key, tensor in other.named_parameters()
    }
    for key, tensor in other.state_dict().items():
        assert np.array_equal({**layer.parameters, **getattr(layer, "buffers", {})}[key], tensor.numpy())
    if kind != "RMSNorm":
        unbiased = LAYERS[kind](*arguments, bias=False)
        assert list(unbiased.parameters) == ["weight"]
        assert repr(unbiased).endswith(", bias=False)")
