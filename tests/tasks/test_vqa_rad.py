"""VQA-RAD as it is published, and tampered with."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from PIL import Image as PILImage

from medrival.errors import BrokenCatalog, BrokenData, MissingAsset, UnreadableImage
from medrival.tasks import vqa_rad

ASSETS = Path(__file__).parents[3] / "shared" / "data"
real = pytest.mark.skipif(not (ASSETS / "vqa_rad").is_dir(), reason="VQA-RAD is not beside this checkout")


@dataclass(frozen=True)
class Card:
    name: str = "vqa-rad"
    options: Any = field(default_factory=lambda: MappingProxyType({"prompt": "a radiology image of the {}"}))


CARD = Card()
NOWHERE = Path("unused")


def question(number, **changes):
    row = {
        "qid": number,
        "phrase_type": "freeform",
        "image_name": f"{number // 2}.png",
        "image_organ": ("HEAD", "CHEST", "ABD")[number // 2 % 3],
        "question": "Is there a mass?",
        "question_type": "PRES",
        "answer": "Yes",
        "answer_type": "CLOSED",
    }
    return {**row, **changes}


@pytest.fixture
def dataset(tmp_path):
    """Sixty questions about thirty images, the last six of them the test; as a function of changed rows."""

    def write(*rows, text=None):
        changed = {row["qid"]: row for row in rows}
        whole = [question(i, phrase_type="test_freeform" if i >= 54 else "freeform") for i in range(60)]
        folder = tmp_path / "vqa_rad"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        for i in range(30):
            PILImage.new("L", (4, 4), i).save(folder / "images" / f"{i}.png")
        records = [changed.get(i, row) for i, row in enumerate(whole)]
        (folder / vqa_rad.FILE).write_text(json.dumps(records) if text is None else text)
        return tmp_path

    return write


def only(task, identity):
    return next(s for split in (task.train, task.validation, task.test) for s in split if s.id == identity)


@pytest.fixture(scope="module")
def official():
    return vqa_rad.questions(CARD, ASSETS, NOWHERE)


@real
def test_the_official_split_has_451_questions_and_nothing_is_lost(official):
    assert Counter(sample.form for sample in official.test) == {"closed": 272, "open": 179}
    everything = [*official.train, *official.validation, *official.test]
    assert len(everything) == len({sample.id for sample in everything}) == 2248
    assert len({sample.group for sample in everything}) == 314


@real
def test_the_overlap_of_test_and_training_images_is_counted(official):
    test, train = ({sample.group for sample in split} for split in (official.test, official.train))
    assert (official.notes["test_images"], official.notes["test_images_in_train"]) == (203, 202)
    assert len(test & train) == 202


@real
def test_validation_images_are_in_no_other_split(official):
    validation = {sample.group for sample in official.validation}
    assert len(validation) == official.notes["validation_images"] == 38
    assert not validation & {sample.group for sample in (*official.train, *official.test)}


@real
def test_no_truth_carries_a_tab_and_every_yes_no_truth_is_an_option(official):
    for sample in (*official.train, *official.validation, *official.test):
        assert "\t" not in sample.truth + sample.question
        assert not sample.options or sample.truth in sample.options
    closed = [sample for sample in official.test if sample.form == "closed"]
    assert sum(not sample.options for sample in closed) == 21


@real
def test_every_image_of_the_test_opens(official):
    assert {image.open().mode for image in {sample.image for sample in official.test}} == {"RGB"}


@real
def test_loading_twice_gives_the_same_task(official):
    assert vqa_rad.questions(CARD, ASSETS, NOWHERE) == official


@real
def test_organs_are_split_by_image_and_stratified():
    task = vqa_rad.organs(CARD, ASSETS, NOWHERE)
    assert task.classes == ("HEAD", "CHEST", "ABD")
    assert task.prompts[2] == "a radiology image of the abdomen"
    splits = [{sample.group for sample in split} for split in (task.train, task.validation, task.test)]
    assert [len(split) for split in splits] == [188, 47, 79]
    assert len(set.union(*splits)) == 314
    assert Counter(sample.truth for sample in task.test) == {"HEAD": 26, "CHEST": 27, "ABD": 26}


def test_a_closed_question_beyond_yes_and_no_has_no_options_and_asks_for_no_yes(dataset):
    assets = dataset(question(0, answer="Left "), question(1, answer="NO."), question(2, answer="CT", answer_type="OPEN"))
    task = vqa_rad.questions(CARD, assets, NOWHERE)
    left, no, ct = (only(task, identity) for identity in "012")
    assert (left.form, left.options, left.truth) == ("closed", (), "Left")
    assert "yes or no" not in left.prompt
    assert (no.form, no.options, no.truth) == ("closed", ("yes", "no"), "no")
    assert (ct.form, ct.options, ct.truth) == ("open", (), "CT")


def test_integers_and_stray_white_space_are_read(dataset):
    rows = question(0, qid="0"), question(1, answer=4, answer_type="OPEN"), question(2, answer_type="CLOSED ")
    text = json.dumps([*rows, question(3, answer="Heart \tlungs", answer_type="OPEN"), question(4, phrase_type="test_para")])
    task = vqa_rad.questions(CARD, dataset(text=text), NOWHERE)
    assert [only(task, identity).truth for identity in "0123"] == ["yes", "4", "yes", "Heart lungs"]


def test_a_question_whose_image_is_missing_stays_and_fails_when_it_is_asked(dataset):
    assets = dataset()
    (assets / "vqa_rad" / "images" / "29.png").unlink()
    task = vqa_rad.questions(CARD, assets, NOWHERE)
    assert len(task.test) == 6
    with pytest.raises(UnreadableImage, match=r"29\.png"):
        only(task, "59").image.open()


def test_the_fingerprint_follows_answers_and_pixels(dataset):
    marks = [vqa_rad.questions(CARD, dataset(), NOWHERE).fingerprint for _ in range(2)]
    marks.append(vqa_rad.questions(CARD, dataset(question(0, answer="No")), NOWHERE).fingerprint)
    assets = dataset()
    PILImage.new("L", (4, 4), 200).save(assets / "vqa_rad" / "images" / "3.png")
    marks.append(vqa_rad.questions(CARD, assets, NOWHERE).fingerprint)
    assert marks[0] == marks[1]
    assert len(set(marks)) == 3


def test_organ_splits_do_not_depend_on_the_order_of_the_file(dataset):
    forward = vqa_rad.organs(CARD, dataset(), NOWHERE)
    rows = [question(i) for i in reversed(range(60))]
    backward = vqa_rad.organs(CARD, dataset(text=json.dumps(rows)), NOWHERE)
    assert {s.id for s in forward.test} == {s.id for s in backward.test}
    assert {s.id for s in forward.validation} == {s.id for s in backward.validation}


@pytest.mark.parametrize("load", [vqa_rad.questions, vqa_rad.organs])
def test_without_assets_the_user_learns_which_option_to_give(load):
    with pytest.raises(MissingAsset, match="vqa-rad: needs VQA-RAD; pass --assets DIR"):
        load(CARD, None, NOWHERE)


def test_a_missing_file_is_named_with_the_expected_layout(tmp_path):
    with pytest.raises(MissingAsset) as caught:
        vqa_rad.questions(CARD, tmp_path, NOWHERE)
    for part in (str(tmp_path / "vqa_rad" / vqa_rad.FILE), "images", "expected", "--assets DIR"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("answer", ["Yes"], r"row 7: column \"answer\" is \['Yes'\]; expected text or an integer"),
        ("answer", True, "expected text or an integer"),
        ("answer", " ", "expected text or an integer"),
        ("answer_type", "MAYBE", "column \"answer_type\" is 'MAYBE'; expected CLOSED or OPEN"),
        ("image_organ", "FOOT", "expected HEAD or CHEST or ABD"),
        ("image_name", 3, 'column "image_name" is 3; expected text'),
        ("image_name", "../../passwd", "outside its folder"),
        ("question", None, 'column "question" is None'),
    ],
)
def test_a_wrong_value_is_named_by_row_and_column(dataset, column, value, says):
    with pytest.raises(BrokenData, match=says):
        vqa_rad.questions(CARD, dataset(question(7, **{column: value})), NOWHERE)


def test_a_missing_column_is_named(dataset):
    row = question(7)
    del row["answer"]
    with pytest.raises(BrokenData, match=rf'{vqa_rad.FILE}: row 7: column "answer" is missing'):
        vqa_rad.questions(CARD, dataset(row), NOWHERE)


@pytest.mark.parametrize("text", ["", "[{", "{}", "[1]", '"rows"', "[" * 100_000, "\ud800"], ids=range(7))
def test_a_file_that_is_no_list_of_objects_is_refused(dataset, text):
    assets = dataset()
    (assets / "vqa_rad" / vqa_rad.FILE).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(BrokenData, match=vqa_rad.FILE):
        vqa_rad.questions(CARD, assets, NOWHERE)


def test_a_repeated_question_id_is_refused(dataset):
    text = json.dumps([question(0), question(0, qid="0")])
    with pytest.raises(BrokenData, match='row 1: column "qid" repeats 0'):
        vqa_rad.questions(CARD, dataset(text=text), NOWHERE)


@pytest.mark.parametrize("text", ["[]", json.dumps([question(0)])])
@pytest.mark.parametrize("load", [vqa_rad.questions, vqa_rad.organs])
def test_an_empty_test_split_is_refused(dataset, load, text):
    with pytest.raises(BrokenData, match="the test split is empty"):
        load(CARD, dataset(text=text), NOWHERE)


def test_an_image_of_two_organs_is_refused(dataset):
    with pytest.raises(BrokenData, match=r"0\.png shows"):
        vqa_rad.organs(CARD, dataset(question(1, image_organ="ABD")), NOWHERE)


def test_a_class_prompt_without_a_place_for_the_class_is_refused(dataset):
    with pytest.raises(BrokenCatalog, match="where the organ goes"):
        vqa_rad.organs(Card(options={"prompt": "an image"}), dataset(), NOWHERE)
