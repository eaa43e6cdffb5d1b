"""Every kind of comparison accepts what it should, and refuses what it should not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare.published.comparison import as_printed, at_least, band, equal_count, own, within

DECIMALS = 5
PRINTED = st.integers(-(10**7), 10**7)  # a print with five decimals, in units of the last one


@given(PRINTED, st.floats(-0.49, 0.49))
def test_a_figure_that_rounds_to_the_print_is_met(units: int, rest: float) -> None:
    assert as_printed("x", units / 1e5, (units + rest) / 1e5, DECIMALS).met


@given(PRINTED, st.integers(1, 9), st.integers(0, DECIMALS - 1))
def test_a_figure_with_another_digit_is_not_met(units: int, change: int, place: int) -> None:
    assert as_printed("x", units / 1e5, (units + change * 10**place) / 1e5, DECIMALS).met is False


def test_a_print_keeps_the_zeros_that_json_drops() -> None:
    assert as_printed("x", 0.281, 0.28100400, DECIMALS).met
    assert as_printed("x", 0.281, 0.28101, DECIMALS).met is False


@given(st.floats(-1e6, 1e6), st.floats(1e-9, 1e-2), st.floats(1e-9, 1.0), st.floats(-1, 1))
def test_within_is_the_sum_of_both_tolerances(theirs: float, relative: float, absolute: float, share: float) -> None:
    allowed = absolute + relative * abs(theirs)
    assert within("x", theirs, theirs + 0.999 * share * allowed, relative=relative, absolute=absolute).met
    assert within("x", theirs, theirs + 1.001 * allowed, relative=relative, absolute=absolute).met is False
    assert within("x", theirs, theirs - 1.001 * allowed, relative=relative, absolute=absolute).met is False


def test_within_says_how_near_and_by_whom() -> None:
    wanted = within("x", 1.0, 1.0, relative=1e-5, absolute=2e-4, of="the source's test").wanted
    assert wanted == "within 0.0002 + 1e-05 of theirs (the source's test)"


@pytest.mark.parametrize("ours", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_meets_nothing(ours: float) -> None:
    assert within("x", 1.0, ours, relative=1e-5, absolute=1e9).met is False
    assert as_printed("x", 1.0, ours, DECIMALS).met is False
    assert at_least("x", 1.0, ours, 0.5).met is (ours == math.inf)


@given(st.integers(0, 10_000), st.integers(1, 100))
def test_counts_are_equal_or_not(count: int, more: int) -> None:
    assert equal_count("x", count, count).met
    assert equal_count("x", count, count + more).met is False
    assert equal_count("x", count, count - more).met is False


def test_at_least_is_held_to_the_least_and_not_to_theirs() -> None:
    assert at_least("x", 95.42, 94.5, 94.5).met
    assert at_least("x", 95.42, 94.49, 94.5).met is False


def test_a_band_and_a_figure_of_ours_alone_are_shown_without_a_verdict() -> None:
    shown, alone = band("x", 0.0699, 0.9, (0.069, 0.071), 5), own("y", 83.2)
    assert (shown.met, alone.met) == (None, None)
    assert "0.069 to 0.071" in shown.wanted
    assert shown.difference == pytest.approx(0.8301)
    assert (alone.theirs, alone.difference) == (None, None)
