"""The AUROC's influence values, variance and paired test, against direct computation and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from medrival.errors import MedrivalError
from medrival.statistics import auroc_covariance, auroc_influence, delong_test, difference
from medrival.statistics.delong import auroc, placements
from medrival.statistics.statistic import UNIT, Statistic

scored = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40)


def slow_covariance(positive, scores, groups):
    """Obuchowski 1997, equations as printed: structural components by comparing all pairs, summed over each cluster."""
    m, n = positive.sum(), (~positive).sum()
    kernel = [(row[positive][:, None] > row[~positive]) + (row[positive][:, None] == row[~positive]) / 2 for row in scores]
    areas = [one.mean() for one in kernel]
    groups = np.asarray(groups)
    names = np.unique(groups)

    def centred(model, cluster):
        ours, theirs = groups[positive] == cluster, groups[~positive] == cluster
        v10 = kernel[model].mean(axis=1)[ours].sum() - ours.sum() * areas[model]
        v01 = kernel[model].mean(axis=0)[theirs].sum() - theirs.sum() * areas[model]
        return v10, v01

    i10, i01, i = len(set(groups[positive])), len(set(groups[~positive])), len(names)
    found = np.zeros((len(scores), len(scores)))
    for r in range(len(scores)):
        for s in range(len(scores)):
            pairs = [(centred(r, c), centred(s, c)) for c in names]
            s10 = i10 / ((i10 - 1) * m) * sum(a[0] * b[0] for a, b in pairs)
            s01 = i01 / ((i01 - 1) * n) * sum(a[1] * b[1] for a, b in pairs)
            s11 = i / (i - 1) * sum(a[0] * b[1] for a, b in pairs)
            s11_other = i / (i - 1) * sum(a[1] * b[0] for a, b in pairs)
            found[r, s] = s10 / m + s01 / n + s11 / (m * n) + s11_other / (m * n)
    return found


@given(scored)
def test_placements_are_the_shares_of_pairs_ranked_rightly(samples):
    positive, scores = np.array([p for p, _ in samples]), np.array([float(s) for _, s in samples])
    found = placements(positive, scores)
    if positive.all() or not positive.any():
        assert np.isnan(found).all()
        return
    for i in range(len(samples)):
        others = scores[positive != positive[i]]
        beaten = others < scores[i] if positive[i] else others > scores[i]
        assert found[i] == pytest.approx(beaten.mean() + (others == scores[i]).mean() / 2)
    assert found[positive].mean() == pytest.approx(roc_auc_score(positive, scores))
    assert found[~positive].mean() == pytest.approx(roc_auc_score(positive, scores))
    influence = auroc_influence(positive, scores)
    assert influence[positive].sum() == pytest.approx(0, abs=1e-9)
    assert influence[~positive].sum() == pytest.approx(0, abs=1e-9)


def test_rows_of_scores_are_ranked_apart():
    dice = np.random.default_rng(0)
    positive, scores = dice.random(50) < 0.4, dice.integers(0, 8, (3, 2, 50)).astype(float)
    areas, influence = auroc(positive, scores)
    for place in np.ndindex(3, 2):
        assert areas[place] == pytest.approx(roc_auc_score(positive, scores[place]))
        assert influence[place] == pytest.approx(auroc_influence(positive, scores[place]))


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
def test_the_covariance_is_obuchowskis_by_direct_computation(alike, mixed):
    dice = np.random.default_rng(1)
    groups = [f"{i // 3 if alike else i}" for i in range(60)]
    label = dice.random(60) < 0.4
    positive = label if mixed else label[[int(g) for g in groups]]
    scores = np.round(dice.normal(size=(3, 60)) + positive, 1)
    assert auroc_covariance(positive, scores, groups) == pytest.approx(slow_covariance(positive, scores, groups))
    if not alike:
        assert auroc_covariance(positive, scores) == pytest.approx(auroc_covariance(positive, scores, groups))


def test_the_variance_of_independent_samples_is_delongs():
    dice = np.random.default_rng(2)
    positive = dice.random(80) < 0.3
    scores = dice.normal(size=80) + positive
    kernel = (scores[positive][:, None] > scores[~positive]).astype(float)
    expected = kernel.mean(axis=1).var(ddof=1) / positive.sum() + kernel.mean(axis=0).var(ddof=1) / (~positive).sum()
    assert auroc_covariance(positive, scores[None])[0, 0] == pytest.approx(expected)


def test_the_p_value_is_delongs_on_students_t():
    dice = np.random.default_rng(3)
    positive = np.arange(100) % 2 == 0
    first, second = dice.normal(size=(2, 100)) + np.outer([1.5, 0.5], positive)
    covariance = slow_covariance(positive, np.stack([first, second]), [str(i) for i in range(100)])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    gap = roc_auc_score(positive, first) - roc_auc_score(positive, second)
    p = 2 * scipy.stats.t.sf(abs(gap) / np.sqrt(variance), _welch(positive, first, second))
    assert delong_test(positive, first, second) == pytest.approx(p)


def test_a_rare_class_leaves_few_degrees_of_freedom():
    dice = np.random.default_rng(7)
    positive = np.arange(400) < 20
    first, second = dice.normal(size=(2, 400)) + np.outer([1.5, 0.5], positive)
    assert _welch(positive, first, second) < 40
    covariance = auroc_covariance(positive, np.stack([first, second]))
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    gap = roc_auc_score(positive, first) - roc_auc_score(positive, second)
    p = 2 * scipy.stats.t.sf(abs(gap) / error, _welch(positive, first, second))
    assert delong_test(positive, first, second) == pytest.approx(p)


def _welch(positive, first, second):
    """Degrees of freedom of the difference of two classes' mean placements, which are scipy's."""
    gaps = placements(positive, first) - placements(positive, second)
    return scipy.stats.ttest_ind(gaps[positive], gaps[~positive], equal_var=False).df


def test_a_model_does_not_differ_from_itself():
    dice = np.random.default_rng(4)
    positive, scores = np.arange(30) % 2 == 0, dice.normal(size=30)
    assert delong_test(positive, scores, scores) == 1
    assert delong_test(positive, scores, np.exp(scores)) == 1  # the AUROC sees ranks alone


def test_perfect_against_constant_scores_leave_no_variance_and_no_p():
    positive = np.arange(30) % 2 == 0
    assert np.isnan(delong_test(positive, positive.astype(float), np.zeros(30)))


def test_delong_and_the_paired_difference_agree_in_large_samples():
    dice = np.random.default_rng(5)
    positive = np.arange(3000) % 3 == 0
    first, second = dice.normal(size=(2, 3000)) + np.outer([1.0, 0.92], positive)
    groups = [str(i) for i in range(3000)]
    sides = []
    for scores in (first, second):
        area, influence = auroc(positive, scores)
        sides.append([Statistic(float(area), lambda weights: weights, 3000, "", influence, UNIT, positive.astype(int))])
    assert difference(*sides, groups).p_value == pytest.approx(float(delong_test(positive, first, second)), rel=0.02)
    covariance = auroc_covariance(positive, np.stack([first, second]))
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert difference(*sides, groups).standard_error == pytest.approx(error)


def test_scores_that_are_not_a_number_are_refused():
    with pytest.raises(MedrivalError, match="NaN"):
        auroc_influence(np.array([True, False]), np.array([0.5, np.nan]))


def test_one_patient_of_a_class_has_no_variance():
    with pytest.raises(MedrivalError, match="two patients"):
        auroc_covariance(np.array([True, True, False, False]), np.arange(4.0)[None], ["a", "a", "b", "c"])
