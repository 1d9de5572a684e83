"""Metrics of answers in words against the libraries that define them, and against what they promise."""

from __future__ import annotations

import json
from collections import Counter
from math import isnan
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import sentence_bleu
from nltk.translate.meteor_score import single_meteor_score
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU

from medrival.contracts import Prediction
from medrival.tasks.answers import normalise
from medrival.tasks.metrics import METRICS, measure

ORACLE = Path(__file__).parents[3] / "shared" / "data" / "oracles" / "mumc_vqa_rad" / "compare.json"
OVERLAP = ("token_f1", "token_precision", "token_recall", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l")
OF_OPEN = (*OVERLAP, "meteor", "exact_match", "exact_match_plain_open", "medvlmbench_open_accuracy")

ROUGE = RougeScorer(["rougeL"])
WORDS = ("right", "left", "lung", "lungs", "lobe", "of", "heart", "enlarged", "opacity", "opacities", "in", "base")
sentences = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)


class NoSynonyms:
    def synsets(self, _word):
        return ()


def asked(truth, answer, form="open", options=(), **more):
    return Prediction(id="1", group="g", truth=truth, answer=answer, form=form, options=options, **more)


def value(name, *predictions):
    return measure("vqa", predictions, resamples=0).metrics[name].value


@given(sentences, sentences, st.integers(1, 4))
def test_bleu_is_sacrebleus_with_effective_order_and_no_smoothing(truth, answer, order):
    sacrebleu = BLEU(smooth_method="none", max_ngram_order=order, effective_order=True, tokenize="none")
    expected = sacrebleu.sentence_score(answer, [truth]).score / 100
    assert METRICS["vqa"][f"bleu_{order}"].compute(asked(truth, answer)) == pytest.approx(expected, abs=1e-12)


@given(sentences, sentences, st.integers(1, 4))
@pytest.mark.filterwarnings("ignore::UserWarning")  # NLTK's, where no words in a row are shared
def test_bleu_is_nltks_where_the_answer_is_long_enough(truth, answer, order):
    assume(len(answer.split()) >= order)
    expected = sentence_bleu([truth.split()], answer.split(), weights=(1 / order,) * order)
    assert METRICS["vqa"][f"bleu_{order}"].compute(asked(truth, answer)) == pytest.approx(expected, abs=1e-12)


def test_a_short_right_answer_is_worth_the_same_as_a_long_one_in_every_bleu():
    assert [value(f"bleu_{n}", asked("CT", "CT.")) for n in (1, 2, 3, 4)] == [1.0] * 4
    assert value("bleu_2", asked("right upper lobe", "right lower lobe")) == 0.0


@given(sentences, sentences)
def test_rouge_l_is_that_of_rouge_score(truth, answer):
    expected = ROUGE.score(truth, answer)["rougeL"].fmeasure
    assert METRICS["vqa"]["rouge_l"].compute(asked(truth, answer)) == pytest.approx(expected, abs=1e-12)


@given(sentences, sentences)
def test_meteor_is_nltks_without_synonyms(truth, answer):
    expected = single_meteor_score(truth.split(), answer.split(), wordnet=NoSynonyms())
    assert METRICS["vqa"]["meteor"].compute(asked(truth, answer)) == pytest.approx(expected, abs=1e-12)


def test_meteor_matches_stems_and_scores_a_right_answer_by_its_length():
    assert value("meteor", asked("enlarged hearts", "enlarging heart")) == pytest.approx(1 - 0.5 / 2**3)
    assert [value("meteor", asked(t, t)) for t in ("CT", "left lung", "right upper lobe")] == [
        0.5,
        pytest.approx(1 - 0.5 / 8),
        pytest.approx(1 - 0.5 / 27),
    ]


@pytest.mark.parametrize(
    ("truth", "answer", "precision", "recall"),
    [
        ("right lung", "the right lung base", 2 / 3, 1.0),
        ("a right lower lobe", "lobe lobe", 1 / 2, 1 / 3),
        ("CT", "MRI", 0.0, 0.0),
        ("left", "", 0.0, 0.0),
        ("axial", "<think>coronal, sagittal?</think>Axial", 1.0, 1.0),
    ],
)
def test_precision_and_recall_count_words_of_the_conclusion(truth, answer, precision, recall):
    assert value("token_precision", asked(truth, answer)) == pytest.approx(precision)
    assert value("token_recall", asked(truth, answer)) == pytest.approx(recall)


@given(st.text(min_size=1, max_size=40))
def test_the_same_words_score_one_in_every_script(text):
    assume(normalise(text))
    for name in (*OVERLAP, "exact_match", "accuracy"):
        assert METRICS["vqa"][name].compute(asked(text, text)) == pytest.approx(1.0), name


