"""Resampling whole patients: percentile and BCa intervals."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from medrival.statistics import Statistic, auroc_influence, estimates, mean_of, two_sided_p
from medrival.statistics.bootstrap import WEIGHTS_AT_ONCE, bca_interval, draws, interval, resample, without_each
from medrival.statistics.clusters import Clusters


def alone(n):
    return [f"{i:05}" for i in range(n)]


def weights(groups, resamples=100, seed=0):
    clusters = Clusters.of(groups)
    return np.concatenate([times[:, clusters.member] for times in resample(clusters, resamples, seed)])


def test_samples_of_a_group_are_drawn_together_and_as_many_groups_as_there_are():
    drawn = weights(["a", "b", "a", "c", "c"])
    assert (drawn[:, 0] == drawn[:, 2]).all()
    assert (drawn[:, 3] == drawn[:, 4]).all()
    assert (drawn[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert drawn.shape == (100, 5)


def test_weights_come_in_pieces_that_memory_can_hold_and_are_the_same_rows():
    clusters = Clusters.of(alone(10_000))
    pieces = list(resample(clusters, 150, seed=3))
    assert max(piece.size for piece in pieces) <= WEIGHTS_AT_ONCE
    shorter = list(resample(clusters, 130, seed=3))
    assert (np.concatenate(pieces)[:130] == np.concatenate(shorter)).all()


@given(st.lists(st.sampled_from("abcd"), min_size=4, max_size=30), st.integers(0, 9), st.randoms(use_true_random=False))
def test_the_order_of_samples_changes_no_bootstrap(groups, seed, shuffler):
    values = np.arange(len(groups)) % 7 / 7
    order = list(range(len(groups)))
    shuffler.shuffle(order)
    one = estimates({"": mean_of(values)}, groups, seed=seed, resamples=50, method="percentile")[""]
    other = estimates({"": mean_of(values[order])}, [groups[i] for i in order], seed=seed, resamples=50, method="percentile")[
        ""
    ]
    assert one.low == pytest.approx(other.low) if one.low is not None else other.low is None
    assert one.high == pytest.approx(other.high) if one.high is not None else other.high is None


@pytest.mark.parametrize(("ours", "scipys"), [("percentile", "percentile"), ("bca", "BCa")])
@pytest.mark.parametrize("skewed", [False, True])
def test_the_interval_of_a_mean_is_scipys_for_independent_samples(ours, scipys, skewed):
    values = np.random.default_rng(0).normal(size=80)
    values = np.exp(values) if skewed else values
    mine = estimates({"mean": mean_of(values)}, alone(80), resamples=20_000, method=ours)["mean"]
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method=scipys, n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert mine.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert mine.high == pytest.approx(theirs.high, abs=0.03 * width)
    assert mine.method == ours


def test_bca_of_the_same_draws_is_scipys_to_the_last_digit():
    values = np.random.default_rng(2).exponential(size=40)
    theirs = scipy.stats.bootstrap((values,), np.mean, method="BCa", n_resamples=999, rng=np.random.default_rng(3))
    clusters = Clusters.of(alone(40))
    ours = bca_interval(values.mean(), theirs.bootstrap_distribution, without_each(mean_of(values), clusters), 0.95)
    assert ours == pytest.approx(tuple(theirs.confidence_interval))


def test_the_jackknife_leaves_out_one_patient_at_a_time():
    values, groups = np.array([1.0, 2.0, 4.0, np.nan]), ["a", "a", "b", "b"]
    mean = mean_of(values)
    slow = Statistic(mean.point, mean.resampled, mean.n)
    assert without_each(mean, Clusters.of(groups)) == pytest.approx([4.0, 1.5])
    assert without_each(slow, Clusters.of(groups)) == pytest.approx([4.0, 1.5])


def test_means_are_resampled_in_one_product_as_one_by_one():
    dice = np.random.default_rng(4)
    means = [mean_of(np.where(dice.random(60) < 0.3, np.nan, dice.random(60))) for _ in range(3)]
    clusters = Clusters.of([str(i // 4) for i in range(60)])
    slow = [Statistic(one.point, one.resampled, one.n) for one in means]
    assert np.allclose(draws(means, clusters, 0, 40), draws(slow, clusters, 0, 40))
    mixed = [means[0], slow[1], means[2]]
    assert np.allclose(draws(mixed, clusters, 0, 40), draws(means, clusters, 0, 40))


def test_copies_of_a_sample_in_its_group_add_no_certainty():
    values = np.random.default_rng(0).normal(size=40)
    once = estimates({"mean": mean_of(values)}, alone(40), method="percentile")["mean"]
    thrice = estimates({"mean": mean_of(np.repeat(values, 3))}, list(np.repeat(alone(40), 3)), method="percentile")["mean"]
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))


def test_undefined_resamples_are_counted_and_said():
    values = np.full(30, np.nan)
    values[:2] = [0.0, 1.0]
    found = estimates({"": mean_of(values)}, alone(30), resamples=2000, method="percentile")[""]
    expected = 2000 * (28 / 30) ** 30
    assert found.undefined_resamples == pytest.approx(expected, rel=0.3)
    assert f"undefined in {found.undefined_resamples:,} of 2,000 resamples" in found.caution


def test_a_statistic_without_influence_values_is_bootstrapped():
    dice = np.random.default_rng(5)
    values = dice.exponential(size=60)

    def median(weights):
        return np.array([np.median(np.repeat(values, row.astype(int))) for row in weights])

    found = estimates({"": Statistic(float(np.median(values)), median, 60)}, alone(60))[""]
    assert found.method == "bca"
    assert found.low < np.median(values) < found.high


def test_a_statistic_that_no_resample_moves_has_its_percentile_interval():
    assert bca_interval(1.0, np.ones(50), np.ones(20), 0.95) == (1.0, 1.0)


def test_an_interval_ignores_undefined_resamples():
    assert interval(np.array([np.nan, 1.0, 1.0]), 0.95) == (1.0, 1.0)
    assert interval(np.array([np.nan]), 0.95) == (None, None)
    assert interval(np.arange(101.0), 0.95) == pytest.approx((2.5, 97.5))
    assert bca_interval(1.0, np.array([np.nan]), np.ones(2), 0.95) == (None, None)


def test_p_is_never_zero_and_never_above_one():
    assert two_sided_p(np.full(999, 0.1)) == pytest.approx(2 / 1000)
    assert two_sided_p(np.zeros(999)) == 1.0
    assert two_sided_p(np.array([np.nan])) is None
    assert two_sided_p(np.array([-1.0] * 24 + [1.0] * 975)) == pytest.approx(2 * 25 / 1000)


def test_the_bootstrap_and_the_influence_values_agree_on_an_auroc():
    dice = np.random.default_rng(6)
    positive = np.arange(400) % 2 == 0
    scores = dice.normal(size=400) + 1.2 * positive

    def resampled(weights):
        below = (scores[:, None] > scores[None, :]).astype(float)
        ours, theirs = weights[:, positive], weights[:, ~positive]
        pairs = np.einsum("bi,ij,bj->b", ours, below[np.ix_(positive, ~positive)], theirs)
        return pairs / (ours.sum(axis=1) * theirs.sum(axis=1))

    point = float(resampled(np.ones((1, 400)))[0])
    plain = Statistic(point, resampled, 400)
    informed = Statistic(point, resampled, 400, "", auroc_influence(positive, scores), (0.0, 1.0), positive.astype(int))
    found = estimates({"plain": plain, "informed": informed}, alone(400), resamples=2000)
    assert found["plain"].method == "bca"
    assert found["informed"].method == "wilson"
    assert found["plain"].low == pytest.approx(found["informed"].low, abs=0.006)
    assert found["plain"].high == pytest.approx(found["informed"].high, abs=0.006)
