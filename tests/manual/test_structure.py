"""What shapes, looks up, leaves out and goes around: against torch, the complex step, and by hand."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

import manual
from manual import (
    SGD,
    Dropout,
    Embedding,
    Flatten,
    Linear,
    Network,
    Positions,
    ReLU,
    Residual,
    Sigmoid,
    SquaredError,
    Tanh,
)
from tests.catalogue.cases.case import Case
from tests.catalogue.cases.structure import CASES

Array = np.ndarray[Any, Any]
H = 1e-30
CLOSE: Any = {"rtol": 1e-10, "atol": 1e-14}
DTYPES = [np.float32, np.float64, np.longdouble]

each_case = pytest.mark.parametrize("case", CASES, ids=str)


def without_kind(layer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in layer.items() if key != "kind"}


def build(kind: str, arguments: Any, training: bool = True) -> Any:
    made = dict(arguments)
    if "layers" in made:
        made["layers"] = [build(layer["kind"], without_kind(layer)) for layer in made["layers"]]
    layer = getattr(manual, kind)(**made)
    if hasattr(layer, "training"):
        layer.training = training
    return layer


def drawn(case: Case, rng: np.random.Generator, size: int = 5) -> Array:
    shape = tuple(size if isinstance(n, str) else n for n in case.shape)
    return rng.integers(0, case.indices, shape) if case.indices else rng.normal(size=shape)


def layer_of(case: Case, rng: np.random.Generator, x: Array, dtype: Any = np.float64) -> Any:
    """Return the layer with generic weights, and, where it draws, one mask for every pass."""
    layer = build(case.kind, case.arguments, case.training)
    for key, value in dict(getattr(layer, "parameters", {})).items():
        layer.parameters[key] = rng.normal(size=value.shape).astype(dtype)
    if isinstance(layer, Dropout):
        layer.replay({"mask": rng.random(x.shape) >= 0.4})
    return layer


def by_torch(case: Case, layer: Any, x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the output by torch's own modules, and ordinary expressions where it has none."""
    match case.kind:
        case "Residual":
            return around(case.arguments["layers"], x, p)
        case "Positions":
            return x + p["weight"][: x.shape[1]]
        case "Dropout":
            if not case.training or case.arguments.get("p") == 0:
                return torch.nn.Dropout(**case.arguments).train(case.training)(x)
            if case.arguments.get("p") == 1:
                return torch.nn.Dropout(1.0)(x)
            return x * torch.tensor(layer.replayed["mask"]) / (1 - case.arguments.get("p", 0.5))
        case _:
            module = getattr(torch.nn, case.kind)(**case.arguments).double()
            return torch.func.functional_call(module, p, (x,))


