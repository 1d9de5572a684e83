import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score, roc_curve

from medrival.contracts import Prediction
from medrival.reports.charts.curves import TOLERANCE, calibration, roc, thinned
from medrival.tasks.metrics import values
from medrival.tasks.metrics.diagnosed import diagnosed


def diagnoses_of(study, task):
    return [case for case in study if case.task == task and case.status == "measured"]


def test_the_area_under_the_drawn_curve_is_the_stored_auroc(study):
    for case in [*diagnoses_of(study, "chest"), *diagnoses_of(study, "skin")]:
        curve = roc(diagnosed(case.predictions, case.classes))
        assert curve.area == pytest.approx(case.metrics["auroc"]["value"], abs=1e-9)
        assert thinned(curve).area == pytest.approx(case.metrics["auroc"]["value"], abs=TOLERANCE)


def test_of_two_classes_it_is_scikit_learns_curve(study):
    samples = diagnosed(diagnoses_of(study, "chest")[0].predictions, ("no opacity", "opacity"))
    false, true, _ = roc_curve(samples.truth, samples.scores[:, 1])
    curve = roc(samples)
    assert np.array_equal(curve.x, false)
    assert np.array_equal(curve.y, true)


def test_of_more_it_is_the_mean_of_one_against_the_rest(study):
    case = diagnoses_of(study, "skin")[0]
    samples = diagnosed(case.predictions, case.classes)
    expected = roc_auc_score(samples.members, samples.scores, average="macro")
    assert roc(samples).area == pytest.approx(expected)


def test_there_is_no_curve_where_a_class_has_no_sample():
    some = [Prediction(f"{i}", f"{i}", "a", (0.7, 0.3)) for i in range(4)]
    assert roc(diagnosed(some, ("a", "b"))) is None
    assert roc(diagnosed([Prediction("0", "0", "a", (1.0,))], ("a",))) is None


@pytest.mark.parametrize("n", [10, 1000, 20_000])
def test_a_thinned_curve_lies_close_to_the_whole_one(n):
    rng = np.random.default_rng(n)
    truth = rng.random(n) < 0.4
    scores = np.clip(rng.normal(0.4 + 0.2 * truth, 0.15), 0, 1)
    samples = diagnosed(
        [Prediction(f"{i}", f"{i}", "ab"[int(t)], (1 - s, s)) for i, (t, s) in enumerate(zip(truth, scores, strict=True))], "ab"
    )
    curve = roc(samples)
    short = thinned(curve)
    assert len(short.x) <= min(200, len(curve.x))
    ends = np.stack([short.x, short.y], axis=1)
    for point in zip(curve.x, curve.y, strict=True):  # distance to the nearest of the segments
        along = ends[1:] - ends[:-1]
        share = np.clip(((point - ends[:-1]) * along).sum(1) / np.maximum((along**2).sum(1), 1e-300), 0, 1)
        assert np.hypot(*(ends[:-1] + share[:, None] * along - point).T).min() <= TOLERANCE + 1e-9


def test_calibration_bins_are_those_of_the_error(study):
    for case in [*diagnoses_of(study, "chest")[:2], *diagnoses_of(study, "skin")[:2]]:
        bins = calibration(diagnosed(case.predictions, case.classes))
        n = sum(one.n for one in bins)
        error = sum(one.n / n * abs(one.accuracy - one.confidence) for one in bins)
        assert n == len(case.predictions)
        assert error == pytest.approx(case.metrics["ece"]["value"])
        assert values("diagnosis", "ece", case.predictions, case.classes)["ece"] == pytest.approx(error)


def test_calibration_is_scikit_learns(study):
    case = diagnoses_of(study, "skin")[0]
    samples = diagnosed(case.predictions, case.classes)
    right, sure = calibration_curve(samples.hits, samples.probabilities.max(axis=1), n_bins=15)
    bins = calibration(samples)
    assert np.allclose([one.accuracy for one in bins], right)
    assert np.allclose([one.confidence for one in bins], sure)
