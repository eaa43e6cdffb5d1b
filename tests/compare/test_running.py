"""Running error analysis: what is computed in float32 stays within the bound that it carries, and the bound is no joke.

The truth is the same formula in longdouble; the subject is the same formula in float32, where rounding is large enough
to be seen beside it.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import manual
from compare.agreement.operations import PREPARATION
from compare.agreement.rounding import Bounded, UpdateOperation, update_rule
from compare.agreement.rounding.unit import unit_roundoff
from manual.optimizers import OPTIONS

U = unit_roundoff(np.float32)
repeatable = settings(deadline=None, max_examples=25, derandomize=True, database=None)

Formula = Callable[[Any, Any], Any]
FORMULAS: dict[str, Formula] = {  # of two arrays; some look at one
    "sum": lambda x, y: x + y,
    "difference": lambda x, y: x - y,
    "product": lambda x, y: x * y,
    "quotient": lambda x, y: x / (1 + y * y),
    "reciprocal": lambda x, y: np.reciprocal(2 + x * x),
    "exponential": lambda x, y: np.exp(x - y * y),
    "expm1": lambda x, y: np.expm1(x * y),
    "logarithm": lambda x, y: np.log(1 + x * x + y * y),
    "log1p": lambda x, y: np.log1p(np.exp(-np.abs(x * y))),
    "tanh": lambda x, y: np.tanh(x * y),
    "root": lambda x, y: np.sqrt(1 + x * x) * y,
    "square": lambda x, y: np.square(x - y),
    "power": lambda x, y: (1 + x * x) ** 1.5 * y,
    "maximum": lambda x, y: np.maximum(x * y, y),
    "minimum": lambda x, y: np.minimum(x * y, y),
    "limits": lambda x, y: np.clip(x * y, -0.5, 1.5),
    "chosen": lambda x, y: np.where(x > y, x * y, y),
    "total": lambda x, y: (x * y).sum(axis=1, keepdims=True) - x,
    "mean": lambda x, y: x.mean(axis=0) * y,
    "largest": lambda x, y: (x * y).max(axis=1),
    "smallest": lambda x, y: (x * y).min(axis=0),
    "variance": lambda x, y: (x + y).var(axis=1),
    "running sum": lambda x, y: np.cumsum(x * y, axis=1),
    "matrix product": lambda x, y: x @ y.T @ y,
    "einsum": lambda x, y: np.einsum("ij,kj->ik", x, y),
    "einsum of three": lambda x, y: np.einsum("ij,kj,kl->il", x, y, y),
    "einsum of one": lambda x, y: np.einsum("ij->j", x * y),
    "tensordot": lambda x, y: np.tensordot(x, y, axes=([0], [0])),
    "concatenated": lambda x, y: np.concatenate([x * y, x], axis=1).sum(axis=1),
    "windows": lambda x, y: np.lib.stride_tricks.sliding_window_view(x * y, 2, axis=1).sum(axis=-1),
    "padded": lambda x, y: np.pad(x * y, ((1, 0), (0, 2))).sum(axis=0),
    "softmax": lambda x, y: softmax(3 * x + y),
    "in place": lambda x, y: in_place(x, y),
    "added at": lambda x, y: added_at(x * y),
}


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def in_place(x: Any, y: Any) -> Any:
    total = np.zeros_like(x)
    total += x * y
    total[1:] *= y[1:]
    total[:, 0] = y[:, 1]
    total -= x
    return total


def added_at(x: Any) -> Any:
    total = np.zeros_like(x, shape=(2, x.shape[1]))
    np.add.at(total, np.arange(len(x)) % 2, x)
    return total


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(2, 9)), int(rng.integers(2, 9)))
    x, y = ((rng.normal(size=shape) * 10.0 ** rng.uniform(-1, 1)).astype(np.float32) for _ in range(2))
    return x, np.clip(y, -3, 3)


@pytest.mark.parametrize("name", FORMULAS)
@given(seed=st.integers(0, 10**6))
@repeatable
def test_float32_stays_within_the_bound(name: str, seed: int) -> None:
    formula, (x, y) = FORMULAS[name], drawn(seed)
    computed = formula(x, y)
    truth = formula(np.longdouble(x), np.longdouble(y))
    bounded = formula(Bounded.exact(x, U), Bounded.exact(y, U))
    assert computed.dtype == np.float32
    assert bounded.shape == computed.shape
    np.testing.assert_allclose(bounded.value, np.float64(truth), rtol=1e-11, atol=1e-11)
    assert (np.abs(computed - truth) <= bounded.error).all()


@pytest.mark.parametrize("name", FORMULAS)
def test_the_bound_is_small(name: str) -> None:
    """A bound that allows everything would pass the test above. On average these use a fair part of theirs."""
    formula, used = FORMULAS[name], []
    for seed in range(40):
        x, y = drawn(seed)
        bounded = formula(Bounded.exact(x, U), Bounded.exact(y, U))
        error = np.abs(formula(x, y) - formula(np.longdouble(x), np.longdouble(y)))
        used.append(float(np.max(error / np.maximum(bounded.error, 1e-30))))
    assert max(used) > 0.02


def test_inputs_are_exact_and_moving_them_is_free() -> None:
    x: Any = Bounded.exact(np.arange(6.0).reshape(2, 3), U)
    ways: list[Any] = [x.T, x.reshape(6), x[0], x[:, ::-1], np.stack([x, x]), -x, np.abs(x), 2 * x, x * 0, x + 0]
    for moved in ways:
        assert (moved.error == 0).all()


def test_a_view_writes_its_errors_into_the_whole() -> None:
    whole: Any = np.zeros_like(Bounded.exact(np.ones((3, 4)), U))
    b = Bounded.exact(np.full(4, 3.0), U) / 7
    row = whole[1]
    row += b
    part = whole.reshape(12)[8:]
    part += b
    assert (whole.error[1] > 0).all()
    assert (whole.error[2] > 0).all()
    assert (whole.error[0] == 0).all()


@pytest.mark.parametrize("written", ["made", "taken apart", "added up alone"])
def test_what_is_added_in_place_has_the_error_of_a_sum(written: str) -> None:
    """Whatever is known, or not yet known, of the numbers that are written to."""
    x, y = (Bounded(np.full((1, 3), number), np.full((1, 3), 4 * U), U) for number in (3.0, 0.3))
    sums: dict[str, Any] = {"made": x, "taken apart": x.reshape(3), "added up alone": np.sum(x, axis=0)}
    result, addend = sums[written], y.reshape(sums[written].shape)
    wanted = (result + addend).error.copy()
    assert (wanted > result.error + addend.error).all()
    result += addend
    np.testing.assert_array_equal(result.error, wanted)


def test_what_is_written_into_a_result_does_not_reach_back() -> None:
    x: Any = Bounded.exact(np.array([3.0, 5.0]), U) / 7
    before = x.error.copy()
    for result in (-x, np.abs(x), +x, x + 0, x * 1, np.where(x > 0, x, 0), np.maximum(x, 0), x.copy()):
        if result is not x:
            result *= x
    np.testing.assert_array_equal(x.error, before)


ORDERS: dict[str, Callable[..., Any]] = {  # of the same sum of products and a large bias
    "bias last": lambda w, x, b: w @ x + b,
    "row by row": lambda w, x, b: sum((w[:, i] * x[i] for i in range(1, len(x))), w[:, 0] * x[0]) + b,
    "bias first": lambda w, x, b: sum((w[:, i] * x[i] for i in range(len(x))), b),
    "in halves": lambda w, x, b: (w[:, :4] @ x[:4] + b) + w[:, 4:] @ x[4:],
}


@pytest.mark.parametrize("bounded_as", ["bias last", "in halves"])
@pytest.mark.parametrize("computed_as", ORDERS)
def test_the_bound_of_a_sum_holds_for_every_order(bounded_as: str, computed_as: str) -> None:
    """The reference is free to start with the bias: then every addition rounds at the size of the bias."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        w, x, b = np.float32(rng.normal(size=(6, 9))), np.float32(rng.normal(size=9)), np.float32(30 + rng.random(6))
        bounded = ORDERS[bounded_as](*(Bounded.exact(a, U) for a in (w, x, b)))
        truth = ORDERS["bias last"](*(np.longdouble(a) for a in (w, x, b)))
        assert (np.abs(ORDERS[computed_as](w, x, b) - truth) <= bounded.error).all()


