"""Every loss in every option against autograd, extended precision, the complex step, hand work, and its chain form."""

import doctest
import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from manual.activations import Sigmoid
from manual.likelihoods import BCEWithLogitsLoss, KLDivLoss
from manual.losses import REDUCTIONS, BCELoss, CrossEntropyLoss, MSELoss, NLLLoss, SquaredError
from manual.piecewise import HuberLoss, L1Loss, MultiMarginLoss, SmoothL1Loss
from manual.softmax import LogSoftmax
from tests.catalogue.cases.case import Case
from tests.catalogue.cases.losses import CASES
from tests.manual.test_derivation import MANUAL, all_tags, cited

Array = np.ndarray[Any, Any]

LOSSES: dict[str, Any] = {
    loss.__name__: loss
    for loss in (
        SquaredError, MSELoss, CrossEntropyLoss, NLLLoss, BCELoss, BCEWithLogitsLoss, HuberLoss, SmoothL1Loss, L1Loss,
        KLDivLoss, MultiMarginLoss,
    )
}  # fmt: skip
OF_LABELS = ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss")
CLOSE: Any = {"rtol": 1e-10, "atol": 1e-13}
UNREDUCED = [c for c in CASES if "reduction" not in c.arguments]
SIZES = {"batch": 5, "n": 3, "m": 4}
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def inputs(case: Case, seed: int = 0, dtype: Any = np.float64, n: int = 5) -> tuple[Array, Array]:
    """Return a prediction and a target of the kind that the case names; one label is to be ignored, if it has that."""
    rng = np.random.default_rng(seed)
    shape = tuple({**SIZES, "batch": n}.get(size, 1) if isinstance(size, str) else size for size in case.shape)
    axis = min(1, len(shape) - 1)
    prediction = rng.normal(size=shape) if case.between is None else rng.uniform(*case.between, shape)
    match case.target:
        case "labels":
            target = rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :])
            if "ignore_index" in case.arguments and target.size > 1:
                target.ravel()[0] = case.arguments["ignore_index"]
            return prediction.astype(dtype), target
        case "probabilities":
            target = np.exp(rng.normal(size=shape))
            target /= target.sum(axis=axis, keepdims=True)
        case _:
            target = rng.normal(size=shape) if case.between is None else rng.uniform(*case.between, shape)
    return prediction.astype(dtype), target.astype(dtype)


def in_torch(
    kind: str, arguments: Mapping[str, Any], prediction: Array, target: Array, above: Any = None
) -> tuple[Array, Array]:
    """Return torch.nn's loss and its gradient, written without the project's own reference."""
    own = {k: torch.tensor(v, dtype=torch.float64) if "weight" in k else v for k, v in arguments.items()}
    reduction, factor = own.pop("reduction", None), 1.0
    by = 1
    if kind == "SquaredError":
        kind, factor, reduction = "MSELoss", own.pop("factor", 0.5), reduction or "batchmean"
    if reduction == "batchmean":
        reduction, by = "sum", 1 if kind in OF_LABELS and prediction.ndim == 1 else len(prediction)
    loss = getattr(torch.nn, kind)(**own | ({"reduction": reduction} if reduction else {}))
    leaf, given = torch.tensor(prediction, requires_grad=True), torch.tensor(target)
    if target.dtype.kind == "i" and kind not in OF_LABELS:
        given = torch.nn.functional.one_hot(given, prediction.shape[1]).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that KLDivLoss's mean is not the divergence
        value = factor * loss(leaf, given) / by
    value.backward(torch.ones_like(value) if above is None else torch.tensor(above))
    assert leaf.grad is not None
    return value.detach().numpy(), leaf.grad.numpy()


# ------------------------------------------------------------------------------------------------------- against torch


@pytest.mark.parametrize("n", [1, 2, 7])
@each_case
def test_a_loss_and_its_gradient_are_autograds(case: Case, n: int) -> None:
    for seed in range(3):
        prediction, target = inputs(case, seed, n=n)
        if n == 1 and "ignore_index" in case.arguments:
            target = np.where(target == case.arguments["ignore_index"], 0, target)  # else the mean of nothing
        expected, slope = in_torch(case.kind, case.arguments, prediction, target)
        loss = LOSSES[case.kind](**case.arguments)
        value = loss.forward(prediction, target)
        assert np.shape(value) == expected.shape
        np.testing.assert_allclose(value, expected, **CLOSE)
        np.testing.assert_allclose(loss.backward(), slope, **CLOSE)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", UNREDUCED, ids=str)
