"""Attention against autograd, the complex step, chains of small layers, and an example worked by hand."""

import warnings
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from manual import Linear, LogSoftmax
from manual.attention import MultiheadAttention
from manual.scaled_dot_product import ScaledDotProductAttention

CLOSE: Any = {"rtol": 1e-10, "atol": 1e-13}
E, HEADS, T, S, N = 6, 3, 4, 5, 2


def generic(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return a generic point: both signs, no zeros, no ones."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.2, 1.8, shape)


def make(rng: np.random.Generator, heads: int = HEADS, **arguments: Any) -> MultiheadAttention:
    layer = MultiheadAttention(E, heads, **arguments, rng=rng)
    for key, value in layer.parameters.items():
        layer.parameters[key] = 0.7 * generic(rng, *value.shape)
    return layer


def as_torch(layer: MultiheadAttention, **arguments: Any) -> Any:
    module = torch.nn.MultiheadAttention(E, layer.num_heads, **arguments).double()
    module.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in layer.parameters.items()})
    return module


def leaf(array: np.ndarray) -> Any:
    return torch.tensor(array, requires_grad=True)


def constant(array: np.ndarray | None) -> torch.Tensor | None:
    return None if array is None else torch.tensor(array)


def inputs(rng: np.random.Generator, layer: MultiheadAttention, how: str) -> list[np.ndarray]:
    """Return x alone, or query, key and value; of one example where `how` says so."""

    def one(steps: int, features: int) -> np.ndarray:  # fmt: skip
        if "one" in how:
            return generic(rng, steps, features)
        return generic(rng, *((N, steps, features) if layer.batch_first else (steps, N, features)))

    return [one(T, E)] if "self" in how else [one(T, E), one(S, layer.kdim), one(S, layer.vdim)]


