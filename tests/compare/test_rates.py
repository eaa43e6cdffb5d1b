"""How far two correct learning rates may differ: held to torch's recursion over a whole warm-up and cosine."""

from typing import Any

import numpy as np
import pytest

import manual
import reference
from compare.agreement.operations import MICRO
from compare.agreement.rates import rate_error
from compare.agreement.rounding.unit import gamma
from compare.experiment.description import Experiment, Layer, Optimizer, Training

BASE, WARM, WHOLE = 0.003, 12, 400
DTYPES = ("float64", "float32")
U = 2.0**-53


def schedule(warm: int = WARM, whole: int = WHOLE, start: float = 0.1, end: float = 0.0) -> dict[str, Any]:
    """A warm-up from a tenth of the rate, then half a cosine wave down to `end`."""
    return {
        "kind": "SequentialLR", "milestones": [warm], "schedules": [
            {"kind": "LinearLR", "start_factor": start, "total_iters": warm},
            {"kind": "CosineAnnealingLR", "T_max": whole - warm, "eta_min": end},
        ],
    }  # fmt: skip


def rates(description: dict[str, Any]) -> np.ndarray:
    made = manual.build_schedule(description)
    return np.array([made.lr(update, BASE) for update in range(WHOLE + 1)])


def bounds(dtype: str, wanted: np.ndarray, accumulate: int = 1) -> np.ndarray:
    optimizer = Optimizer("Adam", lr=BASE, arguments={"schedule": schedule(), "accumulate": accumulate})
    layers = (Layer("Linear", arguments={"in_features": 3, "out_features": 2}),)
    experiment = Experiment("rates", layers, optimizer=optimizer, training=Training(dtype=dtype))  # pyright: ignore[reportArgumentType]
    micros = [update * accumulate + accumulate - 1 for update in range(WHOLE + 1)]
    return np.array([rate_error(experiment, {MICRO: np.asarray(m)}, r) for m, r in zip(micros, wanted, strict=True)])


@pytest.fixture(scope="module")
def torchs() -> np.ndarray:
    return np.array([reference.rate(schedule(), BASE, update) for update in range(WHOLE + 1)])


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_two_sides_lie_within_the_bound_all_the_way(dtype: str, accumulate: int, torchs: np.ndarray) -> None:
    mine = rates(schedule())
    assert mine.max() == pytest.approx(BASE)
    assert mine[WHOLE] == pytest.approx(0, abs=1e-15)
    apart = np.abs(mine.astype(dtype).astype(float) - torchs.astype(dtype).astype(float))
    assert (apart <= bounds(dtype, torchs, accumulate)).all()
    assert np.abs(mine - torchs).max() > 0  # a closed form and a recursion: they do differ


@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_what_the_derivation_says_and_no_more(dtype: str, torchs: np.ndarray) -> None:
    """Eight roundings of the base rate for every update on either side, and one of the rate itself on either side."""
    gathered = np.array([gamma(8 * (update + 1), U) for update in range(WHOLE + 1)])
    said = 2 * gathered * BASE + 2 * {"float64": U, "float32": 2.0**-24}[dtype] * torchs
    np.testing.assert_allclose(bounds(dtype, torchs), said, rtol=1e-12)
    assert (bounds(dtype, torchs) <= 16 * (np.arange(WHOLE + 1) + 2) * U * BASE + 2.0**-23 * torchs).all()


def test_in_double_precision_it_is_used(torchs: np.ndarray) -> None:
    """A five-hundredth of it at least at some update: the roundings seldom all go the same way."""
    used = np.abs(rates(schedule()) - torchs) / bounds("float64", torchs)
    assert 0.002 < used.max() <= 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "other",
    [schedule(warm=WARM + 1), schedule(whole=WHOLE + 1), schedule(start=0.1 * (1 + 1e-6)), schedule(end=1e-8)],
    ids=str,
)
def test_another_schedule_is_beyond_it(other: dict[str, Any], dtype: str, torchs: np.ndarray) -> None:
    apart = np.abs(rates(other).astype(dtype).astype(float) - torchs.astype(dtype).astype(float))
    assert (apart > bounds(dtype, torchs)).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_too_early_or_too_late_is_beyond_it_nearly_everywhere(dtype: str, torchs: np.ndarray) -> None:
    allowed = bounds(dtype, torchs)
    apart = np.abs(np.diff(rates(schedule())))
    assert (apart > allowed[1:]).mean() > 0.99
    assert (apart > allowed[:-1]).mean() > 0.99
