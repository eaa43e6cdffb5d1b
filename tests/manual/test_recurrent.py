"""RNN, LSTM and GRU against autograd, the complex step, chains of small layers, and steps worked by hand."""

import warnings
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from manual import Linear, ReLU, Sigmoid, Tanh
from manual.gru import GRU
from manual.lstm import LSTM
from manual.rnn import RNN

KINDS: dict[str, Any] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}
CLOSE: Any = {"rtol": 1e-10, "atol": 1e-13}
INPUTS, H, T, N = 3, 5, 4, 2

each_kind = pytest.mark.parametrize("kind", KINDS)


def generic(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return a generic point: both signs, no zeros, no ones."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.2, 1.8, shape)


def make(kind: str, rng: np.random.Generator, **arguments: Any) -> Any:
    layer = KINDS[kind](INPUTS, H, **arguments, rng=rng)
    for key, value in layer.parameters.items():
        layer.parameters[key] = 0.7 * generic(rng, *value.shape)
    return layer


def as_torch(kind: str, layer: Any, **arguments: Any) -> Any:
    module = getattr(torch.nn, kind)(INPUTS, H, **arguments).double()
    module.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in layer.parameters.items()})
    return module


def as_state(kind: str, states: list[Any]) -> Any:
    """Return the state as hx takes it: a pair for an LSTM."""
    return tuple(states) if kind == "LSTM" else states[0]


def as_list(state: Any) -> list[Any]:
    return list(state) if isinstance(state, tuple) else [state]


def state_shapes(layer: Any, batched: bool = True) -> list[tuple[int, ...]]:
    shapes = layer.state_shapes(N)
    return shapes if batched else [(shape[0], shape[2]) for shape in shapes]


def leaf(array: np.ndarray) -> Any:
    return torch.tensor(array, requires_grad=True)


CONFIGURATIONS = [
    (kind, {"num_layers": layers, "bias": bias, "batch_first": first, "bidirectional": both} | own)
    for kind, owns in {"RNN": [{}, {"nonlinearity": "relu"}], "LSTM": [{}, {"proj_size": 2}], "GRU": [{}]}.items()
    for own in owns
    for layers, bias, first, both in product((1, 3), (True, False), (False, True), (False, True))
]


@pytest.mark.parametrize("batched", [True, False], ids=["batch", "one sequence"])
@pytest.mark.parametrize(("kind", "arguments"), CONFIGURATIONS, ids=str)
def test_everything_against_autograd(kind: str, arguments: dict[str, Any], batched: bool) -> None:
    rng = np.random.default_rng(1)
    layer = make(kind, rng, **arguments)
    module = as_torch(kind, layer, **arguments)
    x = generic(rng, *(((N, T, INPUTS) if arguments["batch_first"] else (T, N, INPUTS)) if batched else (T, INPUTS)))
    states = [generic(rng, *shape) for shape in state_shapes(layer, batched)]
    x_torch, states_torch = leaf(x), [leaf(state) for state in states]

    output = layer.forward(x, as_state(kind, states))
    expected, final = module(x_torch, as_state(kind, states_torch))
    np.testing.assert_allclose(output, expected.detach(), **CLOSE)
    finals = [layer.h_n, layer.c_n] if kind == "LSTM" else [layer.h_n]
    for found, wanted in zip(finals, as_list(final), strict=True):
        np.testing.assert_allclose(found, wanted.detach(), **CLOSE)

    dy, d_finals = generic(rng, *output.shape), [generic(rng, *state.shape) for state in finals]
    torch.autograd.backward(
        [expected, *as_list(final)], [torch.tensor(dy), *(torch.tensor(d_final) for d_final in d_finals)]
    )
    np.testing.assert_allclose(layer.backward(dy, *d_finals), x_torch.grad, **CLOSE)
    for found, wanted in zip(as_list(layer.grad_hx), states_torch, strict=True):
        np.testing.assert_allclose(found, wanted.grad, **CLOSE)
    assert layer.gradients.keys() == layer.parameters.keys()
    for key, parameter in module.named_parameters():
        np.testing.assert_allclose(layer.gradients[key], parameter.grad, **CLOSE, err_msg=key)