@given(st.text(max_size=80), st.text(min_size=1, max_size=30), st.sampled_from(["open", "closed", "choice"]))
@settings(max_examples=200, deadline=None)
def test_every_metric_is_a_share(truth, answer, form):
    for name, one in METRICS["vqa"].items():
        share = one.compute(asked(truth, answer, form, (truth, "other")))
        assert isnan(share) or 0 <= share <= 1 + 1e-12, name


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(sentences, sentences), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_samples_changes_no_metric(pairs, dice):
    predictions = [asked(truth, answer, form) for truth, answer in pairs for form in ("open", "closed")]
    shuffled = dice.sample(predictions, len(predictions))
    first, second = (measure("vqa", some, resamples=0).metrics for some in (predictions, shuffled))
    for name in first:
        assert first[name].n == second[name].n
        assert first[name].value == (None if second[name].value is None else pytest.approx(second[name].value)), name


@pytest.mark.parametrize("name", OF_OPEN)
def test_what_is_about_open_questions_has_no_value_for_others(name):
    closed, choice = asked("yes", "yes", "closed", ("yes", "no")), asked("cyst", "A", "choice", ("cyst", "mass"))
    assert value(name, closed, choice) is None


def test_yes_and_no_as_lettered_options_may_be_answered_by_letter():
    assert value("closed_accuracy", asked("no", "B", "choice", ("yes", "no"))) == 1.0
    assert value("closed_accuracy", asked("no", "B", "closed", ("yes", "no"))) == 0.0


@pytest.mark.parametrize(
    "options", [(">2 cm", "<2 cm"), ("pH < 7.35", "pH > 7.35"), ("AB+", "AB-"), ("-1", "1"), ("+", "-"), ("C5/C6", "C5-C6")]
)
def test_a_choice_is_right_only_where_it_is_the_true_option_whatever_sign_tells_them_apart(options):
    for truth in options:
        for letter, option in zip("AB", options, strict=True):
            for answer in (letter, option, f"{letter}. {option}"):
                assert value("accuracy", asked(truth, answer, "choice", options)) == float(option == truth), answer


def test_of_several_right_answers_any_is_right_and_words_are_compared_with_the_nearest():
    several = ("left lung", "the lung on the left side")
    names = ("accuracy", "exact_match", "exact_match_plain", "token_f1", "rouge_l")
    for said in several:
        assert {value(name, asked("left lung", said, options=several)) for name in names} == {1.0}
    other = asked("left lung", "lung on left", options=several)
    assert value("exact_match", other) == 0.0
    assert (
        value("token_f1", other)
        == value("token_f1", asked(several[1], "lung on left"))
        > value("token_f1", asked(several[0], other.answer))
    )


def test_in_chinese_each_ideograph_is_a_word():
    half = [value(name, asked("左肺上叶", "左肺。")) for name in ("token_precision", "token_recall", "exact_match")]
    assert half == [1.0, 0.5, 0.0]
    assert value("token_f1", asked("MRI图像", "MRI 图")) == pytest.approx(2 * 2 / (3 + 2))
    assert value("rouge_l", asked("右肺", "左肺")) == value("bleu_1", asked("右肺", "左肺")) == 0.5


def test_an_open_answer_with_the_other_sign_is_wrong():
    assert value("exact_match", asked(">2 cm", "< 2 cm")) == 0.0
    assert value("exact_match", asked(">2 cm", "> 2 cm.")) == 1.0
    assert value("token_f1", asked("AB+", "AB-")) == 0.0


def test_a_denied_finding_is_unparseable_whatever_the_truth():
    denied = [asked(truth, "There is no cardiomegaly.", "closed", ("yes", "no")) for truth in ("yes", "no")]
    assert (value("closed_accuracy", *denied), value("unparseable_rate", *denied)) == (0.0, 1.0)


def test_plain_exact_match_forgives_case_and_outer_white_space_and_no_more():
    answers = [asked("Yes", " yes\n", "closed"), asked("CT", "ct"), asked("CT", "CT."), asked("left lung", "the left lung")]
    assert value("exact_match_plain", *answers) == 0.5
    assert (value("exact_match_plain_closed", *answers), value("exact_match_plain_open", *answers)) == (
        1.0,
        pytest.approx(1 / 3),
    )


@pytest.mark.skipif(not ORACLE.is_file(), reason="the published predictions are not beside this checkout")
def test_published_predictions_score_what_their_authors_report():
    rows = json.loads(ORACLE.read_text())
    predictions = [
        Prediction(id=i, group=i, truth=row["gt"], answer=row["pred"], form="open" if row["type"] == "open" else "closed")
        for i, row in rows.items()
    ]
    assert Counter(p.form for p in predictions) == {"closed": 272, "open": 179}
    found = [100 * value(f"exact_match_plain{part}", *predictions) for part in ("", "_closed", "_open")]
    assert found == pytest.approx([74.06, 84.56, 58.10], abs=0.005)


def test_every_metric_says_what_it_is():
    assert all((one.compute.__doc__ or "").strip() for one in METRICS["vqa"].values())