def test_every_reduction_with_a_gradient_from_above(case: Case, reduction: str) -> None:
    prediction, target = inputs(case, 4)
    arguments = {**case.arguments, "reduction": reduction}
    loss = LOSSES[case.kind](**arguments)
    value = loss.forward(prediction, target)
    above = np.random.default_rng(5).normal(size=np.shape(value))  # of both signs where it is an array
    expected, slope = in_torch(case.kind, arguments, prediction, target, above)
    np.testing.assert_allclose(value, expected, **CLOSE)
    found = loss.backward(above)
    np.testing.assert_allclose(found, slope, **CLOSE)
    np.testing.assert_array_equal(loss.backward(0 * above), np.zeros_like(found))
    np.testing.assert_array_equal(loss.backward(2 * above), 2 * found)
    np.testing.assert_array_equal(loss.backward(np.ones_like(above)), loss.backward())


@each_case
def test_the_arguments_are_torchs_in_torchs_order(case: Case) -> None:
    if case.kind == "SquaredError":
        return
    theirs = [
        (p.name, p.default)
        for p in list(inspect.signature(getattr(torch.nn, case.kind).__init__).parameters.values())[1:]
        if p.name not in ("size_average", "reduce")
    ]
    ours = [(p.name, p.default) for p in inspect.signature(LOSSES[case.kind]).parameters.values()]
    assert ours == theirs


# -------------------------------------------------------------------------------------------- witnesses without torch


@each_case
def test_a_gradient_is_the_difference_quotient_in_extended_precision(case: Case) -> None:
    if case.arguments.get("reduction") == "none":
        return
    prediction, target = inputs(case, 6, np.longdouble)
    loss = LOSSES[case.kind](**case.arguments)
    assert loss.forward(prediction, target).dtype == np.longdouble
    gradient, h = loss.backward(), np.longdouble(1e-6)
    assert gradient.dtype == np.longdouble
    for index in list(np.ndindex(prediction.shape))[:9]:
        above, below = prediction.copy(), prediction.copy()
        above[index] += h
        below[index] -= h
        quotient = (loss.forward(above, target) - loss.forward(below, target)) / (2 * h)
        np.testing.assert_allclose(gradient[index], quotient, rtol=1e-9, atol=1e-11)


@each_case
def test_the_complex_step_passes(case: Case) -> None:
    if case.arguments.get("reduction") == "none":
        return
    prediction, target = inputs(case, 7)
    loss = LOSSES[case.kind](**case.arguments)
    loss.forward(prediction, target)
    gradient = loss.backward()
    for index in list(np.ndindex(prediction.shape))[:9]:
        moved = prediction.astype(complex)
        moved[index] += 1e-30j
        np.testing.assert_allclose(loss.forward(moved, target).imag / 1e-30, gradient[index], rtol=1e-11, atol=1e-14)