def around(layers: list[dict[str, Any]], x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    counts: dict[str, int] = {}
    y = x
    for layer in layers:
        name = layer["kind"].lower()
        counts[name] = counts.get(name, 0) + 1
        prefix = f"{name}{counts[name]}."
        own = {key.removeprefix(prefix): value for key, value in p.items() if key.startswith(prefix)}
        arguments = without_kind(layer)
        if layer["kind"] == "Residual":
            y = around(arguments["layers"], y, own)
        else:
            y = torch.func.functional_call(getattr(torch.nn, layer["kind"])(**arguments).double(), own, (y,))
    return x + y


@each_case
@pytest.mark.parametrize("size", [1, 2, 7])
def test_forward_and_backward_are_those_of_torch(case: Case, size: int) -> None:
    rng = np.random.default_rng(size)
    x = drawn(case, rng, size)
    layer = layer_of(case, rng, x)
    p = {
        key: torch.tensor(value, requires_grad="max_norm" not in case.arguments)
        for key, value in dict(getattr(layer, "parameters", {})).items()
    }
    x_torch = torch.tensor(x, requires_grad=not case.indices)
    expected = by_torch(case, layer, x_torch, p)
    if "max_norm" in case.arguments:  # torch shortens the table itself, and a leaf only where no gradient is asked for
        np.testing.assert_allclose(layer.forward(x), expected, **CLOSE)
        np.testing.assert_allclose(layer.parameters["weight"], p["weight"], **CLOSE)
        p["weight"].requires_grad_()
        expected = by_torch(case, layer, x_torch, p)
    upstream = rng.normal(size=expected.shape)
    expected.backward(torch.tensor(upstream))
    np.testing.assert_allclose(layer.forward(x), expected.detach().numpy(), **CLOSE)
    gradient = layer.backward(upstream)
    if case.indices:
        assert gradient is None
    else:
        assert x_torch.grad is not None
        np.testing.assert_allclose(gradient, x_torch.grad.numpy(), **CLOSE)
    gradients = dict(getattr(layer, "gradients", {}))
    assert gradients.keys() == p.keys()
    for key, value in p.items():
        assert value.grad is not None
        np.testing.assert_allclose(gradients[key], value.grad.numpy(), **CLOSE, err_msg=key)


def has_the_derivative(case: Case) -> bool:
    """Whether the gradient is the derivative: of padding and of frequent indices torch leaves something else."""
    return not case.arguments.get("scale_grad_by_freq") and "padding_idx" not in case.arguments


@pytest.mark.parametrize("case", [case for case in CASES if has_the_derivative(case)], ids=str)
def test_backward_is_the_complex_step_through_forward(case: Case) -> None:
    rng = np.random.default_rng(3)
    x = drawn(case, rng, 3)
    layer = layer_of(case, rng, x)
    upstream = rng.normal(size=layer.forward(x).shape)  # max_norm: the rows are short from here on
    gradients = {"input": layer.backward(upstream)} | dict(getattr(layer, "gradients", {}))
    points = {"input": x} | {key: value.copy() for key, value in dict(getattr(layer, "parameters", {})).items()}
    for name, point in points.items():
        if gradients[name] is None:
            continue
        expected = np.empty(point.shape)
        for index in np.ndindex(point.shape):
            moved = point.astype(complex)
            moved[index] += 1j * H
            if name != "input":
                layer.parameters[name] = moved
            output = layer.forward(moved if name == "input" else x if case.indices else x.astype(complex))
            expected[index] = (upstream * output).sum().imag / H
        if name != "input":
            layer.parameters[name] = point
        np.testing.assert_allclose(gradients[name], expected, rtol=1e-11, atol=1e-14, err_msg=name)


@each_case
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_the_dtype_is_kept(case: Case, dtype: Any) -> None:
    rng = np.random.default_rng(4)
    x = drawn(case, rng)
    layer = layer_of(case, rng, x, dtype)
    output = layer.forward(x if case.indices else x.astype(dtype))
    gradient = layer.backward(np.ones_like(output))
    assert output.dtype == dtype
    assert gradient is None or gradient.dtype == dtype
    assert all(value.dtype == dtype for value in dict(getattr(layer, "gradients", {})).values())


@each_case
def test_backward_is_linear_and_repeats_to_the_bit_on_any_memory(case: Case) -> None:
    rng = np.random.default_rng(5)
    x = drawn(case, rng)
    layer = layer_of(case, rng, x)
    if "max_norm" not in case.arguments:
        for value in dict(getattr(layer, "parameters", {})).values():
            value.flags.writeable = False  # whoever writes raises
    x.flags.writeable = False
    output = layer.forward(x)
    np.testing.assert_array_equal(layer.forward(np.asfortranarray(x)), output)
    upstream = rng.normal(size=output.shape)
    upstream.flags.writeable = False

    def passed(factor: float) -> dict[str, Any]:
        gradient = layer.backward(factor * upstream)
        return {key: value.copy() for key, value in dict(getattr(layer, "gradients", {})).items()} | (
            {} if gradient is None else {"input": gradient}
        )

    once = passed(1)
    for key, value in passed(1).items():
        np.testing.assert_array_equal(value, once[key])
    for key, value in passed(2).items():
        np.testing.assert_array_equal(value, 2 * once[key])
    for value in passed(0).values():
        assert not value.any()


# --------------------------------------------------------------------------------------------------------------- Linear


def test_a_sequence_is_rows_under_each_other() -> None:
    rng = np.random.default_rng(1)
    layer, x, upstream = Linear(3, 4), rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 4))
    output, gradient = layer.forward(x), layer.backward(upstream)
    rowwise = deepcopy(layer)
    np.testing.assert_array_equal(output, rowwise.forward(x.reshape(10, 3)).reshape(5, 2, 4))
    assert gradient is not None
    np.testing.assert_array_equal(gradient.reshape(10, 3), rowwise.backward(upstream.reshape(10, 4)))
    np.testing.assert_array_equal(layer.gradients["weight"], rowwise.gradients["weight"])
    assert layer.output_shape((2, 3)) == (2, 4)
    with pytest.raises(ValueError, match="wants 3 inputs"):
        layer.output_shape((3, 2))
    with pytest.raises(ValueError, match=r"Linear\(3, 4\) got an input of shape \(5, 3, 2\); wanted \(N, 3\)"):
        layer.forward(np.ones((5, 3, 2)))