def test_an_error_grows_through_what_cancels() -> None:
    x: Any = Bounded.exact(np.array([1.0, 1e4]), U)
    difference = (x + 1) - x
    assert difference.error[1] > 1e3 * difference.error[0] > 0


def test_where_rounding_may_decide_otherwise_either_branch_is_allowed() -> None:
    x: Any = Bounded.exact(np.array([1.0, 3.0]), U)
    z = x / 3 * 3 - 1  # 0 but for rounding; 2
    kept = np.where(z > 0, np.array([10.0, 10.0]), 0)
    assert isinstance(kept, np.ndarray)  # both branches are exact: what is chosen is nobody's affair
    bounded: Any = np.where(z > 0, 10 * x, 0)
    assert bounded.error[0] >= 10
    assert 0 < bounded.error[1] < 1e-4


def test_a_sign_that_rounding_may_turn_is_not_vouched_for() -> None:
    x: Any = Bounded.exact(np.array([1.0, 3.0]), U)
    assert np.sign(x / 3 * 3 - 1).error.tolist() == [2.0, 0.0]
    assert np.sign(x - 1).error.tolist() == [0.0, 0.0]  # one subtraction of exact numbers: its sign is right


def test_a_division_by_what_may_be_zero_has_no_bound() -> None:
    x: Any = Bounded.exact(np.array([1.0, 3.0]), U)
    assert (1 / (x / 3 * 3 - 1)).error[0] == np.inf