@each_kind
def test_without_a_state_it_starts_from_zeros(kind: str) -> None:
    rng = np.random.default_rng(2)
    layer, x = make(kind, rng), generic(rng, T, N, INPUTS)
    expected = layer.forward(x, as_state(kind, [np.zeros(shape) for shape in state_shapes(layer)]))
    np.testing.assert_array_equal(layer.forward(x), expected)


@each_kind
@pytest.mark.parametrize("arguments", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_against_the_complex_step(kind: str, arguments: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    layer, x = make(kind, rng, **arguments), generic(rng, 3, 2, INPUTS)
    dy = generic(rng, *layer.forward(x).shape)
    gradients = {"x": layer.backward(dy), **layer.gradients}
    points = {"x": x, **layer.parameters}

    def cost(name: str, point: np.ndarray) -> complex:
        layer.parameters = {key: value for key, value in points.items() if key != "x"}
        if name != "x":
            layer.parameters[name] = point
        return (layer.forward(point if name == "x" else x.astype(complex)) * dy).sum()

    for name, point in points.items():
        for _ in range(8):
            index = tuple(rng.integers(size) for size in point.shape)
            moved = point.astype(complex)
            moved[index] += 1e-30j
            assert gradients[name][index] == pytest.approx(cost(name, moved).imag / 1e-30, rel=1e-10), name


@each_kind
def test_parameters_have_torchs_names_order_shapes_and_range(kind: str) -> None:
    arguments: dict[str, Any] = {"num_layers": 2, "bidirectional": True} | ({"proj_size": 2} if kind == "LSTM" else {})
    layer = KINDS[kind](INPUTS, H, **arguments, rng=np.random.default_rng(4))
    expected = {
        key: tuple(value.shape) for key, value in getattr(torch.nn, kind)(INPUTS, H, **arguments).named_parameters()
    }
    assert {key: value.shape for key, value in layer.parameters.items()} == expected
    assert list(layer.parameters) == list(expected)
    largest = max(abs(value).max() for value in layer.parameters.values())
    assert 0.9 / np.sqrt(H) < largest < 1 / np.sqrt(H)


# ----------------------------------------------------------------------------------------------- chains of small layers


def linear(weight: np.ndarray, bias: np.ndarray) -> Linear:
    layer = Linear(weight.shape[1], weight.shape[0])
    layer.parameters = {"weight": weight, "bias": bias}
    return layer


def shares(layer: Any) -> tuple[Linear, Linear]:
    """Return the input's share and the hidden share of a step as linear layers."""
    p = layer.parameters
    return linear(p["weight_ih_l0"], p["bias_ih_l0"]), linear(p["weight_hh_l0"], p["bias_hh_l0"])


def add_up(sums: dict[str, Any], steps: tuple[Linear, Linear]) -> None:
    for name, step in zip(("ih", "hh"), steps, strict=True):
        for key in ("weight", "bias"):
            sums[f"{key}_{name}_l0"] = sums.get(f"{key}_{name}_l0", 0) + step.gradients[key]


def assert_equal_to_chain(layer: Any, dy: np.ndarray, dx: list[Any], sums: dict[str, Any]) -> None:
    np.testing.assert_allclose(layer.backward(dy), np.stack(dx), rtol=1e-12, atol=1e-14)
    for key, gradient in layer.gradients.items():
        np.testing.assert_allclose(gradient, sums[key], rtol=1e-12, atol=1e-14, err_msg=key)


@pytest.mark.parametrize(("nonlinearity", "activation"), [("tanh", Tanh), ("relu", ReLU)])
def test_rnn_is_a_chain_of_linear_layers_and_activations(nonlinearity: str, activation: Any) -> None:
    rng = np.random.default_rng(5)
    layer, x, dy = make("RNN", rng, nonlinearity=nonlinearity), generic(rng, T, N, INPUTS), generic(rng, T, N, H)
    h, steps = np.zeros((N, H)), []
    for x_t, y_t in zip(x, layer.forward(x), strict=True):
        steps.append((*shares(layer), activation()))
        h = steps[-1][2].forward(steps[-1][0].forward(x_t) + steps[-1][1].forward(h))
        np.testing.assert_allclose(y_t, h, rtol=1e-12)
    dh: Any = np.zeros((N, H))
    dx, sums = [], {}
    for (of_input, hidden, f), dy_t in zip(reversed(steps), dy[::-1], strict=True):
        dz = f.backward(dy_t + dh)
        dx.insert(0, of_input.backward(dz))
        dh = hidden.backward(dz)
        add_up(sums, (of_input, hidden))
    assert_equal_to_chain(layer, dy, dx, sums)


def test_lstm_is_a_chain_of_linear_layers_and_activations() -> None:
    rng = np.random.default_rng(6)
    layer, x, dy = make("LSTM", rng), generic(rng, T, N, INPUTS), generic(rng, T, N, H)
    h, c, steps = np.zeros((N, H)), np.zeros((N, H)), []
    for x_t, y_t in zip(x, layer.forward(x), strict=True):
        linears, gates, squash = shares(layer), (Sigmoid(), Sigmoid(), Tanh(), Sigmoid()), Tanh()
        z = np.split(linears[0].forward(x_t) + linears[1].forward(h), 4, axis=1)
        i, f, g, o = (gate.forward(part) for gate, part in zip(gates, z, strict=True))
        steps.append((linears, gates, squash, (i, f, g, o, c)))
        c = f * c + i * g
        h = o * squash.forward(c)
        np.testing.assert_allclose(y_t, h, rtol=1e-12)
    dh: Any = np.zeros((N, H))
    dc, dx, sums = np.zeros((N, H)), [], {}
    for (linears, gates, squash, (i, f, g, o, before)), dy_t in zip(reversed(steps), dy[::-1], strict=True):
        dh = dy_t + dh
        dc = squash.backward(dh * o) + dc
        parts = (dc * g, dc * before, dc * i, dh * squash.a)
        dz = np.concatenate([gate.backward(part) for gate, part in zip(gates, parts, strict=True)], axis=1)
        dx.insert(0, linears[0].backward(dz))
        dh, dc = linears[1].backward(dz), dc * f
        add_up(sums, linears)
    assert_equal_to_chain(layer, dy, dx, sums)


def test_gru_is_a_chain_of_linear_layers_and_activations() -> None:
    rng = np.random.default_rng(7)
    layer, x, dy = make("GRU", rng), generic(rng, T, N, INPUTS), generic(rng, T, N, H)
    h, steps = np.zeros((N, H)), []
    for x_t, y_t in zip(x, layer.forward(x), strict=True):
        linears, gates = shares(layer), (Sigmoid(), Sigmoid(), Tanh())
        a, q = (np.split(share, 3, axis=1) for share in (linears[0].forward(x_t), linears[1].forward(h)))
        r, z = (gates[k].forward(a[k] + q[k]) for k in (0, 1))
        n = gates[2].forward(a[2] + r * q[2])
        steps.append((linears, gates, (r, z, n, q[2], h)))
        h = (1 - z) * n + z * h
        np.testing.assert_allclose(y_t, h, rtol=1e-12, atol=1e-15)
    dh: Any = np.zeros((N, H))
    dx, sums = [], {}
    for (linears, gates, (r, z, n, q_n, before)), dy_t in zip(reversed(steps), dy[::-1], strict=True):
        dh = dy_t + dh
        da_n = gates[2].backward(dh * (1 - z))
        da_r, da_z = gates[0].backward(da_n * q_n), gates[1].backward(dh * (before - n))
        dx.insert(0, linears[0].backward(np.concatenate([da_r, da_z, da_n], axis=1)))
        dh = dh * z + linears[1].backward(np.concatenate([da_r, da_z, da_n * r], axis=1))
        add_up(sums, linears)
    assert_equal_to_chain(layer, dy, dx, sums)


# ------------------------------------------------------------------------------------------------ steps worked by hand


def test_one_step_of_an_lstm_worked_by_hand() -> None:
    # sigmoid(log m) = m / (m + 1) and tanh(log m) = (m^2 - 1) / (m^2 + 1), so logarithms as weights give fractions.
    # x = 1, h0 = 1; w_hh = (1, 2, 3, 4) is taken back by b_hh = -(1, 2, 3, 4), so z = w_ih = (log 3, 0, log 2, log 2):
    #   i = 3/4, f = 1/2, g = 3/5, o = 2/3.    c0 = 2 (log 3 - 9/20), so that c1 = c0/2 + 3/4 * 3/5 = log 3,
    #   tanh c1 = 4/5, h1 = 8/15.
    # dh1 = 1:  do = 4/5,                     dz_o = 4/5 * 2/3 * 1/3  = 8/45
    #           dc = 2/3 (1 - 16/25) = 6/25,  dz_i = 6/25 * 3/5 * 3/16 = 27/1000
    #                                         dz_f = 6/25 * c0 * 1/4   = 3/50 c0
    #                                         dz_g = 6/25 * 3/4 * 16/25 = 72/625
    #           dc0 = 6/25 * 1/2 = 3/25
    lstm, log = LSTM(1, 1), np.log
    w_hh, c0 = np.array([[1.0], [2.0], [3.0], [4.0]]), 2 * (log(3) - 9 / 20)
    lstm.parameters = {
        "weight_ih_l0": np.array([[log(3)], [0.0], [log(2)], [log(2)]]), "weight_hh_l0": w_hh,
        "bias_ih_l0": np.zeros(4), "bias_hh_l0": -w_hh[:, 0],
    }  # fmt: skip
    output = lstm.forward(np.ones((1, 1)), (np.ones((1, 1)), np.array([[c0]])))
    assert output.item() == pytest.approx(8 / 15, rel=1e-14)
    assert lstm.c_n.item() == pytest.approx(log(3), rel=1e-14)
    dz = np.array([27 / 1000, 3 / 50 * c0, 72 / 625, 8 / 45])
    dx = lstm.backward(np.ones((1, 1)))
    assert dx.item() == pytest.approx(27 / 1000 * log(3) + 72 / 625 * log(2) + 8 / 45 * log(2), rel=1e-13)
    for key in lstm.parameters:  # the input, h0 and the biases' factor are all 1
        np.testing.assert_allclose(lstm.gradients[key].ravel(), dz, rtol=1e-13, err_msg=key)
    assert lstm.grad_hx[0].item() == pytest.approx(dz @ [1, 2, 3, 4], rel=1e-13)
    assert lstm.grad_hx[1].item() == pytest.approx(3 / 25, rel=1e-13)


def test_one_step_of_a_gru_worked_by_hand() -> None:
    # h0 = 1, x = 1, w_ih = (0, -log 3, log 2 - 1), w_hh = (0, 0, 2): r = 1/2, z = 1/4, q_n = 2,
    #   n = tanh(log 2 - 1 + 1/2 * 2) = 3/5,    h1 = 3/4 * 3/5 + 1/4 = 7/10.
    # dh1 = 1:  dn = 3/4,  da_n = 3/4 * 16/25 = 12/25,  dq_n = 12/25 * 1/2 = 6/25
    #           dr = 12/25 * 2,  da_r = 24/25 * 1/4 = 6/25;    dz = 1 - 3/5,  da_z = 2/5 * 3/16 = 3/40
    #           dh0 = 1/4 + 2 * 6/25 = 73/100
    gru = GRU(1, 1, bias=False)
    gru.parameters = {
        "weight_ih_l0": np.array([[0.0], [-np.log(3)], [np.log(2) - 1]]),
        "weight_hh_l0": np.array([[0.0], [0.0], [2.0]]),
    }
    assert gru.forward(np.ones((1, 1)), np.ones((1, 1))).item() == pytest.approx(7 / 10, rel=1e-14)
    dx = gru.backward(np.ones((1, 1)))
    assert dx.item() == pytest.approx(-3 / 40 * np.log(3) + 12 / 25 * (np.log(2) - 1), rel=1e-13)
    np.testing.assert_allclose(gru.gradients["weight_ih_l0"].ravel(), [6 / 25, 3 / 40, 12 / 25], rtol=1e-13)
    np.testing.assert_allclose(gru.gradients["weight_hh_l0"].ravel(), [6 / 25, 3 / 40, 6 / 25], rtol=1e-13)
    assert gru.grad_hx.item() == pytest.approx(73 / 100, rel=1e-13)


# ----------------------------------------------------------------------------------------------------------- dropout


@each_kind
@pytest.mark.parametrize("both", [False, True], ids=["one direction", "two"])
def test_dropout_between_layers_against_two_torch_layers_with_the_mask_between(kind: str, both: bool) -> None:
    rng = np.random.default_rng(8)
    layer, x = make(kind, rng, num_layers=2, dropout=0.4, bidirectional=both), generic(rng, T, N, INPUTS)
    width = 2 * H if both else H
    output = layer.forward(x)
    mask = layer.drawn["mask0"]
    assert mask.shape == (T, N, width)
    assert 0 < mask.mean() < 1
    lower, upper = (getattr(torch.nn, kind)(inputs, H, bidirectional=both).double() for inputs in (INPUTS, width))
    for module, number in ((lower, "l0"), (upper, "l1")):
        own = {key.replace(number, "l0"): value for key, value in layer.parameters.items() if number in key}
        module.load_state_dict({key: torch.tensor(value) for key, value in own.items()})
    x_torch, dy = leaf(x), generic(rng, *output.shape)
    expected = upper(lower(x_torch)[0] * torch.tensor(mask) / 0.6)[0]
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(output, expected.detach(), **CLOSE)
    np.testing.assert_allclose(layer.backward(dy), x_torch.grad, **CLOSE)
    for module, number in ((lower, "l0"), (upper, "l1")):
        for key, parameter in module.named_parameters():
            np.testing.assert_allclose(layer.gradients[key.replace("l0", number)], parameter.grad, **CLOSE)


def test_a_drawn_mask_is_replayed_and_evaluation_draws_none() -> None:
    rng = np.random.default_rng(9)
    layer, x = make("LSTM", rng, num_layers=3, dropout=0.5), generic(rng, T, N, INPUTS)
    first = layer.forward(x)
    drawn = layer.drawn
    assert list(drawn) == ["mask0", "mask1"]
    assert not np.array_equal(layer.forward(x), first)
    layer.replay(drawn)
    np.testing.assert_array_equal(layer.forward(x), first)
    layer.replay({})
    assert not np.array_equal(layer.forward(x), first)
    layer.training = False
    evaluated = layer.forward(x)
    assert not layer.drawn
    without = LSTM(INPUTS, H, num_layers=3)
    without.parameters = layer.parameters
    np.testing.assert_array_equal(evaluated, without.forward(x))


def test_dropping_everything_leaves_the_upper_layer_its_biases() -> None:
    rng = np.random.default_rng(10)
    layer, x = make("GRU", rng, num_layers=2, dropout=1.0), generic(rng, T, N, INPUTS)
    np.testing.assert_array_equal(layer.forward(x), layer.forward(2 * x))
    np.testing.assert_array_equal(layer.backward(generic(rng, T, N, H)), np.zeros((T, N, INPUTS)))


# --------------------------------------------------------------------------------------------------------- the contract


@each_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble], ids=lambda dtype: dtype.__name__)
def test_the_dtype_stays(kind: str, dtype: Any) -> None:
    rng = np.random.default_rng(11)
    layer, x = make(kind, rng, num_layers=2, dropout=0.5), generic(rng, T, N, INPUTS)
    output, dy = layer.forward(x), generic(rng, T, N, H)
    layer.replay(layer.drawn)
    exact = {"output": output, "dx": layer.backward(dy), **layer.gradients}
    layer.parameters = {key: value.astype(dtype) for key, value in layer.parameters.items()}
    output = layer.forward(x.astype(dtype))
    found = {"output": output, "dx": layer.backward(dy.astype(dtype)), **layer.gradients, "h_n": layer.h_n}
    unit = max(np.finfo(dtype).eps, np.finfo(np.float64).eps)
    for name, array in found.items():
        assert array.dtype == dtype, name
        if name in exact:
            np.testing.assert_allclose(array, exact[name], rtol=0, atol=200 * float(unit), err_msg=name)