@each_case
def test_the_dtype_is_the_predictions_and_nothing_is_modified(case: Case) -> None:
    wide, narrow = LOSSES[case.kind](**case.arguments), LOSSES[case.kind](**case.arguments)
    prediction, target = inputs(case, 8)
    low, low_target = inputs(case, 8, np.float32)
    low.flags.writeable = low_target.flags.writeable = False
    value, expected = narrow.forward(low, low_target), wide.forward(prediction, target)
    above = np.ones(np.shape(value), np.float32)
    gradient = narrow.backward(above)
    assert value.dtype == gradient.dtype == np.float32
    np.testing.assert_array_equal(narrow.backward(above), gradient)
    np.testing.assert_allclose(value, expected, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(gradient, wide.backward(), rtol=2e-5, atol=2e-6)
    assert not np.shares_memory(gradient, low)
    assert not np.shares_memory(gradient, low_target)


@each_case
def test_the_memory_order_does_not_matter(case: Case) -> None:
    prediction, target = inputs(case, 9)
    loss = LOSSES[case.kind](**case.arguments)
    value = loss.forward(np.array(prediction, order="F"), np.array(target, order="F"))
    gradient = loss.backward()
    np.testing.assert_allclose(value, loss.forward(prediction, target), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(gradient, loss.backward(), rtol=1e-13, atol=1e-15)


# --------------------------------------------------------------------------------------------------- chain and fused


@pytest.mark.parametrize("weight", [None, [0.5, 2.0, 1.25]])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_log_softmax_and_nll_are_cross_entropy(reduction: Any, weight: Any) -> None:
    rng = np.random.default_rng(10)
    for shape in ((3,), (6, 3), (2, 3, 4)):
        z = 3 * rng.normal(size=shape)
        axis = min(1, len(shape) - 1)
        labels = rng.integers(0, 3, shape[:axis] + shape[axis + 1 :])
        if labels.size > 1:
            labels.ravel()[1] = -100
        layer, chain, fused = (
            LogSoftmax(axis),
            NLLLoss(weight, -100, reduction),
            CrossEntropyLoss(weight, -100, reduction),
        )
        np.testing.assert_allclose(chain.forward(layer.forward(z), labels), fused.forward(z, labels), rtol=1e-12)
        np.testing.assert_allclose(layer.backward(chain.backward()), fused.backward(), **CLOSE)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_smoothed_cross_entropy_is_that_of_the_smoothed_rows_and_a_divergence(reduction: Any) -> None:
    rng = np.random.default_rng(11)
    z, labels = rng.normal(size=(5, 3)), rng.integers(0, 3, 5)
    rows = np.where(np.eye(3)[labels] == 1, 0.7 + 0.1, 0.1)
    smoothed, soft = CrossEntropyLoss(label_smoothing=0.3, reduction=reduction), CrossEntropyLoss(reduction=reduction)
    np.testing.assert_allclose(smoothed.forward(z, labels), soft.forward(z, rows), rtol=1e-13)
    np.testing.assert_allclose(smoothed.backward(), soft.backward(), rtol=1e-12, atol=1e-15)
    # LogSoftmax and KLDivLoss in a chain: the same but for the target's own entropy; "batchmean" is the other's mean
    layer, divergence = LogSoftmax(1), KLDivLoss("batchmean" if reduction == "mean" else "sum")
    by = 5 if reduction == "mean" else 1
    value = divergence.forward(layer.forward(z), rows) - (rows * np.log(rows)).sum() / by
    np.testing.assert_allclose(value, soft.forward(z, rows), rtol=1e-12)
    np.testing.assert_allclose(layer.backward(divergence.backward()), soft.backward(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("weight", [None, [[0.5], [2.0], [1.0], [0.25]], [0.5, 2.0, 1.25]])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_sigmoid_and_bce_are_bce_with_logits(reduction: Any, weight: Any) -> None:
    rng = np.random.default_rng(12)
    z, t = 2 * rng.normal(size=(4, 3)), rng.uniform(size=(4, 3))
    layer, chain, fused = Sigmoid(), BCELoss(weight, reduction), BCEWithLogitsLoss(weight, reduction)
    np.testing.assert_allclose(chain.forward(layer.forward(z), t), fused.forward(z, t), rtol=1e-12)
    np.testing.assert_allclose(layer.backward(chain.backward()), fused.backward(), **CLOSE)


def test_smooth_l1_is_huber_over_beta_and_without_beta_the_distance() -> None:
    rng = np.random.default_rng(13)
    a, t = rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
    smooth, huber = SmoothL1Loss(beta=0.7), HuberLoss(delta=0.7)
    assert smooth.forward(a, t) == pytest.approx(huber.forward(a, t) / 0.7, rel=1e-14)
    np.testing.assert_allclose(smooth.backward(), huber.backward() / 0.7, rtol=1e-14)
    sharp, distance = SmoothL1Loss(beta=0), L1Loss()
    assert sharp.forward(a, t) == distance.forward(a, t)
    np.testing.assert_array_equal(sharp.backward(), distance.backward())


# ----------------------------------------------------------------------------------------- by hand, edges, large values


def test_kinks_are_decided_as_in_torch() -> None:
    for kind, arguments in [
        ("L1Loss", {}), ("HuberLoss", {"delta": 0.5}), ("SmoothL1Loss", {"beta": 0.5}), ("SmoothL1Loss", {"beta": 0.0}),
    ]:  # fmt: skip
        a, t = np.array([[0.5, -0.5, 0.0, 1.0, -1.0, -0.0, np.nextafter(0.5, 1)]]), np.zeros((1, 7))
        expected, slope = in_torch(kind, arguments | {"reduction": "sum"}, a, t)
        loss = LOSSES[kind](**arguments, reduction="sum")
        assert loss.forward(a, t) == pytest.approx(float(expected), rel=1e-15)
        np.testing.assert_array_equal(loss.backward(), slope)
    for p in (1, 2):  # the second score at the margin exactly, the third a tie with the right one
        x, label = np.array([[2.0, 1.0, 2.0, 1.5], [0.5, 0.5, 0.5, 0.5]]), np.array([0, 3])
        expected, slope = in_torch("MultiMarginLoss", {"p": p}, x, label)
        loss = MultiMarginLoss(p)
        assert loss.forward(x, label) == float(expected)
        np.testing.assert_array_equal(loss.backward(), slope)


def test_the_piecewise_losses_by_hand() -> None:
    d, t = np.array([[0.25, -0.5, 3.0, -4.0]]), np.zeros((1, 4))
    for loss, terms, slopes in [
        (L1Loss("none"), [0.25, 0.5, 3, 4], [1, -1, 1, -1]),
        (HuberLoss("none", 2.0), [0.03125, 0.125, 4, 6], [0.25, -0.5, 2, -2]),  # 2 (3 - 1), 2 (4 - 1)
        (SmoothL1Loss("none", 2.0), [0.015625, 0.0625, 2, 3], [0.125, -0.25, 1, -1]),
    ]:
        np.testing.assert_array_equal(loss.forward(d, t), [terms])
        np.testing.assert_array_equal(loss.backward(), [slopes])
    # label 1: m = 1 - 2 + (0.5, ., 3, 1.25) = (-0.5, ., 2, 0.25); K = 4
    x, label = np.array([[0.5, 2.0, 3.0, 1.25]]), np.array([1])
    hinge, square = MultiMarginLoss(), MultiMarginLoss(2, weight=[1, 3, 1, 1])
    assert hinge.forward(x, label) == 2.25 / 4
    np.testing.assert_array_equal(hinge.backward(), [[0, -0.5, 0.25, 0.25]])
    assert square.forward(x, label) == 3 * 4.0625 / 4
    np.testing.assert_array_equal(square.backward(), [[0, -3.375, 3, 0.375]])  # 3/4 * 2 * (2, 0.25)


def test_weights_smoothing_and_ignored_labels_by_hand() -> None:
    y = np.log(np.array([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75], [0.5, 0.25, 0.25]]))
    labels, weight = np.array([0, 1, -100]), [1.0, 3.0, 5.0]
    nll = NLLLoss(weight)
    assert nll.forward(y, labels) == pytest.approx((np.log(2) + 3 * np.log(8)) / 4, rel=1e-15)
    np.testing.assert_array_equal(nll.backward(), [[-0.25, 0, 0], [0, -0.75, 0], [0, 0, 0]])
    batch = NLLLoss(weight, reduction="batchmean")
    assert batch.forward(y, labels) == pytest.approx((np.log(2) + 3 * np.log(8)) / 3, rel=1e-15)
    cross = CrossEntropyLoss(weight)  # of log-probabilities: they are logits of themselves
    assert cross.forward(y, labels) == pytest.approx((np.log(2) + 3 * np.log(8)) / 4, rel=1e-14)
    smooth = CrossEntropyLoss(label_smoothing=0.75)  # a quarter for the label, and a quarter for everyone
    expected = (0.5 * np.log(2) + 0.25 * 2 * np.log(4) + (0.25 + 0.5) * np.log(8) - 0.25 * np.log(0.75)) / 2
    assert smooth.forward(y, labels) == pytest.approx(expected, rel=1e-14)


LARGE = np.array([[800.0, -800.0, 0.0], [-1e4, 1e4, 1e300]])


@pytest.mark.parametrize(
    ("kind", "arguments", "target"),
    [
        ("BCEWithLogitsLoss", {}, np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])),
        ("BCEWithLogitsLoss", {"pos_weight": [2.0, 0.5, 3.0]}, np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 1.0]])),
        ("HuberLoss", {"delta": 3.0}, np.zeros((2, 3))),
        ("SmoothL1Loss", {"beta": 1e-300}, np.zeros((2, 3))),
        ("L1Loss", {}, np.zeros((2, 3))),
        ("CrossEntropyLoss", {"label_smoothing": 0.1}, np.array([1, 0])),
        ("MultiMarginLoss", {}, np.array([1, 0])),
    ],
)
def test_large_values_give_what_torch_gives(kind: str, arguments: Any, target: Array) -> None:
    expected, slope = in_torch(kind, arguments, LARGE, target)
    loss = LOSSES[kind](**arguments)
    assert np.isfinite(expected)
    np.testing.assert_allclose(loss.forward(LARGE, target), expected, rtol=1e-14)
    np.testing.assert_allclose(loss.backward(), slope, rtol=1e-14)


