"""How answers in words are read. The strings are of the kinds that models really produce."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrival.tasks.answers import LENGTH, normalise, parse_choice, parse_yes_no, read, same

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
        ("> 2 cm", ">2 cm"),
        (">= 2 cm", "\u22652 cm"),
        ("5 \u00b1 2", "5 \u00b12"),
        ("5 +/- 2", "5 \u00b12"),
        ("\u22121", "-1"),  # minus sign
        (".5 cm", "0.5 cm"),
        ("5-10 mm, left - right", "5 10 mm left right"),
        ("AB-", "ab-"),
        ("ER+/PR-", "er+ pr-"),
        ("reflexes 3++", "reflexes 3++"),
        ("(+)", "+"),
        ("---", ""),
        ("<b>left</b>", "b left b"),
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


@settings(deadline=None)
@given(st.text() | st.text(alphabet="ab5 .,+-<>=/_'\u00b1\u2212\u0300%"))
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
        ("\uff39\uff25\uff33\u3002", "yes"),  # full-width letters and full stop
        ("Yes, there is no evidence of a fracture.", "yes"),
        ("Yes. No other abnormality is seen.", "yes"),
        ("No, yes would be wrong", "no"),
        ("No evidence of pneumothorax", "no"),
        ("I would say no.", "no"),
        ("I believe yes, as the heart is enlarged", "yes"),
        ("Is the heart enlarged? No", "no"),
        ("**Answer:** No", "no"),
        ("The final answer is: yes", "yes"),
        ("Please answer yes or no.\nYes", "yes"),
        ("I believe the answer is yes, there is no doubt.", "yes"),
        ("There is no opacity on the left, so one may say yes. Answer: no", "no"),
        ("Yes, at first sight. But the answer is no.", "no"),
        (r"No fracture is seen and yes, it is normal. \boxed{\text{yes}}", "yes"),
        (r"One may say yes or no. \boxed{\text{yes}}", "yes"),
        (r"$\boxed{\mathbf{\text{No}}}$", "no"),
        ("<think>Is there a mass? No... wait, yes.</think>\n\nNo", "no"),
        ("Thinking that was cut off in front: no.</think>Yes", "yes"),
        ("<answer>yes</answer>", "yes"),
        ("I cannot determine the size, but the answer is yes.", "yes"),
        ("The answer is most likely no; others would say yes", "no"),
        # a "no" that answers nothing
        ("No doubt, yes.", "yes"),
        ("No problem: yes", "yes"),
        ("No change needed, the answer is clearly yes", "yes"),
        ("No, no doubt", "no"),
        ("No doubt there is a fracture", None),
        ("No question about the fracture", None),
        # a finding that is denied: yes to "Is the lung clear?", no to "Is there an effusion?"
        ("There is no pleural effusion.", None),
        ("There is no cardiomegaly", None),
        ("The heart shows no enlargement and no effusion is seen.", None),
        # both
        ("yes and no", None),
        ("Yes and no: yes on the left, no on the right", None),
        ("Yes or no?", None),
        ("yes/no", None),
        ("Yes, no.", None),
        ("No. Yes.", None),
        ("Yes.\nNo.", None),
        ("yes,no", None),
        ("yes|no", None),
        ("no;yes", None),
        ("yes-no", None),
        ("The answer is clearly not yes", None),
        ("I cannot say yes or no.", None),
        ("The answer is yes or no", None),
        # nothing
        ("It is not yes", None),
        ("The answer isn't yes", None),
        ("I wouldn't say yes", None),
        ("I would not say no.", None),
        ("I wouldn't say the answer is yes", None),
        ("As it does not enhance the answer is no.", "no"),
        ("It is never yes", None),
        ("It is not clear, yes", "yes"),
        ("It is not clear so yes", "yes"),
        ("It is not clear yes", "yes"),
        ("It is not normal yes.", "yes"),
        ("the aorta is not normal yes", "yes"),
        ("It is not seen in this image no", "no"),
        ("Not really no", "no"),
        ("It can't be excluded yes", "yes"),
        ("I do not hesitate to say yes.", "yes"),
        ("not sure yes", "yes"),
        ("It is not a clear yes", None),
        ("It can't be yes", None),
        ("I do not think it is yes", None),
        ("maybe", None),
        ("The No. 3 rib", None),
        ("No-contrast CT", None),
        ("<think>Yes, there seems to be", None),
        (r"\boxed{}", None),
        ("", None),
        ("   ", None),
        # refusals
        ("I cannot determine whether there is a fracture.", None),
        ("No, I cannot determine that from this image.", None),
        ("I'm sorry, as an AI I can\u2019t say yes.", None),
        ("I am unable to tell; please consult a radiologist", None),
        ("No image was provided.", None),
        ("I'm sorry, no.", None),
        # other languages: the prompt asks for yes or no
        ("ja", None),
        ("Nein, kein Pleuraerguss.", None),
        ("\u662f", None),
        ("\u4e0d\u662f", None),
    ],
)
def test_yes_or_no_is_what_the_answer_states(text, said):
    assert parse_yes_no(text) == said


@pytest.mark.parametrize(
    "word", ["abnormal", "know", "notice", "normal", "not", "none", "nodule", "eyes", "yesterday", "non-specific"]
)
def test_no_is_not_found_inside_abnormal(word):
    assert parse_yes_no(word) is None
    assert parse_yes_no(f"The image looks {word} to me") is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("(b) is right", "B"),
        ("(c)", "C"),
        ("c.", "C"),
        ("C)", "C"),
        ("[D]", "D"),
        ("B.", "B"),
        ("b) effusion", "B"),
        ("B: Pleural effusion", "B"),
        ("**B**", "B"),
        ("__C__", "C"),
        ("A", "A"),
        ("a", "A"),
        ("A.", "A"),
        ("\uff22", "B"),  # full-width B
        ("\uff08\uff23\uff09", "C"),  # full-width (C)
        ("Option C", "C"),
        ("option c", "C"),
        ("I think it is B", "B"),
        ("this is a chest x-ray; C is right", "C"),
        ("answer: B", "B"),
        ("**Answer: C**", "C"),
        ("The correct answer is (b).", "B"),
        ("The answer is: a", "A"),
        (r"\boxed{B}", "B"),
        (r"So A fails. $\boxed{\text{B}}$", "B"),
        (r"A, B, C or D? \[\boxed{\mathbf{\text{(C)}}}\]", "C"),
        (r"First \boxed{A}; after a second look \boxed{D}", "D"),
        (r"\boxed{\text{Pleural effusion}}", "B"),
        (r"\boxed{D", "D"),
        ("<answer>C</answer>", "C"),
        ("<think>A? Yes, A. Or B.</think>The picture fits D.", "D"),
        ("The answer is pleural effusion", "B"),
        ("It shows a pleural effusion.", "B"),
        ("PLEURAL EFFUSION", "B"),
        ("A pleural effusion is seen", "B"),
        ("The answer is a pleural effusion", "B"),
        ("A and B come to mind. C is wrong. The answer is D", "D"),
        ("A is unlikely. B is excluded. C is not right. So D.", "D"),
        ("Let us see.\nA. Pneumonia: no.\nB. Pleural effusion: no.\nC. Normal: no.\n\nD", "D"),
        ("A shows consolidation, B a meniscus, C clear lungs, D volume loss.\nAnswer: D", "D"),
        ("B\n\nA would show consolidation and D volume loss.", "B"),
        ("The answer is A. No, wait: the answer is B.", "B"),
        ("not pneumonia but atelectasis", "D"),
        ("pneumonia without pleural effusion", "A"),
        ("I cannot give a diagnosis, but the image fits C.", "C"),
        ("The answer is clearly B; A would show consolidation", "B"),
        ("A. Pneumonia is ruled out because B. Pleural effusion explains it", "B"),
        ("Answer: A is wrong, B is right.", "B"),
        ("B. Pleural effusion. This rules out A.", "B"),
        ("Answer: A. Pneumonia\n\nB. Pleural effusion is incorrect because there is no meniscus.", "A"),
        ("The answer is A. Pneumonia.\nA. Pneumonia", "A"),
        # two
        ("A and B", None),
        ("A and C", None),
        ("A) and C)", None),
        ("A/B", None),
        ("The answer is A or B", None),
        ("The answer is pneumonia or atelectasis", None),
        ("Either pneumonia or atelectasis", None),
        ("B. Pneumonia", None),
        ("Answer: B. Pneumonia", None),
        (r"\boxed{A, C}", None),
        ("A. Pneumonia: consolidation. B. Pleural effusion: meniscus. C. Normal: clear. D. Atelectasis: collapse.", None),
        ("(A) Pneumonia (B) Pleural effusion (C) Normal (D) Atelectasis", None),
        ("(A) Infection (B) Fluid", None),
        ("A. Pneumonia B. Pleural effusion C. Normal D. Atelectasis", None),
        ("a) pneumonia, b) pleural effusion, c) normal, d) atelectasis", None),
        ("The answer is:\nA. Pneumonia\nB. Pleural effusion\nC. Normal", None),
        ("A) Pneumonia or B) Pleural effusion", None),
        ("The answer is (A) Pneumonia and (B) Pleural effusion", None),
        ("The answer is (A) Pneumonia and (B) Pleural effusion are both seen", None),
        ("The answer is (A) Pneumonia or B", None),
        ("The answer is A or pleural effusion", None),
        # none
        ("A. Pneumonia is wrong", None),
        ("the answer isn't A", None),
        ("The answer cannot be B", None),
        ("The answer isn\u2019t pneumonia", None),
        ("It is neither A nor B", None),
        ("A. Pneumonia has been ruled out.", None),
        ("E", None),
        ("The answer is not B", None),
        ("B is wrong.", None),
        ("There is no pneumonia.", None),
        ("A fracture is seen", None),
        ("this is a chest x-ray", None),
        ("Abnormal", None),
        ("vitamin B12", None),
        ("The patient has hepatitis B.", None),
        ("none of them", None),
        ("I cannot determine whether it is A.", None),
        ("I'm sorry, as an AI I cannot tell A from B.", None),
        ("<think>It must be A", None),
        ("", None),
        # German with umlauts, and Chinese: only the options' own words count
        ("Es handelt sich um einen Pleuraerguß", None),
        ("\u80f8\u8154\u79ef\u6db2", None),
    ],
)
def test_a_choice_is_the_one_option_that_is_named(text, letter):
    assert parse_choice(text, FINDINGS) == (letter and FINDINGS["ABCD".index(letter)])


@pytest.mark.parametrize(
    ("text", "options", "option"),
    [
        ("Es ist die rechte Niere.", ("Rechte Niere", "Milz"), "Rechte Niere"),
        ("Ödem der Lunge", ("ÖDEM", "Erguss"), "ÖDEM"),
        ("O\u0308dem", ("\u00d6dem", "Erguss"), "\u00d6dem"),  # a combining umlaut
        ("\u662f\u3002", ("\u662f", "\u5426"), "\u662f"),  # SLAKE's Chinese yes and no
        ("\u5426", ("\u662f", "\u5426"), "\u5426"),
        ("\u4e0d\u662f", ("\u662f", "\u5426"), None),
        ("There is no fracture.", ("fracture", "no fracture"), "no fracture"),
        ("T2", ("T1", "T2"), "T2"),
        ("1.5 cm", ("5 cm", "1.5 cm"), "1.5 cm"),
        ("posterior anterior", ("PA", "AP"), None),
    ],
)
def test_options_in_other_words_are_found_as_whole_words(text, options, option):
    assert parse_choice(text, options) == option


CHEST = ("Pneumonia", "Effusion", "Cardiomegaly", "No finding")


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("Pneumonia: No\nEffusion: No\nCardiomegaly: Yes", "Cardiomegaly"),
        ("Pneumonia: no. Effusion: yes.", "Effusion"),
        ("Pneumonia: no, effusion: no, cardiomegaly: yes", "Cardiomegaly"),
        ("Pneumonia no, effusion no, cardiomegaly yes", "Cardiomegaly"),
        ("Pneumonia, no; effusion, yes", "Effusion"),
        ("Pneumonia, effusion: no\nCardiomegaly: yes", "Cardiomegaly"),
        ("Cardiomegaly: yes, pneumonia: no, effusion: no", "Cardiomegaly"),
        ("Pneumonia: not present; effusion: absent; cardiomegaly: present", "Cardiomegaly"),
        ("Pneumonia | No\nEffusion | No\nCardiomegaly | Yes", "Cardiomegaly"),
        ('{"Pneumonia": "No", "Effusion": "Yes"}', "Effusion"),
        ("**Pneumonia:** No\n**Effusion:** Yes", "Effusion"),
        ("1. Pneumonia: No\n2. Effusion: Yes", "Effusion"),
        ("Answer: Pneumonia: No\nEffusion: No\nCardiomegaly: Yes", "Cardiomegaly"),
        ("A. Pneumonia: no. B. Effusion: yes.", "Effusion"),
        ("(B) Effusion: yes\n(A) Pneumonia: no", "Effusion"),
        ("A: no, B: yes", "Effusion"),
        ("Pneumonia? No. Cardiomegaly.", "Cardiomegaly"),
        ("Effusion? No. Pneumonia.", "Pneumonia"),
        ("B. Effusion? No. Pneumonia.", "Pneumonia"),
        ("A? No. B.", "Effusion"),
        ("Is it effusion? I think not. Pneumonia.", "Pneumonia"),
        ("I considered effusion but no. Pneumonia it is.", "Pneumonia"),
        ("Ruled out: pneumonia, effusion. Diagnosis: cardiomegaly", "Cardiomegaly"),
        ("No: pneumonia", None),
        ("Is it effusion? No: pneumonia", None),
        ("No. Pneumonia.", "Pneumonia"),  # a denial stays in its clause
        ("No pneumonia or effusion", None),
        ("No pneumonia, effusion or cardiomegaly", None),
        ("There is no evidence of pneumonia", None),
        ("I don't see pneumonia. Effusion.", "Effusion"),
        ("The answer is not B. Effusion", None),
        ("not A or B", None),
        ("No finding.", "No finding"),
        ("The answer is B because pneumonia is absent", "Effusion"),
        ("The answer is B, effusion. Others are wrong.", "Effusion"),
        # the full stop after a letter ends the clause of the answer
        ("The answer is B. Is there cardiomegaly? No.", "Effusion"),
        ("Answer: B. Mass effect: none. Edema: absent.", "Effusion"),
        ("Answer: **B**. Consolidation: absent.", "Effusion"),
        ("B. Consolidation: none.", "Effusion"),
        ("The answer is B. (A) Incorrect. (C) Incorrect. (D) Incorrect.", "Effusion"),
        ("The answer is B. Could it be A? No.", "Effusion"),
        ("The answer is B. No.", None),
        # a heading denies what it heads, not what stands before it
        ("The correct answer is B.\n\nIncorrect:\n- A\n- C", "Effusion"),
        ("The final answer is B.\nRuled out:\nA. Pneumonia\nC. Cardiomegaly", "Effusion"),
        ("Effusion.\n\nExcluded:\n- Pneumonia\n- Cardiomegaly", "Effusion"),
        ("Excluded:\n* Pneumonia\n* Cardiomegaly\nIt is an effusion.", "Effusion"),
        ("Ruled out:\n- Pneumonia\n- Cardiomegaly\n\nB", "Effusion"),
        ("The correct answer is B.\n\nIncorrect: A, C, D", "Effusion"),
        ("B. Effusion\nExcluded: A, C, D", "Effusion"),
        ("Final answer: B\nIncorrect: A\nIncorrect: C", "Effusion"),
        ("Incorrect: A, C, D. The answer is B.", "Effusion"),
        ("Is it effusion?\nNo:\n- pneumonia", None),
        ("A. Incorrect: no consolidation. B. Correct: a meniscus.", "Effusion"),
        ("A) Incorrect: no consolidation", None),
        ("B. Effusion. Ruled out: A, C, D", "Effusion"),
        ("The answer is A. No: it is B.", None),
        ("The answer is A. Wrong: it is B.", None),
        ("The answer is A.\nNo: it is B.", None),
        # an explicit statement stands whatever is denied behind it, but itself
        ("The answer is B) Effusion, pneumonia: no, cardiomegaly: no", "Effusion"),
        ("The answer is (B), pneumonia: no, cardiomegaly: no", "Effusion"),
        ("Answer: B, pneumonia: no", "Effusion"),
        ("The answer is B, as consolidation is not seen, not identified.", "Effusion"),
        ("Answer: B. No consolidation. Negative.", "Effusion"),
        ("I think the answer is B. I considered A, but no.", "Effusion"),
        ("The answer is B, but no.", None),
        ("The answer is B) Effusion, no.", None),
        ("The answer is (B), no.", None),
        ("Answer: B, no.", None),
        ("The answer is A, I thought, but no. It is B.", "Effusion"),
        ("My answer is A, wait, no. B", "Effusion"),
        # what "no" and "without" may be said of, other than the option behind
        ("No doubt effusion", "Effusion"),
        ("Without doubt effusion", "Effusion"),
        ("No wonder effusion is seen", "Effusion"),
        ("No large effusion", None),
    ],
)
def test_an_option_that_is_denied_is_not_read_whatever_the_list(text, option):
    assert parse_choice(text, CHEST) == option


REPLIES = ("Yes", "No, it's normal")
VERDICTS = ("Yes, it is benign", "No, it is malignant")
RADS = ("Negative (BI-RADS 1)", "Benign (BI-RADS 2)")
LOSSES = ("Absent, congenital", "Absent, surgical")
OTHERS = ("Pneumonia", "Effusion", "None of the above")


@pytest.mark.parametrize(
    ("text", "options", "option"),
    [
        ("ER: negative.", ("ER positive", "ER negative"), "ER negative"),
        ("Margins: absent", ("Present", "Absent"), "Absent"),
        ("No, it's normal", REPLIES, REPLIES[1]),
        ("B. No, it's normal", REPLIES, REPLIES[1]),
        ("(B) No, it's normal", REPLIES, REPLIES[1]),
        ("The answer is B. No, it's normal.", REPLIES, REPLIES[1]),
        ("Yes", REPLIES, "Yes"),
        ("Yes, it is benign", VERDICTS, VERDICTS[0]),
        ("No, it is malignant", VERDICTS, VERDICTS[1]),
        ("B. No, it is malignant", VERDICTS, VERDICTS[1]),
        ("A. Negative (BI-RADS 1)", RADS, RADS[0]),
        ("A. Absent, congenital", LOSSES, LOSSES[0]),
        ("C. None", OTHERS, OTHERS[2]),
        ("None of the above", OTHERS, OTHERS[2]),
    ],
)
def test_a_word_that_an_option_says_denies_nothing(text, options, option):
    assert parse_choice(text, options) == option


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("No contrast CT", "CT"),
        ("This is a without contrast CT scan.", "CT"),
        ("T1-weighted without contrast MRI", "MRI"),
        ("No CT", None),
    ],
)
def test_an_image_without_contrast_is_an_image(text, option):
    assert parse_choice(text, ("CT", "MRI", "X-ray")) == option


@pytest.mark.parametrize("before", ["The heart is large. ", "A. Pneumonia: no. ", ", ", "x"])
def test_of_an_answer_of_a_million_characters_the_beginning_and_the_end_are_read(before):
    text = before * (1_000_000 // len(before))
    assert parse_choice(f"Answer: B\n{text}", FINDINGS) == FINDINGS[1]
    assert parse_choice(f"{text}\nAnswer: B", FINDINGS) == FINDINGS[1]
    assert parse_yes_no(f"Yes. {text}") == "yes"
    assert parse_choice(f"{text}\nAnswer: B\n{text}", FINDINGS) is None


def test_a_long_answer_is_cut_between_words():
    text = "x " * (LENGTH // 4 - 3) + "normalcy " + "y " * LENGTH
    assert parse_choice(text, FINDINGS) is None


SIZES = (">2 cm", "<2 cm")
BLOOD = ("A+", "A-", "B+", "B-", "AB+", "AB-")
LEVELS = ("C5/C6", "C5-C6")  # equal after normalisation


@pytest.mark.parametrize(
    ("text", "options", "option"),
    [
        ("B. <2 cm", SIZES, "<2 cm"),
        ("< 2 cm", SIZES, "<2 cm"),
        ("A. <2 cm", SIZES, None),
        ("2 cm", SIZES, None),
        ("No lesion > 2 cm", SIZES, None),
        ("B. pH >7.35", ("pH < 7.35", "pH > 7.35"), "pH > 7.35"),
        ("A+", BLOOD, "A+"),
        ("The answer is B-.", BLOOD, "B-"),
        ("It is AB+", BLOOD, "AB+"),
        ("B", BLOOD, "A-"),
        ("1", ("-1", "1"), "1"),
        ("\u22121", ("-1", "1"), "-1"),
        ("B. -1", ("-1", "1"), None),
        ("The answer is +", ("+", "-"), "+"),
        ("B. -", ("+", "-"), "-"),
        ("B. c5-c6", LEVELS, "C5-C6"),
        ("The level is C5/C6.", LEVELS, "C5/C6"),
        ("A. C5-C6", LEVELS, None),
        ("C5 C6", LEVELS, None),
        ("C5 C6", (*LEVELS, "C5"), None),
        ("C5", (*LEVELS, "C5"), "C5"),
        ("A. x ray", ("X-ray", "CT"), "X-ray"),
        ("B cell lymphoma", ("B cell lymphoma", "T cell lymphoma"), "B cell lymphoma"),
    ],
)
def test_options_that_differ_in_a_sign_are_told_apart(text, options, option):
    assert parse_choice(text, options) == option


def test_pa_is_not_posterior_anterior():
    assert not same("pa", "posterior anterior")


def test_the_longer_option_is_not_taken_for_the_shorter_one_inside_it():
    assert parse_choice("the left lung", ("Lung", "Left lung")) == "Left lung"
    assert parse_choice("not visible", ("visible", "not visible")) == "not visible"


def test_a_letter_inside_an_options_text_is_no_letter():
    assert parse_choice("Vitamin B", ("Vitamin B", "Vitamin A")) == "Vitamin B"


@given(st.integers(0, 3), st.sampled_from(["{}", "({})", "{}.", "Answer: {}", "The answer is {}.", "[{}]", "{})"]))
def test_every_letter_is_read_in_every_usual_form(index, form):
    assert parse_choice(form.format("ABCD"[index]), FINDINGS) == FINDINGS[index]


@settings(deadline=None)
@given(st.text(max_size=200))
def test_whatever_the_text_the_result_is_an_option_or_none(text):
    assert parse_choice(text, FINDINGS) in (*FINDINGS, None)
    assert parse_yes_no(text) in ("yes", "no", None)


def test_a_question_without_options_takes_the_whole_answer():
    assert read("Axial plane", ()) == "Axial plane"
    assert read("...", ()) is None
    assert read("<think>A sagittal one?</think>Axial", ()) == "Axial"


def test_yes_and_no_as_options_are_read_as_such_whatever_their_case():
    assert read("No mass is seen", ("Yes", "No")) == "no"
    assert read("A", ("Yes", "No")) is None


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("B", "No"),
        ("A. Yes", "Yes"),
        ("No", "No"),
        ("The answer is no.", "No"),
        ("A. No", None),
        ("There is no mass.", None),
        ("The answer is no doubt yes", "Yes"),
    ],
)
def test_yes_and_no_with_letters_are_read_by_letter_or_word(text, option):
    assert read(text, ("Yes", "No"), lettered=True) == option


PIECES = (
    *("answer ", "answer is ", "A ", "A", " ", "((", "\\boxed{", "}", "not ", "yes and ", "yes", "no", ",", "1,000"),
    *("...", "\n", "a\t", "<think>", "</think>", "<answer>", "I cannot say ", "as an AI ", "but ", "*", "B. "),
    *("<", "+", "-", "= ", "A) pneumonia ", "verbatim", "(", "no doubt ", "isn't ", "answer: B. ", "pleural effusion"),
    *("pneumonia ", "or ", "\u00d6", "\u662f", "is not ", "rules out ", ". ", "/", "vitamin "),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4))
def test_an_answer_of_ten_thousand_characters_is_read_whatever_repeats_in_it(pieces):
    piece = "".join(pieces)
    text = (piece * (10_000 // len(piece) + 1))[:10_000]
    assert parse_choice(text, FINDINGS) in (*FINDINGS, None)
    assert parse_yes_no(text) in ("yes", "no", None)


@settings(deadline=None)
@given(st.text(max_size=10_000))
def test_a_statement_behind_any_length_of_thought_is_what_counts(thought):
    text = f"<think>{thought}</think>\nAnswer: B"
    assert parse_choice(text, FINDINGS) == FINDINGS[1]