# -------------------------------------------------------------------------------------------------------------- Flatten


@pytest.mark.parametrize(("layer", "shape", "flat"), [
    (Flatten(), (2, 3, 4), (24,)), (Flatten(2), (2, 3, 4), (2, 12)), (Flatten(1, 2), (2, 3, 4), (6, 4)),
    (Flatten(), (), (1,)) , (Flatten(), (5,), (5,)),
])  # fmt: skip
def test_flatten_tells_its_shape(layer: Flatten, shape: tuple[int, ...], flat: tuple[int, ...]) -> None:
    if shape:
        assert layer.output_shape(shape) == layer.forward(np.ones((6, *shape))).shape[1:] == flat
    assert layer.output_shape(None) is None


def test_flatten_refuses_axes_that_are_not_there() -> None:
    with pytest.raises(ValueError, match=r"Flatten\(start_dim=2, end_dim=-1\) got an input of shape \(5, 3\)"):
        Flatten(2).forward(np.ones((5, 3)))
    with pytest.raises(ValueError, match="wants the axes 3 to -1 of a batch"):
        Flatten(3).output_shape((4, 5))
    assert Flatten(0).forward(np.array(3.0)).shape == (1,)  # as torch


# -------------------------------------------------------------------------------------------------------------- Dropout


def test_dropout_keeps_each_element_with_its_probability_and_the_mean() -> None:
    layer = Dropout(0.3, rng=np.random.default_rng(8))
    output = layer.forward(np.ones((400, 500)))
    assert set(np.unique(output)) == {0, 1 / 0.7}
    assert abs(output.mean() - 1) < 5 * np.sqrt(0.3 / 0.7 / output.size)  # five standard deviations
    np.testing.assert_array_equal(layer.drawn["mask"], output != 0)


def test_dropout_draws_from_its_own_generator_anew_each_time() -> None:
    x = np.ones((3, 50))
    layer = Dropout(0.5, rng=np.random.default_rng(9))
    first, second = layer.forward(x), layer.forward(x)
    assert not np.array_equal(first, second)
    expected = np.random.default_rng(9).random((3, 50)) >= 0.5
    np.testing.assert_array_equal(first, 2.0 * expected)
    layer.replay({"mask": expected})
    np.testing.assert_array_equal(layer.forward(x), first)
    np.testing.assert_array_equal(layer.backward(3 * x), 3 * first)
    layer.replay({})
    assert not np.array_equal(layer.forward(x), first)
    layer.replay({"mask": expected})
    with pytest.raises(ValueError, match=r"replayed mask of Dropout\(p=0.5\) has shape \(3, 50\); wanted \(3, 40\)"):
        layer.forward(x[:, :40])


def test_dropout_at_its_ends() -> None:
    x = np.array([[1.0, -2.0]])
    for layer, factor in ((Dropout(0.0), 1), (Dropout(1.0), 0), (Dropout(0.9), 1)):
        layer.training = layer.p != 0.9
        np.testing.assert_array_equal(layer.forward(x), factor * x)
        np.testing.assert_array_equal(layer.backward(x), factor * x)
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="wanted a probability, from 0 to 1"):
            Dropout(wrong)


# ------------------------------------------------------------------------------------------------------------ Embedding


