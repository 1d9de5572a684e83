"""In-context learning: which solved questions stand before a question."""

from dataclasses import replace

import pytest

from medrival.case import Case
from medrival.contracts import Said
from medrival.errors import AdaptationFailed, UnreadableImage
from medrival.evaluate import Bench
from medrival.regimes import in_context


class Torn:
    digest = "torn"

    def open(self):
        raise UnreadableImage("torn.png is torn")


@pytest.fixture
def bench(new_lab, rows):
    lab = new_lab(limit=40)
    case = Case(rows.models["pocket-llava"], rows.tasks["phantom-chest-vqa"], rows.regimes["in-context-2"])
    return Bench(lab, case), lab.task(case.task)


def watched(model):
    """A generator that tells the turns before each prompt."""
    asked = {}

    def answer(images, prompts, tokens, earlier):
        asked.update(
            (image.tobytes(), (prompt, turns)) for (image,), prompt, turns in zip(images, prompts, earlier, strict=True)
        )
        return ["yes"] * len(prompts)

    return replace(model, answer=answer), asked


def shown(model, task, work, shots=2):
    """The examples of each test question, as training samples."""
    watching, asked = watched(model)
    solved = {(s.image.open().tobytes(), s.prompt, s.reply): s for s in task.train if not isinstance(s.image, Torn)}
    found = {}
    adapted = in_context.answer(watching, task, {"shots": shots}, work)
    for sample in task.test:
        adapted.predict([sample])
        _, turns = asked[sample.image.open().tobytes()]
        found[sample.id] = [solved[turn.images[0].tobytes(), turn.prompt, turn.answer] for turn in turns]
    return found, adapted.notes


def test_examples_are_solved_questions_of_the_same_form_and_of_nobody_that_is_tested(bench, pocket_llava):
    work, task = bench
    found, notes = shown(pocket_llava, task, work)
    for sample in task.test:
        assert len(found[sample.id]) == 2
        assert {example.form for example in found[sample.id]} == {sample.form}
    assert "questions_with_fewer_examples" not in notes


def test_one_seed_shows_every_question_of_a_form_the_same_examples_and_another_seed_others(bench, pocket_llava):
    work, task = bench
    found, _ = shown(pocket_llava, task, work)
    first = {s.form: [e.id for e in found[s.id]] for s in task.test}
    assert all([e.id for e in found[s.id]] == first[s.form] for s in task.test)
    more, _ = shown(pocket_llava, task, work, shots=4)
    assert all([e.id for e in more[s.id]][:2] == first[s.form] for s in task.test)
    work.seed = 1
    other, _ = shown(pocket_llava, task, work)
    assert any([e.id for e in other[s.id]] != first[s.form] for s in task.test)


def test_a_patient_or_an_image_is_no_example_for_itself(bench, pocket_llava):
    work, task = bench
    found, _ = shown(pocket_llava, task, work)
    tested = task.test[0]
    patient, image = found[tested.id]
    train = [
        replace(s, group=tested.group) if s.id == patient.id else replace(s, image=tested.image) if s.id == image.id else s
        for s in task.train
    ]
    again, _ = shown(pocket_llava, replace(task, train=tuple(train), test=(tested,)), work)
    assert not {patient.id, image.id} & {example.id for example in again[tested.id]}
    assert len(again[tested.id]) == 2


def test_an_example_that_cannot_be_read_is_passed_over_and_it_and_too_few_are_on_record(bench, pocket_llava):
    work, task = bench
    form = task.test[0].form
    of_form = [s for s in task.train if s.form == form][:2]
    torn = replace(task, train=(replace(of_form[0], image=Torn()), of_form[1]), test=task.test[:1])
    found, notes = shown(pocket_llava, torn, work)
    assert [example.id for example in found[task.test[0].id]] == [of_form[1].id]
    assert notes["questions_with_fewer_examples"] == 1
    assert notes["unreadable_training_samples"] == [of_form[0].id]


def test_a_task_without_solved_questions_is_refused(bench, pocket_llava):
    work, task = bench
    with pytest.raises(AdaptationFailed, match="no question with an answer to show"):
        in_context.answer(pocket_llava, replace(task, train=()), {"shots": 1}, work)


def test_a_pocket_model_goes_through(bench, pocket_llava):
    work, task = bench
    answers = in_context.answer(pocket_llava, task, {"shots": 2}, work).predict(task.test[:4])
    assert all(isinstance(said, Said) and said.scores == () for said in answers)
