"""Mirrored and turned copies are the same image: they leak, and are told apart from images that only look alike."""

from dataclasses import replace

import pytest
from PIL import Image as PILImage

from medrival.tasks.audit import audit
from tests.tasks.audit.made import Picture, asked, questions, scene, silent, small

Turn = PILImage.Transpose
PARTS = (("a", range(60)), ("b", range(60, 120)))


def turned(sample, seed, turn=Turn.FLIP_LEFT_RIGHT):
    """The sample on a mirrored or turned copy of the image of a seed."""
    return replace(sample, image=Picture(scene(seed).transpose(turn)))


def told(task):
    found = audit(task, {}, silent)
    return found, [(finding.severity, finding.text) for finding in found.findings]


@pytest.fixture
def train():
    return [asked(f"a{i}", i) for i in range(8)]


@pytest.mark.parametrize("turn", Turn, ids=lambda turn: turn.name)
def test_a_test_split_made_of_turned_training_images_is_leaked(train, turn):
    test = [turned(asked(f"b{i}", 100 + i), i, turn) for i in range(8)]
    found, findings = told(questions(train, test))
    assert found.leakage.leaked == tuple(sample.id for sample in test)
    assert (found.leakage.on_turned_images, found.leakage.on_training_images) == (8, 0)
    assert (found.duplicates.turned["test-train"], found.duplicates.near["test-train"]) == (8, 0)
    assert {pair.samples for pair in found.duplicates.turned_examples} == {(f"b{i}", f"a{i}") for i in range(8)}
    says = "8 of 8 test samples (100.0%) are leaked: 8 show a training image mirrored or turned"
    assert findings[0] == ("warning", says)


def test_a_sample_is_leaked_once_by_its_image_its_mirrored_image_or_its_patient(train):
    both = replace(turned(asked("both", 50, group="g3"), 3), more_images=(Picture(scene(2)),))
    test = [both, turned(asked("mirrored", 51, group="g4"), 5), asked("clean", 52)]
    found, _ = told(questions(train, test))
    assert found.leakage.leaked == ("both", "mirrored")
    leaks = found.leakage
    assert (leaks.on_training_images, leaks.on_turned_images, leaks.of_training_groups) == (1, 1, 2)
    assert leaks.like_training_images == 0


def test_a_test_image_that_is_a_mirrored_and_a_smaller_training_image_is_no_suspicion_any_more(train):
    smaller = scene(2).resize((60, 60), PILImage.Resampling.LANCZOS)
    mirrored = replace(asked("m", 9), image=Picture(scene(2).transpose(Turn.FLIP_LEFT_RIGHT)))
    found, _ = told(questions([*train, mirrored], [replace(asked("b", 50), image=Picture(smaller))]))
    assert found.leakage.leaked == ("b",)
    assert (found.duplicates.near["test-train"], found.leakage.like_training_images) == (1, 0)


def test_what_is_small_before_an_empty_ground_is_taken_for_no_copy_and_told():
    train, test = ([replace(asked(f"{part}{i}", i), image=Picture(small(scene(i), 30))) for i in ids] for part, ids in PARTS)
    found, findings = told(questions(train, test))
    assert found.leakage.leaked == ()
    assert (found.images.plain, found.leakage.like_training_images) == (120, 0)
    why = "120 of 120 images show too little to be compared by their looks: of their copies only exact ones are found"
    assert ("note", why) in findings


def test_turned_copies_elsewhere_are_told_and_do_not_leak(train):
    mirrored = turned(asked("m", 50), 1)
    validation = [turned(asked("v", 60), 2, Turn.ROTATE_90), asked("w", 61)]
    test = [turned(asked("t", 70), 61, Turn.ROTATE_180), asked("u", 71)]
    found, findings = told(questions([*train, mirrored], test, validation))
    assert found.leakage.leaked == ()
    assert {where: n for where, n in found.duplicates.turned.items() if n} == {
        "train": 2,
        "test-validation": 1,
        "validation-train": 1,
    }
    assert findings == [
        ("warning", "1 of 2 test images is a validation image mirrored or turned, on which regimes choose"),
        ("note", "2 images of train are other ones mirrored or turned"),
        ("note", "1 validation image is a training image mirrored or turned"),
    ]