def test_a_repeated_index_adds_by_hand() -> None:
    layer = Embedding(4, 2, padding_idx=0)
    layer.parameters["weight"] = np.array([[0.0, 0], [1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(layer.forward(np.array([[1, 3], [1, 0]])), [[[1, 2], [5, 6]], [[1, 2], [0, 0]]])
    layer.backward(np.array([[[1.0, 10], [2, 20]], [[4, 40], [8, 80]]]))
    np.testing.assert_array_equal(layer.gradients["weight"], [[0, 0], [5, 50], [0, 0], [2, 20]])


def test_the_table_begins_as_in_torch() -> None:
    weight = Embedding(400, 50, padding_idx=-2, rng=np.random.default_rng(10)).parameters["weight"]
    assert not weight[398].any()
    assert abs(weight.mean()) < 0.05
    assert abs(weight.std() - 1) < 0.05


def test_embedding_refuses_what_is_no_index() -> None:
    layer = Embedding(4, 2)
    with pytest.raises(TypeError, match=r"Embedding\(4, 2\) got an input of dtype float64; wanted integers"):
        layer.forward(np.ones((2, 2)))
    for wrong in (-1, 4):
        with pytest.raises(ValueError, match=f"the index {wrong}; wanted indices from 0 to 3"):
            layer.forward(np.array([0, wrong, 1]))
    with pytest.raises(ValueError, match="sparse=True is not derived"):
        Embedding(4, 2, sparse=True)
    with pytest.raises(ValueError, match="padding_idx is 4; wanted one of the 4 rows"):
        Embedding(4, 2, padding_idx=4)
    assert layer.output_shape((3,)) == (3, 2)
    assert repr(Embedding(4, 2, padding_idx=-1, max_norm=1.0)) == "Embedding(4, 2, padding_idx=3, max_norm=1.0)"


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
def test_long_rows_are_shortened_in_the_table_itself(norm_type: float) -> None:
    table = np.array([[3.0, 4.0], [0.3, 0.4], [30.0, 40.0]])
    layer = Embedding(3, 2, max_norm=1.0, norm_type=norm_type)
    layer.parameters["weight"] = weight = table.copy()
    layer.forward(np.array([0, 1, 0]))
    assert layer.parameters["weight"] is weight  # an optimizer holds this very array
    assert np.linalg.norm(weight[0], norm_type) == pytest.approx(1, rel=1e-7)
    np.testing.assert_array_equal(weight[1:], table[1:])  # short enough; not looked up
    expected = torch.tensor(table)
    torch.nn.functional.embedding(torch.tensor([0, 1, 0]), expected, max_norm=1.0, norm_type=norm_type)
    np.testing.assert_allclose(weight, expected, rtol=1e-14)


# ------------------------------------------------------------------------------------------------------------ Positions


def test_positions_refuse_what_is_longer_or_of_other_features() -> None:
    layer = Positions(4, 3)
    for shape in ((2, 5, 3), (2, 4, 2), (4, 3)):
        with pytest.raises(ValueError, match=r"Positions\(4, 3\) got an input of shape .*; wanted \(N, T, 3\)"):
            layer.forward(np.ones(shape))
    assert layer.output_shape((2, 3)) == (2, 3)
    with pytest.raises(ValueError, match=r"wants \(T, 3\) with T up to 4"):
        layer.output_shape((5, 3))


def test_positions_are_an_embedding_of_0_1_2_added() -> None:
    rng = np.random.default_rng(11)
    layer, table, x, upstream = Positions(5, 3), Embedding(5, 3), rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 3))
    table.parameters["weight"] = layer.parameters["weight"]
    places = np.broadcast_to(np.arange(4), (2, 4))
    np.testing.assert_array_equal(layer.forward(x), x + table.forward(places))
    layer.backward(upstream)
    table.backward(upstream)
    np.testing.assert_allclose(layer.gradients["weight"], table.gradients["weight"], rtol=1e-14)
    layer.needs_input_gradient = False
    assert layer.backward(upstream) is None


# ------------------------------------------------------------------------------------------------------------- Residual


def block(rng: np.random.Generator) -> Residual:
    return Residual([Dropout(0.4, rng=rng), Linear(3, 5, rng=rng), Tanh(), Linear(5, 3, rng=rng)])


def test_the_dicts_of_a_residual_are_those_of_its_layers() -> None:
    layer = block(np.random.default_rng(12))
    first = layer.layers["linear1"]
    assert list(layer.parameters) == ["linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"]
    assert layer.parameters["linear1.weight"] is first.parameters["weight"]  # pyright: ignore[reportAttributeAccessIssue]
    layer.parameters["linear1.weight"] = new = np.ones((5, 3))
    assert first.parameters["weight"] is new  # pyright: ignore[reportAttributeAccessIssue]
    assert len(layer.gradients) == 0
    assert "linear3.weight" not in layer.parameters
    x = np.ones((4, 3))
    layer.backward(layer.forward(x))
    assert layer.gradients.keys() == layer.parameters.keys()
    assert list(layer.drawn) == ["dropout1.mask"]
    del layer.gradients["linear1.bias"]
    assert "linear1.bias" not in layer.gradients
    assert repr(layer.drawn) == repr(dict(layer.drawn))


def test_training_and_replay_reach_the_layers_within() -> None:
    x = np.random.default_rng(13).normal(size=(4, 3))
    layer, outer = block(np.random.default_rng(14)), Residual({"inner": block(np.random.default_rng(15))})
    assert outer.training
    outer.training = False
    assert not outer.training
    assert not outer.layers["inner"].layers["dropout1"].training  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_array_equal(outer.forward(x), outer.forward(x))
    outer.training = True
    first = outer.forward(x)
    drawn = dict(outer.drawn)
    assert list(drawn) == ["inner.dropout1.mask"]
    assert not np.array_equal(outer.forward(x), first)
    outer.replay(drawn)
    np.testing.assert_array_equal(outer.forward(x), first)
    np.testing.assert_array_equal(outer.forward(x), first)
    assert not np.array_equal(layer.forward(x), layer.forward(x))


def test_a_residual_whose_input_gradient_nobody_reads_has_the_same_weight_gradients() -> None:
    rng = np.random.default_rng(16)
    x, upstream = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    layer = Residual([Sigmoid(), Linear(3, 3, rng=rng), Residual([Linear(3, 3, rng=rng)]), Linear(3, 3, rng=rng)])
    layer.forward(x)
    layer.backward(upstream)
    wanted = {key: value.copy() for key, value in layer.gradients.items()}
    layer.needs_input_gradient = False
    assert not layer.layers["linear1"].needs_input_gradient  # pyright: ignore[reportAttributeAccessIssue]
    assert layer.layers["residual1"].needs_input_gradient  # pyright: ignore[reportAttributeAccessIssue]
    assert layer.backward(upstream) is None
    for key, value in wanted.items():
        np.testing.assert_array_equal(layer.gradients[key], value)
    layer.needs_input_gradient = True
    assert layer.layers["linear1"].needs_input_gradient  # pyright: ignore[reportAttributeAccessIssue]
    assert layer.backward(upstream) is not None


def test_a_network_of_residuals_takes_its_parameters_and_trains() -> None:
    rng = np.random.default_rng(17)
    layers = [Residual([Linear(3, 5), ReLU(), Linear(5, 3)]), Linear(3, 2)]
    shapes = {"residual1.linear1.weight": (5, 3), "residual1.linear1.bias": (5,), "residual1.linear2.weight": (3, 5)}
    shapes |= {"residual1.linear2.bias": (3,), "linear1.weight": (2, 3), "linear1.bias": (2,)}
    initial = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    network = Network(layers, SquaredError(), initial)
    x, t = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    before, step = network.loss(x, t), 1e-9
    gradients = network.backward()
    assert network.backward_is_possible
    SGD(network, lr=step).step()
    slope = (before - network.loss(x, t)) / step  # down the gradient the loss falls by its square
    assert slope == pytest.approx(sum((gradient**2).sum() for gradient in gradients.values()), rel=1e-4)


def test_a_residual_refuses_layers_that_change_the_shape() -> None:
    with pytest.raises(ValueError, match="wants layers that fit: input gives 4 values an example, but linear1 wants 3"):
        Residual([Linear(3, 4)])
    with pytest.raises(ValueError, match=r"wants layers that keep the shape: they turn \(2, 3\) into \(6,\)"):
        Residual([Flatten()]).output_shape((2, 3))
    with pytest.raises(ValueError, match=r"The output of the layers of .* has shape \(4, 6\); wanted \(4, 2, 3\)"):
        Residual([Flatten()]).forward(np.ones((4, 2, 3)))
    with pytest.raises(ValueError, match="linear1 gives 4 values an example, but residual1 wants layers that fit"):
        Network([Linear(3, 4), Residual([Linear(3, 3)])], SquaredError())
    assert Residual([Linear(3, 3)]).output_shape((7, 3)) == (7, 3)
