"""Why a prediction was scored as it was: always what the engine's own metrics say."""

from dataclasses import replace

import pytest

from medrival.contracts import Form, Prediction
from medrival.reports.record import CaseRecord, Run
from medrival.reports.samples.marks import marks
from medrival.tasks.metrics import measure

CLASSES = ("benign", "malignant", "unclear")


def case(run: Run, *predictions: Prediction, classes: tuple[str, ...] = ()) -> CaseRecord:
    kind = "diagnosis" if classes else "vqa"
    return replace(run.cases[0], predictions=predictions, classes=classes, task_kind=kind)


def asked(form: Form, truth: str, answer: str, options: tuple[str, ...] = (), **more: object) -> Prediction:
    return Prediction("a", "g", truth, answer=answer, form=form, options=options, **more)


def test_right_and_wrong_add_up_to_the_accuracy_that_was_measured(run: Run) -> None:
    for known in (run.cases[0], run.cases[-1]):
        predictions = (replace(known.predictions[0], error="unreadable"), *known.predictions[1:])
        expected = measure(known.task_kind, predictions, known.classes, resamples=10).metrics["accuracy"].value
        letters = [mark.letter for mark in marks(replace(known, predictions=predictions))]
        assert letters.count("r") / len(letters) == pytest.approx(expected)
        assert letters[0] == "f"


@pytest.mark.parametrize(
    ("scores", "letter", "answer"),
    [((0.6, 0.3, 0.1), "r", "benign"), ((0.4, 0.4, 0.2), "r", "benign"), ((0.2, 0.7, 0.1), "w", "malignant")],
)
def test_the_first_of_the_most_probable_classes_is_the_diagnosis(
    run: Run, scores: tuple[float, ...], letter: str, answer: str
) -> None:
    mark = marks(case(run, Prediction("a", "g", "benign", scores), classes=CLASSES))[0]
    assert (mark.letter, mark.answer, mark.probability) == (letter, answer, max(scores))
    assert "Most probable of 3 classes" in mark.why
    assert ("the truth is benign" in mark.why) == (letter == "w")


def test_scores_that_are_no_probabilities_are_shown_as_none(run: Run) -> None:
    mark = marks(case(run, Prediction("a", "g", "benign", (3.2, -1.0, 0.5)), classes=CLASSES))[0]
    assert (mark.letter, mark.answer, mark.probability) == ("r", "benign", None)
    assert "Highest score of 3 classes" in mark.why


@pytest.mark.parametrize(
    ("said", "letter", "words"),
    [
        (asked("closed", "no", "No, there is none.", ("yes", "no")), "r", "Read as “no”, which is the truth."),
        (asked("closed", "no", "Yes.", ("yes", "no")), "w", "Read as “yes”; the truth is “no”."),
        (asked("closed", "no", "Perhaps.", ("yes", "no")), "w", "none of the options, or several"),
        (asked("choice", "lung", "The answer is (B).", ("heart", "lung")), "r", "Read as B, “lung”, which is the truth."),
        (asked("choice", "lung", "A. heart", ("heart", "lung")), "w", "Read as A, “heart”; the truth is B, “lung”."),
        (asked("open", "Left lung", "the LEFT lung."), "r", "Normalised it is “left lung”, which is the truth."),
        (asked("open", "left lung", "left heart"), "w", "“left heart” and not “left lung”; F1 of the words they share 0.50."),
        (asked("open", "lung", "heart", ("lung", "lungs")), "w", "or one of 1 other right answers"),
        (asked("open", "lung", "lungs", ("lung", "lungs")), "r", "a right answer"),
        (asked("open", "lung", "..."), "w", "it says nothing"),
        (asked("open", "lung", "<think>heart?</think> lung"), "r", "Normalised it is “lung”"),
    ],
)
def test_what_was_read_from_the_words_is_told(run: Run, said: Prediction, letter: str, words: str) -> None:
    mark = marks(case(run, said))[0]
    assert mark.letter == letter
    assert words in mark.why
    assert mark.answer == said.answer


def test_the_probability_is_that_of_the_option_that_was_read(run: Run) -> None:
    said = asked("closed", "no", "no", ("yes", "no"), scores=(0.3, 0.7))
    assert marks(case(run, said))[0].probability == 0.7
    assert marks(case(run, replace(said, answer="perhaps")))[0].probability is None


def test_a_failed_sample_counts_as_wrong_with_its_reason(run: Run) -> None:
    for classes in ((), CLASSES):
        mark = marks(case(run, Prediction("a", "g", "benign", error="x.png is truncated"), classes=classes))[0]
        assert mark.letter == "f"
        assert "x.png is truncated" in mark.why


def test_independent_findings_are_neither_right_nor_wrong(run: Run) -> None:
    said = Prediction("a", "g", "benign|unclear", (0.9, 0.1, 0.8), form="findings")
    mark = marks(case(run, said, classes=CLASSES))[0]
    assert (mark.letter, mark.answer) == ("n", "benign 0.90, unclear 0.80, malignant 0.10")
    assert "AUROC" in mark.why


def test_scores_that_the_engine_refuses_are_scored_here_neither(run: Run) -> None:
    mark = marks(case(run, Prediction("a", "g", "benign", (float("nan"), 0.1, 0.2)), classes=CLASSES))[0]
    assert mark.letter == "n"
    assert "not finite" in mark.why
