"""The metrics of a diagnosis agree with scikit-learn, on whole samples and under the bootstrap's weights."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from medrival.contracts import Prediction
from medrival.errors import BrokenData
from medrival.statistics import Estimate, Statistic, estimates, mean_of
from medrival.tasks.metrics import METRICS, compare, measure, metric
from medrival.tasks.metrics.diagnosed import diagnosed as arrays

REPORTED = (
    *("auroc", "average_precision", "accuracy", "balanced_accuracy", "macro_f1"),
    *("sensitivity", "specificity", "ece", "brier_score"),
)


def one_hot(truth, scores):
    return np.eye(scores.shape[1])[truth]


def of_last_or_each(score, truth, scores):
    if scores.shape[1] == 2:
        return score(truth == 1, scores[:, 1])
    return score(one_hot(truth, scores), scores, average="macro")


def calibration_error(truth, scores):
    """Equation 3 of Guo et al. 2017, word for word: bin by bin, sample by sample."""
    total = 0.0
    for m in range(1, 16):
        low, high = np.linspace(0, 1, 16)[m - 1 : m + 1]
        inside = [i for i, row in enumerate(scores) if low < max(row) <= high]
        if inside:
            right = sum(scores[i].argmax() == truth[i] for i in inside) / len(inside)
            sure = sum(max(scores[i]) for i in inside) / len(inside)
            total += len(inside) / len(truth) * abs(right - sure)
    return total


ORACLES = {
    "auroc": lambda truth, scores: of_last_or_each(roc_auc_score, truth, scores),
    "average_precision": lambda truth, scores: of_last_or_each(average_precision_score, truth, scores),
    "accuracy": lambda truth, scores: accuracy_score(truth, scores.argmax(1)),
    "balanced_accuracy": lambda truth, scores: balanced_accuracy_score(truth, scores.argmax(1)),
    "macro_f1": lambda truth, scores: f1_score(truth, scores.argmax(1), average="macro", zero_division=0.0),
    "brier_score": lambda truth, scores: (
        brier_score_loss(truth, scores[:, 1]) if scores.shape[1] == 2 else brier_score_loss(truth, scores)
    ),
    "ece": calibration_error,
}


def tied(classes, samples=60, seed=0):
    """Truth and probabilities of few distinct values, every class among them."""
    generator = np.random.default_rng(seed)
    truth = np.r_[np.arange(classes), generator.integers(classes, size=samples - classes)]
    counts = generator.multinomial(4, np.full(classes, 1 / classes), size=samples)
    return truth, counts / 4


def smooth(classes, samples=60, seed=0):
    """Truth and probabilities without a tie, better than chance."""
    generator = np.random.default_rng(seed)
    truth = np.r_[np.arange(classes), generator.integers(classes, size=samples - classes)]
    odds = np.exp(generator.normal(size=(samples, classes)) + np.eye(classes)[truth])
    return truth, odds / odds.sum(axis=1, keepdims=True)


def diagnosed(truth, scores, **more):
    return [
        Prediction(id=str(i), group=f"patient {i // 2}", truth=str(label), scores=tuple(map(float, row)), **more)
        for i, (label, row) in enumerate(zip(truth, scores, strict=True))
    ]


def names(classes):
    return tuple(str(c) for c in range(classes))


def values(predictions, classes=("0", "1"), **more):
    return {name: one.value for name, one in measure("diagnosis", predictions, classes, resamples=0, **more).metrics.items()}


def statistics(truth, scores, validation=()):
    samples = arrays(diagnosed(truth, scores), names(scores.shape[1]), validation)
    return {name: METRICS["diagnosis"][name].compute(samples) for name in ORACLES}


two_class = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=1, max_size=30).map(
    lambda pairs: (
        np.array([0, 1, *(t for t, _ in pairs)]),
        np.array([[0.75, 0.25], [0.5, 0.5], *([1 - s / 8, s / 8] for _, s in pairs)]),
    )
)


def test_the_metrics_of_the_report_and_their_order():
    assert tuple(METRICS["diagnosis"]) == REPORTED


@pytest.mark.parametrize("make", [tied, smooth])
@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("name", ORACLES)
def test_values_are_those_of_the_oracle(name, classes, make):
    truth, scores = make(classes)
    assert values(diagnosed(truth, scores), names(classes))[name] == pytest.approx(ORACLES[name](truth, scores), abs=1e-9)


@pytest.mark.parametrize("make", [tied, smooth])
@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("name", ORACLES)
def test_resampled_values_are_those_of_samples_repeated_that_often(name, classes, make):
    truth, scores = make(classes, seed=classes)
    times = np.random.default_rng(1).integers(4, size=(10, len(truth)))
    times[:, :classes] += 1  # every class is drawn
    drawn = [(np.repeat(truth, row), np.repeat(scores, row, axis=0)) for row in times]
    resampled = statistics(truth, scores)[name].resampled(times.astype(float))
    np.testing.assert_allclose(resampled, [ORACLES[name](*one) for one in drawn], rtol=0, atol=1e-9)


@pytest.mark.parametrize("make", [tied, smooth])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", ["auroc", "average_precision", "balanced_accuracy", "macro_f1"])
def test_influence_is_the_derivative_by_the_weight_of_each_sample(name, classes, make):
    statistic = statistics(*make(classes, samples=25))[name]
    step, now = 1e-5, np.ones((25, 25))
    slope = statistic.resampled(now + step * np.eye(25)) - statistic.resampled(now - step * np.eye(25))
    np.testing.assert_allclose(statistic.influence, slope / (2 * step), rtol=0, atol=1e-8)


@pytest.mark.parametrize("metric_name", ["auroc", "average_precision"])
def test_each_class_against_the_rest_is_scikit_learns_and_the_metric_is_their_mean(metric_name):
    truth, scores = tied(4)
    measured = measure("diagnosis", diagnosed(truth, scores), names(4), resamples=50)
    score = {"auroc": roc_auc_score, "average_precision": average_precision_score}[metric_name]
    for column, name in enumerate(names(4)):
        one = measured.per_class[metric_name][name]
        assert one.value == pytest.approx(score(truth == column, scores[:, column]), abs=1e-9)
        assert one.low < one.value < one.high
    mean = np.mean([one.value for one in measured.per_class[metric_name].values()])
    assert measured.metrics[metric_name].value == pytest.approx(mean, abs=1e-12)


# Independent findings


def found(seed=0, samples=40):
    generator = np.random.default_rng(seed)
    members = generator.integers(2, size=(samples, 3)).astype(bool)
    members[:2] = [[True] * 3, [False] * 3]
    scores = np.round(generator.uniform(size=(samples, 3)) / 2 + members / 3, 1)
    truths = ["|".join(np.array(list("ABC"))[row]) for row in members]
    predictions = [
        Prediction(str(i), f"p{i}", truth, tuple(row.tolist()), form="findings")
        for i, (truth, row) in enumerate(zip(truths, scores, strict=True))
    ]
    return members, scores, predictions


def test_findings_are_scored_each_by_itself_and_averaged_as_scikit_learn_does():
    members, scores, predictions = found()
    assert {"", "A|B|C"} < {p.truth for p in predictions}
    measured = values(predictions, "ABC")
    assert measured["auroc"] == pytest.approx(roc_auc_score(members, scores), abs=1e-9)
    assert measured["average_precision"] == pytest.approx(average_precision_score(members, scores), abs=1e-9)


def test_two_findings_are_both_averaged_and_two_classes_are_not():
    members, scores, predictions = found()
    two = [replace(p, truth=p.truth.replace("|C", "").replace("C", ""), scores=p.scores[:2]) for p in predictions]
    assert values(two, "AB")["auroc"] == pytest.approx(roc_auc_score(members[:, :2], scores[:, :2]), abs=1e-9)


def test_what_presumes_one_class_a_sample_is_undefined_for_findings_with_the_reason():
    measured = measure("diagnosis", found()[2], "ABC").metrics
    for name in set(REPORTED) - {"auroc", "average_precision"}:
        assert measured[name].value is None
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "ece", "brier_score"):
        assert "several findings" in measured[name].reason


def test_a_failed_sample_of_findings_is_wrong_in_every_one():
    members, scores, predictions = found()
    predictions[5] = replace(predictions[5], error="no image", scores=())
    scores[5] = ~members[5]
    assert values(predictions, "ABC")["auroc"] == pytest.approx(roc_auc_score(members, scores), abs=1e-9)


def test_a_finding_that_no_sample_has_leaves_the_mean_undefined_and_the_others_known():
    _, _, predictions = found()
    measured = measure("diagnosis", [replace(p, scores=(*p.scores, 0.5)) for p in predictions], "ABCD")
    assert measured.metrics["auroc"].value is None
    assert measured.metrics["auroc"].reason == "no sample is of class D"
    assert measured.per_class["auroc"]["D"].reason == "no sample is of class D"
    assert all(measured.per_class["auroc"][name].value for name in "ABC")


def test_a_truth_of_several_classes_needs_the_form_findings():
    sample = Prediction("7", "g", "A|B", (0.5, 0.5))
    with pytest.raises(BrokenData, match=r"'7': its class 'A\|B' is none of A, B.*\"findings\""):
        measure("diagnosis", [sample], "AB")
    with pytest.raises(BrokenData, match=r"'7': its class 'Z' is none of A, B$"):
        measure("diagnosis", [replace(sample, truth="A|Z", form="findings")], "AB")
    with pytest.raises(BrokenData, match=r"'7': its class '' is none of A, B$"):
        measure("diagnosis", [replace(sample, truth="")], "AB")


# The threshold


@settings(max_examples=50, deadline=None)
@given(two_class)
def test_the_threshold_is_the_highest_with_the_largest_youden_index_on_validation(drawn):
    truth, scores = drawn
    measured = measure("diagnosis", diagnosed(*smooth(2)), "01", validation=diagnosed(truth, scores), resamples=0)
    false, true, at = roc_curve(truth, scores[:, 1], drop_intermediate=False)
    index = (true - false)[1:]  # the first threshold is infinite
    assert measured.notes["decision_threshold"] == max(at[1:][np.isclose(index, index.max(), rtol=0, atol=1e-12)])


def test_sensitivity_and_specificity_are_the_recalls_at_the_threshold():
    truth, scores = smooth(2)
    measured = measure("diagnosis", diagnosed(truth, scores), "01", validation=diagnosed(*smooth(2, seed=3)))
    called = scores[:, 1] >= measured.notes["decision_threshold"]
    assert measured.metrics["sensitivity"].value == pytest.approx(recall_score(truth, called), abs=1e-12)
    assert measured.metrics["specificity"].value == pytest.approx(recall_score(truth, called, pos_label=0), abs=1e-12)
    assert measured.metrics["sensitivity"].n == truth.sum()


def test_the_threshold_does_not_depend_on_what_is_tested():
    validation = diagnosed(*smooth(2, seed=3))
    one, other = (measure("diagnosis", diagnosed(*smooth(2, seed=s)), "01", validation=validation).notes for s in (1, 2))
    assert one == other != {}


def test_validation_samples_that_failed_choose_no_threshold():
    validation = diagnosed(*smooth(2, seed=3))
    failed = [Prediction(f"failed {i}", "g", t, error="no image") for i, t in enumerate("0101")]
    measured = [measure("diagnosis", diagnosed(*smooth(2)), "01", validation=v) for v in (validation, failed + validation)]
    assert measured[0] == measured[1]


@pytest.mark.parametrize(
    ("classes", "validation", "reason"),
    [
        (2, [], "no validation predictions"),
        (2, [Prediction("1", "g", "1", (0.5, 0.5))], "not of both classes"),
        (2, [Prediction("1", "g", "1", error="broken"), Prediction("2", "g", "0", (0.5, 0.5))], "not of both classes"),
        (3, diagnosed(*smooth(3, seed=3)), "3 classes; it takes two"),
    ],
)
def test_without_a_threshold_sensitivity_and_specificity_are_undefined_with_the_reason(classes, validation, reason):
    measured = measure("diagnosis", diagnosed(*smooth(classes)), names(classes), validation=validation)
    for name in ("sensitivity", "specificity"):
        assert measured.metrics[name].value is None
        assert reason in measured.metrics[name].reason
    assert measured.notes == {}


def test_a_comparison_at_thresholds_takes_each_models_own():
    truth, one, other = *smooth(2), smooth(2, seed=9)[1]
    validation = [diagnosed(*smooth(2, seed=seed)) for seed in (3, 4)]
    first, second = diagnosed(truth, one), diagnosed(truth, other)
    gap = compare(
        "diagnosis", "sensitivity", [first], [second], "01", validation=([validation[0]], [validation[1]]), resamples=100
    )
    expected = [values(p, validation=v)["sensitivity"] for p, v in zip((first, second), validation, strict=True)]
    assert gap.value == pytest.approx(expected[0] - expected[1], abs=1e-12)
    assert "no validation" in compare("diagnosis", "sensitivity", [first], [second], "01").reason


# Calibration


def confident(generator, sure, right, samples=100):
    """Two classes, of which the first is called with this confidence and is right with this probability."""
    truth = (generator.uniform(size=samples) >= right).astype(int)
    return diagnosed(truth, np.stack([sure, 1 - sure], axis=1))


@pytest.mark.parametrize("error", [0.0, 0.1, 0.3])
def test_the_interval_of_a_calibration_error_covers_the_true_one_at_least_as_often_as_it_says(error):
    generator, covered = np.random.default_rng(0), 0
    for _ in range(40):
        sure = generator.uniform(0.8, 1.0, size=100)
        one = measure("diagnosis", confident(generator, sure, sure - error), "01", resamples=200).metrics["ece"]
        assert one.low <= one.value <= one.high
        covered += one.low <= error <= one.high
    assert covered >= 36  # 95% of 40 is 38


def test_a_calibration_error_of_0_is_not_certain():
    one = measure("diagnosis", confident(np.random.default_rng(0), np.ones(60), np.ones(60), 60), "01").metrics["ece"]
    assert (one.value, one.low, one.method) == (0.0, 0.0, "conservative")
    assert one.high == pytest.approx(1 - 0.025 ** (1 / 30), abs=1e-12)  # of 30 patients


def test_a_difference_in_calibration_error_says_that_it_is_biased():
    truth, scores = smooth(2)
    gap = compare("diagnosis", "ece", [diagnosed(truth, scores)], [diagnosed(truth, tied(2)[1])], "01", resamples=100)
    assert "understated" in gap.caution


# What is no number, or wrong


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_failed_sample_is_never_right(classes, threshold):
    truths = [str(c) for c in range(classes)] * 2
    failed = [Prediction(str(i), str(i), t, error="no image") for i, t in enumerate(truths)]
    validation = [Prediction("a", "a", "0", (1.0, 0.0)), Prediction("b", "b", "1", (1 - threshold, threshold))]
    measured = values(failed, names(classes), validation=validation if classes == 2 else ())
    wrong = {"accuracy", "balanced_accuracy", "macro_f1"} | ({"auroc", "sensitivity", "specificity"} if classes == 2 else set())
    assert {measured[name] for name in wrong} == {0.0}


def test_a_failed_sample_counts_among_the_others():
    right = diagnosed([0, 1, 0, 1], [[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]])
    measured = values([replace(right[0], error="no image", scores=()), *right[1:]])
    assert measured["accuracy"] == 0.75
    assert measured["auroc"] == 0.5  # the failed one outranks both positives


def test_a_failed_sample_is_wrong_whatever_the_scale_of_the_scores():
    right = diagnosed([0, 1, 0, 1], [[5.0, -9.0], [-3.0, -4.0], [5.0, -9.0], [-3.0, -4.0]])
    failed = [replace(p, error="no image", scores=()) for p in right[:2]]
    assert values([*failed, *right[2:]])["auroc"] == 0.25  # only the two that did not fail are ranked rightly


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 19), st.integers(0, 1), st.sampled_from([float("nan"), float("inf"), -float("inf")]))
def test_scores_that_are_no_numbers_are_refused_with_the_sample_named(row, column, broken):
    truth, scores = tied(2, samples=20)
    scores[row, column] = broken
    predictions = diagnosed(truth, scores)
    for among in ({"predictions": predictions}, {"predictions": diagnosed(*tied(2)), "validation": predictions}):
        with pytest.raises(BrokenData, match=rf"sample '{row}': its scores .* are not finite"):
            measure("diagnosis", classes="01", resamples=0, **among)
    with pytest.raises(BrokenData, match=rf"sample '{row}'"):
        compare("diagnosis", "auroc", [predictions], [predictions], "01")
    question = Prediction("q", "g", "yes", (broken, 0.5), "yes", form="closed", options=("yes", "no"))
    with pytest.raises(BrokenData, match="sample 'q'"):
        measure("vqa", [question])


def test_a_truth_that_is_no_class_and_missing_scores_are_named():
    good = diagnosed(*tied(2))
    with pytest.raises(BrokenData, match=r"'7'.*none of"):
        measure("diagnosis", [replace(good[7], truth="other"), *good], "01")
    with pytest.raises(BrokenData, match="'7': 1 scores for 2 classes"):
        measure("diagnosis", [replace(good[7], scores=(1.0,)), *good], "01")


@pytest.mark.parametrize("spoil", [lambda scores: 4 * scores - 2, lambda scores: scores / 2])
def test_scores_that_are_no_probabilities_rank_but_are_not_calibrated(spoil):
    truth, scores = smooth(3)
    plain, measured = values(diagnosed(truth, scores), names(3)), measure("diagnosis", diagnosed(truth, spoil(scores)), "012")
    assert measured.metrics["auroc"].value == pytest.approx(plain["auroc"], abs=1e-12)
    for name in ("ece", "brier_score"):
        assert "no probabilities" in measured.metrics[name].reason


def test_probabilities_rounded_to_three_decimals_are_still_probabilities():
    truth, scores = smooth(7)
    assert values(diagnosed(truth, scores.round(3)), names(7))["brier_score"] is not None


def test_a_single_class_is_undefined_with_a_reason_and_without_a_warning():
    predictions = [replace(p, truth="ill") for p in diagnosed(*tied(2, 6))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = measure("diagnosis", predictions, ("healthy", "ill"), validation=predictions).metrics
    for name in ("auroc", "average_precision"):
        assert measured[name].reason == "every sample is of class ill"
    assert measured["balanced_accuracy"].value == measured["accuracy"].value
    assert measured["specificity"].value is None


def test_nothing_at_all_is_undefined_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = measure("diagnosis", (), "01")
    assert {one.reason for one in measured.metrics.values()} == {"no samples"}
    assert measured.subgroups == {}


# Properties


@settings(max_examples=30, deadline=None)
@given(two_class, st.randoms())
def test_no_value_depends_on_the_order_of_samples(drawn, random):
    predictions = diagnosed(*drawn)
    shuffled = random.sample(predictions, len(predictions))
    one, other = (values(p, validation=p) for p in (predictions, shuffled))
    assert one == pytest.approx(other, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_intervals_do_not_depend_on_the_order_of_samples(classes):
    predictions = diagnosed(*tied(classes))
    shuffled = [predictions[i] for i in np.random.default_rng(2).permutation(len(predictions))]
    one, other = (measure("diagnosis", p, names(classes), resamples=200).metrics for p in (predictions, shuffled))
    for name in ORACLES:
        for bound in ("value", "low", "high"):
            assert getattr(one[name], bound) == pytest.approx(getattr(other[name], bound), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(two_class)
def test_values_and_intervals_lie_between_0_and_1(drawn):
    predictions = diagnosed(*drawn)
    for name, one in measure("diagnosis", predictions, "01", validation=predictions, resamples=50).metrics.items():
        assert 0 <= one.value <= 1, name
        assert one.low is None or 0 <= one.low <= one.high <= 1, name


@settings(max_examples=30, deadline=None)
@given(two_class)
def test_auroc_is_the_chance_that_a_positive_outranks_a_negative(drawn):
    truth, scores = drawn
    positives, negatives = scores[truth == 1, 1], scores[truth == 0, 1]
    wins = (positives[:, None] > negatives).mean() + (positives[:, None] == negatives).mean() / 2
    assert values(diagnosed(truth, scores))["auroc"] == pytest.approx(wins, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(two_class, st.integers(0, 4))
def test_constant_scores_rank_by_chance(drawn, quarter):
    truth, _ = drawn
    score = quarter / 4
    measured = values(diagnosed(truth, [[1 - score, score]] * len(truth)))
    assert measured["auroc"] == 0.5
    assert measured["average_precision"] == pytest.approx(truth.mean(), abs=1e-12)
    assert measured["balanced_accuracy"] == 0.5


@pytest.mark.parametrize("name", ["auroc", "average_precision"])
def test_a_resample_without_a_class_has_no_value(name):
    truth, scores = tied(3, samples=9)
    weights = np.array([truth != 1, truth == 1, truth >= 0]).astype(float)
    assert np.isnan(statistics(truth, scores)[name].resampled(weights)).tolist() == [True, True, False]


def test_values_are_plain_numbers_that_json_can_hold():
    predictions = diagnosed(*tied(2))
    measured = measure("diagnosis", predictions, "01", validation=predictions)
    for estimate in (*measured.metrics.values(), *measured.per_class["auroc"].values()):
        assert {type(estimate.value), type(estimate.low), type(estimate.high)} == {float}
    assert type(measured.notes["decision_threshold"]) is float


def test_one_seed_gives_one_result_and_another_seed_another():
    one, again, other = (measure("diagnosis", diagnosed(*tied(2)), "01", seed=seed).metrics for seed in (0, 0, 1))
    assert one == again
    assert one["ece"] != other["ece"]


# Metrics of third parties


def test_a_metric_that_returns_a_number_needs_no_weighted_form(monkeypatch):
    monkeypatch.setitem(METRICS, "diagnosis", dict(METRICS["diagnosis"]))

    @metric("calibration_again", of="diagnosis")
    def again(samples):
        return calibration_error(samples.truth, samples.scores)

    @metric("never", of="diagnosis")
    def never(samples):
        return float("nan")

    predictions = diagnosed(*smooth(3))
    measured = measure("diagnosis", predictions, "012", resamples=100).metrics
    theirs, ours = measured["calibration_again"], statistics(*smooth(3))["ece"]
    ours = estimates({"": ours}, [p.group for p in predictions], resamples=100)[""]
    assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high), abs=1e-9)
    assert measured["never"].reason == "undefined on these samples"


def test_a_metric_with_an_interval_of_its_own_is_not_resampled_for_another_and_keeps_its_place(monkeypatch):
    monkeypatch.setitem(METRICS, "diagnosis", dict(METRICS["diagnosis"]))

    def resampled(weights):
        raise AssertionError("an interval that nobody asked for")

    @metric("own", of="diagnosis", interval=lambda samples, *_: Estimate(0.5, 0.25, 0.75, len(samples)))
    def own(samples):
        return Statistic(0.5, resampled, len(samples))

    @metric("last", of="diagnosis")
    def last(samples):
        return mean_of(samples.hits)

    measured = measure("diagnosis", diagnosed(*smooth(3)), "012", resamples=100).metrics
    assert (measured["own"].low, measured["own"].high) == (0.25, 0.75)
    assert list(measured) == [*REPORTED, "own", "last"]
