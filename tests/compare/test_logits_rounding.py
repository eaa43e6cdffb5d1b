"""The first delta of BCEWithLogitsLoss: torch takes a difference of near numbers where manual does not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compare.agreement.rounding import LossOperation, loss_rule, of_torch, unit_roundoff
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment, Initial, Layer, Loss, Training
from compare.experiment.streams import stream
from compare.lockstep.loop import Loop

U = unit_roundoff("float64")
Z = st.lists(st.floats(-60, 60), min_size=1, max_size=8)
Long = np.longdouble


def exact_delta(z: np.ndarray, t: np.ndarray, weight: float, yes: float) -> np.ndarray:
    """w ((1 - t) a - v t (1 - a)) in extended precision, without a difference of near numbers."""
    z, t = z.astype(Long), t.astype(Long)
    return Long(weight) * ((1 - t) / (1 + np.exp(-z)) - Long(yes) * t / (1 + np.exp(z)))


def exact_value(z: np.ndarray, t: np.ndarray, weight: float, yes: float) -> np.longdouble:
    """The sum of w (t v log(1 + e^-z) + (1 - t) log(1 + e^z)) in extended precision."""
    z, t = z.astype(Long), t.astype(Long)
    return (Long(weight) * (Long(yes) * t * np.log1p(np.exp(-z)) + (1 - t) * np.log1p(np.exp(z)))).sum()


@given(Z, st.sampled_from([0.0, 1.0, 0.3]), st.sampled_from([1.0, 0.7]), st.sampled_from([1.0, 2.5, 0.2]))
def test_torch_errs_by_no_more_than_is_allowed(z: list[float], t: float, weight: float, yes: float) -> None:
    logits = np.array(z)[None]
    target = np.full_like(logits, t)
    x = torch.tensor(logits, requires_grad=True)
    options = {"weight": torch.tensor([weight]), "pos_weight": torch.tensor([yes], dtype=torch.float64)}
    options = {key: value.double() for key, value in options.items()}
    value = torch.nn.BCEWithLogitsLoss(reduction="sum", **options)(x, torch.tensor(target))
    value.backward()
    assert x.grad is not None
    arguments = {"reduction": "sum", "weight": [weight], "pos_weight": [yes]}
    op = LossOperation("BCEWithLogitsLoss", logits, target, 0.0, arguments)
    allowed = of_torch(op, U)["gradient"] + loss_rule(op.kind, arguments).backward(op, U)
    error = np.abs(x.grad.numpy() - exact_delta(logits, target, float(options["weight"]), float(options["pos_weight"])))
    assert (error <= allowed).all()
    exact = exact_value(logits, target, float(options["weight"]), float(options["pos_weight"]))
    assert abs(value.item() - exact) <= of_torch(op, U)["value"] + loss_rule(op.kind, arguments).forward(op, U)


def test_it_is_small_beside_what_a_mistake_would_do() -> None:
    z = np.linspace(-6, 6, 25)[None]
    op = LossOperation("BCEWithLogitsLoss", z, np.ones_like(z), 0.0, {"reduction": "sum"})
    assert np.max(of_torch(op, U)["gradient"]) < 20 * U
    assert of_torch(op, U)["value"] < 20 * U * np.abs(z).sum()
    other = of_torch(LossOperation("BCELoss", z, np.ones_like(z), 0.0, {}), U)
    assert (other["value"], other["gradient"]) == (0.0, 0.0)


SURE = Experiment(
    "sure", (Layer("Linear", arguments={"in_features": 784, "out_features": 10}),),
    loss=Loss("BCEWithLogitsLoss", {"reduction": "batchmean"}), initial=Initial("given"),
    training=Training(steps=20, batch_size=10, audit_every=1, mode="lockstep"),
)  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_sure_and_right_answers_are_no_false_alarm(seed: int, small: Dataset) -> None:
    rng = stream(seed, "sure")
    initial = {"linear1.weight": rng.normal(0, 1, (10, 784)), "linear1.bias": rng.normal(0, 1, 10)}
    surest = []
    for step in Loop(SURE, small, initial=initial):
        assert step.finding is None
        surest.append(step.manual["linear1.output"][np.arange(10), step.manual["target"]].max())
    assert len(surest) == 20
    assert max(surest) > 5  # some were sure and right


def test_where_all_answers_are_sure_the_whole_step_is_none_either(small: Dataset) -> None:
    fives = small.train_labels == 5
    chosen = replace(small, train_images=small.train_images[fives], train_labels=small.train_labels[fives])
    bias = np.where(np.arange(10) == 5, 20.0, -20.0)
    initial = {"linear1.weight": np.zeros((10, 784)), "linear1.bias": bias}
    (step,) = Loop(SURE.changed("training", steps=1), chosen, initial=initial)
    assert step.errors["linear1.output.grad"] > 1e6  # in u: a mistake would not be larger
    assert step.finding is None
