"""Chain of thought: what is asked, what of it counts, and what is kept."""

from dataclasses import replace

import pytest

from medrival.answered import predicted
from medrival.case import Case
from medrival.contracts import Failed, Said, Served
from medrival.evaluate import Bench
from medrival.regimes import chain_of_thought
from medrival.tasks.metrics import measure

BUDGET = {"thought_tokens": 100}
THOUGHTS = {
    r"The left lung is dark. $\boxed{\text{yes}}$": "yes",
    r"First \boxed{no}; on a second look \boxed{\mathbf{{yes}}}": "yes",
    "The answer is yes.": "",
}


@pytest.fixture
def bench(new_lab, rows):
    lab = new_lab(limit=40)
    case = Case(rows.models["pocket-llava"], rows.tasks["phantom-chest-vqa"], rows.regimes["chain-of-thought"])
    return Bench(lab, case), lab.task(case.task)


def thinking(model, thought):
    """A generator that has this thought, whatever it is asked, and what it was asked."""
    asked = []

    def answer(images, prompts, tokens):
        asked.extend((prompt, tokens) for prompt in prompts)
        return [thought] * len(images)

    return replace(model, answer=answer), asked


def test_the_prompt_is_the_tasks_own_and_asks_for_steps_and_a_box(bench, pocket_llava):
    (work, task), (model, asked) = bench, thinking(pocket_llava, "?")
    adapted = chain_of_thought.answer(model, task, BUDGET, work)
    adapted.predict(task.test[:3])
    wanted = [f"{s.prompt}\nReason step by step first, and put the final answer into \\boxed{{}}." for s in task.test[:3]]
    assert sorted(prompt for prompt, _ in asked) == sorted(wanted)
    assert {tokens for _, tokens in asked} == {work.max_new_tokens + 100} == {adapted.notes["max_new_tokens"]}


def test_a_chinese_question_is_asked_for_steps_in_chinese(bench):
    work, _ = bench
    assert work.reasoned("这是什么？").startswith("这是什么？\n请先逐步推理")


@pytest.mark.parametrize("thought", THOUGHTS)
def test_the_last_box_is_the_answer_and_the_thought_is_kept_and_not_scored(bench, pocket_llava, thought):
    (work, task), (model, _) = bench, thinking(pocket_llava, thought)
    asked = [next(sample for sample in task.test if sample.truth == "yes")]
    said = chain_of_thought.answer(model, task, BUDGET, work).predict(asked)
    (prediction,) = predicted(asked, said)
    assert (prediction.answer, prediction.thought, prediction.scores) == (THOUGHTS[thought], thought, ())
    found = measure("vqa", [prediction], ()).metrics
    assert found["unparseable_rate"].value == (not THOUGHTS[thought])
    assert found["closed_accuracy"].value == bool(THOUGHTS[thought])


def test_a_letter_in_a_box_may_have_its_text_beside_it(bench, pocket_llava):
    (work, task), (model, _) = bench, thinking(pocket_llava, "")
    sample = next(sample for sample in task.test if sample.form == "choice")
    thought = rf"(A) or (B)? \boxed{{\text{{({sample.reply}) {sample.truth}}}}}"
    model, _ = thinking(pocket_llava, thought)
    (prediction,) = predicted([sample], chain_of_thought.answer(model, task, BUDGET, work).predict([sample]))
    assert measure("vqa", [prediction], ()).metrics["closed_accuracy"].value == 1


def test_an_open_answer_in_a_box_is_its_words_without_what_sets_them(bench, pocket_llava):
    (work, task), (model, _) = bench, thinking(pocket_llava, r"So it is $\boxed{\mathbf{\text{pleural effusion}}}$.")
    sample = replace(task.test[0], form="open", truth="Pleural effusion", options=())
    (prediction,) = predicted([sample], chain_of_thought.answer(model, task, BUDGET, work).predict([sample]))
    assert prediction.answer == "pleural effusion"
    found = measure("vqa", [prediction], ()).metrics
    assert [found[name].value for name in ("exact_match", "token_f1")] == [1, 1]


def test_an_endpoint_is_asked_the_same_and_its_failures_stay_failures(bench):
    work, task = bench
    asked = []

    def answer(samples, _, tokens):
        asked.extend((sample.prompt, tokens) for sample in samples)
        return [Said(r"So \boxed{yes}"), Failed("down")], {"unanswered": 1}

    adapted = chain_of_thought.ask(Served(answer), task, BUDGET, work)
    first, second = predicted(task.test[:2], adapted.predict(task.test[:2]))
    assert (first.answer, first.thought) == ("yes", r"So \boxed{yes}")
    assert (second.error, second.thought) == ("down", "")
    assert asked == [(work.reasoned(sample.prompt), work.max_new_tokens + 100) for sample in task.test[:2]]
    assert adapted.notes["served"] == {"unanswered": 1}


def test_a_pocket_model_goes_through_and_its_thoughts_are_stored(new_lab, rows):
    case = Case(
        rows.models["pocket-llava"],
        rows.tasks["phantom-chest-vqa"],
        rows.regimes["chain-of-thought"].given("pocket", "generator"),
    )
    outcome = new_lab(limit=4).evaluate(case)
    assert all(prediction.thought for prediction in outcome.predictions)
    assert outcome.notes["max_new_tokens"] == 128
    assert new_lab(limit=4).evaluate(case) == outcome
