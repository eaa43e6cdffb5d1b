"""What a report is made of: steps that are thinned, formulas, pictures."""

import itertools
from typing import Any

import numpy as np
import pytest

from compare.experiment.classes import LOSSES, OPTIMIZERS
from compare.views.report.course import Course, course_of
from compare.views.report.figures import losses
from compare.views.report.formulas import LOSSES as LOSS_FORMULAS
from compare.views.report.formulas import OPTIMIZERS as OPTIMIZER_FORMULAS
from compare.views.report.formulas import loss_formula, mathml, update_formula
from compare.views.report.page import position
from compare.views.report.pictures import sheet, tiles

# ------------------------------------------------------------------------------------------------ the thinning of steps


def thinned(steps: int, tensors: int = 3, records: int = 1) -> Course:
    spike = steps // 3
    lines = (
        {
            "step": n, "epoch": 0, "loss": [9.0 if n == spike else 1 / n, 1 / n],
            "audit": {f"t{i}": 0.9 if n == spike else 0.1 for i in range(tensors)},
        }
        for n in range(1, steps + 1)
    )  # fmt: skip
    return course_of(lines, tensors, records)


def test_a_long_run_is_thinned_and_loses_no_peak() -> None:
    steps = 100_000
    course = thinned(steps)
    bins = course.losses.items
    assert 200 <= len(bins) <= 400
    assert (bins[0].first, bins[-1].last) == (1, steps)
    assert all(a.last + 1 == b.first for a, b in itertools.pairwise(bins))
    assert sum(part.count for part in bins) == steps
    assert max(part.high[0] for part in bins) == 9.0
    assert sum(part.total[0] for part in bins) == pytest.approx(
        9 + sum(1 / n for n in range(1, steps + 1) if n != steps // 3)
    )
    assert max(part.largest for part in course.audits.items) == 0.9
    assert course.worst["t0"] == (0.9, steps // 3)
    assert len(course.audits.items) * 3 <= 8000


def test_many_records_share_the_page() -> None:
    assert len(thinned(5000, records=50).losses.items) <= 60
    assert len(thinned(5000, tensors=200).audits.items) * 200 <= 8000


def test_losses_that_are_no_numbers_are_left_out_and_told() -> None:
    lines = [{"step": n, "epoch": 0, "loss": ["nan", "inf"] if n > 3 else [1.0, 1.0]} for n in range(1, 6)]
    course = course_of(lines, 3)
    figure = losses("l", course, True)
    assert figure
    assert [row["step"] for row in figure.rows] == [1, 2, 3]
    assert "From step 4 on" in figure.says


# --------------------------------------------------------------------------------------------------------- the formulas


def test_every_loss_and_optimizer_has_a_formula() -> None:
    assert set(LOSS_FORMULAS) == set(LOSSES)
    assert set(OPTIMIZER_FORMULAS) == set(OPTIMIZERS)
    for kind in LOSSES:
        for reduction in ("sum", "mean", "batchmean", "none"):
            for line in loss_formula({"kind": kind, "reduction": reduction, "weight": [1.0]}).lines:
                assert "\\" not in mathml(line)
    options = {"weight_decay": 0.1, "momentum": 0.9, "dampening": 0.1, "accumulate": 2, "max_norm": 1.0}
    for kind in OPTIMIZERS:
        for given in ({}, options, {"centered": True, "amsgrad": True, "nesterov": True, "momentum": 0.9}):
            for line in update_formula({"kind": kind, **given}).lines:
                assert "\\" not in mathml(line)


@pytest.mark.parametrize(
    ("section", "formula"),
    [
        ({"reduction": "batchmean", "factor": 0.5}, r"C = \frac{1}{2 N} \sum_{n,k} (a_{nk} - t_{nk})^2"),
        ({"reduction": "sum", "factor": 1.0}, r"C = \sum_{n,k} (a_{nk} - t_{nk})^2"),
        ({"reduction": "mean", "factor": 0.3}, r"C = \frac{0.3}{N K} \sum_{n,k} (a_{nk} - t_{nk})^2"),
        ({"reduction": "none", "factor": 1.0}, r"C_{nk} = (a_{nk} - t_{nk})^2"),
        ({"kind": "MSELoss"}, r"C = \frac{1}{N K} \sum_{n,k} (a_{nk} - t_{nk})^2"),
        ({"kind": "NLLLoss"}, r"C = - \frac{1}{N} \sum_{n} y_{n,t(n)}"),
        ({"kind": "NLLLoss", "weight": [1]}, r"C = - \frac{1}{\sum_n w_{t(n)}} \sum_{n} w_{t(n)} y_{n,t(n)}"),
        ({"kind": "CrossEntropyLoss"}, r"C = - \frac{1}{N} \sum_{n,k} t_{nk} \log p_{nk}"),
        ({"kind": "CrossEntropyLoss", "reduction": "none"}, r"C_n = - \sum_k t_{nk} \log p_{nk}"),
    ],
)
def test_the_loss_is_written_as_configured(section: dict[str, Any], formula: str) -> None:
    assert loss_formula(section).lines[0].replace("  ", " ") == formula


def test_the_update_is_written_as_configured() -> None:
    lines = update_formula({"kind": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True}).lines
    assert lines[1:] == (r"v \leftarrow \mu v + g", r"g \leftarrow g + \mu v", r"p \leftarrow p - \eta g")
    assert update_formula({"kind": "SGD"}).lines[1:] == (r"p \leftarrow p - \eta g",)
    assert r"p \leftarrow (1 - \eta \lambda) p" in update_formula({"kind": "AdamW"}).lines


# --------------------------------------------------------------------------------------------------------- the pictures


def test_weights_become_pictures_of_what_a_unit_looks_for() -> None:
    parts, _ = tiles(np.arange(3 * 784.0).reshape(3, 784), most=2)
    assert parts.shape == (2, 28, 28)
    assert parts[1, 0, 0] == 784
    assert tiles(np.zeros((6, 2, 5, 5)), 100)[0].shape == (12, 5, 5)
    assert tiles(np.zeros((18, 33)), 100)[0].shape == (1, 18, 33)
    grey = sheet(np.array([[[-2.0, 0.0], [1.0, 2.0]]]), 2.0)
    assert grey.tolist() == [[0, 128], [191, 255]]
    assert sheet(np.full((1, 1, 3), [np.nan, np.inf, -np.inf]), 1.0).tolist() == [[128, 255, 0]]


def test_a_bar_ends_at_the_bound() -> None:
    assert [position(share) for share in (0, 1e-5, 1e-2, 1, 7.0, "inf", "nan")] == [0, 0, 60, 100, 100, 100, 100]
