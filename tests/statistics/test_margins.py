"""What a difference means against a margin."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrival.statistics import (
    Difference,
    detectable_difference,
    difference,
    equivalent,
    mean_of,
    non_inferior,
    samples_needed,
    superior,
    verdict,
)

NOTHING = Difference(None, None, None, None, 0, "no samples")


def of(low, high, n=100):
    value = None if low is None else (low + high) / 2
    return Difference(value, low, high, 0.5, n)


@pytest.mark.parametrize(
    ("low", "high", "decided"),
    [
        (0.01, 0.03, "equivalent"),  # a difference that is real and too small to matter
        (-0.04, 0.04, "equivalent"),
        (0.01, 0.06, "general wins"),
        (-0.30, -0.02, "medical wins"),
        (-0.06, 0.02, "inconclusive"),
        (0.0, 0.06, "inconclusive"),
        (-0.05, 0.05, "inconclusive"),
        (None, None, "inconclusive"),
    ],
)
def test_the_verdict_asks_for_equivalence_first_and_then_for_the_sign(low, high, decided):
    assert verdict(of(low, high), margin=0.05) == decided


def test_each_question_looks_at_its_own_end_of_the_interval():
    found = of(-0.01, 0.04)
    assert non_inferior(found, 0.02)
    assert not non_inferior(found, 0.01)
    assert not superior(found)
    assert superior(of(0.03, 0.05), 0.02)
    assert not superior(of(0.02, 0.05), 0.02)
    assert not equivalent(found, 0.04)
    assert equivalent(found, 0.05)


def test_without_an_interval_nothing_is_decided():
    assert superior(NOTHING) is None
    assert non_inferior(NOTHING, 0.1) is None
    assert equivalent(NOTHING, 0.1) is None
    assert samples_needed(NOTHING, 0.0) is None


@given(st.floats(-0.2, 0.2), st.floats(0.001, 0.3), st.floats(0.001, 0.1))
def test_equivalent_is_non_inferior_both_ways(low, width, margin):
    found = of(low, low + width)
    turned = of(-found.high, -found.low)
    assert equivalent(found, margin) == (non_inferior(found, margin) and non_inferior(turned, margin))


def test_the_detectable_difference_is_that_of_the_sample_size_formulas():
    # two-sided 5%, 80% power: (1.959964 + 0.841621) standard errors
    assert detectable_difference(0.01) == pytest.approx(0.02801585)
    assert detectable_difference(0.01, level=0.9, power=0.9) == pytest.approx(0.01 * (1.644854 + 1.281552), rel=1e-6)


def test_a_detectable_difference_is_detected_in_four_of_five():
    dice = np.random.default_rng(0)
    error = 1 / np.sqrt(200)
    estimates = dice.normal(detectable_difference(error), error, 20_000)
    assert (np.abs(estimates) > 1.959964 * error).mean() == pytest.approx(0.8, abs=0.01)


def test_samples_needed_are_those_at_which_the_interval_leaves_the_threshold():
    found = replace(of(-0.5, 0.25, n=400), value=0.0)
    assert samples_needed(found, -0.25) == 1600  # the arm of 0.5 must shrink to 0.25
    assert samples_needed(found, 0.125) == 1600  # the other arm, from 0.25 to 0.125
    assert samples_needed(found, -0.3) == ceil(400 * (0.5 / 0.3) ** 2)
    assert samples_needed(found, 0.0) is None  # the value itself: no number of samples tells the sides apart
    assert samples_needed(of(0.02, 0.04, n=400), 0.0) <= 400  # settled


def test_so_many_samples_do_settle_it():
    dice = np.random.default_rng(1)
    right = (dice.random((2, 400)) < np.array([[0.75], [0.74]])).astype(float)

    def measured(copies):
        sides = [mean_of(np.tile(one, copies)) for one in right]
        return difference([sides[0]], [sides[1]], [str(i) for i in range(400 * copies)])

    copies = samples_needed(measured(1), 0.01) / 400
    assert copies > 2
    assert measured(int(1.1 * copies) + 1).low > 0.01
    assert measured(int(copies)).low < 0.01
