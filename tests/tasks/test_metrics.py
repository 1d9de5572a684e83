"""Metrics of answers agree with the libraries that define them; comparisons are paired; a metric has one name."""

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

from medrival.contracts import Prediction
from medrival.errors import BrokenCatalog, MedrivalError, UnknownName
from medrival.tasks.metrics import compare, measure, metric, primary
from medrival.tasks.metrics.vqa import accuracy

ORACLE = Path(__file__).parents[3] / "shared" / "data" / "oracles" / "mumc_vqa_rad" / "compare.json"


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
    return measure("vqa", predictions, resamples=0).metrics[name].value


def yes_no(truth, answer):
    return answered(truth, answer, "closed", ("yes", "no"))


def test_every_metric_of_no_predictions_is_undefined():
    for kind in ("diagnosis", "vqa"):
        assert all(e.value is None and e.reason for e in measure(kind, (), "01").metrics.values())


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
    measured = measure("vqa", predictions, resamples=0).metrics
    assert (measured["closed_accuracy"].value, measured["closed_accuracy"].n) == (pytest.approx(2 / 3), 3)
    assert (measured["unparseable_rate"].value, measured["unparseable_rate"].n) == (pytest.approx(1 / 3), 3)
    assert (measured["exact_match"].value, measured["exact_match"].n) == (0.5, 2)
    assert (measured["accuracy"].value, measured["accuracy"].n) == (pytest.approx(3 / 5), 5)


def test_a_metric_that_no_question_is_about_has_no_value_and_no_difference():
    predictions = [answered("CT", "CT")]
    measured, gap = measure("vqa", predictions).metrics, compare("vqa", "closed_accuracy", [predictions], [predictions])
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
    for estimate in measure("vqa", [answered(truth, answer, form, (truth, "other"))], resamples=0).metrics.values():
        assert estimate.value is None or 0 <= estimate.value <= 1 + 1e-12


def test_a_model_compared_with_itself_differs_by_nothing():
    predictions = diagnosed(*tied_scores(2))
    same = compare("diagnosis", "auroc", [predictions], [predictions], "01")
    assert (same.value, same.p_value) == (0.0, 1.0)
    assert same.low <= 0 <= same.high


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
    alone = measure("diagnosis", medical, "01").metrics["accuracy"]
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
    measured = measure("vqa", predictions, resamples=0).metrics
    assert 100 * measured["accuracy"].value == pytest.approx(74.06, abs=0.005)
    assert 100 * measured["closed_accuracy"].value == pytest.approx(84.56, abs=0.005)
    assert 100 * measured["exact_match"].value == pytest.approx(58.10, abs=0.005)
    strict = [replace(p, options=("yes", "no")) for p in predictions if p.form == "closed" and p.truth in ("yes", "no")]
    assert [accuracy(p) for p in strict] == [float(p.answer == p.truth) for p in strict]
