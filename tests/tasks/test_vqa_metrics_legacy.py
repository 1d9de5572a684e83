"""Paper A's metrics, worked out by hand from what its code does, slips included."""

from __future__ import annotations

from math import isnan

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from medrival.contracts import Prediction
from medrival.tasks.metrics import METRICS
from medrival.tasks.metrics.legacy import normalise

LEGACY = [name for name in METRICS["vqa"] if name.startswith("medvlmbench_")]


def value(name, truth, answer, form="open"):
    prediction = Prediction(id="1", group="g", truth=truth, answer=answer, form=form, options=("yes", "no"))
    return METRICS["vqa"][f"medvlmbench_{name}"].compute(prediction)


@pytest.mark.parametrize(
    ("truth", "answer", "right"),
    [
        ("No", "the lung looks abnormal", 1.0),
        ("no", "I do not know", 1.0),
        ("yes", "Yes, there is no fracture", 1.0),
        ("no", "Yes, there is no fracture", 1.0),
        ("yes", "It is true.", 0.0),
        ("left", "", 0.0),
    ],
)
def test_closed_accuracy_looks_for_the_reference_anywhere_in_the_answer(truth, answer, right):
    assert value("closed_accuracy", truth, answer, "closed") == right


@pytest.mark.parametrize(
    ("truth", "answer", "share"),
    [
        ("right lung", "the right lung base", 2 / 3),
        ("right lung", "right right lung", 2 / 3),  # a word of the reference is found once, the answer's are all counted
        ("right right lung", "right lung", 1.0),
        ("right lung", "lung", 1.0),  # a part is an "exact match"
        ("CT", "", 0.0),
        ("two", "2.", 1.0),
    ],
)
def test_exact_match_is_the_share_of_the_answers_words_that_the_reference_explains(truth, answer, share):
    assert value("exact_match", truth, answer) == pytest.approx(share)


@pytest.mark.parametrize(
    ("truth", "answer", "precision", "recall"),
    [
        ("right lung", "the right lung base", 2 / 3, 1.0),
        ("right lung", "right right base", 2 / 3, 2 / 3),  # recall: 2 of the answer's, 1 missing of the reference's
        ("right right lung", "right", 1.0, 1 / 2),
        ("lung lung mass", "mass", 1.0, 1 / 3),
        ("CT", "MRI", 0.0, 0.0),
        ("CT", "", 0.0, 0.0),
        ("the", "the", 0.0, 0.0),  # nothing but articles
    ],
)
def test_precision_and_recall_count_the_answers_repetitions(truth, answer, precision, recall):
    f1 = 2 * precision * recall / (precision + recall) if precision else 0.0
    assert value("precision", truth, answer) == pytest.approx(precision)
    assert value("recall", truth, answer) == pytest.approx(recall)
    assert value("f1", truth, answer) == pytest.approx(f1)


@pytest.mark.parametrize(("answer", "right"), [("e b c", 1.0), ("e b", 0.0), ("b c d e f g h", 1.0)])
def test_an_open_answer_is_right_from_a_recall_of_three_quarters(answer, right):
    assert value("open_accuracy", "e b c d", answer) == right


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("the x-ray of a chest", "x ray of chest"),
        ("x-ray - chest", "xray chest"),  # one hyphen beside a space, and all vanish
        ("about 1,000 ml (x-ray)", "about 1000 ml xray"),  # a comma between digits, and every mark vanishes
        ("c5/c6", "c5 c6"),
        ("left, right", "left right"),
        ("5.6 cm.", "5.6 cm"),
        ("none of ten", "0 of 10"),
        ("it isnt, dont say whats new", "it isn't don't say what's new"),
        ("its well", "its well"),
        ("somebody'd", "somebodyd"),
        ("no\u2019t", "no\u2019t"),  # only marks of its list
        ("." * 33, "."),  # 32 full stops go, the next stays
    ],
)
def test_texts_are_normalised_as_in_the_vqa_evaluation_with_its_slips(text, normal):
    assert normalise(text) == normal


@pytest.mark.parametrize("name", LEGACY)
def test_choices_are_left_out(name):
    assert isnan(value(name.removeprefix("medvlmbench_"), "cyst", "A", "choice"))


@given(st.text(max_size=60), st.sampled_from(["open", "closed"]))
def test_an_answer_equal_to_the_reference_is_perfect(text, form):
    assume(normalise(text.lower()))
    for name in ("precision", "recall", "f1"):
        assert value(name, text, text, form) == pytest.approx(1.0)


def test_all_are_named_for_what_they_are_and_say_so():
    assert len(LEGACY) == 6
    assert all("Paper A" in METRICS["vqa"][name].compute.__doc__ for name in LEGACY)
