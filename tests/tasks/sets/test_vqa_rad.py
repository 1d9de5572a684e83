"""VQA-RAD as it is published, and tampered with."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image as PILImage

from medrival.catalog import load as catalog
from medrival.errors import BrokenCatalog, BrokenData, MissingAsset, UnreadableImage
from medrival.tasks.sets import vqa_rad

ASSETS = Path(__file__).parents[4] / "shared" / "data"
real = pytest.mark.skipif(not (ASSETS / "vqa_rad").is_dir(), reason="VQA-RAD is not beside this checkout")


ROWS = catalog().tasks
CARD = replace(ROWS["vqa-rad"], options={})
ORGANS = replace(ROWS["vqa-rad-organ"], options={**ROWS["vqa-rad-organ"].options})
ORGANS.options.pop("manifest", None)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


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
def official(tmp_path_factory):
    return vqa_rad.questions(ROWS["vqa-rad"], ASSETS, tmp_path_factory.mktemp("cache"))


@real
def test_the_official_split_has_451_questions_and_nothing_is_lost(official):
    assert Counter(sample.form for sample in official.test) == {"closed": 272, "open": 179}
    everything = [*official.train, *official.validation, *official.test]
    assert len(everything) == len({sample.id for sample in everything}) == 2248
    assert len({sample.group for sample in everything}) == 314


@real
def test_all_but_one_of_the_test_images_have_training_questions(official):
    test, train = ({sample.group for sample in split} for split in (official.test, official.train))
    assert (len(test), len(test & train)) == (203, 202)


@real
def test_validation_images_are_in_no_other_split(official):
    validation = {sample.group for sample in official.validation}
    assert len(validation) == 38
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
def test_loading_twice_gives_the_same_task(official, cache):
    assert vqa_rad.questions(ROWS["vqa-rad"], ASSETS, cache) == official


@real
def test_organs_are_split_by_image_and_stratified(cache):
    task = vqa_rad.organs(ROWS["vqa-rad-organ"], ASSETS, cache)
    assert task.classes == ("HEAD", "CHEST", "ABD")
    assert task.prompts[2] == "a radiology image of the abdomen"
    splits = [{sample.group for sample in split} for split in (task.train, task.validation, task.test)]
    assert [len(split) for split in splits] == [188, 47, 79]
    assert len(set.union(*splits)) == 314
    assert Counter(sample.truth for sample in task.test) == {"HEAD": 26, "CHEST": 27, "ABD": 26}


def test_a_closed_question_beyond_yes_and_no_has_no_options_and_asks_for_no_yes(dataset, cache):
    assets = dataset(question(0, answer="Left "), question(1, answer="NO."), question(2, answer="CT", answer_type="OPEN"))
    task = vqa_rad.questions(CARD, assets, cache)
    left, no, ct = (only(task, identity) for identity in "012")
    assert (left.form, left.options, left.truth) == ("closed", (), "Left")
    assert "yes or no" not in left.prompt
    assert (no.form, no.options, no.truth) == ("closed", ("yes", "no"), "no")
    assert (ct.form, ct.options, ct.truth) == ("open", (), "CT")


def test_integers_and_stray_white_space_are_read(dataset, cache):
    rows = question(0, qid="0"), question(1, answer=4, answer_type="OPEN"), question(2, answer_type="CLOSED ")
    text = json.dumps([*rows, question(3, answer="Heart \tlungs", answer_type="OPEN"), question(4, phrase_type="test_para")])
    task = vqa_rad.questions(CARD, dataset(text=text), cache)
    assert [only(task, identity).truth for identity in "0123"] == ["yes", "4", "yes", "Heart lungs"]


def test_a_question_whose_image_is_missing_stays_and_fails_when_it_is_asked(dataset, cache):
    assets = dataset()
    (assets / "vqa_rad" / "images" / "29.png").unlink()
    task = vqa_rad.questions(CARD, assets, cache)
    assert len(task.test) == 6
    with pytest.raises(UnreadableImage, match=r"29\.png"):
        only(task, "59").image.open()


def test_the_fingerprint_follows_answers_and_pixels(dataset, cache):
    marks = [vqa_rad.questions(CARD, dataset(), cache).fingerprint for _ in range(2)]
    marks.append(vqa_rad.questions(CARD, dataset(question(0, answer="No")), cache).fingerprint)
    assets = dataset()
    PILImage.new("L", (4, 4), 200).save(assets / "vqa_rad" / "images" / "3.png")
    marks.append(vqa_rad.questions(CARD, assets, cache).fingerprint)
    assert marks[0] == marks[1]
    assert len(set(marks)) == 3


def test_organ_splits_do_not_depend_on_the_order_of_the_file(dataset, cache):
    forward = vqa_rad.organs(ORGANS, dataset(), cache)
    rows = [question(i) for i in reversed(range(60))]
    backward = vqa_rad.organs(ORGANS, dataset(text=json.dumps(rows)), cache)
    assert {s.id for s in forward.test} == {s.id for s in backward.test}
    assert {s.id for s in forward.validation} == {s.id for s in backward.validation}


@pytest.mark.parametrize("load", [vqa_rad.questions, vqa_rad.organs])
def test_without_assets_the_user_learns_which_option_to_give(load, cache):
    with pytest.raises(MissingAsset, match=r"vqa-rad: not found: .*pass --assets DIR"):
        load(replace(CARD, options=ORGANS.options), None, cache)


@pytest.mark.parametrize("missing", [vqa_rad.FILE, "images"])
def test_a_missing_file_or_folder_is_named(dataset, cache, missing):
    assets = dataset()
    (assets / "vqa_rad" / missing).rename(assets / "elsewhere")
    with pytest.raises(MissingAsset) as caught:
        vqa_rad.questions(CARD, assets, cache)
    for part in (str(assets / "vqa_rad" / missing), "docs/data.md", "osf.io"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("answer", ["Yes"], r"row 7: column \"answer\" is \['Yes'\]; expected a text"),
        ("answer", True, "is True; expected a text"),
        ("answer", " ", 'column "answer" is empty'),
        ("answer", "?", "expected a word"),
        ("answer_type", "MAYBE", "column \"answer_type\" is 'MAYBE'; expected one of CLOSED, OPEN"),
        ("image_organ", "FOOT", "expected one of HEAD, CHEST, ABD"),
        ("image_name", "../../passwd", "outside its folder"),
        ("question", None, 'column "question" is empty'),
    ],
)
def test_a_wrong_value_is_named_by_row_and_column(dataset, column, value, says, cache):
    with pytest.raises(BrokenData, match=says):
        vqa_rad.questions(CARD, dataset(question(7, **{column: value})), cache)


def test_a_missing_column_is_named(dataset, cache):
    row = question(7)
    del row["answer"]
    with pytest.raises(BrokenData, match=rf'{vqa_rad.FILE}: row 7: column "answer" is missing'):
        vqa_rad.questions(CARD, dataset(row), cache)


@pytest.mark.parametrize("text", ["", "[{", "{}", "[1]", '"rows"', "[" * 100_000, "\ud800"], ids=range(7))
def test_a_file_that_is_no_list_of_objects_is_refused(dataset, text, cache):
    assets = dataset()
    (assets / "vqa_rad" / vqa_rad.FILE).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(BrokenData, match=vqa_rad.FILE):
        vqa_rad.questions(CARD, assets, cache)


def test_a_repeated_question_id_is_refused(dataset, cache):
    text = json.dumps([question(0), question(0, qid="0")])
    with pytest.raises(BrokenData, match="2 samples have the id '0'"):
        vqa_rad.questions(CARD, dataset(text=text), cache)


@pytest.mark.parametrize("text", ["[]", json.dumps([question(0)])])
@pytest.mark.parametrize("load", [vqa_rad.questions, vqa_rad.organs])
def test_an_empty_test_split_is_refused(dataset, load, text, cache):
    with pytest.raises(BrokenData, match="the test split is empty"):
        load(CARD, dataset(text=text), cache)


def test_an_image_of_two_organs_is_refused(dataset, cache):
    with pytest.raises(BrokenData, match=r"0\.png shows ABD, and HEAD in .*row 0"):
        vqa_rad.organs(ORGANS, dataset(question(1, image_organ="ABD")), cache)


def test_a_class_prompt_without_a_place_for_the_class_is_refused(dataset, cache):
    with pytest.raises(BrokenCatalog, match="where the class goes"):
        vqa_rad.organs(replace(ORGANS, options={"prompt": "an image"}), dataset(), cache)
