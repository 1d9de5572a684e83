"""How numbers read."""

import pytest

from medrival.reports.figures import count, duration, estimate, large, number, p_value, signed


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7.4, "7.4"), (999.6, "1 k"), (12_288, "12.3 k"), (999_999, "1 M"), (1.13e6, "1.13 M"), (7e15, "7000 T")],
)
def test_large_numbers_keep_three_digits(value: float, text: str) -> None:
    assert large(value) == text


def test_units_stand_behind_the_power() -> None:
    assert large(812e6, "B") == "812 MB"
    assert large(12, "B") == "12 B"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.7, "1:00"), (252.4, "4:12"), (3852, "1:04:12")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(-0.0001, "+0.000"), (0.1234, "+0.123"), (-0.2, "-0.200")])
def test_a_difference_has_a_sign_and_no_negative_zero(value: float, text: str) -> None:
    assert signed(value) == text


@pytest.mark.parametrize("missing", [None, float("nan"), float("inf")])
def test_what_is_missing_is_said_to_be(missing: float | None) -> None:
    assert {number(missing), signed(missing), p_value(missing), large(missing), duration(missing)} == {"n/a"}
    assert estimate({"value": missing, "low": missing, "high": missing}) == "n/a"


def test_small_p_values_are_bounded_not_rounded_to_zero() -> None:
    assert (p_value(0.0004), p_value(0.0312)) == ("<0.001", "0.031")


def test_counts() -> None:
    assert (count(1, "case"), count(1811, "sample")) == ("1 case", "1,811 samples")
