"""Metrics agree with the libraries that define them, on whole samples and under the bootstrap's weights."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import sentence_bleu
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from medrival.contracts import Prediction
from medrival.errors import BrokenCatalog, BrokenData, MedrivalError, UnknownName
from medrival.tasks.metrics import METRICS, compare, measure, metric, primary
from medrival.tasks.metrics.vqa import accuracy

ORACLE = Path(__file__).parents[3] / "shared" / "data" / "oracles" / "mumc_vqa_rad" / "compare.json"
SKLEARN = {
    "auroc": lambda truth, scores, weights=None: (
        roc_auc_score(truth, scores[:, 1], sample_weight=weights)
        if scores.shape[1] == 2
        else roc_auc_score(truth, scores, multi_class="ovr", average="macro", sample_weight=weights)
    ),
    "accuracy": lambda truth, scores, weights=None: accuracy_score(truth, scores.argmax(1), sample_weight=weights),
    "balanced_accuracy": lambda truth, scores, weights=None: balanced_accuracy_score(
        truth, scores.argmax(1), sample_weight=weights
    ),
}


def tied_scores(classes, samples=60, seed=0):
    """Truth and probabilities of few distinct values, every class among them."""
    generator = np.random.default_rng(seed)
    truth = np.r_[np.arange(classes), generator.integers(classes, size=samples - classes)]
    counts = generator.multinomial(4, np.full(classes, 1 / classes), size=samples)
    return truth, counts / 4


def diagnosed(truth, scores):
    return [
        Prediction(id=str(i), group=f"patient {i // 2}", truth=str(label), scores=tuple(map(float, row)))
        for i, (label, row) in enumerate(zip(truth, scores, strict=True))
    ]


def answered(truth, answer, form="open", options=(), **more):
    return Prediction(id="1", group="g", truth=truth, answer=answer, form=form, options=options, **more)


def value(name, *predictions):
    return measure("vqa", predictions, resamples=0)[name].value


def yes_no(truth, answer):
    return answered(truth, answer, "closed", ("yes", "no"))


@pytest.mark.parametrize("name", SKLEARN)
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_values_are_scikit_learns_under_ties(name, classes):
    truth, scores = tied_scores(classes)
    measured = measure("diagnosis", diagnosed(truth, scores), [str(c) for c in range(classes)], resamples=0)
    assert measured[name].value == pytest.approx(SKLEARN[name](truth, scores), abs=1e-12)


@pytest.mark.parametrize("name", SKLEARN)
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_resampled_values_are_scikit_learns_with_sample_weights_under_ties(name, classes):
    truth, scores = tied_scores(classes, seed=classes)
    weights = np.random.default_rng(1).integers(4, size=(30, len(truth))).astype(float)
    weights[:, :classes] += 1  # every class keeps some weight
    resampled = METRICS["diagnosis"][name].resampled(truth, scores, weights)
    expected = [SKLEARN[name](truth, scores, row) for row in weights]
    np.testing.assert_allclose(resampled, expected, rtol=0, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=4, max_size=30), st.randoms())
def test_auroc_is_the_chance_that_a_positive_outranks_a_negative_in_any_order(pairs, random):
    pairs = [*pairs, (0, 2), (1, 2)]
    random.shuffle(pairs)
    truth, scores = np.array([t for t, _ in pairs]), np.array([[1 - s / 5, s / 5] for _, s in pairs])
    positives, negatives = scores[truth == 1, 1], scores[truth == 0, 1]
    wins = (positives[:, None] > negatives).mean() + (positives[:, None] == negatives).mean() / 2
    measured = measure("diagnosis", diagnosed(truth, scores), ("0", "1"), resamples=20)["auroc"]
    assert measured.value == pytest.approx(wins, abs=1e-12)
    assert 0 <= measured.low <= measured.high <= 1


def test_intervals_do_not_depend_on_the_order_of_samples():
    predictions = diagnosed(*tied_scores(3))
    shuffled = [predictions[i] for i in np.random.default_rng(2).permutation(len(predictions))]
    one, other = (measure("diagnosis", p, "012", resamples=200) for p in (predictions, shuffled))
    for name in SKLEARN:
        for bound in ("value", "low", "high"):
            assert getattr(one[name], bound) == pytest.approx(getattr(other[name], bound), abs=1e-12)


def test_one_seed_gives_one_result_and_another_seed_another():
    one, again, other = (measure("diagnosis", diagnosed(*tied_scores(2)), "01", seed=seed) for seed in (0, 0, 1))
    assert one == again != other


def test_values_are_plain_numbers_that_json_can_hold():
    for estimate in measure("diagnosis", diagnosed(*tied_scores(2)), "01").values():
        assert {type(estimate.value), type(estimate.low), type(estimate.high)} == {float}


def test_auroc_of_a_single_class_is_undefined_with_a_reason_and_without_a_warning():
    predictions = [replace(p, truth="ill") for p in diagnosed(*tied_scores(2, 6))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = measure("diagnosis", predictions, ("healthy", "ill"))
    assert measured["auroc"].value is None
    assert "ill only" in measured["auroc"].reason
    assert measured["balanced_accuracy"].value == measured["accuracy"].value


def test_resamples_without_a_class_are_left_out_of_the_interval():
    predictions = diagnosed([0, 0, 0, 0, 0, 0, 1, 1], [[0.9, 0.1]] * 6 + [[0.2, 0.8]] * 2)
    measured = measure("diagnosis", predictions, "01")["auroc"]
    assert (measured.value, measured.low, measured.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("broken", [{"error": "no image", "scores": ()}, {"scores": (float("nan"), float("nan"))}])
def test_a_failed_sample_counts_as_wrong(broken):
    right = diagnosed([0, 1, 0, 1], [[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]])
    measured = measure("diagnosis", [replace(right[0], **broken), *right[1:]], "01", resamples=0)
    assert measured["accuracy"].value == 0.75
    assert measured["auroc"].value == 0.5  # the failed one outranks both positives


def test_a_failed_sample_of_three_classes_is_never_right():
    failed = [Prediction(id=t, group=t, truth=t, error="no image") for t in "abc"]
    assert measure("diagnosis", failed, "abc")["accuracy"].value == 0.0


def test_a_truth_that_is_no_class_and_missing_scores_are_named():
    good = diagnosed(*tied_scores(2))
    with pytest.raises(BrokenData, match=r"'7'.*none of"):
        measure("diagnosis", [replace(good[7], truth="other"), *good], "01")
    with pytest.raises(BrokenData, match="'7': 1 scores for 2 classes"):
        measure("diagnosis", [replace(good[7], scores=(1.0,)), *good], "01")


def test_every_metric_of_no_predictions_is_undefined():
    for kind in ("diagnosis", "vqa"):
        assert all(e.value is None and e.reason for e in measure(kind, (), "01").values())


OPEN = [
    ("right upper lobe", "Right upper lobe."),
    ("the right lung", "right lung base"),
    ("Heart and lungs", "lungs"),
    ("CT", "mri"),
    ("left", ""),
    ("blood vessel", "vessel blood vessel vessel"),
]


@pytest.mark.parametrize(("truth", "answer"), OPEN)
def test_bleu_and_rouge_are_those_of_nltk_and_rouge_score(truth, answer):
    words = [" ".join(w for w in t.lower().strip(".").split() if w != "the") for t in (truth, answer)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NLTK's, on weights of 0 for longer n-grams
        bleu = sentence_bleu([words[0].split()], words[1].split(), weights=(1, 0, 0, 0))
    rouge = RougeScorer(["rougeL"]).score(*words)["rougeL"].fmeasure
    prediction = answered(truth, answer)
    assert value("bleu_1", prediction) == pytest.approx(bleu, abs=1e-12)
    assert value("rouge_l", prediction) == pytest.approx(rouge, abs=1e-12)


@pytest.mark.parametrize(
    ("truth", "answer", "f1"),
    [("right lung", "the right lung base", 0.8), ("a b b", "b b b", 0.8), ("CT", "MRI", 0.0), ("left", "", 0.0)],
)
def test_token_f1_is_the_harmonic_mean_of_precision_and_recall(truth, answer, f1):
    assert value("token_f1", answered(truth, answer)) == pytest.approx(f1)


def test_each_metric_looks_only_at_questions_of_its_form():
    predictions = [yes_no("yes", "Yes."), yes_no("no", "abnormal"), answered("CT", "a CT"), answered("MRI", "CT")]
    predictions.append(answered("mass", "(B)", "choice", ("cyst", "mass")))
    measured = measure("vqa", predictions, resamples=0)
    assert (measured["closed_accuracy"].value, measured["closed_accuracy"].n) == (pytest.approx(2 / 3), 3)
    assert (measured["unparseable_rate"].value, measured["unparseable_rate"].n) == (pytest.approx(1 / 3), 3)
    assert (measured["exact_match"].value, measured["exact_match"].n) == (0.5, 2)
    assert (measured["accuracy"].value, measured["accuracy"].n) == (pytest.approx(3 / 5), 5)


def test_a_metric_that_no_question_is_about_has_no_value_and_no_difference():
    predictions = [answered("CT", "CT")]
    measured, gap = measure("vqa", predictions), compare("vqa", "closed_accuracy", [predictions], [predictions])
    assert (measured["closed_accuracy"].value, gap.value, measured["accuracy_reasoning"].n) == (None, None, 0)
    assert measured["closed_accuracy"].reason == gap.reason != ""


def test_accuracy_is_told_apart_by_skill():
    sees, thinks = answered("CT", "CT", skill="understanding"), answered("CT", "MRI", skill="reasoning")
    assert value("accuracy_understanding", sees, thinks) == 1.0
    assert value("accuracy_reasoning", sees, thinks) == 0.0


def test_a_closed_answer_beyond_yes_and_no_is_compared_as_words():
    assert value("closed_accuracy", answered("Left", "the left.", "closed")) == 1.0
    assert value("closed_accuracy", answered("Left", "left side", "closed")) == 0.0


@pytest.mark.parametrize("name", ["accuracy", "closed_accuracy", "exact_match", "token_f1", "bleu_1", "rouge_l"])
def test_a_failed_question_is_wrong_in_every_metric_whatever_it_answered(name):
    failed = [replace(p, error="no image") for p in (yes_no("yes", "yes"), answered("CT", "CT"))]
    assert value(name, *failed) == 0.0
    assert value("unparseable_rate", *failed) == 1.0


@given(st.text(max_size=60), st.text(min_size=1, max_size=30), st.sampled_from(["open", "closed", "choice"]))
@settings(max_examples=100, deadline=None)
def test_every_value_of_every_answer_is_between_0_and_1(answer, truth, form):
    for estimate in measure("vqa", [answered(truth, answer, form, (truth, "other"))], resamples=0).values():
        assert estimate.value is None or 0 <= estimate.value <= 1 + 1e-12


def test_a_model_compared_with_itself_differs_by_nothing():
    predictions = diagnosed(*tied_scores(2))
    same = compare("diagnosis", "auroc", [predictions], [predictions], "01")
    assert (same.value, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_the_difference_changes_sign_with_the_order_of_models():
    truth, scores = tied_scores(2)
    general, medical = diagnosed(truth, scores), diagnosed(truth, tied_scores(2, seed=5)[1])
    one, other = (
        compare("diagnosis", "auroc", *([one] for one in pair), "01") for pair in ((general, medical), (medical, general))
    )
    assert one.value == -other.value
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))
    assert one.p_value == other.p_value


def test_pairing_makes_the_interval_of_two_alike_models_narrower_than_either():
    truth, scores = tied_scores(2, samples=200)
    better = np.where(np.arange(200)[:, None] < 10, np.eye(2)[truth], scores)
    general, medical = diagnosed(truth, better), diagnosed(truth, scores)
    paired = compare("diagnosis", "accuracy", [general], [medical], "01")
    alone = measure("diagnosis", medical, "01")["accuracy"]
    assert paired.high - paired.low < (alone.high - alone.low) / 2


def test_only_the_same_samples_in_the_same_order_are_compared():
    predictions = diagnosed(*tied_scores(2))
    for other in (predictions[::-1], predictions[1:], [replace(predictions[0], truth="1"), *predictions[1:]]):
        with pytest.raises(MedrivalError, match="same samples"):
            compare("diagnosis", "auroc", [predictions], [other], "01")


def test_an_unknown_metric_is_named_with_those_there_are():
    with pytest.raises(UnknownName, match=r"'auc'.*auroc"):
        compare("diagnosis", "auc", [()], [()])


def test_the_deciding_metric_falls_back_to_accuracy_where_nothing_is_closed():
    assert primary("diagnosis", ()) == "auroc"
    assert primary("vqa", [answered("CT", "CT"), yes_no("no", "no")]) == "closed_accuracy"
    assert primary("vqa", [answered("CT", "CT")]) == "accuracy"


def test_a_metric_of_a_third_party_needs_no_weighted_form(monkeypatch):
    monkeypatch.setitem(METRICS, "diagnosis", dict(METRICS["diagnosis"]))

    @metric("accuracy_again", of="diagnosis")
    def again(truth, scores):
        return float((scores.argmax(axis=1) == truth).mean())

    measured = measure("diagnosis", diagnosed(*tied_scores(3)), "012", resamples=100)
    ours, theirs = measured["accuracy"], measured["accuracy_again"]
    assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high), abs=1e-12)


def test_a_metric_name_is_taken_once():
    with pytest.raises(BrokenCatalog, match="'auroc' of diagnosis is defined twice"):
        metric("auroc", of="diagnosis")(max)


@pytest.mark.skipif(not ORACLE.is_file(), reason="the published predictions are not beside this checkout")
def test_published_predictions_reach_their_published_accuracy():
    rows = json.loads(ORACLE.read_text())
    predictions = [
        Prediction(id=i, group=i, truth=row["gt"], answer=row["pred"], form="open" if row["type"] == "open" else "closed")
        for i, row in rows.items()
    ]
    measured = measure("vqa", predictions, resamples=0)
    assert 100 * measured["accuracy"].value == pytest.approx(74.06, abs=0.005)
    assert 100 * measured["closed_accuracy"].value == pytest.approx(84.56, abs=0.005)
    assert 100 * measured["exact_match"].value == pytest.approx(58.10, abs=0.005)
    strict = [replace(p, options=("yes", "no")) for p in predictions if p.form == "closed" and p.truth in ("yes", "no")]
    assert [accuracy(p) for p in strict] == [float(p.answer == p.truth) for p in strict]