def test_an_error_is_never_lost_in_silence() -> None:
    x: Any = Bounded.exact(np.ones(3), U)
    for lossy in (lambda: np.asarray(x), lambda: np.array([x]), lambda: float(x[0]), lambda: np.linalg.svd(x[None])):
        with pytest.raises(TypeError):
            lossy()
    plain = np.ones(3)
    with pytest.raises(TypeError):
        plain += x
    with pytest.raises(TypeError, match="No rounding rule"):
        np.sin(x)


@pytest.mark.parametrize("kind", ["Adagrad", "RMSprop", "Adam", "AdamW", "Adadelta"])
def test_bounding_an_update_leaves_the_update_as_it_is(kind: str) -> None:
    """An optimizer counts its steps in place: asked twice for its bounds, it must not count twice."""
    rng = np.random.default_rng(4)
    parameter, gradient = rng.normal(size=(2, 3, 4))
    network = SimpleNamespace(parameters={"p": parameter.copy()}, gradients={"p": gradient})
    optimizer = getattr(manual, kind)(network)
    optimizer.step()
    state = {key.removeprefix("p."): value.copy() for key, value in optimizer.state.items()}
    options = {**OPTIONS[kind], "weight_decay": 0.0}
    options = {key: value for key, value in options.items() if key not in PREPARATION}
    op = UpdateOperation("p", network.parameters["p"], gradient, state, options)
    before = {key: value.copy() for key, value in state.items()}
    first = update_rule(kind).updated(op, 2.0**-53)
    update_rule(kind).state(op, 2.0**-53)
    np.testing.assert_array_equal(update_rule(kind).updated(op, 2.0**-53), first)
    for key, value in before.items():
        np.testing.assert_array_equal(op.state[key], value)
