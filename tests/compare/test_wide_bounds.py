"""Where carried bounds are wide: faults on the side of the reference are found, rounding by nature is let be."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

import manual
from compare.agreement.verdict import Judge, Verdict
from compare.lockstep.loop import FIRST_AUDITS, Loop, Step
from compare.selftest.grounds import Ground, small_grounds

Array = np.ndarray[Any, Any]
DTYPES = ("float64", "float32")
GROUNDS = {ground.experiment.name: ground for ground in small_grounds()}


def ground(name: str, dtype: str) -> Ground:
    return GROUNDS[name].computed_in(dtype)


def module(loop: Loop, name: str) -> Any:
    return loop.reference.network.layers.get_submodule(name)


def hasten(loop: Loop) -> None:
    for group in loop.reference.optimizer.torch_optimizer.param_groups:
        group["lr"] *= 1.001


def decay(loop: Loop) -> None:
    for group in loop.reference.optimizer.torch_optimizer.param_groups:
        group["weight_decay"] = 0.001


def remember_longer(loop: Loop) -> None:
    module(loop, "batchnorm1d1").momentum = 0.09


def larger_eps(loop: Loop) -> None:
    module(loop, "batchnorm1d1").eps *= 1.01


def evaluate(loop: Loop) -> None:
    loop.reference.network.layers.eval()


def draw_otherwise(loop: Loop) -> None:
    loop.reference.network.seed({"dropout1": np.random.default_rng(5)})


def look_ahead(loop: Loop) -> None:
    module(loop, "multiheadattention1").is_causal = False


def approximate(loop: Loop) -> None:
    module(loop, "gelu1").approximate = "tanh"


FAULTS: list[tuple[str, Callable[[Loop], None], str, str]] = [
    ("small-batchnorm", hasten, "linear1.weight.updated", "optimizer.step"),
    ("small-batchnorm", remember_longer, "batchnorm1d1.running_mean.updated", "batchnorm1d1.forward"),
    ("small-batchnorm", larger_eps, "batchnorm1d1.output", "batchnorm1d1.forward"),
    ("small-batchnorm", evaluate, "batchnorm1d1.output", "batchnorm1d1.forward"),
    ("small-attention", hasten, "multiheadattention1.in_proj_weight.updated", "optimizer.step"),
    ("small-attention", look_ahead, "multiheadattention1.output", "multiheadattention1.forward"),
    ("small-recurrent", hasten, "rnn1.weight_ih_l0.updated", "optimizer.step"),
    ("structure-detour", draw_otherwise, "dropout1.mask", "dropout1.forward"),
    ("structure-detour", evaluate, "dropout1.mask", "dropout1.forward"),
    ("smooth-units", approximate, "gelu1.output", "gelu1.forward"),
    ("small-adam", decay, "adam.linear1.weight.exp_avg", "optimizer.step"),
    ("small-adamw", hasten, "linear1.weight.updated", "optimizer.step"),
    ("small-clipped", hasten, "sgd.lr", "optimizer.step"),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "fault", "tensor", "operation"), FAULTS)
def test_a_fault_on_the_references_side_is_located(
    name: str, fault: Callable[[Loop], None], tensor: str, operation: str, dtype: str
) -> None:
    given = ground(name, dtype)
    loop = Loop(given.experiment, given.dataset)
    assert loop.judge.audit_of_reference is not None
    fault(loop)
    step = next(iter(loop))
    assert step.finding is not None
    assert step.finding.verdict is Verdict.DIVERGES
    assert (step.finding.tensor, step.finding.operation) == (tensor, operation)
    assert step.finding.step == 1
    assert all(check.agrees for check in step.checks)  # no operation of the manual side is to blame


@pytest.mark.parametrize(
    ("name", "tensor"), [("small-recurrent", "rnn1.weight_ih_l0.updated"), ("small-adamw", "linear1.weight.updated")]
)
def test_the_carried_bound_alone_would_not_have_seen_it(name: str, tensor: str) -> None:
    given = ground(name, "float32")
    loop = Loop(given.experiment, given.dataset)
    hasten(loop)
    step = next(iter(loop))
    assert step.finding is not None
    assert step.finding.error is not None
    assert step.finding.tensor == tensor
    assert step.finding.error <= step.bounds[tensor]


# A bias below a batch normalisation has no gradient: what is computed of it is rounding, as large as itself.

BY_NATURE = "linear1.bias.grad"


class Late(manual.Linear):
    """From some step on, its bias's gradient is that of the last example."""

    steps = 0

    def __init__(self, first: int):
        super().__init__(36, 8)
        self.first = first

    def backward(self, grad_output: Array) -> Array | None:
        gradient = super().backward(grad_output)
        self.steps += 1
        if self.steps >= self.first:
            self.gradients["bias"] = grad_output[-1].copy()
        return gradient


