"""The network as its user meets it: made, run, taken back, traced, updated, and told what it is given wrong."""

from typing import Any

import numpy as np
import pytest
import torch

from manual import (
    SGD,
    BCELoss,
    CrossEntropyLoss,
    Linear,
    LogSoftmax,
    MSELoss,
    Network,
    NLLLoss,
    ReLU,
    Sigmoid,
    SquaredError,
    Tanh,
    name_layers,
)

Parameters = dict[str, np.ndarray[Any, Any]]
N = 7  # examples: prime, so that it divides no number of units


def draw(dtype: Any = np.float64) -> Parameters:
    rng = np.random.default_rng(0)
    shapes = {"linear1.weight": (30, 784), "linear1.bias": (30,), "linear2.weight": (10, 30), "linear2.bias": (10,)}
    return {name: rng.uniform(-0.3, 0.3, shape).astype(dtype) for name, shape in shapes.items()}


@pytest.fixture
def initial() -> Parameters:
    return draw()


@pytest.fixture
def network(initial: Parameters) -> Network:
    return Network([Linear(784, 30), Sigmoid(), Linear(30, 10), Sigmoid()], loss=SquaredError(), parameters=initial)


def batch(seed: int = 1, n: int = N, dtype: Any = np.float64) -> tuple[Any, Any]:
    """Return inputs (n, 784) and labels (n,)."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 1, (n, 784)).astype(dtype), rng.integers(0, 10, n)


def small(loss: Any, *layers: Any, seed: int = 2, dtype: Any = np.float64) -> Network:
    """Return a network with generic weights: no zeros, no ones, both signs."""
    rng = np.random.default_rng(seed)
    network = Network(list(layers), loss=loss)
    shapes = {name: array.shape for name, array in network.parameters.items()}
    parameters = {n: (rng.choice([-1, 1], s) * rng.uniform(0.2, 0.9, s)).astype(dtype) for n, s in shapes.items()}
    return Network(list(layers), loss=loss, parameters=parameters)


# ------------------------------------------------------------------------------------------------------------ one step


def test_the_example_as_everyone_writes_it() -> None:
    initial = draw()
    x, target = batch()
    network = Network([Linear(784, 30), Sigmoid(), Linear(30, 10), Sigmoid()], loss=SquaredError(), parameters=initial)
    value = network.loss(x, target)
    gradients = network.backward()
    SGD(network, lr=0.5, momentum=0.9).step()

    assert type(value) is float
    assert gradients.keys() == initial.keys() == network.parameters.keys()
    for name, array in initial.items():
        np.testing.assert_array_equal(network.parameters[name], array - 0.5 * gradients[name])
    assert network.loss(x, target) < value
    assert network.predict(x).shape == (N, 10)


def test_forward_against_the_equations(network: Network, initial: Parameters) -> None:
    x, labels = batch()
    a1 = 1 / (1 + np.exp(-(x @ initial["linear1.weight"].T + initial["linear1.bias"])))
    a2 = 1 / (1 + np.exp(-(a1 @ initial["linear2.weight"].T + initial["linear2.bias"])))
    np.testing.assert_allclose(network.predict(x), a2, rtol=1e-13)
    assert network.loss(x, labels) == pytest.approx(((a2 - np.eye(10)[labels]) ** 2).sum() / (2 * N), rel=1e-13)


@pytest.mark.parametrize("loss", [SquaredError, MSELoss, BCELoss])
def test_labels_and_one_hot_rows_are_the_same_target(loss: Any, initial: Parameters) -> None:
    layers = [Linear(784, 30), Sigmoid(), Linear(30, 10), Sigmoid()]
    network = Network(layers, loss=loss(), parameters=initial)
    x, labels = batch()
    value, gradients = network.loss(x, labels), network.backward()
    assert network.loss(x, np.eye(10)[labels]) == value
    for name, gradient in network.backward().items():
        np.testing.assert_array_equal(gradient, gradients[name])


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64, list])
def test_labels_may_be_of_any_integer_kind(network: Network, kind: Any) -> None:
    x, labels = batch()
    assert network.loss(x, kind(labels)) == network.loss(x, np.eye(10)[labels])


NETWORKS = {
    "sigmoid, squared error": (lambda: [Linear(4, 5), Sigmoid(), Linear(5, 3), Sigmoid()], SquaredError, "mse"),
    "three layers, tanh": (lambda: [Linear(4, 5), Tanh(), Linear(5, 2), Tanh(), Linear(2, 3)], SquaredError, "mse"),
    "relu, cross-entropy": (lambda: [Linear(4, 5), ReLU(), Linear(5, 3)], CrossEntropyLoss, "cross_entropy"),
    "relu, log-softmax": (lambda: [Linear(4, 5), ReLU(), Linear(5, 3), LogSoftmax()], NLLLoss, "nll_loss"),
    "starts with an activation": (lambda: [Tanh(), Linear(4, 3), Sigmoid()], SquaredError, "mse"),
    "no bias": (lambda: [Linear(4, 5, bias=False), Tanh(), Linear(5, 3, bias=False)], SquaredError, "mse"),
}
each_network = pytest.mark.parametrize("name", NETWORKS)


@each_network
def test_gradients_against_autograd_and_the_complex_step(name: str) -> None:
    build, loss, torch_loss = NETWORKS[name]
    network = small(loss(), *build())
    rng = np.random.default_rng(3)
    x = rng.choice([-1, 1], (N, 4)) * rng.uniform(0.2, 1.8, (N, 4))
    labels = rng.integers(0, 3, N)
    value, gradients = network.loss(x, labels), network.backward()

    twins = {key: torch.tensor(array, requires_grad=True) for key, array in network.parameters.items()}
    activation = {"Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "ReLU": torch.relu, "LogSoftmax": torch.log_softmax}
    h = torch.tensor(x)
    for key, layer in network.layers.items():
        kind = type(layer).__name__
        if kind == "Linear":
            h = torch.nn.functional.linear(h, twins[f"{key}.weight"], twins.get(f"{key}.bias"))
        else:
            h = activation[kind](h, *([1] if kind == "LogSoftmax" else []))
    target = torch.tensor(labels)
    if torch_loss == "mse":
        expected = ((h - torch.nn.functional.one_hot(target, 3)) ** 2).sum() / (2 * N)
    else:
        expected = getattr(torch.nn.functional, torch_loss)(h, target)
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-12)

    step = 1e-30
    for key, gradient in gradients.items():
        grad = twins[key].grad
        assert grad is not None
        np.testing.assert_allclose(gradient, grad.numpy(), rtol=1e-11, atol=1e-14, err_msg=key)
        for index in np.ndindex(gradient.shape):
            moved = {k: array.astype(complex) for k, array in network.parameters.items()}
            moved[key][index] += 1j * step
            witness: Any = Network(build(), loss=loss(), parameters=moved).loss(x.astype(complex), labels)
            assert gradient[index] == pytest.approx(witness.imag / step, rel=1e-11, abs=1e-14), (key, index)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("one_hot", [False, True])
def test_everything_is_computed_in_the_dtype_of_the_parameters(dtype: Any, one_hot: bool) -> None:
    layers = [Linear(784, 30), Sigmoid(), Linear(30, 10), Sigmoid()]
    network = Network(layers, loss=SquaredError(), parameters=draw(dtype))
    x, target = batch(dtype=dtype)
    network.loss(x, np.eye(10, dtype=dtype)[target] if one_hot else target)
    network.backward()
    SGD(network, lr=0.5, momentum=0.9).step()
    for name, array in network.trace().items():
        if name != "target":
            assert array.dtype == dtype, name
    assert network.predict(x).dtype == dtype


# ---------------------------------------------------------------------------------------------------------- parameters


def test_the_parameters_given_are_copied_and_the_network_updates_its_own_in_place(
    network: Network, initial: Parameters
) -> None:
    untouched = draw()
    arrays = dict(network.parameters)
    for step in range(2):
        network.loss(*batch(step))
        network.backward()
        SGD(network, lr=0.5).step()
    for name, array in network.parameters.items():
        assert array is arrays[name]
        assert not np.shares_memory(array, initial[name])
        np.testing.assert_array_equal(initial[name], untouched[name])
        assert (array != initial[name]).any()


def test_writing_into_a_parameter_is_what_the_network_then_computes_with(network: Network) -> None:
    x, _ = batch()
    network.parameters["linear2.weight"][...] = 0
    network.parameters["linear2.bias"][...] = 0
    np.testing.assert_array_equal(network.predict(x), np.full((N, 10), 0.5))


def test_without_parameters_the_layers_keep_what_they_were_made_with() -> None:
    layer = Linear(4, 3, rng=np.random.default_rng(4))
    network = Network([layer], loss=SquaredError())
    assert network.parameters["linear1.weight"] is layer.parameters["weight"]


def test_parameters_of_one_network_serve_another(network: Network) -> None:
    layers = [Linear(784, 30), Sigmoid(), Linear(30, 10), Sigmoid()]
    twin = Network(layers, loss=SquaredError(), parameters=network.parameters)
    x, target = batch()
    assert twin.loss(x, target) == network.loss(x, target)
    twin.backward()
    SGD(twin, lr=0.5).step()
    assert twin.loss(x, target) != network.loss(x, target)


@pytest.mark.parametrize("order", ["C", "F"])
def test_any_layout_and_lists_are_taken_as_parameters(initial: Parameters, order: Any) -> None:
    layers = [Linear(784, 30), Sigmoid(), Linear(30, 10), Sigmoid()]
    parameters = {name: np.asarray(array, order=order) for name, array in initial.items()}
    network = Network(layers, loss=SquaredError(), parameters=parameters | {"linear2.bias": [0.25] * 10})
    assert all(array.flags.c_contiguous for array in network.parameters.values())
    np.testing.assert_array_equal(network.parameters["linear1.weight"], initial["linear1.weight"])


def test_gradients_of_an_earlier_step_are_not_overwritten(network: Network) -> None:
    network.loss(*batch(1))
    first = network.backward()
    kept = {name: gradient.copy() for name, gradient in first.items()}
    optimizer = SGD(network, lr=0.5, momentum=0.9, weight_decay=0.1)
    optimizer.step()
    network.loss(*batch(2))
    second = network.backward()
    optimizer.step()
    for name, gradient in first.items():
        np.testing.assert_array_equal(gradient, kept[name])
        assert (gradient != second[name]).any()
        assert not np.shares_memory(gradient, second[name])


def test_a_step_owes_nothing_to_the_batch_before_it(network: Network, initial: Parameters) -> None:
    network.loss(*batch(1))
    network.backward()
    value, gradients = network.loss(*batch(2)), network.backward()
    fresh = Network([Linear(784, 30), Sigmoid(), Linear(30, 10), Sigmoid()], loss=SquaredError(), parameters=initial)
    assert fresh.loss(*batch(2)) == value
    for name, gradient in fresh.backward().items():
        np.testing.assert_array_equal(gradients[name], gradient)


def test_inputs_and_targets_are_not_modified(network: Network) -> None:
    x, labels = batch()
    target = np.eye(10)[labels]
    x.flags.writeable = target.flags.writeable = False  # whoever writes raises
    network.loss(x, target)
    network.backward()
    SGD(network, lr=0.5).step()
    network.predict(x)


def test_backward_twice_gives_the_same_and_does_not_add_up(network: Network) -> None:
    network.loss(*batch())
    first = {name: gradient.copy() for name, gradient in network.backward().items()}
    for name, gradient in network.backward().items():
        np.testing.assert_array_equal(gradient, first[name])


# ---------------------------------------------------------------------------------------------------------- the trace

DATA = ["input", "target"]
PARAMETERS = ["linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"]
OUTPUTS = ["linear1.output", "sigmoid1.output", "linear2.output", "sigmoid2.output", "loss"]
BACKWARD = [
    "sigmoid2.output.grad",
    "linear2.output.grad", "linear2.weight.grad", "linear2.bias.grad",
    "sigmoid1.output.grad",
    "linear1.output.grad", "linear1.weight.grad", "linear1.bias.grad",
]  # fmt: skip
STATE = [f"sgd.{name}.momentum_buffer" for name in PARAMETERS]
UPDATED = [f"{name}.updated" for name in PARAMETERS]


def test_the_trace_grows_with_the_step_in_its_order(network: Network) -> None:
    network.loss(*batch())
    assert list(network.trace()) == DATA + PARAMETERS + OUTPUTS
    network.backward()
    assert list(network.trace()) == DATA + PARAMETERS + OUTPUTS + BACKWARD
    SGD(network, lr=0.5).step()
    assert list(network.trace()) == DATA + PARAMETERS + OUTPUTS + BACKWARD + UPDATED


def test_the_trace_holds_the_optimizers_state_before_the_updated_parameters(network: Network) -> None:
    network.loss(*batch())
    network.backward()
    SGD(network, lr=0.5, momentum=0.9).step()
    assert list(network.trace()) == DATA + PARAMETERS + OUTPUTS + BACKWARD + STATE + UPDATED


def test_the_trace_of_the_next_step_starts_afresh(network: Network) -> None:
    network.loss(*batch(1))
    network.backward()
    SGD(network, lr=0.5).step()
    x, target = batch(2)
    network.loss(x, target)
    trace = network.trace()
    assert list(trace) == DATA + PARAMETERS + OUTPUTS
    np.testing.assert_array_equal(trace["input"], x)
    np.testing.assert_array_equal(trace["linear1.weight"], network.parameters["linear1.weight"])


def test_the_values_in_the_trace_are_those_of_the_equations(network: Network, initial: Parameters) -> None:
    x, labels = batch()
    value = network.loss(x, labels)
    gradients = network.backward()
    optimizer = SGD(network, lr=0.5, momentum=0.9)
    optimizer.step()
    trace = network.trace()
    close: Any = {"rtol": 1e-12, "atol": 1e-16}

    np.testing.assert_array_equal(trace["input"], x)
    np.testing.assert_array_equal(trace["target"], labels)
    for name in PARAMETERS:  # both sides of the update
        np.testing.assert_array_equal(trace[name], initial[name])
        np.testing.assert_array_equal(trace[f"{name}.updated"], network.parameters[name])
        np.testing.assert_array_equal(trace[f"{name}.updated"], initial[name] - 0.5 * gradients[name])
        np.testing.assert_array_equal(trace[f"{name}.grad"], gradients[name])
        np.testing.assert_array_equal(trace[f"sgd.{name}.momentum_buffer"], gradients[name])
    z1 = x @ initial["linear1.weight"].T + initial["linear1.bias"]
    a1 = 1 / (1 + np.exp(-z1))
    z2 = a1 @ initial["linear2.weight"].T + initial["linear2.bias"]
    a2 = 1 / (1 + np.exp(-z2))
    for name, expected in zip(OUTPUTS[:4], [z1, a1, z2, a2], strict=True):
        np.testing.assert_allclose(trace[name], expected, **close, err_msg=name)
    assert trace["loss"].shape == ()
    assert trace["loss"].item() == value
    da2 = (a2 - np.eye(10)[labels]) / N
    delta2 = da2 * a2 * (1 - a2)
    da1 = delta2 @ initial["linear2.weight"]
    delta1 = da1 * a1 * (1 - a1)
    np.testing.assert_allclose(trace["sigmoid2.output.grad"], da2, **close)
    np.testing.assert_allclose(trace["linear2.output.grad"], delta2, **close)
    np.testing.assert_allclose(trace["linear2.weight.grad"], delta2.T @ a1, **close)
    np.testing.assert_allclose(trace["linear2.bias.grad"], delta2.sum(axis=0), **close)
    np.testing.assert_allclose(trace["sigmoid1.output.grad"], da1, **close)
    np.testing.assert_allclose(trace["linear1.output.grad"], delta1, **close)
    np.testing.assert_allclose(trace["linear1.weight.grad"], delta1.T @ x, **close)
    np.testing.assert_allclose(trace["linear1.bias.grad"], delta1.sum(axis=0), **close)


def test_the_trace_shows_both_sides_of_every_later_update_too(network: Network) -> None:
    optimizer = SGD(network, lr=0.5, momentum=0.9)
    for step in range(3):
        before = {name: array.copy() for name, array in network.parameters.items()}
        network.loss(*batch(step))
        network.backward()
        optimizer.step()
        trace = network.trace()
        for name in PARAMETERS:
            np.testing.assert_array_equal(trace[name], before[name])
            velocity = trace[f"sgd.{name}.momentum_buffer"]
            np.testing.assert_array_equal(trace[f"{name}.updated"], before[name] - 0.5 * velocity)


def test_a_prediction_between_loss_and_trace_does_not_disturb_the_trace(network: Network) -> None:
    network.loss(*batch(1))
    network.backward()
    before = {name: array.copy() for name, array in network.trace().items()}
    network.predict(batch(2, n=3)[0])
    after = network.trace()
    assert list(after) == list(before)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)


def test_no_gradient_is_carried_below_the_first_layer_with_weights() -> None:
    network = small(SquaredError(), Tanh(), Linear(4, 3))
    network.loss(np.full((N, 4), 0.5), np.full((N, 3), 0.5))
    network.backward()
    assert [name for name in network.trace() if name.endswith(".grad")] == [
        "linear1.output.grad", "linear1.weight.grad", "linear1.bias.grad",
    ]  # fmt: skip


def test_the_first_layer_with_weights_is_spared_the_gradient_of_its_input(network: Network) -> None:
    first, second = network.layers["linear1"], network.layers["linear2"]
    assert isinstance(first, Linear)
    assert isinstance(second, Linear)
    assert (first.needs_input_gradient, second.needs_input_gradient) == (False, True)
    network.loss(*batch())
    network.backward()
    assert first.backward(np.ones((N, 30))) is None


def test_a_network_without_weights_can_be_taken_back() -> None:
    network = Network([Tanh(), Sigmoid()], loss=SquaredError())
    x = np.array([[0.5, -0.25]])
    network.loss(x, np.array([[1.0, 0.0]]))
    assert network.parameters == network.backward() == {}
    a = 1 / (1 + np.exp(-np.tanh(x)))
    expected = (a - [[1, 0]]) * a * (1 - a)
    np.testing.assert_allclose(network.trace()["tanh1.output.grad"], expected, rtol=1e-14)


# ---------------------------------------------------------------------------------------------------------------- names


def test_layers_are_named_by_class_and_place() -> None:
    layers = [Linear(2, 3), Sigmoid(), Linear(3, 4), Tanh(), Linear(4, 2), Sigmoid(), LogSoftmax()]
    names = ["linear1", "sigmoid1", "linear2", "tanh1", "linear3", "sigmoid2", "logsoftmax1"]
    assert list(name_layers(layers)) == names
    assert list(name_layers(layers).values()) == layers


def test_layers_may_be_given_names() -> None:
    network = Network({"hidden": Linear(4, 3), "squash": Sigmoid(), "out": Linear(3, 2)}, loss=SquaredError())
    assert list(network.parameters) == ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]
    network.loss(np.full((N, 4), 0.5), np.full((N, 2), 0.5))
    assert "squash.output" in network.trace()


def test_a_network_shows_what_it_is_made_of(network: Network) -> None:
    assert repr(network) == (
        "Network(linear1: Linear(784, 30), sigmoid1: Sigmoid(), linear2: Linear(30, 10), sigmoid2: Sigmoid(); "
        "loss: SquaredError(reduction='batchmean', factor=0.5))"
    )


# ----------------------------------------------------------------------------------------------- what is told to whom


def test_layers_that_do_not_fit_are_named_both() -> None:
    message = "linear1 gives 30 values an example, but linear2 wants 31 inputs"
    with pytest.raises(ValueError, match=message):
        Network([Linear(784, 30), Linear(31, 10)], loss=SquaredError())
    with pytest.raises(ValueError, match="sigmoid1 gives 30 values an example, but linear2 wants 31 inputs"):
        Network([Linear(784, 30), Sigmoid(), Linear(31, 10)], loss=SquaredError())


@pytest.mark.parametrize("layers", [[], {}])
def test_a_network_needs_a_layer(layers: Any) -> None:
    with pytest.raises(ValueError, match="at least one layer; the list of layers is empty"):
        Network(layers, loss=SquaredError())


def test_one_layer_cannot_stand_in_two_places() -> None:
    sigmoid = Sigmoid()
    with pytest.raises(ValueError, match="sigmoid1 and sigmoid2 are the same object"):
        Network([Linear(4, 3), sigmoid, Linear(3, 3), sigmoid], loss=SquaredError())
    with pytest.raises(ValueError, match="a and b are the same object"):
        Network({"a": sigmoid, "b": sigmoid}, loss=SquaredError())


def test_unknown_and_missing_parameters_are_named(initial: Parameters) -> None:
    layers = [Linear(784, 30), Sigmoid(), Linear(30, 10), Sigmoid()]
    initial["linear2.offset"] = initial.pop("linear2.bias")
    with pytest.raises(ValueError, match=r"missing \['linear2.bias'\], unknown \['linear2.offset'\]"):
        Network(layers, loss=SquaredError(), parameters=initial)
    del initial["linear2.offset"]
    with pytest.raises(ValueError, match=r"missing \['linear2.bias'\], unknown \[\]"):
        Network(layers, loss=SquaredError(), parameters=initial)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("linear1.weight", (784, 30)), ("linear1.bias", (1, 30)), ("linear2.bias", (1,)), ("linear2.weight", (10, 1))],
)
def test_a_parameter_of_the_wrong_shape_is_refused(initial: Parameters, name: str, shape: tuple[int, ...]) -> None:
    wanted = initial[name].shape
    layers = [Linear(784, 30), Sigmoid(), Linear(30, 10), Sigmoid()]
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        Network(layers, loss=SquaredError(), parameters=initial | {name: np.ones(shape)})
    assert f"{name} has shape {shape}; wanted {wanted}" in str(raised.value)


def test_parameters_of_integers_are_refused(initial: Parameters) -> None:
    layers = [Linear(784, 30), Sigmoid(), Linear(30, 10), Sigmoid()]
    with pytest.raises(TypeError, match=r"linear2.bias has dtype int64; wanted a floating dtype. Convert it"):
        Network(layers, loss=SquaredError(), parameters=initial | {"linear2.bias": np.arange(10)})


def test_parameters_of_several_dtypes_are_refused(initial: Parameters) -> None:
    layers = [Linear(784, 30), Sigmoid(), Linear(30, 10), Sigmoid()]
    mixed = initial | {"linear2.bias": np.ones(10, np.float32)}
    with pytest.raises(TypeError, match=r"several dtypes; wanted one: .*'linear2.bias': dtype\('float32'\)"):
        Network(layers, loss=SquaredError(), parameters=mixed)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int64, bool])
def test_an_input_of_another_dtype_is_refused(network: Network, dtype: Any) -> None:
    x, target = batch()
    for call in (lambda x: network.loss(x, target), network.predict):
        with pytest.raises(TypeError, match=rf"input has dtype {np.dtype(dtype).name}; .* Convert it: array.astype"):
            call(x.astype(dtype))


def test_a_target_of_another_floating_dtype_is_refused(network: Network) -> None:
    x, labels = batch()
    with pytest.raises(TypeError, match=r"target has dtype float32; the network computes in float64. Convert it"):
        network.loss(x, np.eye(10, dtype=np.float32)[labels])


@pytest.mark.parametrize("shape", [(784,), (0, 784), ()])
def test_an_input_that_is_no_batch_is_refused(network: Network, shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"input has shape .*; wanted a batch of at least one example, shape \(N, ...\)"
    ):
        network.predict(np.ones(shape))


@pytest.mark.parametrize("shape", [(N, 783), (784, N), (N, 28, 28)])
def test_an_input_of_the_wrong_width_is_refused(network: Network, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Linear\(784, 30\) got an input of shape .*; wanted \(N, 784\)"):
        network.predict(np.ones(shape))


@pytest.mark.parametrize("shape", [(N, 1), (N, 9), (10, N), (1, 10), (N,), (10,)])
def test_a_target_of_the_wrong_shape_is_refused(network: Network, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"target has shape .*; wanted \(7, 10\)"):
        network.loss(batch()[0], np.full(shape, 0.5))


@pytest.mark.parametrize("wrong", [-1, 10, 255])
def test_a_label_out_of_range_is_refused(network: Network, wrong: int) -> None:
    x, labels = batch()
    labels[3] = wrong
    with pytest.raises(ValueError, match=f"the label {wrong}; wanted labels from 0 to 9, since there are 10 outputs"):
        network.loss(x, labels)


@pytest.mark.parametrize("count", [N - 1, N + 1, 1])
def test_labels_are_counted(network: Network, count: int) -> None:
    with pytest.raises(ValueError, match=rf"target has shape \({count},\); wanted \(7,\)"):
        network.loss(batch()[0], np.zeros(count, int))


def test_backward_needs_a_loss(network: Network) -> None:
    message = r"backward needs the forward pass of a loss: call network.loss\(x, target\) right before"
    with pytest.raises(RuntimeError, match=message):
        network.backward()
    network.loss(*batch())
    network.predict(batch(2)[0])  # now the layers hold another forward pass
    with pytest.raises(RuntimeError, match=message):
        network.backward()
    network.loss(*batch())
    network.backward()


def test_an_optimizer_that_keeps_no_weights_updates_alike_and_leaves_no_trace(initial: Parameters) -> None:
    """Who traces nothing is spared a copy of all weights at every step."""
    found = {}
    for keeps in (True, False):
        network = Network([Linear(784, 30), Sigmoid(), Linear(30, 10)], loss=SquaredError(), parameters=initial)
        optimizer = SGD(network, lr=0.5)
        optimizer.keeps_previous = keeps
        network.loss(*batch())
        network.backward()
        network.trace()
        optimizer.step()
        found[keeps] = {name: weight.copy() for name, weight in network.parameters.items()}
    for name, weight in found[True].items():
        np.testing.assert_array_equal(found[False][name], weight)
    with pytest.raises(RuntimeError, match="leave its keeps_previous True, or trace before the step"):
        network.trace()


def test_trace_needs_a_step(network: Network) -> None:
    with pytest.raises(RuntimeError, match=r"trace needs a step: call network.loss\(x, target\) first"):
        network.trace()
    network.predict(batch()[0])
    with pytest.raises(RuntimeError, match="trace needs a step"):
        network.trace()


def test_a_nan_in_the_input_is_not_hidden_by_a_relu() -> None:
    network = small(SquaredError(), Linear(4, 5), ReLU(), Linear(5, 3))
    x = np.full((N, 4), 0.5)
    x[2, 1] = np.nan
    prediction = network.predict(x)
    assert np.isnan(prediction[2]).all()
    assert np.isfinite(np.delete(prediction, 2, axis=0)).all()
    assert np.isnan(network.loss(x, np.full((N, 3), 0.5)))
    assert np.isnan(network.backward()["linear1.weight"]).any()


# ------------------------------------------------------------------------------------------------ layers of one's own


class Square:
    """A layer without weights: no base class, nothing but the two methods."""

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * x

    def backward(self, grad_output: Any) -> Any:
        return grad_output * 2 * self.x


class Scale:
    """A layer with weights: the two methods and the two dicts."""

    def __init__(self, features: int):
        self.parameters = {"factor": np.linspace(0.5, 1.5, features)}
        self.gradients: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.parameters["factor"]

    def backward(self, grad_output: Any) -> Any:
        self.gradients["factor"] = (grad_output * self.x).sum(axis=0)
        return grad_output * self.parameters["factor"]


class Distance:
    """A loss of one's own: the mean distance; its value an array or a plain Python number."""

    def __init__(self, plain: bool = False):
        self.plain = plain

    def forward(self, prediction: Any, target: Any) -> Any:
        self.difference = prediction - target
        value = np.abs(self.difference).sum() / len(target)
        return float(value) if self.plain else value

    def backward(self) -> Any:
        return np.sign(self.difference) / len(self.difference)