@each_kind
@pytest.mark.parametrize("n", [1, 2, 7])
def test_backward_is_linear_repeats_itself_and_modifies_nothing(kind: str, n: int) -> None:
    rng = np.random.default_rng(12)
    layer = make(kind, rng, num_layers=2, bidirectional=True)
    x = generic(rng, INPUTS, T, n).transpose(1, 2, 0)  # not contiguous
    for array in (x, *layer.parameters.values()):
        array.flags.writeable = False
    np.testing.assert_array_equal(layer.forward(x), layer.forward(np.ascontiguousarray(x)))
    dy = generic(rng, 2 * H, n, T).T
    dy.flags.writeable = False
    once = {"dx": layer.backward(dy), **layer.gradients}
    for factor in (1.0, 2.0, 0.0):
        again = {"dx": layer.backward(factor * dy), **layer.gradients}
        for name, array in once.items():
            np.testing.assert_array_equal(again[name], factor * array, err_msg=name)


@each_kind
def test_no_input_gradient_where_nobody_asks(kind: str) -> None:
    rng = np.random.default_rng(13)
    layer, x, dy = make(kind, rng, num_layers=2), generic(rng, T, N, INPUTS), generic(rng, T, N, H)
    layer.forward(x)
    layer.backward(dy)
    gradients = dict(layer.gradients)
    layer.needs_input_gradient = False
    assert layer.backward(dy) is None
    for key, value in gradients.items():
        np.testing.assert_array_equal(layer.gradients[key], value)


