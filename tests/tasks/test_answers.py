"""How answers in words are read. The strings are of the kinds that models really produce."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrival.tasks.answers import normalise, parse_choice, parse_yes_no, read, same

ORACLE = Path(__file__).parents[3] / "shared" / "data" / "oracles" / "mumc_vqa_rad" / "compare.json"
FINDINGS = ("Pneumonia", "Pleural effusion", "Normal", "Atelectasis")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  The LEFT lung. ", "left lung"),
        ("Heart \tlungs", "heart lungs"),
        ("x-ray", "x ray"),
        ("the patient's left", "patients left"),
        ("the patient\u2019s left", "patients left"),
        ("5.6cm", "5.6cm"),
        ("about 1,000 mL.", "about 1000 ml"),
        ("C5/C6", "c5 c6"),
        ("\uff39\uff25\uff33", "yes"),  # full-width letters
        ("10 \u00b5m", "10 \u03bcm"),  # micro sign and Greek mu
        ("A", "a"),
        ("", ""),
        ("?!", ""),
    ],
)
def test_normalise_keeps_words_and_drops_what_carries_no_meaning(text, normal):
    assert normalise(text) == normal


def test_normalise_agrees_with_the_squad_script_on_plain_english():
    def squad(text):  # the published evaluation script, for text whose punctuation stands at word ends
        text = "".join(c for c in text.lower() if c not in string.punctuation)
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())

    for text in ["The heart is enlarged.", "On the right, near an opacity!", "Yes (a mass)", "no", "CT of the chest"]:
        assert normalise(text) == squad(text)


@given(st.text())
def test_normalising_twice_changes_nothing_more(text):
    assert normalise(normalise(text)) == normalise(text)


def test_no_with_a_full_stop_is_no():
    assert same("No.", "no")


def test_an_answer_without_a_word_equals_nothing():
    assert not same("", "")
    assert not same(".", "?")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yes", "yes"),
        ("No.", "no"),
        ("**Yes**", "yes"),
        (" YES!\n", "yes"),
        ("Yes, there is no evidence of a fracture.", "yes"),
        ("No, yes would be wrong", None),
        ("There is no pleural effusion.", "no"),
        ("I believe the answer is yes, there is no doubt.", "yes"),
        ("There is no opacity on the left, so one may say yes. Answer: no", "no"),
        (r"No fracture is seen and yes, it is normal. \boxed{\text{yes}}", "no"),
        (r"One may say yes or no. \boxed{\text{yes}}", "yes"),
        ("yes and no", None),
        ("Yes or no?", None),
        ("yes/no", None),
        ("I cannot say yes or no.", None),
        ("The answer is yes or no", None),
        ("It is not yes", None),
        ("maybe", None),
        ("", None),
        ("   ", None),
    ],
)
def test_yes_or_no_is_what_the_answer_states(text, said):
    assert parse_yes_no(text) == said


@pytest.mark.parametrize("word", ["abnormal", "know", "notice", "normal", "not", "none", "nodule", "eyes", "yesterday"])
def test_no_is_not_found_inside_abnormal(word):
    assert parse_yes_no(word) is None
    assert parse_yes_no(f"The image looks {word} to me") is None


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("B", "Pleural effusion"),
        ("b", "Pleural effusion"),
        ("(B)", "Pleural effusion"),
        ("(b) is right", "Pleural effusion"),
        ("B.", "Pleural effusion"),
        ("b) effusion", "Pleural effusion"),
        ("B: Pleural effusion", "Pleural effusion"),
        ("**B**", "Pleural effusion"),
        ("A", "Pneumonia"),
        ("A.", "Pneumonia"),
        ("I think it is B", "Pleural effusion"),
        ("answer: B", "Pleural effusion"),
        ("The correct answer is (b).", "Pleural effusion"),
        (r"\boxed{B}", "Pleural effusion"),
        (r"So A fails. $\boxed{\text{B}}$", "Pleural effusion"),
        ("The answer is pleural effusion", "Pleural effusion"),
        ("It shows a pleural effusion.", "Pleural effusion"),
        ("A pleural effusion is seen", "Pleural effusion"),
        ("The answer is a pleural effusion", "Pleural effusion"),
        ("A and B come to mind. C is wrong. The answer is D", "Atelectasis"),
        ("The answer is A. No, wait: the answer is B.", "Pleural effusion"),
        ("not pneumonia but atelectasis", "Atelectasis"),
        ("A and B", None),
        ("The answer is A or B", None),
        ("Either pneumonia or atelectasis", None),
        ("B. Pneumonia", None),
        ("E", None),
        ("The answer is not B", None),
        ("A fracture is seen", None),
        ("Abnormal", None),
        ("vitamin B12", None),
        ("none of them", None),
        ("", None),
    ],
)
def test_a_choice_is_the_one_option_that_is_named(text, option):
    assert parse_choice(text, FINDINGS) == option


def test_the_longer_option_is_not_taken_for_the_shorter_one_inside_it():
    assert parse_choice("the left lung", ("Lung", "Left lung")) == "Left lung"
    assert parse_choice("not visible", ("visible", "not visible")) == "not visible"


def test_a_letter_inside_an_options_text_is_no_letter():
    assert parse_choice("Vitamin B", ("Vitamin B", "Vitamin A")) == "Vitamin B"


@given(st.integers(0, 3), st.sampled_from(["{}", "({})", "{}.", "Answer: {}", "The answer is {}.", "[{}]", "{})"]))
def test_every_letter_is_read_in_every_usual_form(index, form):
    assert parse_choice(form.format("ABCD"[index]), FINDINGS) == FINDINGS[index]


@given(st.text(max_size=200))
def test_whatever_the_text_the_result_is_an_option_or_none(text):
    assert parse_choice(text, FINDINGS) in (*FINDINGS, None)
    assert parse_yes_no(text) in ("yes", "no", None)


def test_a_question_without_options_takes_the_whole_answer():
    assert read("Axial plane", ()) == "Axial plane"
    assert read("...", ()) is None


def test_yes_and_no_as_options_are_read_as_such_whatever_their_case():
    assert read("There is no mass", ("Yes", "No")) == "no"


@pytest.mark.parametrize(
    "piece",
    ["answer ", "answer" + " " * 60, "A ", "A" + " " * 60, "((", "\\boxed {", "not ", "yes and ", "1,000", "....", "a\t"],
)
def test_an_answer_of_ten_thousand_characters_does_not_hang_the_reader(piece):
    text = (piece * 10_000)[:10_000]
    assert parse_choice(text, FINDINGS) in (*FINDINGS, None)
    assert parse_yes_no(text) in ("yes", "no", None)


@pytest.mark.skipif(not ORACLE.is_file(), reason="the published predictions are not beside this checkout")
@pytest.mark.parametrize(("kind", "published"), [(None, 74.06), ("close", 84.56), ("open", 58.10)])
def test_published_predictions_score_what_their_authors_report(kind, published):
    rows = [row for row in json.loads(ORACLE.read_text()).values() if kind in (None, row["type"])]
    assert 100 * sum(row["gt"].lower() == row["pred"].lower() for row in rows) / len(rows) == pytest.approx(
        published, abs=0.005
    )
    assert 100 * sum(same(row["pred"], row["gt"]) for row in rows) / len(rows) == pytest.approx(published, abs=0.005)
