"""What rounding allows a reference on several ranks beyond one: a few roundings, derived; for powers of two nothing."""

from typing import Any

import numpy as np
import pytest

from compare.agreement.audit import Audit
from compare.agreement.carried import by_norm, carried_bounds
from compare.agreement.operations import layer_operations, state_of
from compare.agreement.rounding import Averaging, gamma
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.experiment.files import from_document, read_experiment, to_document
from compare.lockstep.loop import Loop, Step
from tests.distributed.test_lockstep import first, sequence

dtypes = pytest.mark.parametrize("dtype", ["float64", "float32"])
ways = pytest.mark.parametrize("optimizer", ["SGD", "Adam"])  # bounds by norm, and by numbers that carry their errors


def article(dtype: str, optimizer: str = "SGD") -> Experiment:
    document = to_document(read_experiment("article"))
    document["training"] |= {"steps": 1, "mode": "lockstep", "batch_size": 7, "dtype": dtype}
    document["optimizer"] = {"kind": optimizer, "lr": 0.1}
    return from_document(document, "article")


def bounds_of(experiment: Experiment, step: Step, state: Any, ranks: int) -> dict[str, float]:
    return carried_bounds(experiment.changed("training", world_size=ranks), step.manual, state)


def first_step(experiment: Experiment, small: Dataset) -> tuple[Step, Any]:
    loop = Loop(experiment, small)
    return next(iter(loop)), state_of(type(loop.manual.optimizer)(loop.manual.network))


@dtypes
@ways
def test_it_is_a_few_roundings_and_nothing_for_powers_of_two(dtype: str, optimizer: str, small: Dataset) -> None:
    experiment = article(dtype, optimizer)
    assert by_norm(experiment) == (optimizer == "SGD")
    step, state = first_step(experiment, small)
    bounds = {ranks: bounds_of(experiment, step, state, ranks) for ranks in (1, 2, 3, 4)}
    assert bounds[1] == bounds[2] == bounds[4]
    u = float(np.finfo(dtype).eps) / 2
    for name, bound in bounds[1].items():
        size, wider = float(np.linalg.norm(step.manual[name])), bounds[3][name]
        if name.endswith(".grad"):
            assert bound + u * size < wider < 1.2 * bound + 10 * u * size
        elif name.endswith((".updated", ".exp_avg", ".exp_avg_sq")):
            assert bound < wider or optimizer == "Adam"
        else:
            assert wider == bound


@ways
@pytest.mark.parametrize(
    ("part", "tensor"),
    [
        ("first_delta", "sigmoid2.output.grad"), ("first_delta", "linear1.weight.grad"),
        ("recorded", "linear1.output.grad"), ("averaged", "linear1.weight.grad"), ("averaged", "linear2.bias.grad"),
        ("averaged", "linear2.weight.updated"),
    ],
)  # fmt: skip
def test_each_part_is_in_the_bound(
    part: str, tensor: str, optimizer: str, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = article("float64", optimizer)
    step, state = first_step(experiment, small)
    whole = bounds_of(experiment, step, state, 3)
    exact = getattr(Averaging(4, 7, 2.0**-53), part)
    monkeypatch.setattr(Averaging, part, lambda self, given: exact(given))
    assert bounds_of(experiment, step, state, 3)[tensor] < whole[tensor]


def test_the_parts_are_as_derived(small: Dataset) -> None:
    step, _ = first_step(article("float64"), small)
    linear = layer_operations(article("float64"), step.manual)[2]
    averaging, u = Averaging(3, 7, 2.0**-53), 2.0**-53
    delta = np.abs(linear.dy)
    np.testing.assert_array_equal(averaging.first_delta(linear.dy), gamma(2, u) * delta)
    np.testing.assert_array_equal(averaging.recorded(linear.dy), gamma(1, u) * delta)
    shares = [linear.dy[rows].T @ linear.x[rows] for rows in (slice(0, 3), slice(3, 5), slice(5, 7))]
    averaged = averaging.averaged(linear)
    np.testing.assert_allclose(averaged["weight"], gamma(2, u) * sum(np.abs(share) for share in shares), rtol=1e-12)
    assert (averaged["weight"] > gamma(2, u) * np.abs(sum(shares)) * (1 + 1e-9)).any()  # shares may cancel


@dtypes
@pytest.mark.parametrize("form", ["tokens", "image"])
def test_the_reference_s_own_operations_are_judged_as_those_of_ranks(
    form: str, dtype: Any, three: Any, small: Dataset
) -> None:
    """What is asked where the carried bounds are wide: copies, sums and products alike are within what is allowed."""
    experiment = sequence(form, dtype, 3)
    loop = Loop(experiment, first(small, 5))
    step = next(iter(loop))
    audit = Audit(experiment, dict(loop.manual.network.layers), dtype, 3)
    assert max(check.used for check in audit(step.reference, step.state_before)) < 0.5
    name = "linear1.weight.grad"
    moved = {**step.reference, name: step.reference[name] * 1.001}
    assert name in [check.tensor for check in audit(moved, step.state_before) if not check.agrees]