@each_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_out_it_is_finite_and_silent(kind: str, dtype: Any) -> None:
    rng = np.random.default_rng(14)
    layer = make(kind, rng)
    layer.parameters = {key: value.astype(dtype) for key, value in layer.parameters.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        output = layer.forward((1e4 * generic(rng, T, N, INPUTS)).astype(dtype))
        dx = layer.backward(np.ones_like(output))
    for array in (output, dx, *layer.gradients.values()):
        assert np.isfinite(array).all()


@pytest.mark.parametrize(("shape", "arguments", "wanted"), [
    ((4, 2, 7), {}, r"LSTM\(3, 5\) got an input of shape \(4, 2, 7\); wanted \(T, N, 3\), or \(T, 3\)"),
    ((4, 2, 7), {"batch_first": True}, r"wanted \(N, T, 3\)"),
    ((3,), {}, "wanted"), ((1, 4, 2, 3), {}, "wanted"), ((0, 2, 3), {}, "at least one step"),
])  # fmt: skip
def test_an_input_that_is_no_sequence_is_refused(shape: Any, arguments: Any, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        LSTM(INPUTS, H, **arguments).forward(np.ones(shape))


def test_states_and_gradients_of_other_shapes_are_refused_and_never_broadcast() -> None:
    layer, x = LSTM(INPUTS, H), np.ones((T, N, INPUTS))
    h, c = np.ones((1, N, H)), np.ones((1, N, H))
    with pytest.raises(ValueError, match=r"c_0 of LSTM\(3, 5\) has shape \(1, 1, 5\); wanted \(1, 2, 5\)"):
        layer.forward(x, (h, np.ones((1, 1, H))))
    with pytest.raises(ValueError, match="holds 1 tensors; wanted the pair"):
        layer.forward(x, (h,))
    with pytest.raises(TypeError, match=r"h_0 of .* has dtype float32"):
        layer.forward(x, (h.astype(np.float32), c))
    layer.forward(x)
    with pytest.raises(ValueError, match=r"grad_output of LSTM\(3, 5\) has shape \(1, 2, 5\)"):
        layer.backward(np.ones((1, N, H)))
    with pytest.raises(ValueError, match="grad_h_n"):
        layer.backward(np.ones((T, N, H)), np.ones((1, 1, H)))


@pytest.mark.parametrize(("make_layer", "wanted"), [
    (lambda: RNN(3, 5, nonlinearity="sine"), "nonlinearity is 'sine'; wanted 'tanh' or 'relu'"),  # pyright: ignore
    (lambda: LSTM(3, 5, proj_size=5), "proj_size is 5; wanted less than hidden_size = 5"),
    (lambda: GRU(3, 5, dropout=1.5), r"dropout is 1\.5; wanted a probability"),
])  # fmt: skip
def test_arguments_out_of_range_are_refused(make_layer: Any, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        make_layer()


def test_shapes_and_descriptions() -> None:
    assert LSTM(3, 5, proj_size=2, bidirectional=True).output_shape((28, 3)) == (28, 4)
    assert GRU(3, 5).output_shape((3,)) == (5,)
    assert RNN(3, 5).output_shape(None) is None
    with pytest.raises(ValueError, match="wants sequences with 3 inputs a step"):
        RNN(3, 5).output_shape((28, 28))
    assert repr(RNN(3, 5, nonlinearity="relu")) == "RNN(3, 5, nonlinearity='relu')"
    assert repr(LSTM(3, 5, 2, batch_first=True)) == "LSTM(3, 5, num_layers=2, batch_first=True)"
    assert repr(GRU(3, 5, bias=False)) == "GRU(3, 5, bias=False)"
