"""Findings that occur together: adapted to one by one, or refused in one sentence."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medrival.answered import predicted
from medrival.case import Case
from medrival.contracts import Failed, Features
from medrival.errors import AdaptationFailed
from medrival.evaluate import Bench
from medrival.regimes import lora
from medrival.regimes.linear_probe import linear_probe
from medrival.tasks.metrics import measure

FINDINGS = ("ill", "female", "elderly", "never seen")
STRENGTHS = [1e-1, 1e1, 1e3]
EXACT = {"class_weight": "balanced", "solver": "newton-cholesky", "tol": 1e-10, "max_iter": 1000}


def with_findings(sample):
    """What is known of a phantom, as findings: several, one, or none."""
    there = (sample.truth != "clear lungs", sample.attributes["sex"] == "female", sample.attributes["age"] == "60+", False)
    truth = "|".join(name for name, has in zip(FINDINGS, there, strict=True) if has)
    return replace(sample, form="findings", truth=truth)


@pytest.fixture
def bench(new_lab, rows):
    return Bench(
        new_lab(limit=120), Case(rows.models["pocket-clip"], rows.tasks["phantom-chest"], rows.regimes["linear-probe"])
    )


@pytest.fixture
def task(new_lab, rows):
    plain = new_lab(limit=120).task(rows.tasks["phantom-chest"])
    splits = {name: tuple(map(with_findings, getattr(plain, name))) for name in ("train", "validation", "test")}
    return replace(plain, classes=FINDINGS, **splits)


def members(samples):
    return np.array([[name in sample.truth.split("|") for name in FINDINGS] for sample in samples])


def test_each_finding_has_scikit_learns_regression_with_the_strength_validation_prefers(bench, pocket_clip, task):
    probed = linear_probe(pocket_clip, task, {"l2_strengths": STRENGTHS}, bench)
    x, xv, xt = (bench.features(split).values.astype(np.float64) for split in (task.train, task.validation, task.test))
    scores, expected = {}, {}
    for strength in STRENGTHS:
        fits = [
            make_pipeline(StandardScaler(), LogisticRegression(C=1 / strength, **EXACT)).fit(x, has)
            for has in members(task.train).T[:3]
        ]
        scores[strength] = roc_auc_score(
            members(task.validation)[:, :3], np.stack([fit.predict_proba(xv)[:, 1] for fit in fits], axis=1), average="macro"
        )
        expected[strength] = np.stack([fit.predict_proba(xt)[:, 1] for fit in fits], axis=1)
    found = np.array(probed.predict(task.test))
    best = max(scores, key=lambda strength: scores[strength])
    score = pytest.approx(scores[best], abs=1e-9)
    assert probed.notes == {"l2_strength": best, "validation_score": score, "untrained_findings": ["never seen"]}
    np.testing.assert_allclose(found[:, :3], expected[best], rtol=0, atol=1e-6)
    assert set(found[:, 3]) == {0.0}
    assert np.ptp(found[:, :3].sum(axis=1)) > 0.1, "they do not add up to 1"
    assert probed.trainable_parameters == 3 * (x.shape[1] + 1)


def test_their_scores_are_what_the_metrics_take(bench, pocket_clip, task):
    seen = replace(task, classes=FINDINGS[:3])
    predictions = predicted(seen.test, linear_probe(pocket_clip, seen, {"l2_strengths": STRENGTHS}, bench).predict(seen.test))
    expected = roc_auc_score(members(seen.test)[:, :3], [p.scores for p in predictions], average="macro")
    assert measure("diagnosis", predictions, seen.classes).metrics["auroc"].value == pytest.approx(expected)


def test_an_image_without_features_teaches_nothing_and_fails(bench, pocket_clip, task, monkeypatch):
    whole = bench.features

    def lacking(samples):
        known = whole(samples)
        return Features(np.where(np.arange(len(samples))[:, None] == 1, np.nan, known.values), {1: "it is cut short"})

    monkeypatch.setattr(bench, "features", lacking, raising=False)
    probed = linear_probe(pocket_clip, task, {"l2_strengths": STRENGTHS}, bench)
    answers = probed.predict(task.test)
    assert [i for i, answer in enumerate(answers) if answer == Failed("it is cut short")] == [1]
    assert np.isfinite([answer for answer in answers if not isinstance(answer, Failed)]).all()
    assert probed.notes["unreadable_training_samples"] == [task.train[1].id, task.validation[1].id]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_findings_that_all_samples_share_cannot_be_fitted_or_chosen_on(bench, pocket_clip, task, split):
    alike = tuple(replace(sample, truth="ill") for sample in getattr(task, split))
    name = {"train": "training"}.get(split, split)
    with pytest.raises(AdaptationFailed, match=f"no finding that some readable {name} samples have and some lack"):
        linear_probe(pocket_clip, replace(task, **{split: alike}), {"l2_strengths": STRENGTHS}, bench)


def test_lora_says_that_it_does_not_adapt_to_them_yet(bench, pocket_clip, task):
    with pytest.raises(AdaptationFailed, match=r"phantom-chest: .* several findings or none, .* linear-probe fits findings"):
        lora.image_tower(pocket_clip, task, {"l2_strengths": STRENGTHS}, bench)
