"""SGD against torch.optim.SGD, step by step, and against numbers worked by hand."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from manual import SGD, Linear, Network, SquaredError, Tanh

MOMENTA = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.3},
    {"momentum": 0.9, "nesterov": True},
    {"dampening": 0.3},  # without momentum: without effect
]
DECAYS: list[Any] = [0.0, 0.05, {"linear1.weight": 0.05}, {"linear2.bias": 0.2, "linear1.weight": 0.03}]


def build(dtype: Any = np.float64) -> Network:
    rng = np.random.default_rng(1)
    shapes = {"linear1.weight": (4, 3), "linear1.bias": (4,), "linear2.weight": (2, 4), "linear2.bias": (2,)}
    parameters = {name: rng.uniform(-1, 1, shape).astype(dtype) for name, shape in shapes.items()}
    return Network([Linear(3, 4), Tanh(), Linear(4, 2)], loss=SquaredError(), parameters=parameters)


def batch(step: int, dtype: Any = np.float64) -> tuple[Any, Any]:
    rng = np.random.default_rng(100 + step)
    return rng.uniform(-1, 1, (5, 3)).astype(dtype), rng.uniform(-1, 1, (5, 2)).astype(dtype)


def backward(network: Network, step: int) -> dict[str, Any]:
    network.loss(*batch(step, network.dtype))
    return network.backward()


@pytest.mark.parametrize(("options", "decay"), list(product(MOMENTA, DECAYS)), ids=str)
def test_every_combination_against_torch(options: dict[str, Any], decay: Any) -> None:
    network = build()
    optimizer = SGD(network, lr=0.3, weight_decay=decay, **options)
    twins = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in network.parameters.items()}
    of_each = decay if isinstance(decay, dict) else dict.fromkeys(twins, decay)
    groups = [{"params": [twin], "weight_decay": of_each.get(name, 0.0)} for name, twin in twins.items()]
    reference = torch.optim.SGD(groups, lr=0.3, **options)

    for step in range(5):
        for name, gradient in backward(network, step).items():
            twins[name].grad = torch.tensor(gradient)  # the same gradients to both: only the update is compared
        optimizer.step()
        reference.step()
        for name, twin in twins.items():
            expected = twin.detach().numpy()
            np.testing.assert_allclose(network.parameters[name], expected, rtol=1e-13, atol=1e-15, err_msg=name)
            velocity = reference.state[twin].get("momentum_buffer")
            if velocity is None:
                assert not optimizer.state
            else:
                ours = optimizer.state[f"{name}.momentum_buffer"]
                np.testing.assert_allclose(ours, velocity.numpy(), rtol=1e-13, atol=1e-15, err_msg=name)


@pytest.mark.parametrize(
    ("options", "after_one_step", "after_two_steps"),
    [
        # One weight w = 1.5, one input 2, target 1, C = (2w - 1)^2 / 2, so g = 2 (2w - 1); lr 0.1.
        # First g = 4 at w = 1.5, and with a weight decay of 0.2: 4 + 0.2 * 1.5 = 4.3.
        ({}, 1.1, 0.86),  # 1.5 - 0.1*4; there g = 2.4; 1.1 - 0.24
        ({"weight_decay": 0.2}, 1.07, 0.8206),  # 1.5 - 0.43; g = 2.28 + 0.214 = 2.494; 1.07 - 0.2494
        # v = 4.3, then 0.5 * 4.3 + 2.494 = 4.644; 1.07 - 0.4644
        ({"weight_decay": 0.2, "momentum": 0.5}, 1.07, 0.6056),
        # v = 4.3 (the first is not dampened), then 0.5 * 4.3 + 0.75 * 2.494 = 4.0205; 1.07 - 0.40205
        ({"weight_decay": 0.2, "momentum": 0.5, "dampening": 0.25}, 1.07, 0.66795),
        # 4.3 + 0.5 * 4.3 = 6.45, so w = 0.855; there g = 1.42 + 0.171 = 1.591, v = 2.15 + 1.591 = 3.741;
        # 1.591 + 0.5 * 3.741 = 3.4615; 0.855 - 0.34615
        ({"weight_decay": 0.2, "momentum": 0.5, "nesterov": True}, 0.855, 0.50885),
    ],
)
def test_two_steps_by_hand(options: dict[str, Any], after_one_step: float, after_two_steps: float) -> None:
    network = Network([Linear(1, 1, bias=False)], loss=SquaredError(), parameters={"linear1.weight": [[1.5]]})
    optimizer = SGD(network, lr=0.1, **options)
    for expected in (after_one_step, after_two_steps):
        network.loss([[2.0]], [[1.0]])
        network.backward()
        optimizer.step()
        assert network.parameters["linear1.weight"].item() == pytest.approx(expected, rel=1e-14)


def test_the_learning_rate_may_be_changed_between_steps() -> None:
    network = Network([Linear(1, 1, bias=False)], loss=SquaredError(), parameters={"linear1.weight": [[1.5]]})
    optimizer = SGD(network, lr=0.1)
    network.loss([[2.0]], [[1.0]])
    network.backward()
    optimizer.lr = 0.25
    optimizer.step()
    assert network.parameters["linear1.weight"].item() == 0.5  # 1.5 - 0.25 * 4


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_update_is_made_in_place_and_leaves_the_gradients_alone(decay: float) -> None:
    network = build()
    arrays = dict(network.parameters)
    before = {name: array.copy() for name, array in arrays.items()}
    optimizer = SGD(network, lr=0.5, momentum=0.9, weight_decay=decay)
    gradients = backward(network, 0)
    kept = {name: gradient.copy() for name, gradient in gradients.items()}
    optimizer.step()
    for name, array in arrays.items():
        assert network.parameters[name] is array
        assert (array != before[name]).all()
        np.testing.assert_array_equal(gradients[name], kept[name])
    # The momentum is memory of its own: it is not a gradient or a parameter under another name.
    for state in optimizer.state.values():
        assert not any(np.shares_memory(state, other) for other in (*gradients.values(), *arrays.values()))


def test_the_layers_compute_with_the_updated_parameters() -> None:
    network = build()
    x, _ = batch(0)
    before = network.predict(x)
    backward(network, 0)
    SGD(network, lr=0.5).step()
    rebuilt = Network([Linear(3, 4), Tanh(), Linear(4, 2)], loss=SquaredError(), parameters=network.parameters)
    np.testing.assert_array_equal(network.predict(x), rebuilt.predict(x))
    assert (network.predict(x) != before).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("options", MOMENTA, ids=str)
def test_the_dtype_is_kept(dtype: Any, options: dict[str, Any]) -> None:
    network = build(dtype)
    optimizer = SGD(network, lr=0.3, weight_decay=0.1, **options)
    for step in range(2):
        backward(network, step)
        optimizer.step()
    for name, array in (network.parameters | optimizer.state).items():
        assert array.dtype == dtype, name


def test_gradient_descent_descends() -> None:
    network = build()
    optimizer = SGD(network, lr=0.1)
    losses = []
    for _ in range(20):
        losses.append(network.loss(*batch(0)))
        network.backward()
        optimizer.step()
    assert losses == sorted(losses, reverse=True)


def test_a_learning_rate_of_zero_changes_nothing() -> None:
    network = build()
    before = {name: array.copy() for name, array in network.parameters.items()}
    backward(network, 0)
    SGD(network, lr=0.0).step()
    for name, array in before.items():
        np.testing.assert_array_equal(network.parameters[name], array)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -0.1}, "lr is -0.1; wanted a number of at least 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"lr": float("inf")}, "lr is inf"),
        ({"lr": 0.1, "momentum": -0.9}, "momentum is -0.9"),
        ({"lr": 0.1, "weight_decay": -1.0}, "weight_decay of linear1.weight is -1.0"),
        ({"lr": 0.1, "weight_decay": {"linear2.bias": -1.0}}, "weight_decay of linear2.bias is -1.0"),
        ({"lr": 0.1, "nesterov": True}, "Nesterov's look-ahead needs momentum above 0"),
        ({"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "nesterov": True}, "and dampening 0"),
        ({"lr": 0.1, "weight_decay": {"linear3.weight": 0.1}}, r"names \['linear3.weight'\]; the network has"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SGD(build(), **options)


def test_a_step_needs_gradients_of_the_last_loss() -> None:
    network = build()
    optimizer = SGD(network, lr=0.1)
    message = r"SGD.step needs gradients: call network.loss\(x, target\) and network.backward\(\) first"
    with pytest.raises(RuntimeError, match=message):
        optimizer.step()
    backward(network, 0)
    optimizer.step()
    network.loss(*batch(1))
    with pytest.raises(RuntimeError, match=message):
        optimizer.step()
