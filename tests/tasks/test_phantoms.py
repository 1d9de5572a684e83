"""Phantoms: same seed same pixels, patients apart, truths that follow from the scene, and a cache that may fail."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medrival.contracts import Sample, Task
from medrival.errors import BrokenCatalog
from medrival.tasks import phantoms
from medrival.tasks.prompts import ask
from medrival.tasks.scenes import everyday
from medrival.tasks.scenes.chest import Chest
from medrival.tasks.scenes.drawing import SIZE
from medrival.tasks.scenes.everyday import Everyday
from medrival.tasks.scenes.fundus import Fundus
from medrival.tasks.scenes.histology import Histology

ANATOMIES = tuple(phantoms.ANATOMIES)


@dataclass(frozen=True)
class Row:
    name: str
    options: dict[str, Any] = field(default_factory=dict)


@functools.cache
def load(kind: str, anatomy: str, cache: Path = Path("never opened")) -> Task:
    row = Row(f"phantom-{anatomy}", {"anatomy": anatomy, "prompt": "a picture showing {}"})
    return getattr(phantoms, kind)(row, None, cache)


@pytest.fixture(params=ANATOMIES)
def anatomy(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["diagnosis", "vqa"])
def task(request: pytest.FixtureRequest, anatomy: str) -> Task:
    return load(request.param, anatomy)


def splits(task: Task) -> Iterator[tuple[Sample, ...]]:
    yield from (task.train, task.validation, task.test)


def test_loading_draws_nothing_and_writes_nothing(anatomy, tmp_path, monkeypatch):
    def refuse(scene: object) -> None:
        raise AssertionError("drawn while loading")

    monkeypatch.setattr(phantoms.ANATOMIES[anatomy], "draw", refuse)
    load("diagnosis", anatomy, tmp_path)
    load("vqa", anatomy, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_draws_the_same_pixels(anatomy, tmp_path):
    first, second = (load("diagnosis", anatomy, tmp_path / name).test[3].image.open() for name in "ab")
    assert np.array_equal(np.asarray(first), np.asarray(second))


def test_different_images_of_one_patient_differ(anatomy, tmp_path):
    first, second = load("diagnosis", anatomy, tmp_path).test[:2]
    assert first.group == second.group
    assert first.image.digest != second.image.digest
    assert not np.array_equal(np.asarray(first.image.open()), np.asarray(second.image.open()))


def test_every_image_is_8_bit_rgb_with_something_on_it(anatomy, tmp_path):
    for sample in load("diagnosis", anatomy, tmp_path).test[::40]:
        image = sample.image.open()
        assert (image.mode, image.size) == ("RGB", (SIZE, SIZE))
        assert np.asarray(image).std() > 15


def test_only_radiographs_are_grey(anatomy, tmp_path):
    pixels = np.asarray(load("diagnosis", anatomy, tmp_path).test[0].image.open()).astype(int)
    assert (np.ptp(pixels, axis=2).max() == 0) == (anatomy == "chest")


def test_no_patient_is_in_two_splits(task):
    train, validation, test = ({sample.group for sample in split} for split in splits(task))
    assert min(len(train), len(validation), len(test)) > 0
    assert len(train | validation | test) == len(train) + len(validation) + len(test)


def test_a_patient_keeps_sex_and_age_and_has_two_to_four_images(anatomy):
    for split in splits(load("diagnosis", anatomy)):
        assert set(Counter(sample.group for sample in split).values()) == {2, 3, 4}
        who = {(sample.group, *sorted(sample.attributes.items())) for sample in split}
        assert len(who) == len({sample.group for sample in split})


def test_ids_are_unique_and_both_sexes_and_all_ages_occur(task):
    samples = [sample for split in splits(task) for sample in split]
    assert len({sample.id for sample in samples}) == len(samples)
    assert {sample.attributes["sex"] for sample in task.test} == {"female", "male"}
    assert {sample.attributes["age"] for sample in task.test} == {"18-39", "40-59", "60+"}


def test_no_class_is_rare(anatomy):
    task = load("diagnosis", anatomy)
    for split in splits(task):
        shares = np.array([sum(s.truth == name for s in split) for name in task.classes]) / len(split)
        assert shares.min() > 0.6 / len(task.classes)


def test_sizes_fit_a_short_run(anatomy):
    diagnosis, vqa = load("diagnosis", anatomy), load("vqa", anatomy)
    assert 300 <= len(diagnosis.train) <= 400
    assert 200 <= len(diagnosis.test) <= 260
    assert len(vqa.train) <= 600
    assert len(vqa.test) <= 300


def test_a_constant_answer_to_yes_no_questions_is_near_chance(anatomy):
    closed = [sample.truth for sample in load("vqa", anatomy).test if sample.form == "closed"]
    assert len(closed) >= 50
    assert 0.36 < closed.count("yes") / len(closed) < 0.64


def test_no_letter_of_a_choice_is_much_likelier_than_another(anatomy):
    choices = [s for split in splits(load("vqa", anatomy)) for s in split if s.form == "choice"]
    for number in {len(sample.options) for sample in choices}:
        letters = Counter(s.options.index(s.truth) for s in choices if len(s.options) == number)
        expected = letters.total() / number
        assert all(abs(letters[i] - expected) < 4 * expected**0.5 for i in range(number))


def test_questions_come_in_all_forms_and_skills_with_their_options_in_the_prompt(anatomy):
    test = load("vqa", anatomy).test
    assert {sample.form for sample in test} == {"closed", "choice", "open"}
    assert {sample.skill for sample in test} == {"understanding", "reasoning"}
    for sample in test:
        assert sample.prompt == ask(sample.form, sample.question, sample.options)
        assert sample.question in sample.prompt
        assert sample.truth in (sample.options or (sample.truth,))
        assert all(option in sample.prompt for option in sample.options)


def test_one_image_has_one_digest_whatever_is_asked_about_it(anatomy):
    labels = {s.id: s.image.digest for s in load("diagnosis", anatomy).test}
    for sample in load("vqa", anatomy).test:
        assert sample.image.digest == labels[sample.id.rpartition("-q")[0]]


@pytest.mark.parametrize("damage", [b"", b"not zlib", b"x\x9c\x03\x00\x00\x00\x00\x01"], ids=["empty", "garbage", "short"])
def test_a_damaged_cache_file_is_drawn_again(tmp_path, damage):
    image = load("diagnosis", "chest", tmp_path).test[0].image
    pixels = np.asarray(image.open())
    (kept,) = (path for path in tmp_path.rglob("*") if path.is_file())
    kept.write_bytes(damage)
    assert np.array_equal(np.asarray(image.open()), pixels)
    assert kept.read_bytes() != damage


def test_the_cache_is_read_not_drawn_again(tmp_path, monkeypatch):
    image = load("diagnosis", "fundus", tmp_path).test[0].image
    pixels = np.asarray(image.open())
    monkeypatch.setattr(Fundus, "draw", lambda _: pytest.fail("drawn twice"))
    assert np.array_equal(np.asarray(image.open()), pixels)


def test_a_cache_that_cannot_be_written_costs_no_image(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    load("diagnosis", "chest", blocked).test[0].image.open()
    assert blocked.read_text() == "not a folder"


def test_fingerprints_tell_tasks_and_prompts_apart():
    marks = {load(kind, anatomy).fingerprint for kind in ("diagnosis", "vqa") for anatomy in ANATOMIES}
    other = Row("phantom-chest", {"anatomy": "chest", "prompt": "an x-ray showing {}"})
    assert len(marks | {phantoms.diagnosis(other, None, Path()).fingerprint}) == 9


def test_an_unknown_anatomy_or_a_prompt_without_a_place_for_the_class_is_refused():
    with pytest.raises(BrokenCatalog, match=r"'knee'.*chest, histology"):
        load("vqa", "knee")
    with pytest.raises(BrokenCatalog, match="prompt"):
        phantoms.diagnosis(Row("x", {"anatomy": "chest", "prompt": "a radiograph"}), None, Path())


def answers(scene: Any) -> dict[str, str]:
    return {question.text: question.answer for question in scene.questions()}


def test_answers_about_a_chest_follow_from_its_scene():
    scene = Chest(True, 60, 0.8, "left", "upper", 0.56, True, "a lung opacity", 7)
    told = answers(scene)
    assert told["Is there a pacemaker?"] == told["Is the cardiothoracic ratio above one half?"] == "yes"
    assert told["Where is the opacity?"] == "upper left"
    assert told["What is the best next step?"].startswith("antibiotics")
    told = answers(replace(scene, opacity=0.1, heart=0.44, pacemaker=False, diagnosis="clear lungs"))
    assert told["Is there a pacemaker?"] == told["Does this radiograph suggest pneumonia?"] == "no"
    assert told["What is the best next step?"] == "no further imaging"
    assert "Where is the opacity?" not in told


def test_answers_about_tissue_follow_from_its_scene():
    told = answers(Histology(0.7, 0.6, 2, True, "high-grade carcinoma", 7))
    assert told["How many gland lumens are visible?"] == "two"
    assert told["Which colour dominates the stain?"] == "blue"
    assert told["Is this tissue malignant?"] == told["Are the nuclei crowded?"] == "yes"


def test_an_opacity_brightens_the_lung_it_is_said_to_lie_in():
    clear = Chest(False, 50, 0.0, "left", "lower", 0.5, False, "clear lungs", 11)
    gain = replace(clear, opacity=1.0).draw().astype(int)[..., 0] - clear.draw().astype(int)[..., 0]
    assert gain[64:, : SIZE // 2].mean() > 3 * max(gain[:64].mean(), gain[:, SIZE // 2 :].mean(), 0.1)


def test_a_larger_cup_brightens_the_disc_alone():
    small = Fundus(50, 0.3, "right", 0, "a healthy optic disc", 5)
    gain = replace(small, cup=0.8).draw().astype(int) - small.draw().astype(int)
    assert gain[:, SIZE // 2 :].sum() > 10_000
    assert np.abs(gain[:, : SIZE // 2]).max() <= 1


def test_crowding_darkens_tissue():
    sparse = Histology(0.1, 0.3, 0, False, "benign tissue", 3)
    assert replace(sparse, crowding=0.9).draw().mean() < sparse.draw().mean() - 5


def test_more_things_of_one_colour_cover_more_of_an_everyday_picture():
    one = Everyday("circle", "red", 1, False, False, "plain", "left", 4)
    red = [(np.ptp(replace(one, count=n).draw().astype(int)[..., :2], axis=2) > 120).sum() for n in (1, 2, 4)]
    assert red[0] < red[1] < red[2]


@pytest.mark.parametrize("thing", everyday.THINGS)
def test_everyday_scenes_know_what_they_show(thing):
    told = answers(Everyday(thing, "blue", 3, True, False, "striped", "left", 9))
    assert told["How many things are there?"] == "three"
    assert told["Are there more than two things?"] == "yes"
    assert told["What is in the picture?"] == thing
