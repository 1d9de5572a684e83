"""Comparisons of two models: differences, McNemar's test, several tests at once."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from medrival.statistics import Statistic, difference, holm, mcnemar_exact, mcnemar_mid_p, mean_of

counts = st.integers(0, 60)


def alone(n):
    return [f"{i:05}" for i in range(n)]


def hits(n, share, seed):
    return (np.random.default_rng(seed).random(n) < share).astype(float)


def test_a_real_difference_is_found_and_a_chance_one_is_not():
    generator = np.random.default_rng(5)
    noise = generator.normal(size=200)
    better = difference([mean_of(noise + 0.3 + generator.normal(size=200) / 5)], [mean_of(noise)], alone(200))
    chance = difference([mean_of(noise + generator.normal(size=200) / 5)], [mean_of(noise)], alone(200))
    assert better.low > 0
    assert better.p_value < 0.01
    assert chance.low < 0 < chance.high
    assert chance.p_value > 0.05


def test_a_difference_of_means_without_bounds_is_the_paired_t_test():
    generator = np.random.default_rng(8)
    first, second = generator.normal(0.12, 1, 300), generator.normal(0, 0.1, 300)
    theirs = scipy.stats.ttest_rel(first, second)
    ours = difference([mean_of(first)], [mean_of(second)], alone(300))
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-6)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval()))
    assert ours.standard_error == pytest.approx((first - second).std(ddof=1) / np.sqrt(300))
    assert ours.method == "recovered"


def test_the_bootstrap_agrees_with_the_paired_t_test_on_a_normal_difference():
    generator = np.random.default_rng(8)
    first, second = generator.normal(0.12, 1, 300), generator.normal(0, 0.1, 300)
    ours = difference([mean_of(first)], [mean_of(second)], alone(300), resamples=20_000, method="percentile")
    assert ours.p_value == pytest.approx(scipy.stats.ttest_rel(first, second).pvalue, abs=0.02)
    assert ours.method == "percentile"


def test_a_difference_of_shares_is_newcombes():
    """Newcombe 1998, method 10 without continuity correction, computed from the four cells of the table."""
    first, second = hits(400, 0.8, 0), hits(400, 0.7, 1)
    second[:200] = first[:200]
    low, high = [], []
    for side in (first, second):
        ends = scipy.stats.binomtest(int(side.sum()), 400).proportion_ci(method="wilson")
        low.append(ends.low)
        high.append(ends.high)
    p, q, phi = first.mean(), second.mean(), np.corrcoef(first, second)[0, 1]
    down = (p - low[0]) ** 2 - 2 * phi * (p - low[0]) * (high[1] - q) + (high[1] - q) ** 2
    up = (high[0] - p) ** 2 - 2 * phi * (high[0] - p) * (q - low[1]) + (q - low[1]) ** 2
    ours = difference([mean_of(first)], [mean_of(second)], alone(400))
    assert (ours.low, ours.high) == pytest.approx((p - q - np.sqrt(down), p - q + np.sqrt(up)), abs=5e-4)


@given(st.integers(0, 10_000), st.floats(0.3, 0.95), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_interval_excludes_zero_exactly_where_p_is_small(seed, share, level):
    first, second = hits(60, share, seed), hits(60, 0.7, seed + 1)
    found = difference([mean_of(first)], [mean_of(second)], [str(i // 2) for i in range(60)], level=level)
    if found.p_value == pytest.approx(1 - level, abs=1e-6):
        return
    assert (found.low > 0 or found.high < 0) == (found.p_value < 1 - level)
    assert found.low <= found.value <= found.high
    assert 0 < found.p_value <= 1


@given(st.integers(0, 10_000))
def test_swapping_the_models_turns_the_interval_round(seed):
    first, second = mean_of(hits(50, 0.8, seed)), mean_of(hits(50, 0.6, seed + 1))
    one, other = difference([first], [second], alone(50)), difference([second], [first], alone(50))
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert one.p_value == pytest.approx(other.p_value)


def test_two_perfect_models_are_not_known_to_be_equal():
    perfect = mean_of(np.ones(50))
    found = difference([perfect], [perfect], alone(50))
    assert found.value == 0
    assert found.p_value == 1
    assert found.low < -0.05
    assert found.high > 0.05


def test_patients_with_several_images_are_no_more_evidence_than_patients():
    first, second = hits(60, 0.8, 0), hits(60, 0.6, 1)
    once = difference([mean_of(first)], [mean_of(second)], alone(60))
    copies = [mean_of(np.repeat(one, 3)) for one in (first, second)]
    thrice = difference([copies[0]], [copies[1]], list(np.repeat(alone(60), 3)))
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.05)


def test_seeds_that_differ_widen_the_interval():
    base = hits(200, 0.7, 0)
    other = mean_of(hits(200, 0.6, 9))
    same = [mean_of(base)] * 3
    spread = [mean_of(np.where(np.arange(200) < cut, 1.0, base)) for cut in (0, 40, 80)]
    narrow, wide = difference(same, [other], alone(200)), difference(spread, [other], alone(200))
    assert narrow.low == pytest.approx(difference(same[:1], [other], alone(200)).low)
    between = np.var([one.point for one in spread], ddof=1) / 3
    assert wide.standard_error**2 > between
    assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)


@pytest.mark.parametrize("seeds", [2, 5])
def test_the_mean_over_seeds_is_covered_about_as_often_as_it_says(seeds):
    """Seeds of training shift the truth by a normal amount; the difference of the models' means is 0."""
    dice, covered = np.random.default_rng(3), 0
    for _ in range(200):
        sides = []
        for _ in range(2):
            truth = 0.7 + 0.05 * dice.normal(size=(seeds, 1))
            sides.append([mean_of(row) for row in (dice.random((seeds, 150)) < truth).astype(float)])
        found = difference(*sides, alone(150))
        covered += found.low <= 0 <= found.high
    assert 0.90 <= covered / 200 <= 1.0


