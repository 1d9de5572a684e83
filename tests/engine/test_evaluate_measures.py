"""What evaluate measures besides the metrics: classes, subgroups, thresholds, and scores that are no numbers."""

from dataclasses import replace

import numpy as np
import pytest

from medrival import evaluate
from medrival.answered import predicted
from medrival.case import Case
from medrival.contracts import Adapted, Failed, Said
from medrival.tasks.metrics import measure


@pytest.fixture
def asked(rows):
    def case(model="pocket-clip", task="phantom-histology", regime="zero-shot"):
        return Case(
            rows.models[model], rows.tasks[task], rows.regimes[regime].given(rows.models[model].budget, rows.models[model].type)
        )

    return case


def test_an_outcome_holds_what_its_own_predictions_measure(new_lab, asked):
    outcome = new_lab().evaluate(asked(task="phantom-chest"))
    again = measure("diagnosis", outcome.predictions, outcome.classes, validation=outcome.validation)
    assert (outcome.metrics, outcome.per_class, outcome.subgroups) == (again.metrics, again.per_class, again.subgroups)
    assert set(outcome.per_class) == {"auroc", "average_precision"}
    assert all(tuple(each) == outcome.classes for each in outcome.per_class.values())
    assert set(outcome.subgroups) == {"sex", "age"}
    assert {one.metric for one in outcome.subgroups.values()} == {"auroc"}


def test_the_threshold_comes_from_the_validation_split_alone(new_lab, asked, monkeypatch):
    case = asked(task="phantom-chest")
    first = new_lab().evaluate(case)
    assert len(first.classes) == 2, "a threshold takes two classes"
    assert first.notes["decision_threshold"] in [p.scores[1] for p in first.validation]
    lab = new_lab()
    task = lab.task(case.task)
    lab._tasks[case.task.name] = replace(task, test=task.test[:12], fingerprint="half")
    assert lab.evaluate(case).notes["decision_threshold"] == first.notes["decision_threshold"]


def test_questions_have_subgroups_of_the_metric_that_decides(new_lab, asked):
    outcome = new_lab().evaluate(asked("pocket-llava", "phantom-chest-vqa"))
    assert set(outcome.subgroups) == {"sex", "age"}
    assert {one.metric for one in outcome.subgroups.values()} == {"closed_accuracy"}
    assert outcome.per_class == {}


def test_an_outcome_survives_the_store(new_lab, asked):
    outcome = new_lab().evaluate(asked())
    assert new_lab().store.outcome(outcome.key) == outcome


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_sample_whose_scores_are_no_numbers_fails_and_counts_as_wrong(new_lab, asked, monkeypatch, broken):
    case, imported = asked(), evaluate.imported

    def spoiled(*arguments):
        adapted = imported(case.runner)(*arguments)

        def predict(samples):
            first, *rest = adapted.predict(samples)
            return [(broken, *first[1:]), *rest]

        return replace(adapted, predict=predict)

    monkeypatch.setattr(evaluate, "imported", lambda place: spoiled if place == case.runner else imported(place))
    lab = new_lab()
    outcome = lab.evaluate(case)
    assert [p.error for p in outcome.predictions] == ["the model's scores are not finite"] + [""] * 23
    assert outcome.predictions[0].scores == ()
    assert outcome.metrics["accuracy"].n == 24
    right = sum(outcome.classes[int(np.argmax(p.scores))] == p.truth for p in outcome.predictions[1:])
    assert outcome.metrics["accuracy"].value == pytest.approx(right / 24)
    assert lab.store.outcome(outcome.key) == outcome


def test_a_thought_is_no_part_of_an_answer_and_one_that_is_cut_off_is_wrong_and_counted(new_lab, asked, monkeypatch):
    case, imported = asked("pocket-llava", "phantom-chest-vqa"), evaluate.imported
    case = replace(case, model=replace(case.model, thinking=1000))

    def thinking(model, task, budget, bench):
        assert bench.max_new_tokens == 1064

        def predict(samples):
            first, second, third, *rest = samples
            said = [f"<think>Not {first.truth}?</think>\n{first.truth}", f"<think>It may be {second.truth}", third.truth]
            return [*map(Said, said), *(Failed("no image") for _ in rest)]

        return Adapted(predict)

    monkeypatch.setattr(evaluate, "imported", lambda place: thinking if place == case.runner else imported(place))
    outcome = new_lab().evaluate(case)
    first, second, third, *_ = outcome.predictions
    assert (first.answer, first.error) == (first.truth, "")
    assert second.answer == ""
    assert second.error.startswith("its thought was cut off")
    assert third.answer == third.truth
    assert (outcome.notes["max_new_tokens"], outcome.notes["cut_off"]) == (1064, 1)


def test_what_a_row_allows_for_thinking_is_part_of_an_outcomes_key_and_on_record(new_lab, asked):
    lab, case = new_lab(), asked("pocket-llava", "phantom-chest-vqa")
    assert lab.key(case) != lab.key(replace(case, model=replace(case.model, thinking=1)))
    assert lab.evaluate(case).notes["max_new_tokens"] == 64


def test_words_with_scores_that_are_no_numbers_fail_too(new_lab, rows):
    sample = new_lab().task(rows.tasks["phantom-chest-vqa"]).test[0]
    given = [Said("yes", (float("nan"), 0.5)), Said("yes", (0.5, 0.5)), Said("yes"), (0.25, 0.75), Failed("no image")]
    found = [(one.answer, one.scores, one.error) for one in predicted([sample] * len(given), given)]
    assert found == [
        ("", (), "the model's scores are not finite"),
        ("yes", (0.5, 0.5), ""),
        ("yes", (), ""),
        ("", (0.25, 0.75), ""),
        ("", (), "no image"),
    ]
