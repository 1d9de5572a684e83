"""The interval of a statistic that knows its influence values."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from medrival.statistics import UNCOUNTED, Statistic, auroc_influence, difference, estimates, mean_of
from medrival.statistics.delong import auroc


def alone(n):
    return [f"{i:05}" for i in range(n)]


def auroc_of(positive, scores):
    area, influence = auroc(positive, scores)

    def never(weights):
        raise AssertionError("an AUROC with influence values needs no resamples")

    return Statistic(float(area), never, len(scores), "", influence, (0.0, 1.0), positive.astype(int))


def measured(statistic, groups, level=0.95):
    return estimates({"": statistic}, groups, level=level)[""]


@given(st.integers(20, 300), st.data(), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_a_share_of_independent_samples_has_wilsons_interval_but_for_the_sample_variance(n, data, level):
    right = data.draw(st.integers(0, n))
    found = measured(mean_of(np.arange(n) < right), alone(n), level)
    size = n if right in (0, n) else n - 1  # the unbiased variance is p (1 - p) / (n - 1)
    z = scipy.stats.norm.ppf((1 + level) / 2)
    if right in (0, n):
        z = scipy.stats.t.ppf((1 + level) / 2, n - 1)
    share = right / n
    centre = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2))
    # the degrees of freedom are finite with few samples: 2e-4 at the most, for 1 of 20 at 99%
    assert found.low == pytest.approx(max(centre - half, 0), abs=3e-4)
    assert found.high == pytest.approx(min(centre + half, 1), abs=3e-4)


def test_wilsons_interval_is_scipys():
    theirs = scipy.stats.binomtest(700, 1000).proportion_ci(method="wilson")
    found = measured(mean_of(np.arange(1000) < 700), alone(1000))
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=3e-5)
    assert found.method == "wilson"


def test_a_mean_without_bounds_has_students_interval():
    values = np.random.default_rng(0).normal(5, 2, size=30)
    theirs = scipy.stats.ttest_1samp(values, 0).confidence_interval()
    found = measured(mean_of(values), alone(30))
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert found.method == "t"


def test_copies_of_a_sample_in_its_group_add_no_certainty():
    values = np.random.default_rng(0).normal(size=40)
    once = measured(mean_of(values), alone(40))
    thrice = measured(mean_of(np.repeat(values, 3)), list(np.repeat(alone(40), 3)))
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.02)
    careless = measured(mean_of(np.repeat(values, 3)), alone(120))
    assert careless.high - careless.low < 0.7 * (once.high - once.low)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_a_perfect_score_has_an_honest_interval(right):
    found = measured(mean_of(np.full(50, right)), alone(50))
    width = scipy.stats.t.ppf(0.975, 49) ** 2
    assert found.high - found.low == pytest.approx(width / (width + 50))
    assert right in (found.low, found.high)


def test_perfect_separation_is_as_sure_as_its_rarer_class_is_large():
    positive = np.arange(60) < 20
    found = measured(auroc_of(positive, positive.astype(float)), alone(60))
    assert found.value == found.high == 1.0
    assert 0.8 < found.low < 0.87


def test_patients_with_several_images_count_once_where_every_answer_is_right():
    found = measured(mean_of(np.ones(90)), [str(i // 3) for i in range(90)])
    assert found.low == pytest.approx(measured(mean_of(np.ones(30)), alone(30)).low)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.sampled_from("abcdefgh")), min_size=2, max_size=40),
    st.randoms(use_true_random=False),
)
def test_an_auroc_has_an_interval_within_its_bounds_whatever_the_order_of_samples(samples, shuffler):
    def found(rows):
        positive, scores, groups = (list(column) for column in zip(*rows, strict=True))
        positive = np.array(positive)
        if positive.all() or not positive.any():
            return None
        return measured(auroc_of(positive, np.array(scores, float)), groups)

    one = found(samples)
    shuffler.shuffle(samples)
    other = found(samples)
    if one is None or one.low is None:
        assert other is None or other.low is None
        return
    assert 0 <= one.low <= one.value + 1e-12 <= one.high + 2e-12 <= 1 + 3e-12
    assert (one.low, one.high) == pytest.approx((other.low, other.high))


def test_samples_without_a_value_are_left_out_of_the_mean():
    values = np.array([1.0, np.nan, 0.0, np.nan])
    found, only = measured(mean_of(values), alone(4)), measured(mean_of(values[::2]), alone(2))
    assert (found.value, found.n) == (0.5, 2)
    assert (found.low, found.high) == pytest.approx((only.low, only.high))


def test_a_single_group_has_a_value_and_no_interval():
    found = measured(mean_of(np.array([1.0, 0.0])), ["a", "a"])
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert "too few groups" in found.reason


def test_a_class_of_a_single_patient_has_no_interval():
    positive = np.arange(40) < 3
    groups = ["one"] * 3 + alone(37)
    found = measured(auroc_of(positive, np.arange(40.0)), groups)
    assert found.value is not None
    assert found.low is None
    assert "too few groups" in found.reason


def test_a_statistic_without_samples_has_a_reason():
    found = measured(mean_of(np.array([np.nan, np.nan])), alone(2))
    assert (found.value, found.n) == (None, 0)
    assert found.reason


def test_few_patients_of_the_rarest_class_are_a_caution_as_in_papila():
    dice = np.random.default_rng(1)
    positive = np.arange(56) < 13
    few = measured(auroc_of(positive, dice.normal(size=56) + positive), alone(56))
    many = measured(auroc_of(np.arange(560) < 130, dice.normal(size=560)), alone(560))
    assert "only 13 patients (or images) of the rarest class" in few.caution
    assert many.caution == ""


@pytest.mark.parametrize(("positives", "n", "warned"), [(30, 60, False), (24, 48, True), (30, 1000, True), (90, 1000, False)])
def test_the_rarer_a_class_the_more_of_its_patients_it_takes(positives, n, warned):
    positive, scores = np.arange(n) < positives, np.random.default_rng(1).normal(size=(2, n))
    sides = [auroc_of(positive, row + positive) for row in scores]
    assert bool(measured(sides[0], alone(n)).caution) == warned
    assert bool(difference([sides[0]], [sides[1]], alone(n)).caution) == warned


def test_uncounted_samples_change_nothing():
    dice = np.random.default_rng(2)
    positive = np.arange(80) % 2 == 0
    scores = dice.normal(size=80) + positive
    area, influence = auroc(positive[:60], scores[:60])
    counted = Statistic(float(area), lambda weights: weights[:, 0], 60, "", influence, (0.0, 1.0), positive[:60].astype(int))
    padded = Statistic(
        float(area),
        lambda weights: weights[:, 0],
        60,
        "",
        np.r_[influence, np.zeros(20)],
        (0.0, 1.0),
        np.r_[positive[:60].astype(int), np.full(20, UNCOUNTED)],
    )
    one, other = measured(counted, alone(60)), measured(padded, alone(80))
    assert (one.low, one.high) == pytest.approx((other.low, other.high))


def test_bounds_scale_the_interval():
    dice = np.random.default_rng(3)
    hits = (dice.random(100) < 0.7).astype(float)
    mean = mean_of(hits)
    wide = Statistic(2 * mean.point - 1, mean.resampled, 100, "", 2 * mean.influence, (-1.0, 1.0))
    one, other = measured(mean, alone(100)), measured(wide, alone(100))
    assert (other.low, other.high) == pytest.approx((2 * one.low - 1, 2 * one.high - 1))


def test_influence_values_say_what_a_small_weight_does():
    dice = np.random.default_rng(4)
    positive = dice.random(50) < 0.4
    scores = dice.integers(0, 9, 50) + positive
    influence = auroc_influence(positive, scores.astype(float))

    def weighted(weights):
        share = (scores[:, None] > scores) + (scores[:, None] == scores) / 2
        return (
            weights[positive]
            @ share[np.ix_(positive, ~positive)]
            @ weights[~positive]
            / (weights[positive].sum() * weights[~positive].sum())
        )

    step = 1e-6
    for i in range(50):
        moved = np.ones(50)
        moved[i] += step
        assert (weighted(moved) - weighted(np.ones(50))) / step == pytest.approx(influence[i], abs=1e-5)