def test_what_a_sure_right_answer_costs_keeps_its_digits() -> None:
    """log(1 + e^-40) is e^-40, which max(z, 0) - z t + log(1 + e^-z) would lose among numbers near 40."""
    loss = BCEWithLogitsLoss(reduction="none")
    np.testing.assert_allclose(
        loss.forward(np.array([[40.0, -40.0]]), np.array([[1.0, 0.0]])), np.exp(-40.0), rtol=1e-15
    )
    np.testing.assert_allclose(loss.backward(), [[-np.exp(-40.0), np.exp(-40.0)]], rtol=1e-15)


def test_a_target_of_zero_costs_nothing() -> None:
    y, t = np.log(np.array([[0.25, 0.75]])), np.array([[0.0, 1.0]])
    loss = KLDivLoss("sum")
    assert loss.forward(y, t) == pytest.approx(-np.log(0.75), rel=1e-15)
    np.testing.assert_array_equal(loss.backward(), [[0, -1]])
    impossible, label = np.array([[-np.inf, 0.0, 1.0]]), np.array([2])
    cross = CrossEntropyLoss()
    expected, slope = in_torch("CrossEntropyLoss", {}, impossible, label)
    assert cross.forward(impossible, label) == pytest.approx(float(expected), rel=1e-15)
    np.testing.assert_allclose(cross.backward(), slope, rtol=1e-14)


