"""That the races of a step are fair: who takes part computes the step that manual computes."""

from dataclasses import replace
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from compare.benchmark import limit
from compare.benchmark.contestants.contestant import Contestant, NotMeasured
from compare.benchmark.contestants.field import ENTRANTS, MANUAL
from compare.benchmark.contestants.same import UnequalContestant, check_same, distance
from compare.benchmark.limit import cut_products, layer_products
from compare.benchmark.lockstep import asserted, by_numpy, by_torch_testing
from compare.benchmark.networks import DTYPES, NETWORKS, describe, initial, rows_of
from compare.benchmark.rounds import met
from compare.benchmark.step import target_of
from compare.experiment.datasets import Dataset
from compare.experiment.description import DTypeName

QUICK = [name for name in ENTRANTS if name not in ("torch.compile", "micrograd")]  # seconds to compile, to walk


# tinygrad compiles every network anew, for seconds: one stands for all.
CASES = [(name, network) for name in QUICK for network in (NETWORKS if name != "tinygrad" else ("784-30-10",))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "network"), CASES)
def test_every_contestant_takes_the_step_that_manual_takes(
    name: str, network: str, dtype: DTypeName, small: Dataset
) -> None:
    experiment, entrant = describe(network, 10, dtype), ENTRANTS[name]
    if reason := entrant.outside(experiment):
        assert network == "lenet", reason
        return
    twin = entrant.trains(experiment)
    try:
        apart = check_same(name, entrant.make(twin, small), twin, small)
    except NotMeasured as reason:
        pytest.skip(str(reason))
    assert apart <= {"float32": 1e-4, "float64": 1e-9}[dtype]


def test_a_contestant_with_another_learning_rate_is_a_defect_of_the_benchmark(small: Dataset) -> None:
    experiment = describe("784-30-10", 10, "float64")
    faster = replace(experiment, optimizer=replace(experiment.optimizer, lr=experiment.optimizer.lr * (1 + 1e-6)))
    with pytest.raises(UnequalContestant, match=r"hasty moves linear\d\.\w+ otherwise than manual"):
        check_same("hasty", ENTRANTS["torch"].make(faster, small), experiment, small)


def test_a_contestant_that_does_not_move_is_a_defect_of_the_benchmark(small: Dataset) -> None:
    experiment = describe("784-10", 10, "float32")
    idle = Contestant(lambda _: None, lambda: list(initial(experiment).values()))
    with pytest.raises(UnequalContestant):
        check_same("idle", idle, experiment, small)


def test_what_has_not_moved_or_has_another_shape_is_infinitely_far() -> None:
    start = np.ones((2, 3))
    assert distance(start, start, start) == float("inf")
    assert distance(start, start + 1, (start + 1).T) == float("inf")
    assert distance(start, start + 1, start + 1.5) == pytest.approx(0.5)


@pytest.mark.parametrize("layer", [layer_products, cut_products])
def test_the_products_alone_are_those_of_a_step(layer: Any, small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """X W^T and delta^T X of each layer, delta W of all but the first, the inputs new at every step."""
    taken: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    inputs: list[np.ndarray] = []

    def noted(left: np.ndarray, right: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        taken.append((left.shape, right.shape))
        inputs.append(left)
        return np.matmul(left, right, out=out)

    monkeypatch.setattr(limit, "product", noted)
    monkeypatch.setattr(limit, "np", SimpleNamespace(**{**vars(np), "matmul": noted}))
    experiment = describe("784-30-10", 10, "float32")
    contestant = limit.products(experiment, small, layer)
    for rows in islice(rows_of(experiment, small), 2):
        contestant.step(rows)
    first = [((10, 784), (784, 30)), ((30, 10), (10, 784))]
    second = [((10, 30), (30, 10)), ((10, 10), (10, 30)), ((10, 10), (10, 30))]
    assert taken == 2 * (first + second)
    assert not np.array_equal(inputs[0], inputs[5])


@pytest.mark.parametrize("check", [by_numpy, by_torch_testing])
def test_the_loops_that_assert_hold_every_tensor_of_a_step(check: object, small: Dataset) -> None:
    seen: list[tuple[int, ...]] = []

    def counted(own: np.ndarray, other: np.ndarray) -> None:
        seen.append(own.shape)
        check(own, other)  # pyright: ignore[reportCallIssue]

    held = list(islice(asserted(counted, describe("784-30-10", 10, "float64"), small), 2))
    # two data, four parameters, four outputs, the loss, four gradients of outputs and four of weights, four updated
    assert held == [23, 23]
    assert len(seen) == 46
    with pytest.raises(AssertionError):
        check(np.ones(3), np.ones(3) + 1e-3)  # pyright: ignore[reportCallIssue]


def test_targets_are_those_of_the_case() -> None:
    assert target_of("torch", "784-30-10", 10, "float32") == {"at_least": 7.0}
    assert target_of("torch fused", "784-30-10", 10, "float32") == {"at_least": 1.0}
    assert target_of("jax.jit", "784-10", 1, "float64") == {}
    assert target_of("jax.jit", "784-10", 10, "float64") == {"at_least": 1.0}
    assert met(0.1, {}), "where nothing is wanted nothing is missed"
    assert MANUAL in ENTRANTS
