"""Held against the hand-derived network: right code agrees, on all shards and in all modes; mistakes of either side are
found where they are.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import reference
from compare.agreement.verdict import Verdict
from compare.diagnosis.plant import find_mistake
from compare.experiment.datasets import Dataset
from compare.experiment.description import Data, Experiment, Initial, Layer, Loss, Optimizer, Training
from compare.experiment.files import changes_of, read_experiment
from compare.lockstep.loop import Loop, Step
from compare.lockstep.run import run_loop
from tests.distributed import faults

both = pytest.mark.parametrize("ranks", [2, 3], indirect=True)
dtypes = pytest.mark.parametrize("dtype", ["float64", "float32"])


def article(**options: Any) -> Experiment:
    return read_experiment("article", changes_of(**{"steps": 3, "mode": "lockstep", "batch_size": 7} | options))


def walk(experiment: Experiment, dataset: Dataset, plant: str = "") -> list[Step]:
    with np.errstate(all="ignore"):
        return list(Loop(experiment, dataset, mistake=find_mistake(plant) if plant else None))


def first(dataset: Dataset, examples: int) -> Dataset:
    return replace(dataset, train_images=dataset.train_images[:examples], train_labels=dataset.train_labels[:examples])


def layer(kind: str, **arguments: Any) -> Layer:
    return Layer(kind, arguments=arguments)


@both
@dtypes
@pytest.mark.parametrize("batch_size", [6, 7])
def test_right_code_agrees(batch_size: int, dtype: str, ranks: int, small: Dataset) -> None:
    steps = walk(article(dtype=dtype, batch_size=batch_size, world_size=ranks), small)
    assert len(steps) == 3
    for step in steps:
        assert step.finding is None
        assert step.checks
        assert 0 < max(step.errors.values()) < 64


@both
def test_short_last_batches_agree_even_where_a_rank_has_no_row(ranks: int, small: Dataset) -> None:
    steps = walk(article(steps=None, epochs=2, world_size=ranks), first(small, 15))
    assert [len(step.manual["input"]) for step in steps] == [7, 7, 1] * 2
    assert all(step.finding is None for step in steps)


SEQUENCES = {
    "tokens": (
        Data(form="tokens", side=4),
        [
            layer("Embedding", num_embeddings=18, embedding_dim=4), layer("Positions", length=16, features=4),
            Layer("Residual", arguments={"layers": (
                {"kind": "LayerNorm", "normalized_shape": 4},
                {"kind": "MultiheadAttention", "embed_dim": 4, "num_heads": 2, "batch_first": True, "is_causal": True},
                {"kind": "Dropout", "p": 0.2},
            )}),
            layer("Flatten", start_dim=0, end_dim=1), layer("Dropout", p=0.2),
            layer("Linear", in_features=4, out_features=18),
        ],
    ),
    "rows": (
        Data(form="rows"),
        [
            layer("LSTM", input_size=28, hidden_size=3, batch_first=True), layer("Flatten"),
            layer("Linear", in_features=84, out_features=10),
        ],
    ),
    "image": (
        Data(form="image"),
        [
            layer("Conv2d", in_channels=1, out_channels=4, kernel_size=5, stride=3), layer("GroupNorm", num_groups=2,
            num_channels=4), layer("ReLU"), layer("MaxPool2d", kernel_size=2), layer("Flatten"),
            layer("Linear", in_features=64, out_features=10),
        ],
    ),
}  # fmt: skip


def sequence(form: str, dtype: Any, ranks: int, batch_size: int = 5) -> Experiment:
    """Return an experiment with layers of this form of data, which they take one example at a time."""
    data, layers = SEQUENCES[form]
    return Experiment(
        "short", tuple(layers), loss=Loss("CrossEntropyLoss", {"label_smoothing": 0.1}), data=data,
        optimizer=Optimizer("Adam", lr=0.01, arguments={"max_norm": 0.1}), initial=Initial("xavier_uniform", "zeros"),
        training=Training(
            steps=3, batch_size=batch_size, mode="lockstep", audit_every=1, world_size=ranks, dtype=dtype
        ),
    )  # fmt: skip


@both
@dtypes
@pytest.mark.parametrize("form", SEQUENCES)
def test_layers_that_work_on_each_example_agree(form: str, dtype: Any, ranks: int, small: Dataset) -> None:
    steps = walk(sequence(form, dtype, ranks, batch_size=4), first(small, 5))  # batches of 4 and of 1
    assert len(steps) == 3
    assert all(step.finding is None and step.checks for step in steps)


def test_both_modes_are_trained_by_one_group(two: Any, small: Dataset) -> None:
    loop = Loop(article(mode="both", world_size=2), small)
    assert loop.free is not None
    networks = [side.network for side in (loop.reference, loop.free)]
    assert all(isinstance(network, reference.DistributedNetwork) for network in networks)
    assert {id(network.group) for network in networks} == {id(two)}
    steps = list(loop)
    assert all(step.finding is None and step.drift is not None and step.drift.parameters < 1e-13 for step in steps)
    assert any(step.drift.parameters > 0 for step in steps if step.drift)


def test_trained_alone_it_comes_to_the_same_weights_and_scores(two: Any, small: Dataset) -> None:
    outcomes, weights = [], []
    for ranks in (1, 2):
        experiment = article(steps=30, mode="independent", world_size=ranks)
        loop = Loop(experiment, small)
        outcomes.append(run_loop(experiment, small, loop))
        weights.append({n: w.detach().numpy().copy() for n, w in loop.trained_reference.network.weights.items()})
    assert [outcome.exit_status for outcome in outcomes] == [0, 0]
    for name, weight in weights[0].items():
        np.testing.assert_allclose(weights[1][name], weight, rtol=1e-11, atol=1e-13)
        assert not np.array_equal(weights[1][name], weight) or name.endswith("bias")  # another order of summation
    assert outcomes[0].metrics is not None
    assert outcomes[1].metrics is not None
    assert outcomes[1].metrics.accuracy_reference == outcomes[0].metrics.accuracy_reference


# ---------------------------------------------------------------------- mistakes of the manual side


@pytest.mark.parametrize(
    "mistake",
    [
        "labels-shifted-by-one", "bias-forgotten", "weight-gradient-averaged", "last-example-only",
        "reference-shares-memory", "gradient-not-zeroed",
    ],
)  # fmt: skip
def test_a_planted_mistake_is_found_and_named_as_with_one_process(mistake: str, two: Any, small: Dataset) -> None:
    one, several = (walk(article(world_size=ranks), small, mistake)[-1].finding for ranks in (1, 2))
    assert one is not None
    assert several is not None
    assert (several.verdict, several.step, several.tensor, several.operation, several.named) == (
        Verdict.DIVERGES, one.step, one.tensor, one.operation, one.named,
    )  # fmt: skip
    assert [suspect["name"] for suspect in several.suspects] == [suspect["name"] for suspect in one.suspects]
    assert mistake in (several.named, *(suspect["name"] for suspect in several.suspects))


# ---------------------------------------------------------------------- mistakes of the distributed side


@both
@dtypes
@pytest.mark.parametrize("fault", [faults.MeanOfMeans, faults.WithoutTheFactor, faults.LastIsForgotten])
def test_a_broken_average_is_found(
    fault: Any, dtype: str, ranks: int, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "ShardLoss", fault)
    found = walk(article(dtype=dtype, world_size=ranks), small)[-1].finding
    assert found is not None
    assert (found.verdict, found.step, found.stage) == (Verdict.DIVERGES, 1, "backward")
    assert found.tensor == "sigmoid2.output.grad"
    assert "between the operations" in found.reason


def test_the_mean_of_means_is_right_for_equal_shards_alone(
    two: Any, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "ShardLoss", faults.MeanOfMeans)
    assert walk(article(batch_size=6, world_size=2), small)[-1].finding is None


@pytest.mark.parametrize("ranks", [3], indirect=True)
def test_an_average_by_another_weighting_is_found_where_only_the_parameters_have_it(
    ranks: int, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference.DistributedNetwork, "backward", averaged_wrongly)
    found = walk(article(world_size=ranks), small)[-1].finding
    assert found is not None
    assert (found.verdict, found.step, found.tensor) == (Verdict.DIVERGES, 1, "linear2.weight.grad")


def averaged_wrongly(network: Any) -> None:
    answers = network.tell("backward")
    outputs = [np.concatenate(own) for own in zip(*(answer["outputs"] for answer in answers), strict=True)]
    for output, gradient in zip(network.outputs, outputs, strict=True):
        output.grad = torch.from_numpy(gradient)
    for name, weight in network.weights.items():
        weight.grad = torch.from_numpy(answers[0]["gradients"][name] * (1 + 1e-6))