@pytest.mark.parametrize("kind", ["NLLLoss", "CrossEntropyLoss"])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_where_every_label_is_ignored_the_mean_is_that_of_nothing(kind: str, dtype: Any) -> None:
    loss = LOSSES[kind](ignore_index=7)
    y = np.random.default_rng(14).normal(size=(4, 3))
    assert np.isnan(loss.forward(y, np.full(4, 7, dtype)))
    np.testing.assert_array_equal(loss.backward(), np.zeros((4, 3)))
    summed = LOSSES[kind](ignore_index=7, reduction="sum")
    assert summed.forward(y, np.full(4, 7, dtype)) == 0
    np.testing.assert_array_equal(summed.backward(), np.zeros((4, 3)))


@pytest.mark.parametrize("kind", ["MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss", "BCEWithLogitsLoss", "KLDivLoss"])
def test_labels_are_one_hot_rows(kind: str) -> None:
    a, labels = np.random.default_rng(15).normal(size=(4, 3)), np.array([2, 0, 1, 1])
    loss = LOSSES[kind]()
    assert (
        loss.forward(a, labels) == loss.forward(a, np.eye(3)[labels]) == loss.forward(a, np.eye(3, dtype=int)[labels])
    )


@pytest.mark.parametrize("kind", ["MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss", "BCEWithLogitsLoss"])
def test_a_single_number_is_an_input_too(kind: str) -> None:
    for reduction in REDUCTIONS:
        loss = LOSSES[kind](reduction=reduction)
        value = loss.forward(np.array(0.25), np.array(1.0))
        expected, slope = in_torch(kind, {}, np.array(0.25), np.array(1.0))
        np.testing.assert_allclose(value, expected, rtol=1e-15)
        np.testing.assert_allclose(loss.backward(), slope, rtol=1e-15)


