"""Which samples are shown, and when one counts as right."""

from dataclasses import replace

import pytest

from medrival.contracts import Prediction
from medrival.reports.gallery import SHOWN, choose, clip, correct, gallery
from medrival.reports.record import Run
from medrival.tasks.metrics import METRICS, measure

MARKS = {f"easy{i}": [True] * 4 for i in range(9)} | {f"hard{i}": [False] * 4 for i in range(9)}
SPLIT = {f"split{i}": [True, False, True, False] for i in range(9)} | {f"lone{i}": [True] + [False] * 3 for i in range(9)}


def test_samples_that_split_the_models_come_first_and_both_extremes_are_among_them() -> None:
    chosen = choose(MARKS | SPLIT)
    assert len(chosen) == len(set(chosen)) == SHOWN
    assert [name[:-1] for name in chosen] == ["split"] * (SHOWN - 2) + ["easy", "hard"]


def test_the_choice_does_not_depend_on_the_order_of_the_samples() -> None:
    marks = MARKS | SPLIT
    assert choose(dict(reversed(marks.items()))) == choose(marks)


def test_where_all_agree_samples_are_shown_all_the_same() -> None:
    assert len(choose(MARKS)) == SHOWN
    assert choose({"only": [True]}) == ["only"]
    assert choose({}) == []


def test_right_and_wrong_add_up_to_the_accuracy(run: Run) -> None:
    assert METRICS
    for case in (run.cases[0], run.cases[-1]):
        predictions = (replace(case.predictions[0], error="unreadable"), *case.predictions[1:])
        expected = measure(case.task_kind, predictions, case.classes, resamples=10).metrics["accuracy"].value
        right = [correct(prediction, case.classes) for prediction in predictions]
        assert sum(right) / len(right) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("scores", "right"),
    [((0.6, 0.4), True), ((0.5, 0.5), True), ((0.4, 0.6), False), ((float("nan"), 0.1), False), ((), False)],
)
def test_the_first_of_equally_probable_classes_counts(scores: tuple[float, ...], right: bool) -> None:
    assert correct(Prediction("a", "g", "benign", scores), ("benign", "malignant")) is right


def test_with_several_seeds_the_first_speaks(run: Run) -> None:
    first = run.cases[0]
    again = replace(first, seed=1, predictions=tuple(replace(p, scores=(0.5, 0.5)) for p in first.predictions))
    shown = gallery((first, again), lambda _task, _sample: None)
    assert list(shown) == [first.task]
    assert all(len(sample.said) == 1 and "(0.50)" not in sample.said[0].answer for sample in shown[first.task])


def test_a_long_answer_is_cut_and_says_so() -> None:
    assert clip("x" * 5000, 10) == "xxxxxxxxxx ... (5,000 characters)"
    assert clip("short", 10) == "short"
