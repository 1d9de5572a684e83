"""An audit finds what is wrong with a data set by itself, and what a score on it is worth."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image as PILImage

from medrival.catalog import imported
from medrival.contracts import Prediction, Sample, Task
from medrival.integrity import audit_from
from medrival.tasks.audit import audit
from medrival.tasks.chinese import OPTIONS
from medrival.tasks.metrics import measure
from tests.conftest import SHARED
from tests.tasks.audit.made import Picture, asked, questions, scene, silent


def audited(task, published=None, limit=None):
    return audit(task, published or {}, silent, limit)


def texts(found, severity):
    return [finding.text for finding in found.findings if finding.severity == severity]


def sick(name, seed, truth, group=""):
    return Sample(name, Picture(scene(seed)), group or f"g{seed}", truth)


def diagnosis(train, test):
    classes = tuple(f"looks {truth}" for truth in ("well", "sick"))
    train, test = ([replace(sample, truth=f"looks {sample.truth}") for sample in part] for part in (train, test))
    return Task("made", "diagnosis", tuple(train), (), tuple(test), fingerprint="f", classes=classes)


def test_a_clean_task_has_no_findings():
    train, test = [asked(f"a{i}", i) for i in range(4)], [asked(f"b{i}", 10 + i) for i in range(4)]
    found = audited(questions(train, test), {"train": 4, "test": 4})
    assert found.findings == ()
    assert found.leakage.share == 0
    assert found.images.distinct == {"train": 4, "validation": 0, "test": 4, "all": 8}


def test_training_images_and_patients_in_the_test_are_leaked_and_a_lookalike_is_suspected():
    smaller = scene(2).resize((60, 60), PILImage.Resampling.LANCZOS)
    test = [
        asked("same image", 1, group="other"),
        asked("same patient", 50, group="g3"),
        replace(asked("resized", 51), image=Picture(smaller)),
        asked("clean", 52),
    ]
    found = audited(questions([asked(f"a{i}", i) for i in range(5)], test))
    assert found.leakage.leaked == ("same image", "same patient")
    assert (found.leakage.on_training_images, found.leakage.of_training_groups) == (1, 1)
    assert (found.leakage.like_training_images, found.duplicates.near["test-train"]) == (1, 1)
    assert [pair.samples for pair in found.duplicates.examples] == [("resized", "a2")]
    assert texts(found, "warning")[0].startswith("2 of 4 test samples (50.0%) are leaked")


def test_any_image_of_a_question_about_several_can_leak():
    test = [asked("b", 9, more_images=(Picture(scene(1)),))]
    assert audited(questions([asked("a", 1)], test)).leakage.leaked == ("b",)


def test_questions_with_their_answers_are_found_again_whatever_their_spelling():
    train = [asked("a", 1, "yes", question="Is there a mass?")]
    known = asked("known", 1, "yes", question="is there  a MASS")
    test = [known, asked("other answer", 1, "no"), asked("other image", 2, "yes")]
    found = audited(questions(train, test))
    assert found.repeats["test-train"] == {"same image": 1, "other image": 1}
    assert "1 of 3 test samples stands in the training split with image, question and answer" in texts(found, "warning")


def test_repeats_within_a_split_leave_the_first_out():
    train = [asked("a", 1), asked("b", 1), asked("c", 2), asked("d", 3, "no")]
    assert audited(questions(train, [asked("t", 9)])).repeats["train"] == {"same image": 1, "other image": 1}


def test_an_image_of_two_patients_is_there_twice_and_many_questions_on_one_image_are_not():
    train = [asked("a", 1), asked("b", 1, "no"), asked("c", 2), asked("d", 2, group="another")]
    assert audited(questions(train, [asked("t", 9)])).duplicates.exact["train"] == 1
    twice = [sick("a", 1, "sick"), sick("b", 1, "sick")]
    assert audited(diagnosis(twice, [sick("t", 9, "well")])).duplicates.exact["train"] == 1


def test_a_count_that_differs_from_the_published_one_is_told_with_both():
    task = questions([asked("a", 1)], [asked("b", 2)], validation=[asked("c", 3)])
    assert texts(audited(task, {"train": 2, "test": 1}), "warning") == [], "a validation split was cut from training"
    assert texts(audited(task, {"train": 2, "validation": 1, "test": 5}), "warning") == [
        "train has 1 sample, not the 2 that are published",
        "test has 1 sample, not the 5 that are published",
    ]
    assert texts(audited(task, {"test": 5}, limit=1), "warning") == []
    assert texts(audited(task, {"all": 3}), "warning") == []
    assert texts(audited(task, {"all": 4}), "warning") == ["the whole set has 3 samples, not the 4 that are published"]


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        (asked("x", 2, ""), "1 of 2 samples of test has an empty answer: 'x'"),
        (asked("x", 2, 7), "1 sample has a question or an answer that is no text: 'x'"),
        (
            asked("x", 2, "C", form="choice", options=("A", "B")),
            "1 of 2 samples of test has options that miss the answer: 'x'",
        ),
        (asked("a", 2), "1 id is there more than once: 'a'"),
    ],
)
def test_what_no_model_can_be_scored_on_is_broken(sample, says):
    found = audited(questions([asked("a", 1)], [asked("b", 3), sample]))
    assert says in found.broken
    assert found.constant is None


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize(
    ("flaw", "says"),
    [
        ({"truth": ""}, "has an empty answer"),
        ({"truth": "C", "form": "choice", "options": ("A", "B")}, "has options that miss the answer"),
    ],
)
def test_a_flawed_question_that_is_not_tested_is_warned_of_and_leaves_the_figures_without_the_image(split, flaw, says):
    task = questions(telling(12, 0), telling(10, 20), telling(4, 40))
    kept = audited(task)
    flawed = replace(getattr(task, split)[-1], id="x", **flaw)
    found = audited(replace(task, **{split: (*getattr(task, split), flawed)}))
    of = len(getattr(task, split)) + 1
    expected = f"1 of {of} samples of {split} {says}: 'x'; figures without the image leave them out"
    assert expected in texts(found, "warning")
    assert found.broken == ()
    assert (found.constant, found.question_only) == (kept.constant, kept.question_only)


def test_one_flawed_question_of_a_hundred_tested_is_warned_of_and_two_are_broken():
    group = [asked(f"t{i}", i % 2, group=f"g{i}") for i in range(98)]
    sound, missed = asked("sound", 2), asked("x", 3, "perhaps")
    one = audited(questions(test=[*group, sound, missed]))
    says = "1 of 100 samples of test has options that miss the answer: 'x'; figures without the image leave them out"
    assert says in texts(one, "warning")
    assert one.constant == audited(questions(test=[*group, sound])).constant
    two = audited(questions(test=[*group, asked("y", 2, "perhaps"), missed]))
    assert two.broken == ("2 of 100 samples of test have options that miss the answer: 'y', 'x'",)
    assert (two.constant, two.question_only) == (None, None)


def test_the_same_option_twice_makes_no_score_wrong_and_is_warned_of():
    doubled = asked("x", 2, "A", form="choice", options=("A", "A"))
    found = audited(questions([asked("a", 1)], [asked("b", 3), doubled]))
    assert "1 sample has the same option twice: 'x'" in texts(found, "warning")
    assert found.constant is not None


def test_a_class_that_the_task_does_not_have_is_broken():
    found = audited(diagnosis([sick("a", 1, "sick")], [sick("b", 2, "ill")]))
    assert found.broken == ("1 sample has a class that the task does not have: 'b'",)


def test_unreadable_images_and_samples_without_a_patient_are_warned_of():
    test = [replace(asked("b", 2), image=Picture(None, "torn.png")), asked("c", 3, group="")]
    found = audited(questions([asked("a", 1)], test))
    assert found.images.unreadable == ("image 'torn.png' cannot be read: the file is empty",)
    assert texts(found, "warning")[0].startswith("1 sample has no group (patient or image), so that")
    assert texts(found, "warning")[1].startswith("1 of 3 images cannot be read; the first: image 'torn.png'")
    assert found.leakage.leaked == ()


def test_two_images_that_cannot_be_read_are_no_copies_of_each_other():
    torn = Picture(None, "torn.png")
    train, test = [replace(asked("a", 1), image=torn)], [replace(asked("b", 2), image=torn)]
    found = audited(questions(train, [*test, asked("c", 3)]))
    assert found.leakage.leaked == ()
    assert found.duplicates.exact["test-train"] == 0
    assert found.repeats["test-train"]["same image"] == 0
    assert found.images.distinct["all"] == 2


def test_each_file_that_cannot_be_read_is_named_and_leaks_nothing_though_all_are_equally_empty():
    def empty(name):
        return Sample(name, Picture(None, f"{name}.png"), "the digest of an empty file", "looks sick")

    train, test = [sick(f"a{i}", i, "sick") for i in range(5)], [sick(f"b{i}", 10 + i, "well") for i in range(5)]
    task = diagnosis(train, test)
    torn = replace(task, train=(*task.train, empty("x"), empty("y")), test=(*task.test, empty("z")))
    found = audited(torn)
    assert found.images.unreadable == tuple(f"image '{name}.png' cannot be read: the file is empty" for name in "xyz")
    assert found.images.distinct == {"train": 7, "validation": 0, "test": 6, "all": 13}
    assert any(text.startswith("3 of 13 images cannot be read; the first: image 'x.png'") for text in texts(found, "warning"))
    assert found.leakage.leaked == ()


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_of_which_most_images_cannot_be_read_is_broken(split):
    task = questions([asked(f"a{i}", i) for i in range(3)], [asked(f"b{i}", 10 + i) for i in range(3)])
    whole, *others = getattr(task, split)
    torn = (whole, *(replace(one, image=Picture(None, f"{one.id}.png")) for one in others))
    found = audited(replace(task, **{split: torn}))
    assert found.broken == (
        f"2 of 3 images of {split} cannot be read; the first: image '{torn[1].id}.png' cannot be read: the file is empty",
    )
    assert found.constant is None


def test_an_image_of_two_classes_is_a_contradiction_in_one_split_and_across_two():
    train = [sick("a", 1, "sick"), sick("b", 1, "well"), sick("c", 2, "sick"), sick("d", 3, "well")]
    found = audited(diagnosis(train, [sick("e", 2, "well"), sick("f", 9, "sick")]))
    says = "2 images have more than one class: 'a' (looks sick) and 'b' (looks well); 'c' (looks sick) and 'e' (looks well)"
    assert says in texts(found, "warning")


def test_a_question_with_two_answers_on_one_image_is_a_contradiction_and_other_options_are_another_question():
    def where(name, truth, *options):
        return asked(name, 1, truth, question="Where is it?", form="choice" if options else "open", options=options)

    train = [where("a", "Left."), where("b", "left"), where("c", "the  lung", "the lung", "the heart")]
    test = [where("d", "right"), where("e", "the liver", "the lung", "the liver"), asked("f", 2)]
    told = [text for text in texts(audited(questions(train, test)), "warning") if "more than one" in text]
    assert told == ["1 question has more than one answer on one image: 'a' (Left.) and 'd' (right)"]
    same = audited(questions(train, [asked("f", 2), asked("g", 2)]))
    assert not any("more than one" in text for text in texts(same, "warning"))


def test_an_answer_that_is_nearly_always_right_is_warned_of():
    test = [asked(f"b{i}", i, "no" if i else "yes") for i in range(10)]
    found = audited(questions(test=test))
    assert "one answer to everything scores 0.900 closed_accuracy (closed: always 'no')" in texts(found, "warning")
    fewer = audited(questions(test=[asked(f"b{i}", i, "no" if i > 1 else "yes") for i in range(10)]))
    assert not any("one answer" in text for text in texts(fewer, "warning"))


def test_classes_that_are_never_tested_or_never_learnt_are_named():
    found = audited(diagnosis([sick("a", 1, "sick"), sick("b", 2, "sick")], [sick("c", 3, "well")]))
    assert "no test sample is of class 'looks sick': no score says anything of it" in texts(found, "warning")
    says = "no training sample is of class 'looks well', which the test has: nothing can learn it"
    assert says in texts(found, "warning")
    untrained = audited(diagnosis([], [sick("c", 3, "well"), sick("d", 4, "sick")]))
    assert texts(untrained, "warning") == [], "where nothing is learnt no class is missing"


def test_a_class_that_a_part_lacks_is_not_said_to_be_missing_unless_the_part_is_the_whole():
    task = diagnosis([sick("a", 1, "sick"), sick("b", 2, "sick")], [sick("c", 3, "well")])
    assert not [text for text in texts(audited(task, limit=1), "warning") if "of class" in text]
    assert [text[:40] for text in texts(audited(task, limit=2), "warning") if "of class" in text] == [
        "no test sample is of class 'looks sick':"
    ]


def test_test_images_that_look_like_validation_images_are_suspected():
    smaller = Picture(scene(2).resize((60, 60), PILImage.Resampling.LANCZOS))
    task = questions(test=[replace(asked("t", 50), image=smaller), asked("u", 51)], validation=[asked("v", 2)])
    says = "1 of 2 test images looks like a validation image, on which regimes choose (a suspicion)"
    assert texts(audited(task), "warning") == [says]


def test_leakage_comes_first_of_the_warnings():
    torn = replace(asked("torn", 5), image=Picture(None, "torn.png"), group="")
    found = audited(questions([asked("a", 1, "yes"), torn], [asked("b", 1, "no"), asked("c", 2)]), {"test": 9})
    starts = ("1 of 2 test samples (50.0%) is leaked", "1 question has more", "1 sample has no group", "1 of 3 images")
    told = texts(found, "warning")
    assert [text[: len(start)] for text, start in zip(told, starts, strict=False)] == [*starts]
    assert told[len(starts)] == "test has 2 samples, not the 9 that are published"


def test_findings_are_counted_each_and_none_is_one_too():
    def found(name, seed, truth):
        return Sample(name, Picture(scene(seed)), f"g{seed}", truth, form="findings")

    train = [found("a", 1, "mass|effusion"), found("b", 2, "mass"), found("c", 3, "")]
    task = Task(
        "made", "diagnosis", tuple(train), (), (found("d", 4, "mass"), found("e", 5, "effusion")), "f", ("effusion", "mass")
    )
    audit_of = audited(task)
    assert audit_of.balance["train"] == {"class": {"mass": 2, "effusion": 1, "none": 1}}
    assert audit_of.constant.answers == "always 'mass'"
    assert audit_of.findings == ()


def test_the_constant_answer_is_chosen_on_training_samples_and_scored_as_a_model_is():
    train = [asked(f"a{i}", i, "yes" if i < 3 else "no") for i in range(4)]
    test = [asked(f"b{i}", 10 + i, "no" if i < 3 else "yes") for i in range(4)]
    found = audited(questions(train, test)).constant
    said = [Prediction(s.id, s.group, s.truth, answer="yes", form="closed", options=s.options) for s in test]
    assert found.answers == "closed: always 'yes'"
    assert found.learnt_on == "the training split"
    assert found.value == measure("vqa", said).metrics["closed_accuracy"].value == 0.25


def in_two_languages(name):
    """The same question three times in Chinese and twice in English, always answered by yes."""
    chinese = {"question": "图中有肿块吗？", "options": OPTIONS}
    return [asked(f"{name}{i}", 10 + i, *([OPTIONS[0]] if i < 3 else ["yes"]), **(chinese if i < 3 else {})) for i in range(5)]


@pytest.mark.parametrize("learnt", [True, False])
def test_yes_in_two_languages_is_one_constant_answer(learnt):
    found = audited(questions(in_two_languages("a") if learnt else (), in_two_languages("b")))
    assert (found.constant.answers, found.constant.value) == ("closed: always 'yes'", 1.0)
    assert found.balance["test"]["yes or no"] == {"yes": 5}


def test_answers_of_closed_questions_in_words_are_counted():
    test = [asked(f"b{i}", i, ("Lung", "heart")[i > 1], options=()) for i in range(3)]
    assert audited(questions(test=test)).balance["test"] == {"form": {"closed": 3}, "closed answer": {"lung": 2, "heart": 1}}


def test_figures_of_a_task_that_was_cut_to_a_limit_say_so():
    task = questions([asked("a", 1)], [asked("b", 1)])
    leaked, constant = "1 of 1 test sample{} (100.0%) is leaked", "one answer to everything scores 1.000 {}{} ("
    for limit, beside in ((1, " of the limited task"), (2, ""), (None, "")):
        found = audited(task, limit=limit)
        first, *_, last = texts(found, "warning")
        assert first.startswith(leaked.format(beside))
        assert last.startswith(constant.format(found.constant.primary, beside))


def test_leaked_by_what_the_data_set_keeps_together():
    task = replace(questions([asked("a", 1, group="PMC1")], [asked("b", 2, group="PMC1")]), notes={"groups": "article"})
    (leaked,) = texts(audited(task), "warning")
    assert leaked == "1 of 1 test sample (100.0%) is leaked: 1 is of a training article"


def test_without_training_samples_the_constant_letter_is_chosen_in_hindsight():
    options = ("a rib", "a lung", "a heart")
    test = [asked(f"b{i}", i, options[1 if i < 3 else 2], form="choice", options=options) for i in range(5)]
    found = audited(questions(test=test))
    assert found.constant.answers == "choice: always 'B'"
    assert found.constant.learnt_on == "the test split, in hindsight"
    assert found.constant.value == 0.6
    assert found.balance["test"] == {"form": {"choice": 5}, "letter": {"B": 3, "C": 2}}


def test_the_constant_of_a_diagnosis_ranks_nothing_and_names_the_most_frequent_class():
    train = [sick(f"a{i}", i, "sick" if i < 3 else "well") for i in range(4)]
    test = [sick(f"b{i}", 10 + i, "sick" if i < 1 else "well") for i in range(4)]
    found = audited(diagnosis(train, test))
    assert found.constant.answers == "always 'looks sick'"
    assert found.constant.metrics == {"auroc": 0.5, "accuracy": 0.25}
    assert found.question_only is None


def telling(n, start, known=True):
    """Questions whose words tell the answer, or do not."""
    for i in range(start, start + n):
        truth = "yes" if i % 2 else "no"
        organ = ("liver" if i % 2 else "spleen") if known else "liver"
        yield asked(f"q{i}", i, truth, question=f"Is the {organ} enlarged?")


def test_questions_that_tell_their_answer_are_answered_without_the_image():
    found = audited(questions(telling(12, 0), telling(10, 20)))
    assert found.question_only.value == 1.0
    assert found.constant.value == 0.5
    assert found.question_only.learnt_on == "closed: 12 training questions"


def test_a_choice_is_answered_by_the_words_of_its_options():
    def choices(n, start):
        for i in range(start, start + n):
            options = ("all of the above", "a cyst") if i % 2 else ("an abscess", "all of the above")
            yield asked(f"q{i}", i, "all of the above", form="choice", options=options, question="What is seen?")

    found = audited(questions(choices(12, 0), choices(10, 20)))
    assert found.question_only.value == 1.0
    assert found.constant.value == 0.5


def test_without_training_questions_none_is_answered_by_a_model_that_saw_its_patient():
    """All questions of a patient share a word and an answer, which nobody else has: it must not help."""
    rng = np.random.default_rng(0)
    answers = [str(rng.choice(["yes", "no"])) for _ in range(30)]
    test = [
        asked(f"q{i}-{j}", 100 * i + j, answers[i], question=f"word{i} word{i}?", group=f"p{i}")
        for i in range(30)
        for j in range(4)
    ]
    found = audited(questions(test=test))
    assert found.question_only.learnt_on == "closed: the test split, cross-validated by group"
    assert found.question_only.value <= found.constant.value


def test_an_audit_is_the_same_after_a_detour_through_json_and_every_time():
    task = questions(telling(12, 0), [asked("leaked", 3), *telling(10, 20)])
    found = audited(task)
    assert audit_from(json.loads(json.dumps(asdict(found)))) == found
    assert audited(task) == found


@pytest.mark.skipif(not (SHARED / "vqa_rad").is_dir(), reason="needs the real VQA-RAD beside the checkout")
def test_the_leakage_of_the_real_vqa_rad_is_found(rows, tmp_path):
    card = rows.tasks["vqa-rad"]
    found = audited(imported(card.loader)(card, SHARED, tmp_path), card.sizes)
    assert sum(found.counts.values()) == 2_248
    assert found.balance["test"]["form"] == {"closed": 272, "open": 179}
    assert (found.counts["test"], found.leakage.test_samples) == (451, 451)
    assert (found.images.distinct["all"], found.images.distinct["test"]) == (314, 203)
    assert "1 of 315 image files in its folders has no sample" in [concern.text for concern in found.findings]
    assert found.duplicates.exact["test-train"] == 202
    assert found.leakage.on_training_images == len(found.leakage.leaked) == 446
    assert found.repeats["test-train"]["same image"] == 1, "the triplet that the hub's card removed"
    assert found.images.unreadable == ()
    assert found.question_only.value > found.constant.value