# ----------------------------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: HuberLoss(delta=0), "delta is 0; wanted a number above 0"),
        (lambda: HuberLoss(delta=float("nan")), "delta is nan"),
        (lambda: SmoothL1Loss(beta=-0.1), "beta is -0.1; wanted 0 or a number above it"),
        (lambda: MultiMarginLoss(p=3), "p is 3; wanted 1 or 2"),
        (lambda: CrossEntropyLoss(label_smoothing=1.5), "label_smoothing is 1.5; wanted a number from 0 to 1"),
        (lambda: LOSSES["KLDivLoss"]("average"), "reduction is 'average'; wanted one of sum, mean, batchmean, none"),
        (lambda: NLLLoss([1.0, 2.0]).forward(np.zeros((4, 3)), np.zeros(4, int)), r"weight has shape \(2,\); wanted"),
        (lambda: BCELoss([1, 2]).forward(np.full((4, 3), 0.5), np.zeros((4, 3))), r"weight has shape \(2,\); wanted"),
        (
            lambda: BCEWithLogitsLoss(pos_weight=np.ones((2, 4, 3))).forward(np.zeros((4, 3)), np.zeros((4, 3))),
            r"pos_weight has shape \(2, 4, 3\); wanted \(4, 3\)",
        ),
        (lambda: MultiMarginLoss().forward(np.zeros((4, 3, 2)), np.zeros((4, 2), int)), r"shape \(4, 3, 2\); wanted"),
        (lambda: CrossEntropyLoss().forward(np.zeros((4, 3)), np.array([0, -1, 0, 0])), "the label -1; wanted labels"),
        (lambda: NLLLoss().forward(np.zeros((4, 3, 2)), np.zeros((4, 3), int)), r"\(4, 3\); wanted \(4, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("kind", ["BCELoss", "BCEWithLogitsLoss", "NLLLoss", "CrossEntropyLoss"])
def test_a_reduction_in_the_place_of_the_weights_is_refused(kind: str) -> None:
    with pytest.raises(TypeError, match=r"weight is 'sum'; wanted numbers\. A reduction goes by its name"):
        LOSSES[kind]("sum")


@each_case
def test_a_gradient_from_above_is_never_broadcast(case: Case) -> None:
    if len(case.shape) < 2:
        return
    prediction, target = inputs(case, 16)
    loss = LOSSES[case.kind](**case.arguments)
    loss.forward(prediction, target)
    for shape in ((1,), (1, 3), (5, 1, 1)):
        with pytest.raises(ValueError, match="grad_output has shape"):
            loss.backward(np.ones(shape))


def test_a_loss_shows_what_is_not_the_default() -> None:
    assert repr(CrossEntropyLoss()) == "CrossEntropyLoss(reduction='mean')"
    shown = repr(CrossEntropyLoss([1.0, 2.0], reduction="sum", label_smoothing=0.1))
    assert shown == "CrossEntropyLoss(weight=[1.0, 2.0], reduction='sum', label_smoothing=0.1)"
    assert repr(HuberLoss(delta=2)) == "HuberLoss(reduction='mean', delta=2.0)"


# ------------------------------------------------------------------------------------------------------- the derivation

PAGE = MANUAL / "derivation" / "losses.md"


def test_the_page_computes_what_it_says() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False, verbose=False)
    assert found.failed == 0
    assert found.attempted > 15


def test_the_equations_are_numbered_in_order_and_each_is_cited_where_it_is_computed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    own = [int(number) for number in re.findall(r"\\tag\{(\d+)\}", page)]
    assert own == list(range(180, 198))
    known = {*own, *all_tags()}
    mentioned = {int(n) for n in re.findall(r"\((\d+)\)", re.sub(r"```python.*?```", "", page, flags=re.S))}
    assert mentioned <= known
    implemented = {
        "reductions.py": {35, 180, 181},
        "losses.py": {182, 183},
        "likelihoods.py": {184, 185, 186, 187, 188},
        "piecewise.py": {*range(189, 198)},
    }
    for name, numbers in implemented.items():
        assert numbers <= cited(Path(MANUAL / name)) <= known, name
