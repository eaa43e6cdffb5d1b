"""Every loss of the reference is torch.nn's own, in every reduction; weights from plain lists; labels of any type."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import reference

N, K = 5, 3
REDUCTIONS = ("none", "sum", "mean", "batchmean")
WEIGHT = [0.3, 2.0, 1.1]

# The functional form, what of the arguments are weights, and the target.
LOSSES: dict[str, tuple[Any, Mapping[str, Any], str]] = {
    "MSELoss": (F.mse_loss, {}, "like"),
    "L1Loss": (F.l1_loss, {}, "like"),
    "SmoothL1Loss": (F.smooth_l1_loss, {"beta": 0.4}, "like"),
    "HuberLoss": (F.huber_loss, {"delta": 0.4}, "like"),
    "BCELoss": (F.binary_cross_entropy, {"weight": WEIGHT}, "like"),
    "BCEWithLogitsLoss": (
        F.binary_cross_entropy_with_logits,
        {"weight": WEIGHT, "pos_weight": [1.0, 2.0, 0.7]},
        "like",
    ),
    "KLDivLoss": (F.kl_div, {"log_target": True}, "like"),
    "NLLLoss": (F.nll_loss, {"weight": WEIGHT, "ignore_index": 1}, "labels"),
    "CrossEntropyLoss": (F.cross_entropy, {"weight": WEIGHT, "ignore_index": 1, "label_smoothing": 0.3}, "labels"),
    "MultiMarginLoss": (F.multi_margin_loss, {"p": 2, "margin": 0.7, "weight": WEIGHT}, "labels"),
}
each_loss = pytest.mark.parametrize("kind", LOSSES)


def prediction(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand((N, K), generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def target_of(how: str, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    if how == "labels":
        return torch.tensor([2, 0, 1, 2, 0])
    return torch.rand((N, K), generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)


def by_function(kind: str, arguments: Mapping[str, Any], a: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    own = {k: torch.tensor(v, dtype=a.dtype) if isinstance(v, list) else v for k, v in arguments.items()}
    batchmean = own.get("reduction") == "batchmean"
    if batchmean:
        own["reduction"] = "sum"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = LOSSES[kind][0](a, t, **own)
    return value / len(a) if batchmean else value


@each_loss
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loss_is_torchs_function_and_follows_the_dtype(kind: str, reduction: str, dtype: torch.dtype) -> None:
    arguments = {**LOSSES[kind][1], "reduction": reduction}
    a, t = prediction(dtype), target_of(LOSSES[kind][2], dtype)
    value = reference.build_loss(kind, arguments)(a, t)
    expected = by_function(kind, arguments, a, t)
    assert value.dtype == dtype
    torch.testing.assert_close(value, expected, rtol=1e-6 if dtype == torch.float32 else 1e-14, atol=0)
    assert value.shape == ((N, K) if reduction == "none" and LOSSES[kind][2] == "like" else expected.shape)


@each_loss
def test_the_default_reduction_is_torchs(kind: str) -> None:
    a, t = prediction(), target_of(LOSSES[kind][2])
    expected = by_function(kind, LOSSES[kind][1], a, t)
    torch.testing.assert_close(reference.build_loss(kind, dict(LOSSES[kind][1]))(a, t), expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [kind for kind, (_, arguments, _) in LOSSES.items() if "weight" in arguments])
def test_weights_are_not_rounded_for_good(kind: str) -> None:
    """A float32 prediction in between leaves the weights of the next float64 one exact; lists and arrays are alike."""
    a, t = prediction(), target_of(LOSSES[kind][2])
    as_arrays = {k: np.array(v) if isinstance(v, list) else v for k, v in LOSSES[kind][1].items()}
    loss, other = reference.build_loss(kind, dict(LOSSES[kind][1])), reference.build_loss(kind, as_arrays)
    first = loss(a, t).item()
    loss(a.float(), t if t.dtype == torch.int64 else t.float())
    assert loss(a, t).item() == first == other(a, t).item()
    as_arrays["weight"][:] = 7.0
    assert other(a, t).item() == first, "the loss holds the caller's memory"


@pytest.mark.parametrize("kind", [kind for kind, (_, _, how) in LOSSES.items() if how == "like"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_labels_become_one_hot_rows(kind: str, dtype: torch.dtype) -> None:
    a, labels = prediction(), target_of("labels").to(dtype)
    loss = reference.build_loss(kind, dict(LOSSES[kind][1]))
    rows = F.one_hot(labels.long(), K)
    assert loss(a, labels).item() == loss(a, rows).item() == loss(a, rows.double()).item()


@pytest.mark.parametrize("kind", ["NLLLoss", "CrossEntropyLoss", "MultiMarginLoss"])
@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8])
def test_labels_of_any_integer_type_are_taken(kind: str, dtype: torch.dtype) -> None:
    a, labels = prediction(), target_of("labels")
    loss = reference.build_loss(kind, dict(LOSSES[kind][1]))
    assert loss(a, labels.to(dtype)).item() == loss(a, labels).item()


def test_a_single_example_is_a_batch_of_one() -> None:
    a = prediction()
    for kind in ("NLLLoss", "CrossEntropyLoss", "MultiMarginLoss"):
        loss = reference.build_loss(kind, {"reduction": "batchmean"})
        torch.testing.assert_close(loss(a[0], torch.tensor(2)), loss(a[:1], torch.tensor([2])), rtol=1e-14, atol=0)


@pytest.mark.parametrize("shape", [(N, K, 2), (N, K, 2, 4)])
def test_the_batch_mean_divides_by_the_examples_alone(shape: tuple[int, ...]) -> None:
    z = torch.rand(shape, dtype=torch.float64)
    labels = torch.randint(0, K, (N, *shape[2:]))
    expected = F.cross_entropy(z, labels, reduction="sum") / N
    assert reference.build_loss("CrossEntropyLoss", {"reduction": "batchmean"})(z, labels).item() == expected.item()


def test_every_term_of_the_squared_error() -> None:
    a, t = prediction(), target_of("like")
    value = reference.build_loss("SquaredError", {"reduction": "none", "factor": 1.7})(a, t)
    torch.testing.assert_close(value, 1.7 * (a - t) ** 2, rtol=1e-15, atol=0)


def test_the_mean_of_the_divergence_comes_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reference.build_loss("KLDivLoss", {})(prediction(), target_of("like"))


def test_a_probability_target_of_the_cross_entropy_may_be_whole_numbers() -> None:
    a, rows = prediction(), F.one_hot(target_of("labels"), K)
    loss = reference.build_loss("CrossEntropyLoss", {})
    assert loss(a, rows).item() == pytest.approx(loss(a, target_of("labels")).item(), rel=1e-14)
