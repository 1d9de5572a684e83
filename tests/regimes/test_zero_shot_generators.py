"""Generators off the shelf: a diagnosis as a choice among lettered descriptions, and the probability of each option."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from medrival.case import Case
from medrival.contracts import Failed, Said
from medrival.errors import AdaptationFailed, UnreadableImage
from medrival.evaluate import Bench
from medrival.regimes import zero_shot
from medrival.tasks.prompts import ask


class Torn:
    """An image file that cannot be decoded."""

    digest = "torn"

    def open(self):
        raise UnreadableImage("torn.png is torn")


@pytest.fixture
def case(rows):
    def make(model: str, task: str) -> Case:
        return Case(rows.models[model], rows.tasks[task], rows.regimes["zero-shot"])

    return make


@pytest.fixture
def bench(new_lab, case):
    """A workbench for a case, with the task it works on."""

    def make(model: str, task: str, limit: int = 12):
        lab, asked = new_lab(limit=limit), case(model, task)
        return Bench(lab, asked), lab.task(asked.task)

    return make


def test_class_probabilities_are_the_softmax_of_the_letters_likelihoods(bench, pocket_llava):
    work, task = bench("pocket-llava", "phantom-dermoscopy", limit=6)
    prompt = ask("choice", "Which description fits the image?", task.prompts)
    found = zero_shot.choose(pocket_llava, task, {}, work).predict(task.test)
    for sample, scores in zip(task.test, found, strict=True):
        letters = [["ABCDEF"[i]] for i in range(len(task.classes))]
        each = [pocket_llava.loglikelihood([[sample.image.open()]], [prompt], [letter])[0][0] for letter in letters]
        np.testing.assert_allclose(scores, softmax(each), atol=1e-4)


def test_every_description_is_in_the_prompt_in_class_order_and_it_is_on_record(bench, pocket_llava):
    work, task = bench("pocket-llava", "phantom-chest", limit=4)
    prompt = zero_shot.choose(pocket_llava, task, {}, work).notes["asked"]
    places = [prompt.index(f"({letter}) {text}") for letter, text in zip("ABCD", task.prompts, strict=False)]
    assert places == sorted(places)
    assert len(places) == len(task.classes)


def test_a_generators_diagnosis_has_an_auroc(new_lab, case):
    outcome = new_lab(limit=30).evaluate(case("pocket-medllava", "phantom-chest"))
    truth = [outcome.classes.index(p.truth) for p in outcome.predictions]
    expected = roc_auc_score(truth, [p.scores[1] for p in outcome.predictions])
    assert outcome.metrics["auroc"].value == pytest.approx(expected, abs=1e-9)
    assert len(outcome.validation) == 30


def test_an_image_that_cannot_be_read_fails_alone(bench, pocket_llava):
    work, task = bench("pocket-llava", "phantom-chest", limit=4)
    torn = replace(task.test[1], image=Torn())
    found = zero_shot.choose(pocket_llava, task, {}, work).predict([task.test[0], torn, task.test[2]])
    assert found[1] == Failed("torn.png is torn")
    assert all(sum(scores) == pytest.approx(1) for scores in (found[0], found[2]))


def test_options_have_probabilities_and_open_questions_none(bench, pocket_llava):
    work, task = bench("pocket-llava", "phantom-histology-vqa", limit=60)
    found = zero_shot.answer(pocket_llava, task, {}, work).predict(task.test)
    assert {sample.form for sample in task.test} == {"open", "closed", "choice"}
    for sample, said in zip(task.test, found, strict=True):
        assert len(said.scores) == len(sample.options)
        assert not sample.options or sum(said.scores) == pytest.approx(1)


def test_a_choice_is_scored_by_its_letters_and_yes_or_no_by_the_words(bench, pocket_llava):
    work, task = bench("pocket-llava", "phantom-histology-vqa", limit=60)
    for form, reply in (("choice", "B"), ("closed", "no")):
        sample = next(s for s in task.test if s.form == form)
        said = zero_shot.answers(pocket_llava, [sample], work)[0]
        image, first = sample.image.open(), "A" if form == "choice" else "yes"
        (values,) = pocket_llava.loglikelihood([[image]], [sample.prompt], [[first, reply]])
        assert np.log(said.scores[0] / said.scores[1]) == pytest.approx(values[0] - values[1], abs=1e-4)


def test_probabilities_do_not_depend_on_the_batch(bench, pocket_llava):
    work, task = bench("pocket-llava", "phantom-chest-vqa", limit=24)
    large = zero_shot.answers(pocket_llava, task.test, work)
    work.batch_size = 5
    for one, other in zip(large, zero_shot.answers(pocket_llava, task.test, work), strict=True):
        assert one.text == other.text
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


def test_the_likeliest_option_makes_a_metric_and_it_is_stored(new_lab, case):
    outcome = new_lab(limit=40).evaluate(case("pocket-medllava", "phantom-chest-vqa"))
    asked = [p for p in outcome.predictions if p.options]
    right = [p.options[int(np.argmax(p.scores))] == p.truth for p in asked]
    assert outcome.metrics["choice_likelihood_accuracy"].value == pytest.approx(np.mean(right), abs=1e-12)
    assert outcome.metrics["choice_likelihood_accuracy"].n == len(asked)
    assert new_lab(limit=40).evaluate(case("pocket-medllava", "phantom-chest-vqa")) == outcome


def test_a_generator_that_gives_no_likelihoods_answers_but_takes_no_diagnosis(bench, pocket_llava):
    silent = replace(pocket_llava, loglikelihood=None)
    work, task = bench("pocket-llava", "phantom-chest-vqa", limit=6)
    found = zero_shot.answer(silent, task, {}, work).predict(task.test)
    assert all(isinstance(said, Said) and said.scores == () for said in found)
    with pytest.raises(AdaptationFailed, match="gives none"):
        zero_shot.choose(silent, task, {}, work)


def test_more_classes_than_letters_are_refused(bench, pocket_llava):
    work, task = bench("pocket-llava", "phantom-chest", limit=4)
    many = replace(task, prompts=tuple(f"disease {i}" for i in range(27)))
    with pytest.raises(AdaptationFailed, match="27 classes; a generator can choose among 26"):
        zero_shot.choose(pocket_llava, many, {}, work)