def own_layers() -> list[Any]:
    return [Scale(4), Linear(4, 3), Square(), Scale(3)]


def own_expected(network: Network, x: Any, t: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the squared error of `own_layers` in torch, and its parameters."""
    p = {name: torch.tensor(array, requires_grad=True) for name, array in network.parameters.items()}
    h = torch.nn.functional.linear(torch.tensor(x) * p["scale1.factor"], p["linear1.weight"], p["linear1.bias"])
    return ((h * h * p["scale2.factor"] - torch.tensor(t)) ** 2).sum() / (2 * len(t)), p


@pytest.mark.parametrize("given", [False, True])
def test_layers_of_ones_own_need_no_base_class(given: bool) -> None:
    network = small(SquaredError(), *own_layers()) if given else Network(own_layers(), loss=SquaredError())
    assert list(network.parameters) == ["scale1.factor", "linear1.weight", "linear1.bias", "scale2.factor"]
    rng = np.random.default_rng(5)
    x, t = rng.uniform(-1, 1, (N, 4)), rng.uniform(-1, 1, (N, 3))
    expected, twins = own_expected(network, x, t)
    expected.backward()
    assert network.loss(x, t) == pytest.approx(expected.item(), rel=1e-13)
    gradients = network.backward()
    for name, twin in twins.items():
        assert twin.grad is not None
        np.testing.assert_allclose(gradients[name], twin.grad.numpy(), rtol=1e-12, atol=1e-15, err_msg=name)
    before = {name: array.copy() for name, array in network.parameters.items()}
    SGD(network, lr=0.1).step()
    for name, array in network.parameters.items():
        np.testing.assert_array_equal(array, before[name] - 0.1 * gradients[name])
    trace = network.trace()
    assert "square1.output.grad" in trace
    assert "scale2.factor.updated" in trace


def test_a_layer_of_ones_own_may_say_what_it_wants() -> None:
    class Pairs:
        def forward(self, x: Any) -> Any:
            return x[:, ::2] + x[:, 1::2]

        def backward(self, grad_output: Any) -> Any:
            return np.repeat(grad_output, 2, axis=1)

        def output_shape(self, shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
            if shape and shape[0] % 2:
                raise ValueError("wants an even number of inputs")
            return (shape[0] // 2,) if shape else None

    Network([Linear(4, 6), Pairs(), Linear(3, 2)], loss=SquaredError())
    with pytest.raises(
        ValueError, match="linear1 gives 5 values an example, but pairs1 wants an even number of inputs"
    ):
        Network([Linear(4, 5), Pairs()], loss=SquaredError())
    with pytest.raises(ValueError, match="pairs1 gives 3 values an example, but linear2 wants 4 inputs"):
        Network([Linear(4, 6), Pairs(), Linear(4, 2)], loss=SquaredError())


def test_a_loss_of_ones_own() -> None:
    network = small(Distance(), Linear(4, 3))
    rng = np.random.default_rng(6)
    x, t = rng.uniform(-1, 1, (N, 4)), rng.uniform(-1, 1, (N, 3))
    z = x @ network.parameters["linear1.weight"].T + network.parameters["linear1.bias"]
    assert network.loss(x, t) == pytest.approx(np.abs(z - t).sum() / N, rel=1e-14)
    np.testing.assert_allclose(network.backward()["linear1.weight"], (np.sign(z - t) / N).T @ x, rtol=1e-13)


# ------------------------------------------------------------------------------------------- ways to get it half right


def test_a_loss_of_ones_own_may_return_a_plain_number() -> None:
    network = small(Distance(plain=True), Linear(4, 3))
    x, t = np.full((N, 4), 0.5), np.full((N, 3), 0.25)
    assert network.loss(x, t) == small(Distance(), Linear(4, 3)).loss(x, t)
    assert network.trace()["loss"].shape == ()


def test_after_a_loss_that_failed_there_is_nothing_to_take_back(network: Network) -> None:
    network.loss(*batch(1))
    x, labels = batch(2)
    labels[0] = 10
    with pytest.raises(ValueError, match="the label 10"):
        network.loss(x, labels)
    with pytest.raises(RuntimeError, match="backward needs the forward pass of a loss"):
        network.backward()  # the layers hold the second batch, the loss still the first


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", [SquaredError, BCELoss, CrossEntropyLoss])
def test_one_hot_rows_of_integers_do_not_change_the_dtype(loss: Any, dtype: Any) -> None:
    network = small(loss(), Linear(4, 3), Sigmoid(), dtype=dtype)
    x, labels = np.full((N, 4), 0.5, dtype), np.arange(N) % 3
    value = network.loss(x, labels)
    gradients = network.backward()
    assert network.loss(x, np.eye(3, dtype=np.int64)[labels]) == value
    for name, gradient in network.backward().items():
        assert gradient.dtype == dtype
        np.testing.assert_array_equal(gradient, gradients[name])


def test_labels_for_the_likelihood_are_integers() -> None:
    network = small(NLLLoss(), Linear(4, 3), LogSoftmax())
    with pytest.raises(TypeError, match="target has dtype float64; wanted integer labels"):
        network.loss(np.full((N, 4), 0.5), np.arange(N) % 3 * 1.0)


def test_a_layer_may_move_from_one_network_to_another_place() -> None:
    moved = Linear(4, 3)
    Network([moved], loss=SquaredError())  # here it comes first: no gradient for its input
    network = small(SquaredError(), Linear(5, 4), moved)  # here it does not
    fresh = small(SquaredError(), Linear(5, 4), Linear(4, 3))
    x, t = np.full((N, 5), 0.5), np.full((N, 3), 0.25)
    assert network.loss(x, t) == fresh.loss(x, t)
    gradients = network.backward()
    for name, gradient in fresh.backward().items():
        np.testing.assert_array_equal(gradients[name], gradient)


@pytest.mark.parametrize("shape", [(2, 4, 5), (4, 4, 5), (4, 1), (4,)])
def test_a_linear_layer_takes_rows_of_its_inputs(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Linear\(4, 5\) got an input of shape .*; wanted \(N, 4\)"):
        Linear(4, 5).forward(np.ones(shape))


def test_a_gradient_of_the_wrong_shape_is_not_broadcast_into_the_parameter() -> None:
    class Wrong(Scale):
        def backward(self, grad_output: Any) -> Any:
            self.gradients["factor"] = (grad_output * self.x).sum(axis=0, keepdims=True)
            return grad_output * self.parameters["factor"]

    network = Network([Wrong(4)], loss=SquaredError())
    network.loss(np.full((N, 4), 0.5), np.full((N, 4), 0.25))
    with pytest.raises(ValueError, match=r"wrong1.factor.grad has shape \(1, 4\); wanted \(4,\)"):
        network.backward()


def test_a_layer_without_its_gradient_is_named() -> None:
    class Forgetful(Scale):
        def backward(self, grad_output: Any) -> Any:
            return grad_output * self.parameters["factor"]

    network = Network([Forgetful(4)], loss=SquaredError())
    network.loss(np.full((N, 4), 0.5), np.full((N, 4), 0.25))
    with pytest.raises(ValueError, match=r"forgetful1.*gradients\['factor'\]"):
        network.backward()


@pytest.mark.parametrize("wrong", [-0.25, 1.25])
def test_binary_cross_entropy_is_of_outputs_from_0_to_1(wrong: float) -> None:
    with pytest.raises(ValueError, match=f"{wrong}.* from 0 to 1"):
        BCELoss().forward(np.array([[0.5, wrong]]), np.array([[1.0, 0.0]]))


@pytest.mark.parametrize("options", [{"lr": 0.1}, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}])
def test_numbers_from_numpy_are_as_good_as_pythons(options: dict[str, Any]) -> None:
    updated = []
    for number in (float, np.float64):
        network = small(SquaredError(), Linear(4, 3), dtype=np.float32)
        kept: Any = {key: value if value is True else number(value) for key, value in options.items()}
        optimizer = SGD(network, **kept)
        for _ in range(2):
            network.loss(np.full((N, 4), 0.5, np.float32), np.full((N, 3), 0.25, np.float32))
            network.backward()
            optimizer.step()
        assert all(array.dtype == np.float32 for array in optimizer.state.values())
        updated.append(network.parameters["linear1.weight"])
    np.testing.assert_array_equal(*updated)
