"""The reference on several ranks is the reference: losses, gradients, updates, what is drawn, whatever the shards."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

import reference
from reference.distributed import shards
from reference.network import to_numpy

LABELS = np.array([2, 0, 1, 2, 2, 0, 1])
LOSSES: list[tuple[str, dict[str, Any]]] = [
    ("SquaredError", {}),
    ("SquaredError", {"reduction": "mean", "factor": 2.0}),
    ("SquaredError", {"reduction": "sum"}),
    ("MSELoss", {}),
    ("L1Loss", {"reduction": "batchmean"}),
    ("SmoothL1Loss", {}),
    ("HuberLoss", {"delta": 0.2}),
    ("BCEWithLogitsLoss", {"weight": [0.5, 2.0, 3.0], "pos_weight": [1.5, 0.5, 1.0]}),
    ("KLDivLoss", {"reduction": "batchmean"}),
    ("KLDivLoss", {}),
    ("MultiMarginLoss", {"weight": [0.5, 2.0, 3.0], "p": 2}),
    ("CrossEntropyLoss", {}),
    ("CrossEntropyLoss", {"reduction": "sum", "weight": [0.5, 2.0, 3.0]}),
    ("CrossEntropyLoss", {"weight": [0.5, 2.0, 3.0], "ignore_index": 1, "label_smoothing": 0.1}),
    ("CrossEntropyLoss", {"weight": [0.5, 2.0, 3.0], "reduction": "batchmean"}),
    ("NLLLoss", {"weight": [0.5, 2.0, 3.0], "ignore_index": 2}),
]
both = pytest.mark.parametrize("ranks", [2, 3], indirect=True)


def layers() -> dict[str, torch.nn.Module]:
    return {
        "linear1": reference.build_layer("Linear", {"in_features": 4, "out_features": 5}),
        "tanh1": reference.build_layer("Tanh", {}),
        "dropout1": reference.build_layer("Dropout", {"p": 0.3}),
        "linear2": reference.build_layer("Linear", {"in_features": 5, "out_features": 3}),
    }


def parameters(dtype: str = "float64") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shapes = {"linear1.weight": (5, 4), "linear1.bias": (5,), "linear2.weight": (3, 5), "linear2.bias": (3,)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def alone(kind: str, arguments: Mapping[str, Any], dtype: str = "float64") -> reference.Network:
    network = reference.Network(layers(), reference.build_loss(kind, dict(arguments)), parameters(dtype))
    network.seed({"dropout1": np.random.default_rng(7)})
    return network


def distributed(
    ranks: int, loss: reference.ShardLoss, dtype: str = "float64", own: dict[str, torch.nn.Module] | None = None
) -> reference.DistributedNetwork:
    network = reference.DistributedNetwork(own or layers(), loss, parameters(dtype), ranks)
    network.seed({"dropout1": np.random.default_rng(7)})
    return network


def batch(rows: int, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(3).standard_normal((rows, 4)).astype(dtype), LABELS[:rows]


def require_equal(mine: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], u: float) -> None:
    """A few dozen roundings of the tensor's size are none of these networks' faults; a wrong factor is millions."""
    assert list(mine) == list(theirs)
    for name, array in mine.items():
        assert (array.shape, array.dtype) == (theirs[name].shape, theirs[name].dtype), name
        size = max(float(np.abs(theirs[name]).max()), 1e-3)
        np.testing.assert_allclose(array, theirs[name], rtol=0, atol=64 * u * size, err_msg=name)


@both
@pytest.mark.parametrize(("kind", "arguments"), LOSSES)
def test_every_loss_gives_the_gradient_of_the_whole_batch(kind: str, arguments: dict[str, Any], ranks: int) -> None:
    one, several = alone(kind, arguments), distributed(ranks, reference.ShardLoss(kind, arguments))
    x, target = batch(7)
    if kind == "KLDivLoss":
        target = np.eye(3)[target] * 0.8 + 0.1
    for _ in range(2):
        assert several.loss(x, target) == pytest.approx(one.loss(x, target), rel=1e-13)
        one.backward()
        several.backward()
        require_equal(several.trace(), one.trace(), 2.0**-53)


@both
@pytest.mark.parametrize("rows", [6, 7, 4, 2, 1])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_shards_may_be_equal_unequal_or_without_rows(rows: int, dtype: str, ranks: int) -> None:
    arguments = {"weight": [0.5, 2.0, 3.0]}
    one = alone("CrossEntropyLoss", arguments, dtype)
    several = distributed(ranks, reference.ShardLoss("CrossEntropyLoss", arguments), dtype)
    for network in (one, several):
        network.loss(*batch(rows, dtype))
        network.backward()
    require_equal(several.trace(), one.trace(), float(np.finfo(dtype).eps) / 2)


def test_rows_are_dealt_in_order_and_as_evenly_as_can_be() -> None:
    for rows in range(12):
        for ranks in range(1, 8):
            dealt = shards(rows, ranks)
            assert [i for shard in dealt for i in range(rows)[shard]] == list(range(rows))
            sizes = [shard.stop - shard.start for shard in dealt]
            assert len(sizes) == ranks
            assert max(sizes) - min(sizes) <= 1
            assert sizes == sorted(sizes, reverse=True)


def test_where_no_label_counts_nothing_is_a_number_as_torch_has_it(two: Any) -> None:
    arguments = {"ignore_index": 2}
    one, several = alone("NLLLoss", arguments), distributed(2, reference.ShardLoss("NLLLoss", arguments))
    for network in (one, several):
        assert np.isnan(network.loss(batch(2)[0], np.array([2, 2])))
        network.backward()
    for name, array in one.trace().items():
        np.testing.assert_array_equal(np.isnan(several.trace()[name]), np.isnan(array), err_msg=name)


def test_the_average_rounds_as_the_carried_bound_supposes(three: Any) -> None:
    """Each share is multiplied by 1/3, rounded, and the products are added: to the bit, in an order of the ranks."""
    loss = reference.ShardLoss("SquaredError", {})
    several, (x, target) = distributed(3, loss), batch(7)
    several.seed({"dropout1": np.random.default_rng(7)})
    several.loss(x, target)
    several.backward()
    mask = several.trace()["dropout1.mask"]
    shares: list[dict[str, np.ndarray]] = []
    for shard in shards(7, 3):
        own = alone("SquaredError", {"reduction": "sum"})
        own.layers.dropout1.replay({"mask": torch.tensor(mask[shard])})  # pyright: ignore
        own.loss(x[shard], target[shard])
        own.value = own.value * (3 / 7)
        own.backward()
        shares.append({name: to_numpy(w.grad) * (1 / 3) for name, w in own.weights.items() if w.grad is not None})
    for name in shares[0]:
        a, b, c = (share[name] for share in shares)
        orders = np.array([a + b + c, b + c + a, c + a + b])
        assert (orders == several.trace()[f"{name}.grad"]).any(axis=0).all(), name


@both
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9}),
        ("Adam", {"lr": 0.01, "weight_decay": {"linear1.weight": 0.1}}),
        ("Adagrad", {"lr": 0.1, "accumulate": 2, "max_norm": 0.01}),
        ("AdamW", {"lr": 0.1, "weight_decay": 0.1, "schedule": {"kind": "StepLR", "step_size": 2}}),
    ],
)
def test_training_goes_the_same_way(kind: str, options: dict[str, Any], ranks: int) -> None:
    one, several = alone("CrossEntropyLoss", {}), distributed(ranks, reference.ShardLoss("CrossEntropyLoss", {}))
    sides = [
        (one, reference.Optimizer(kind, one, **options)),
        (several, reference.DistributedOptimizer(kind, several, **options)),
    ]
    x, target = batch(7)
    for rows in (7, 2, 5, 1):
        for network, optimizer in sides:
            network.loss(x[:rows], target[:rows])
            network.backward()
            optimizer.step()
        require_equal(sides[1][1].trace(), sides[0][1].trace(), 2.0**-46)
    assert sides[1][1].micro == sides[0][1].micro == 4
    assert sides[1][1].lr == sides[0][1].lr
    np.testing.assert_allclose(several.predict(x), one.predict(x), rtol=1e-9)


def test_what_is_loaded_is_what_the_next_step_starts_from(two: Any) -> None:
    """Weights, optimizer state, count of steps, generators: a run that is taken up again goes on as it would have."""
    options: dict[str, Any] = {"lr": 0.1, "schedule": {"kind": "StepLR", "step_size": 2}}
    loss = reference.ShardLoss("CrossEntropyLoss", {})
    one, other = distributed(2, loss), distributed(2, loss)
    optimizers = [reference.DistributedOptimizer("Adam", network, **options) for network in (one, other)]
    step(one, optimizers[0], times=3)
    state = {
        name.removeprefix("adam."): array
        for name, array in optimizers[0].trace().items()
        if name.startswith("adam.linear")
    }
    other.load({name: weight.detach().numpy() for name, weight in one.weights.items()})
    other.generators["dropout1"].bit_generator.state = one.generators["dropout1"].bit_generator.state
    optimizers[1].micro = optimizers[0].micro
    optimizers[1].load(state)
    step(one, optimizers[0], times=2)
    step(other, optimizers[1], times=2)
    mine, theirs = (
        network.trace() | optimizer.trace() for network, optimizer in zip((one, other), optimizers, strict=True)
    )
    for name, array in mine.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def step(network: Any, optimizer: Any, times: int = 1) -> None:
    for _ in range(times):
        network.loss(*batch(7))
        network.backward()
        optimizer.step()


def test_what_torch_refuses_in_a_forward_pass_is_raised_and_the_ranks_go_on(two: Any) -> None:
    several = distributed(2, reference.ShardLoss("BCELoss", {}))
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        several.loss(*batch(7))
    again = distributed(2, reference.ShardLoss("MSELoss", {}))
    assert np.isfinite(again.loss(*batch(7)))