def test_an_undefined_side_gives_the_reason():
    found = difference([mean_of(np.full(3, np.nan))], [mean_of(np.ones(3))], alone(3))
    assert (found.value, found.low, found.p_value) == (None, None, None)
    assert "no sample" in found.reason


def test_a_single_patient_gives_a_difference_without_interval():
    found = difference([mean_of(np.array([1.0, 0.0]))], [mean_of(np.array([0.0, 0.0]))], ["a", "a"])
    assert (found.value, found.low, found.p_value) == (0.5, None, None)
    assert "too few groups" in found.reason


def test_undefined_resamples_of_a_difference_are_counted_and_said():
    values = np.full(30, np.nan)
    values[:2] = [0.0, 1.0]
    found = difference([mean_of(values)], [mean_of(1 - values)], alone(30), method="percentile")
    assert found.undefined_resamples > 0
    assert f"undefined in {found.undefined_resamples:,} of 2,000 resamples" in found.caution


def test_without_influence_values_the_difference_is_bootstrapped():
    first, second = mean_of(hits(80, 0.8, 0)), mean_of(hits(80, 0.5, 1))
    plain = [Statistic(one.point, one.resampled, one.n) for one in (first, second)]
    found, known = difference([plain[0]], [plain[1]], alone(80)), difference([first], [second], alone(80))
    assert found.method == "percentile"
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.03)


@given(counts, counts)
def test_the_exact_mcnemar_test_is_the_binomial_test(b, c):
    expected = scipy.stats.binomtest(b, b + c).pvalue if b + c else 1.0
    assert mcnemar_exact(b, c) == pytest.approx(expected)


@given(counts, counts)
def test_mid_p_counts_outcomes_as_extreme_as_the_observed_one_half(b, c):
    k = np.arange(b + c + 1)
    likelihood = scipy.stats.binom.pmf(k, b + c, 0.5)
    distance, observed = np.abs(k - (b + c) / 2), abs(b - c) / 2
    expected = likelihood[distance > observed].sum() + likelihood[distance == observed].sum() / 2
    assert mcnemar_mid_p(b, c) == pytest.approx(expected if b + c else 1.0)


def test_mid_p_by_hand():
    # 1 of 5 one way: P(0) + P(5) = 2/32; of P(1) + P(4) = 10/32 a half
    assert mcnemar_mid_p(1, 4) == pytest.approx(2 / 32 + 5 / 32)
    assert mcnemar_exact(1, 4) == pytest.approx(12 / 32)


def test_holm_by_hand():
    # 4 x .01, 3 x .02 = .06, 2 x .03 = .06, 1 x .5
    assert holm([0.03, 0.01, None, 0.5, 0.02]) == pytest.approx([0.06, 0.04, None, 0.5, 0.06])
    assert holm([]) == []
    assert holm([None]) == [None]


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=20))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    assert [p is None for p in adjusted] == [p is None for p in p_values]
    known = sorted((p, q) for p, q in zip(p_values, adjusted, strict=True) if p is not None)
    m = len(known)
    assert all(p <= q <= min(1.0, m * p) for p, q in known)
    assert all(known[i][1] <= known[i + 1][1] for i in range(m - 1))
