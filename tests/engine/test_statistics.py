"""Intervals, p-values and verdicts."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from medrival.statistics import (
    Difference,
    difference,
    estimates,
    interval,
    mean_of,
    resample,
    two_sided_p,
    verdict,
)
from medrival.statistics.bootstrap import WEIGHTS_AT_ONCE


def weights(groups, resamples=100, seed=0):
    return np.concatenate(list(resample(groups, resamples, seed)))


def alone(n):
    return [f"{i:05}" for i in range(n)]


def test_samples_of_a_group_are_drawn_together_and_as_many_groups_as_there_are():
    drawn = weights(["a", "b", "a", "c", "c"])
    assert (drawn[:, 0] == drawn[:, 2]).all()
    assert (drawn[:, 3] == drawn[:, 4]).all()
    assert (drawn[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert drawn.shape == (100, 5)


def test_weights_come_in_pieces_that_memory_can_hold_and_are_the_same_rows():
    pieces = list(resample(alone(10_000), 150, seed=3))
    assert max(piece.size for piece in pieces) <= WEIGHTS_AT_ONCE
    assert sum(len(piece) for piece in pieces) == 150
    shorter = list(resample(alone(10_000), 130, seed=3))
    assert (np.concatenate(pieces)[:130] == np.concatenate(shorter)).all()


def test_the_interval_of_a_mean_is_scipys_for_independent_samples():
    values = np.random.default_rng(0).normal(size=80)
    ours = estimates({"mean": mean_of(values)}, alone(80), resamples=20_000)["mean"]
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_copies_of_a_sample_in_its_group_add_no_certainty():
    values = np.random.default_rng(0).normal(size=40)
    once = estimates({"mean": mean_of(values)}, alone(40))["mean"]
    thrice = estimates({"mean": mean_of(np.repeat(values, 3))}, list(np.repeat(alone(40), 3)))["mean"]
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    careless = estimates({"mean": mean_of(np.repeat(values, 3))}, alone(120))["mean"]
    assert careless.high - careless.low < 0.7 * (once.high - once.low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(4)
    covered = 0
    for seed in range(200):
        values = np.repeat(generator.normal(size=40), 2) + generator.normal(size=80) / 2
        mean = estimates({"mean": mean_of(values)}, [str(i // 2) for i in range(80)], seed=seed, resamples=400)["mean"]
        covered += mean.low <= 0 <= mean.high
    assert 0.88 <= covered / 200 <= 0.99


def test_samples_without_a_value_are_left_out_of_the_mean():
    measured = estimates({"mean": mean_of(np.array([1.0, np.nan, 0.0, np.nan]))}, alone(4))["mean"]
    assert (measured.value, measured.n) == (0.5, 2)
    assert 0 <= measured.low <= measured.high <= 1


def test_a_single_group_has_a_value_and_no_interval():
    measured = estimates({"mean": mean_of(np.array([1.0, 0.0]))}, ["a", "a"])["mean"]
    assert (measured.value, measured.low, measured.high) == (0.5, None, None)
    assert "too few groups" in measured.reason


def test_a_statistic_without_samples_has_a_reason():
    measured = estimates({"mean": mean_of(np.array([np.nan, np.nan]))}, alone(2))["mean"]
    assert (measured.value, measured.n) == (None, 0)
    assert measured.reason


def test_an_interval_ignores_undefined_resamples():
    assert interval(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)
    assert interval(np.array([np.nan])) == (None, None)
    assert interval(np.arange(101.0)) == pytest.approx((2.5, 97.5))


def test_p_is_never_zero_and_never_above_one():
    assert two_sided_p(np.full(999, 0.1)) == pytest.approx(2 / 1000)
    assert two_sided_p(np.zeros(999)) == 1.0
    assert two_sided_p(np.array([np.nan])) is None
    assert two_sided_p(np.array([-1.0] * 24 + [1.0] * 975)) == pytest.approx(2 * 25 / 1000)


def test_a_real_difference_is_found_and_a_chance_one_is_not():
    generator = np.random.default_rng(5)
    noise = generator.normal(size=200)
    better = difference([mean_of(noise + 0.3 + generator.normal(size=200) / 5)], [mean_of(noise)], alone(200))
    chance = difference([mean_of(noise + generator.normal(size=200) / 5)], [mean_of(noise)], alone(200))
    assert better.low > 0
    assert better.p_value < 0.01
    assert chance.low < 0 < chance.high
    assert chance.p_value > 0.05


def test_the_p_value_agrees_with_the_paired_t_test_on_a_normal_difference():
    generator = np.random.default_rng(8)
    first, second = generator.normal(0.12, 1, 300), generator.normal(0, 0.1, 300)
    ours = difference([mean_of(first)], [mean_of(second)], alone(300), resamples=20_000).p_value
    assert ours == pytest.approx(scipy.stats.ttest_rel(first, second).pvalue, abs=0.02)


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
    assert verdict(Difference(0.0, low, high, 0.5, 100), margin=0.05) == decided