def walk(dtype: str, layers: dict[str, Any] | None = None) -> list[Step]:
    experiment = ground("small-batchnorm", dtype).experiment.changed("training", steps=60, audit_every=1000)
    return list(Loop(experiment, ground("small-batchnorm", dtype).dataset, layers))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_by_nature_does_not_call_for_an_audit_at_every_step(dtype: str) -> None:
    steps = walk(dtype)
    assert len(steps) == 60
    assert all(step.finding is None for step in steps)
    large = [step for step in steps if step.errors[BY_NATURE] > 1e4]
    assert len(large) == 60
    audited = [step.number for step in steps if step.checks]
    assert audited[:FIRST_AUDITS] == [1, 2, 3]
    assert audited[-1] == 60
    # asked again only where the error had doubled: the logarithm of how far it spreads, not the number of steps
    errors = [step.errors[BY_NATURE] for step in steps]
    assert len(audited) <= FIRST_AUDITS + 1 + 2 * np.log2(max(errors) / min(errors))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_mistake_made_later_in_the_same_tensor_is_found_at_once(dtype: str) -> None:
    steps = walk(dtype, {"linear1": Late(40)})
    assert len(steps) == 40
    finding = steps[-1].finding
    assert finding is not None
    assert finding.verdict is Verdict.DIVERGES
    assert (finding.tensor, finding.operation) == (BY_NATURE, "linear1.backward")


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_has_been_cleared_excuses_no_other_tensor(dtype: str) -> None:
    given = ground("small-batchnorm", dtype)
    judge = Loop(given.experiment, given.dataset).judge
    judge.cleared[BY_NATURE] = 1e6
    assert not judge.suspicious({BY_NATURE: 1.9e6, "loss": 3.0})
    assert judge.suspicious({BY_NATURE: 2.1e6, "loss": 3.0})
    assert judge.suspicious({BY_NATURE: 1.9e6, "loss": 65.0})
    assert judge.suspicious({BY_NATURE: np.nan})


# Traces


@pytest.mark.parametrize("name", GROUNDS)
def test_both_sides_have_the_same_tensors_in_the_same_order(name: str) -> None:
    given = GROUNDS[name]
    for step in islice(Loop(given.experiment, given.dataset), 3):
        assert step.finding is None
        assert list(step.manual) == list(step.reference)
        assert list(step.errors) == [n for n in step.manual if n in step.errors]


@pytest.mark.parametrize(
    ("name", "tensors"),
    [
        ("small-batchnorm", ["batchnorm1d1.running_mean", "batchnorm1d1.output", "batchnorm1d1.running_mean.updated",
                             "batchnorm1d1.running_var.updated", "batchnorm1d1.num_batches_tracked.updated"]),
        ("structure-detour", ["flatten1.output", "residual1.output", "dropout1.mask", "dropout1.output"]),
        ("small-clipped", ["linear1.weight.grad", "linear1.weight.grad.clipped", "sgd.lr", "linear1.weight.updated"]),
        ("small-accumulated", ["linear1.weight.grad", "linear1.weight.grad.accumulated", "linear1.weight.updated"]),
        ("small-adam-amsgrad", ["adam.linear1.weight.step", "adam.linear1.weight.exp_avg",
                                "adam.linear1.weight.exp_avg_sq", "adam.linear1.weight.max_exp_avg_sq"]),
    ],
)  # fmt: skip
def test_what_is_in_the_traces(name: str, tensors: list[str]) -> None:
    given = GROUNDS[name]
    (step,) = islice(Loop(given.experiment, given.dataset), 1)
    for trace in (step.manual, step.reference):
        assert [n for n in trace if n in tensors] == tensors
        assert all(isinstance(trace[n], np.ndarray) for n in tensors)
    assert set(tensors) - {"batchnorm1d1.running_mean"} <= {*step.errors}


def test_the_masks_are_the_same_to_the_bit_and_new_at_every_step() -> None:
    given = GROUNDS["structure-detour"]
    masks = []
    for step in islice(Loop(given.experiment, given.dataset), 3):
        np.testing.assert_array_equal(step.manual["dropout1.mask"], step.reference["dropout1.mask"])
        masks.append(np.array(step.manual["dropout1.mask"]))
    assert not np.array_equal(masks[0], masks[1])
    assert torch.tensor(masks[0]).dtype is torch.bool


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GROUNDS)
def test_a_correct_reference_that_is_asked_at_every_step_is_never_accused(
    name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where torch's own kernel rounds more coarsely than our derivation: its GELU in float32 does."""
    monkeypatch.setattr(Judge, "suspicious", lambda *_: True)
    given = ground(name, dtype)
    for step in islice(Loop(given.experiment, given.dataset), 4):
        assert step.finding is None
