"""Logistic regressions solved together are those of scikit-learn, one by one."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from medrival.errors import AdaptationFailed
from medrival.regimes import heads
from medrival.regimes.heads import fit_heads
from medrival.regimes.zero_shot import softmax

STRENGTHS = [1e-3, 1e-1, 1e1, 1e3]
EXACT = {"class_weight": "balanced", "solver": "newton-cholesky", "tol": 1e-10, "max_iter": 1000}


def drawn(samples, dim, classes, seed=0, apart=0.5):
    """Features whose axes differ much in length, with classes of unlike size, each of which is there."""
    dice = np.random.default_rng(seed)
    labels = np.append(
        np.arange(classes), dice.choice(classes, samples - classes, p=np.arange(1, classes + 1) / sum(range(classes + 1)))
    )
    centres = apart * dice.normal(size=(classes, dim))
    return (dice.normal(size=(samples, dim)) + centres[labels]) * np.exp(-3 * np.arange(dim) / dim), labels


def probabilities(found, features, *place):
    return softmax(features @ found.weight[place].T + found.bias[place])


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize(("samples", "dim"), [(90, 12), (40, 60)])
def test_every_strength_has_scikit_learns_solution(samples, dim, classes):
    x, y = drawn(samples, dim, classes)
    others, _ = drawn(50, dim, classes, seed=1)
    found = fit_heads([x], [y[None]], classes, STRENGTHS)
    for at, strength in enumerate(STRENGTHS):
        expected = LogisticRegression(C=1 / strength, **EXACT).fit(x, y).predict_proba(others)
        np.testing.assert_allclose(probabilities(found, others, 0, 0, at), expected, rtol=0, atol=1e-6)


def test_several_targets_on_the_same_features_are_solved_each_by_itself():
    x, y = drawn(80, 10, 4)
    targets = np.stack([y == 1, y > 1, y < 3]).astype(np.int64)
    found = fit_heads([x], [targets], 2, STRENGTHS)
    for i, target in enumerate(targets):
        for at, strength in enumerate(STRENGTHS):
            expected = LogisticRegression(C=1 / strength, **EXACT).fit(x, target).predict_proba(x)
            np.testing.assert_allclose(probabilities(found, x, 0, i, at), expected, rtol=0, atol=1e-6)


def test_training_sets_of_unlike_sizes_are_what_they_are_alone():
    sets = [drawn(size, 30, 3, seed) for seed, size in enumerate((6, 20, 50))]
    together = fit_heads([x for x, _ in sets], [y[None] for _, y in sets], 3, STRENGTHS)
    others, _ = drawn(50, 30, 3, seed=9)
    for i, (x, y) in enumerate(sets):
        for at, strength in enumerate(STRENGTHS):
            alone = fit_heads([x], [y[None]], 3, [strength])
            expected = probabilities(alone, others, 0, 0, 0)
            np.testing.assert_allclose(probabilities(together, others, i, 0, at), expected, rtol=0, atol=1e-8)


def test_features_with_a_mean_far_from_zero_are_no_harder():
    x, y = drawn(60, 8, 3)
    found = fit_heads([x + 100], [y[None]], 3, [1.0])
    plain = fit_heads([x], [y[None]], 3, [1.0])
    np.testing.assert_allclose(probabilities(found, x + 100, 0, 0, 0), probabilities(plain, x, 0, 0, 0), rtol=0, atol=1e-6)


def test_what_is_not_finite_or_does_not_converge_is_an_error(monkeypatch):
    x, y = drawn(40, 6, 2)
    with pytest.raises(AdaptationFailed, match="features of training samples are not finite"):
        fit_heads([np.where(x == x[3, 2], np.inf, x)], [y[None]], 2, STRENGTHS)
    monkeypatch.setattr(heads, "STEPS", 3)
    with pytest.raises(AdaptationFailed, match="of 4 logistic regressions did not converge in 3 steps; try larger L2"):
        fit_heads([x], [y[None]], 2, STRENGTHS)