def masks(rng: np.random.Generator, kind: str, heads: int, how: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return key_padding_mask and attn_mask; every position may attend to the first one."""
    examples, keys = 1 if "one" in how else N, T if "self" in how else S

    def one(*shape: int) -> np.ndarray:
        if "bool" in kind:
            mask = rng.random(shape) < 0.4
        else:
            mask = np.where(rng.random(shape) < 0.3, -np.inf, generic(rng, *shape))
        mask[..., 0] = 0
        return mask

    padding = one(keys) if "one" in how else one(examples, keys)
    return {
        "no mask": (None, None),
        "bool padding": (padding, None),
        "bool mask": (None, one(T, keys)),
        "bool mask a head, and padding": (padding, one(examples * heads, T, keys)),
        "floating mask": (None, one(T, keys)),
        "floating mask a head, and padding": (padding, one(examples * heads, T, keys)),
    }[kind]


MASKS = ["no mask", "bool padding", "bool mask", "bool mask a head, and padding", "floating mask",
         "floating mask a head, and padding"]  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {}, {"bias": False}, {"batch_first": True}, {"add_bias_kv": True}, {"add_zero_attn": True},
    {"add_bias_kv": True, "add_zero_attn": True, "batch_first": True},
]  # fmt: skip
CONFIGURATIONS = [
    *product(OPTIONS, ["self", "cross", "one, self", "one, cross"], MASKS),
    *product([{"kdim": 5, "vdim": 7}, {"kdim": 5, "bias": False, "add_bias_kv": True}], ["cross", "one, cross"], MASKS),
]


@pytest.mark.parametrize(("arguments", "how", "mask"), CONFIGURATIONS, ids=str)
def test_everything_against_autograd(arguments: dict[str, Any], how: str, mask: str) -> None:
    rng = np.random.default_rng(1)
    layer = make(rng, **arguments)
    module, given = as_torch(layer, **arguments), inputs(rng, layer, how)
    padding, allowed = masks(rng, mask, HEADS, how)
    leaves = [leaf(x) for x in given]
    query, key, value = leaves * 3 if len(leaves) == 1 else leaves
    expected, weights = module(query, key, value, key_padding_mask=constant(padding), attn_mask=constant(allowed))
    output = layer.forward(*given, key_padding_mask=padding, attn_mask=allowed)
    np.testing.assert_allclose(output, expected.detach(), **CLOSE)
    np.testing.assert_allclose(layer.attention, weights.detach(), **CLOSE)
    dy = generic(rng, *output.shape)
    expected.backward(torch.tensor(dy))
    found = layer.backward(dy)
    for gradient, x in zip([found] if len(leaves) == 1 else found, leaves, strict=True):  # pyright: ignore
        np.testing.assert_allclose(gradient, x.grad, **CLOSE)
    assert layer.gradients.keys() == layer.parameters.keys()
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(layer.gradients[name], parameter.grad, **CLOSE, err_msg=name)


@pytest.mark.parametrize("arguments", [{"is_causal": True}, {"is_causal": True, "batch_first": True}], ids=str)
def test_causal_against_autograd_with_the_mask_written_out(arguments: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    layer = make(rng, **arguments)
    module = as_torch(layer, batch_first=layer.batch_first)
    (x,) = inputs(rng, layer, "self")
    x_torch, mask = leaf(x), torch.triu(torch.ones(T, T, dtype=torch.bool), 1)
    expected, _ = module(x_torch, x_torch, x_torch, attn_mask=mask)
    np.testing.assert_allclose(layer.forward(x), expected.detach(), **CLOSE)
    assert (layer.heads.p[..., mask.numpy()] == 0).all()  # exactly
    dy = generic(rng, *x.shape)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(layer.backward(dy), x_torch.grad, **CLOSE)  # pyright: ignore
    layer.is_causal = False
    asked = layer.forward(x, is_causal=True)
    np.testing.assert_allclose(asked, expected.detach(), **CLOSE)


def test_the_future_has_no_effect_and_gets_no_gradient() -> None:
    rng = np.random.default_rng(3)
    layer = make(rng, is_causal=True)
    x = generic(rng, T, N, E)
    changed = x.copy()
    changed[2:] += 1
    np.testing.assert_array_equal(layer.forward(x)[:2], layer.forward(changed)[:2])
    dy = np.zeros((T, N, E))
    dy[1] = 1
    dx = layer.backward(dy)
    assert isinstance(dx, np.ndarray)
    np.testing.assert_array_equal(dx[2:], 0)
    assert (dx[:2] != 0).all()


@pytest.mark.parametrize("causal", [False, True])
def test_against_the_complex_step(causal: bool) -> None:
    rng = np.random.default_rng(4)
    layer, x = make(rng, is_causal=causal, add_bias_kv=True), generic(rng, T, N, E)
    dy = generic(rng, *layer.forward(x).shape)
    points = {"x": x, **layer.parameters}
    gradients = {"x": layer.backward(dy), **layer.gradients}
    for name, point in points.items():
        for _ in range(8):
            index = tuple(rng.integers(size) for size in point.shape)
            moved = point.astype(complex)
            moved[index] += 1e-30j
            layer.parameters = {key: moved if key == name else v for key, v in points.items() if key != "x"}
            cost = (layer.forward(moved if name == "x" else x.astype(complex)) * dy).sum()
            assert gradients[name][index] == pytest.approx(cost.imag / 1e-30, rel=1e-9, abs=1e-14), name


# ------------------------------------------------------------------------------------------------------ worked, chained


def test_one_query_and_two_keys_worked_by_hand() -> None:
    # q = 1, k = (0, log 3): S = (0, log 3), P = (1/4, 3/4); v = (4, 8): o = 1 + 6 = 7.
    # do = 1: dV = (1/4, 3/4); dP = (4, 8), its row term 4/4 + 8 * 3/4 = 7;
    #         dS = (1/4 (4 - 7), 3/4 (8 - 7)) = (-3/4, 3/4); dq = 3/4 log 3, dk = (-3/4, 3/4).
    attention = ScaledDotProductAttention()
    o = attention.forward(np.array([[1.0]]), np.array([[0.0], [np.log(3)]]), np.array([[4.0], [8.0]]))
    assert o.item() == pytest.approx(7, rel=1e-14)
    dq, dk, dv = attention.backward(np.array([[1.0]]))
    assert dq.item() == pytest.approx(0.75 * np.log(3), rel=1e-14)
    np.testing.assert_allclose(dk.ravel(), [-0.75, 0.75], rtol=1e-14)
    np.testing.assert_allclose(dv.ravel(), [0.25, 0.75], rtol=1e-14)


def test_the_scale_worked_by_hand_for_four_features() -> None:
    # d = 4: q = (2, 2, 2, 2), k = 0 and (log 3)/4 (1, 1, 1, 1): S = (0, 2 log 3 / sqrt 4) = (0, log 3): P as above.
    attention = ScaledDotProductAttention()
    k = np.stack([np.zeros(4), np.full(4, np.log(3) / 4)])
    attention.forward(np.full((1, 4), 2.0), k, np.array([[4.0], [8.0]]))
    np.testing.assert_allclose(attention.p, [[0.25, 0.75]], rtol=1e-14)
    dq, dk, _ = attention.backward(np.array([[1.0]]))
    np.testing.assert_allclose(dq, np.full((1, 4), 3 / 4 * np.log(3) / 4 / 2), rtol=1e-14)
    np.testing.assert_allclose(dk, [[-3 / 4] * 4, [3 / 4] * 4], rtol=1e-14)  # dS 2 / sqrt 4


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_a_chain_of_linear_layers_and_softmax(causal: bool) -> None:
    rng = np.random.default_rng(5)
    layer, x, dy = make(rng, is_causal=causal), generic(rng, T, 1, E), generic(rng, T, 1, E)
    p, d = layer.parameters, E // HEADS
    linears = [Linear(E, E) for _ in range(4)]
    weights = [*np.split(p["in_proj_weight"], 3), p["out_proj.weight"]]
    biases = [*np.split(p["in_proj_bias"], 3), p["out_proj.bias"]]
    for linear, weight, bias in zip(linears, weights, biases, strict=True):
        linear.parameters = {"weight": weight, "bias": bias}
    q, k, v = (linear.forward(x[:, 0]) for linear in linears[:3])
    softmaxes, columns = [LogSoftmax() for _ in range(HEADS)], [slice(j * d, (j + 1) * d) for j in range(HEADS)]
    future = np.triu(np.full((T, T), -1e300), 1) if causal else np.zeros((T, T))
    P = [np.exp(softmax.forward(q[:, c] @ k[:, c].T / np.sqrt(d) + future)) for softmax, c in zip(softmaxes, columns)]  # noqa: B905
    outs = np.concatenate([P_j @ v[:, c] for P_j, c in zip(P, columns, strict=True)], axis=1)
    np.testing.assert_allclose(layer.forward(x)[:, 0], linears[3].forward(outs), rtol=1e-12, atol=1e-14)

    do = linears[3].backward(dy[:, 0])
    assert do is not None
    dq, dk, dv = (np.empty((T, E)) for _ in range(3))
    for softmax, P_j, c in zip(softmaxes, P, columns, strict=True):
        dS = softmax.backward(do[:, c] @ v[:, c].T * P_j) / np.sqrt(d)  # the exponential's slope is P
        dq[:, c], dk[:, c], dv[:, c] = dS @ k[:, c], dS.T @ q[:, c], P_j.T @ do[:, c]
    dx: Any = sum(linear.backward(part) for linear, part in zip(linears, (dq, dk, dv), strict=False))  # pyright: ignore
    found: Any = layer.backward(dy)
    np.testing.assert_allclose(found, dx[:, None], rtol=1e-12, atol=1e-13)
    stacked = np.concatenate([linear.gradients["weight"] for linear in linears[:3]])
    np.testing.assert_allclose(layer.gradients["in_proj_weight"], stacked, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(layer.gradients["out_proj.weight"], linears[3].gradients["weight"], rtol=1e-12)


def test_self_attention_and_the_same_input_three_times_are_one() -> None:
    rng = np.random.default_rng(6)
    layer, x, dy = make(rng), generic(rng, T, N, E), generic(rng, T, N, E)
    alone, dx = layer.forward(x), layer.backward(dy)
    gradients = dict(layer.gradients)
    np.testing.assert_allclose(layer.forward(x, x, x), alone, rtol=1e-12, atol=1e-14)
    parts: Any = layer.backward(dy)
    np.testing.assert_allclose(sum(parts), dx, rtol=1e-12, atol=1e-13)  # pyright: ignore
    for key, gradient in gradients.items():
        np.testing.assert_allclose(layer.gradients[key], gradient, rtol=1e-12, atol=1e-13)


# ---------------------------------------------------------------------------------------------------- dropout, extremes


def test_dropout_against_autograd_with_the_mask_that_was_drawn() -> None:
    rng = np.random.default_rng(7)
    q, k, v, dy = (generic(rng, N, HEADS, steps, 2) for steps in (T, S, S, T))
    keep = rng.random((N, HEADS, T, S)) >= 0.4
    leaves = [leaf(x) for x in (q, k, v)]
    P = torch.softmax(leaves[0] @ leaves[1].mT / np.sqrt(2), dim=-1) * torch.tensor(keep) / 0.6
    expected = P @ leaves[2]
    expected.backward(torch.tensor(dy))
    attention = ScaledDotProductAttention()
    np.testing.assert_allclose(attention.forward(q, k, v, keep=keep, p=0.4), expected.detach(), **CLOSE)
    for gradient, x in zip(attention.backward(dy), leaves, strict=True):
        np.testing.assert_allclose(gradient, x.grad, **CLOSE)


def test_a_drawn_mask_is_replayed_and_evaluation_draws_none() -> None:
    rng = np.random.default_rng(8)
    layer, x = make(rng, dropout=0.4, add_zero_attn=True), generic(rng, T, N, E)
    first, drawn = layer.forward(x), layer.drawn
    assert drawn["mask"].shape == (N, HEADS, T, T + 1)
    np.testing.assert_array_equal(layer.heads.used == 0, ~drawn["mask"])
    dropped = np.where(drawn["mask"], layer.heads.p, 0) / 0.6
    np.testing.assert_allclose(layer.attention, dropped.mean(axis=1), rtol=1e-12)  # torch shows what was used, too
    assert not np.array_equal(layer.forward(x), first)
    layer.replay(drawn)
    np.testing.assert_array_equal(layer.forward(x), first)
    layer.training = False
    evaluated = layer.forward(x)
    assert not layer.drawn
    without = MultiheadAttention(E, HEADS, add_zero_attn=True)
    without.parameters = layer.parameters
    np.testing.assert_array_equal(evaluated, without.forward(x))


def test_where_nothing_may_be_attended_to_the_answer_is_nan_as_in_torch() -> None:
    rng = np.random.default_rng(9)
    layer, x = make(rng), generic(rng, T, N, E)
    module, x_torch, mask = as_torch(layer), leaf(x), np.zeros((T, T), bool)
    mask[1] = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        output = layer.forward(x, attn_mask=mask)
    expected, _ = module(x_torch, x_torch, x_torch, attn_mask=torch.tensor(mask))
    np.testing.assert_allclose(output, expected.detach(), **CLOSE)
    assert np.isnan(output[1]).all()
    assert np.isfinite(output[[0, 2, 3]]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_scores_and_large_masks_overflow_nowhere(dtype: Any) -> None:
    rng = np.random.default_rng(10)
    layer, x = make(rng, is_causal=True), (1e3 * generic(rng, T, N, E)).astype(dtype)
    layer.parameters = {key: value.astype(dtype) for key, value in layer.parameters.items()}
    mask = np.where(rng.random((T, T)) < 0.3, -1e9, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        output = layer.forward(x, attn_mask=mask)
        dx = layer.backward(np.ones_like(output))
    assert output.dtype == dtype
    assert isinstance(dx, np.ndarray)
    assert np.isfinite(output).all()
    assert np.isfinite(dx).all()


# --------------------------------------------------------------------------------------------------------- the contract


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble], ids=lambda dtype: dtype.__name__)
def test_the_dtype_stays(dtype: Any) -> None:
    rng = np.random.default_rng(11)
    layer, x = make(rng, dropout=0.3, add_bias_kv=True, add_zero_attn=True, is_causal=True), generic(rng, T, N, E)
    output, dy = layer.forward(x), generic(rng, T, N, E)
    layer.replay(layer.drawn)
    exact = {"output": output, "dx": layer.backward(dy), **layer.gradients}
    layer.parameters = {key: value.astype(dtype) for key, value in layer.parameters.items()}
    output = layer.forward(x.astype(dtype))
    found: Any = {"output": output, "dx": layer.backward(dy.astype(dtype)), **layer.gradients}
    unit = float(max(np.finfo(dtype).eps, np.finfo(np.float64).eps))
    for name, array in found.items():
        assert array.dtype == dtype, name
        np.testing.assert_allclose(array, exact[name], rtol=0, atol=300 * unit, err_msg=name)


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("first", [False, True])
def test_backward_is_linear_repeats_itself_and_modifies_nothing(n: int, first: bool) -> None:
    rng = np.random.default_rng(12)
    layer = make(rng, add_bias_kv=True, batch_first=first)
    x = generic(rng, E, T, n).T  # not contiguous, and (n, T, E)
    x = x if first else x.swapaxes(0, 1)
    for array in (x, *layer.parameters.values()):
        array.flags.writeable = False
    np.testing.assert_allclose(layer.forward(x), layer.forward(np.ascontiguousarray(x)), rtol=1e-13, atol=1e-15)
    dy = generic(rng, *x.shape[::-1]).T
    dy.flags.writeable = False
    once: Any = {"dx": layer.backward(dy), **layer.gradients}
    for factor in (1.0, 2.0, 0.0):
        again: Any = {"dx": layer.backward(factor * dy), **layer.gradients}
        for name, array in once.items():
            np.testing.assert_array_equal(again[name], factor * array, err_msg=name)


def test_no_input_gradient_where_nobody_asks() -> None:
    rng = np.random.default_rng(13)
    layer, x, dy = make(rng), generic(rng, T, N, E), generic(rng, T, N, E)
    layer.forward(x)
    layer.backward(dy)
    gradients = dict(layer.gradients)
    layer.needs_input_gradient = False
    assert layer.backward(dy) is None
    for key, value in gradients.items():
        np.testing.assert_array_equal(layer.gradients[key], value)


@pytest.mark.parametrize("arguments", [{}, {"bias": False}, {"add_bias_kv": True, "kdim": 5, "vdim": 7}], ids=str)
def test_parameters_have_torchs_names_order_shapes_and_spread(arguments: dict[str, Any]) -> None:
    layer = MultiheadAttention(64, 4, **arguments, rng=np.random.default_rng(14))
    module = torch.nn.MultiheadAttention(64, 4, **arguments)
    expected = dict(module.named_parameters())
    assert list(layer.parameters) == list(expected)
    for key, value in expected.items():
        found = layer.parameters[key]
        assert found.shape == value.shape, key
        np.testing.assert_allclose(found.std(), value.std(correction=0).item(), rtol=0.25, err_msg=key)
        if key in ("in_proj_bias", "out_proj.bias"):
            np.testing.assert_array_equal(found, 0)


@pytest.mark.parametrize(("given", "masks", "wanted"), [
    ([(4, 2, 7)], {}, r"MultiheadAttention\(6, 3\) got a query of shape \(4, 2, 7\); wanted \(T, N, 6\)"),
    ([(6,)], {}, "got a query of shape"),
    ([(4, 2, 6), (5, 2, 6), (5, 6)], {}, "got a value of shape"),
    ([(4, 2, 6), (5, 2, 6), (4, 2, 6)], {}, r"key of .* has shape \(5, 2, 6\); wanted \(4, 2, 6\)"),
    ([(4, 2, 6), (5, 1, 6), (5, 2, 6)], {}, r"key of .* has shape \(5, 1, 6\); wanted \(5, 2, 6\)"),
    ([(4, 2, 6), (5, 2, 6)], {}, "a key or a value alone"),
    ([(4, 2, 6)], {"attn_mask": (4, 5)}, r"attn_mask has shape \(4, 5\); wanted \(4, 4\)"),
    ([(4, 2, 6)], {"attn_mask": (2, 4, 4)}, r"wanted \(6, 4, 4\)"),
    ([(4, 2, 6)], {"key_padding_mask": (4, 2)}, r"key_padding_mask has shape \(4, 2\); wanted \(2, 4\)"),
])  # fmt: skip
def test_inputs_and_masks_that_do_not_fit_are_refused(given: Any, masks: Any, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        make(np.random.default_rng(15)).forward(
            *(np.ones(shape) for shape in given),
            key_padding_mask=np.zeros(masks["key_padding_mask"], bool) if "key_padding_mask" in masks else None,
            attn_mask=np.zeros(masks["attn_mask"], bool) if "attn_mask" in masks else None,
        )


def test_a_mask_of_integers_an_upstream_gradient_of_another_shape_and_odd_arguments_are_refused() -> None:
    layer = make(np.random.default_rng(16))
    with pytest.raises(TypeError, match="A mask has dtype int64; wanted bool"):
        layer.forward(np.ones((T, N, E)), attn_mask=np.zeros((T, T), int))
    layer.forward(np.ones((T, N, E)))
    with pytest.raises(ValueError, match=r"grad_output of MultiheadAttention\(6, 3\) has shape \(1, 2, 6\)"):
        layer.backward(np.ones((1, N, E)))
    with pytest.raises(ValueError, match="embed_dim is 6; wanted a multiple of num_heads = 4"):
        MultiheadAttention(6, 4)
    with pytest.raises(ValueError, match="dropout is -1"):
        MultiheadAttention(6, 3, dropout=-1)
    with pytest.raises(ValueError, match="wanted a key and a value as well"):
        MultiheadAttention(6, 3, kdim=5).forward(np.ones((T, N, E)))


def test_shapes_and_descriptions() -> None:
    layer = MultiheadAttention(6, 2, batch_first=True, is_causal=True)
    assert repr(layer) == "MultiheadAttention(6, 2, batch_first=True, is_causal=True)"
    assert layer.output_shape((28, 6)) == (28, 6)
    assert layer.output_shape(None) is None
    with pytest.raises(ValueError, match="wants sequences with 6 inputs a position"):
        layer.output_shape((28, 28))
