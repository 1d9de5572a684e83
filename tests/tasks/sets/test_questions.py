"""Every question set of the catalog on a replica in its exact schema, through the loader that the real one goes through."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from medrival.catalog import imported, load
from medrival.contracts import Prediction
from medrival.errors import BrokenData, MedrivalWarning, MissingAsset, UnreadableImage
from medrival.tasks.answers import read
from medrival.tasks.metrics.vqa import accuracy
from medrival.tasks.plain import formed
from medrival.tasks.sets import vqa_rad

sys.path.insert(0, str(Path(__file__).parent))
from replicas_vqa import write, write_json

ROWS = {name: row for name, row in load().tasks.items() if row.kind == "vqa" and not name.startswith("phantom-")}
REAL = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.usefixtures("library")

EXPECTED = {  # train, validation and test samples; forms of the test; truth of the first test sample, where it is told
    "vqa-rad-hub": ((35, 5, 6), {"closed": 4, "open": 2}, "no"),
    "vqa-rad-yes-no": ((24, 3, 4), {"closed": 4}, "no"),
    "slake": ((150, 10, 10), {"closed": 6, "open": 4}, "CT"),
    "slake-en": ((90, 6, 6), {"closed": 4, "open": 2}, "CT"),
    "slake-zh": ((60, 4, 4), {"closed": 2, "open": 2}, "是"),
    "slake-en-closed": ((60, 4, 4), {"closed": 4}, "yes"),
    "slake-en-open": ((30, 2, 2), {"open": 2}, "CT"),
    "path-vqa": ((30, 6, 9), {"closed": 6, "open": 3}, "in the canals of hering"),
    "path-vqa-yes-no": ((20, 4, 6), {"closed": 6}, "yes"),
    "pmc-vqa-clean": ((14, 2, 4), {"choice": 4}, "Left lung"),
    "pmc-vqa-2": ((21, 3, 8), {"choice": 8}, "Left lung"),
    "omnimedvqa": ((0, 0, 22), {"choice": 22}, "Glaucoma"),
    "omnimedvqa-split": ((6, 1, 15), {"choice": 15}, "Glaucoma"),
    "medxpertqa-mm": ((0, 5, 20), {"choice": 20}, "C"),
    "medxpertqa-mm-fold0": ((14, 2, 4), {"choice": 4}, "None of the above"),
    **{f"medxpertqa-mm-fold{i}": ((14, 2, 4), {"choice": 4}, None) for i in range(1, 5)},
    "mmmu-health": ((0, 0, 15), {"choice": 10, "open": 5}, "Crohn's disease"),
    "mmmu-health-choice": ((0, 0, 10), {"choice": 10}, "Crohn's disease"),
    "fairvlmed-vqa": ((18, 2, 4), {"closed": 2, "open": 2}, "about 0.4"),
}

ANSWERS = ("24", "24 cells.", "25 cells")


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assets")
    write(folder)
    return folder


@pytest.fixture
def task(assets, tmp_path):
    return lambda name: imported(ROWS[name].loader)(ROWS[name], assets, tmp_path)


@pytest.fixture
def changed(assets, tmp_path):
    """Load a task of a copy of its files, which a function may change first."""

    def loaded(name, change):
        place = f"datasets/{ROWS[name].place or ROWS[name].data.partition(':')[2]}"
        shutil.copytree(assets / place, tmp_path / place)
        change(tmp_path / place)
        return imported(ROWS[name].loader)(ROWS[name], tmp_path, tmp_path)

    return loaded


def every(loaded):
    return [*loaded.train, *loaded.validation, *loaded.test]


@pytest.mark.skipif(not (REAL / "vqa_rad").is_dir(), reason="VQA-RAD is not beside this checkout")
def test_by_their_answers_251_of_vqa_rads_451_test_questions_are_yes_no_as_the_hubs_layout_counts(tmp_path):
    """That layout has no type of answer; of the training questions it leaves out 3 repeated ones and one of the test."""
    loaded = vqa_rad.questions(replace(load().tasks["vqa-rad"], options={}), REAL, tmp_path)
    said = [[(one.group, one.question, one.truth) for one in part] for part in (loaded.train + loaded.validation, loaded.test)]
    train, test = map(set, said)
    assert (len(train - test), len(test)) == (1793, 451)
    assert Counter(formed(answer)[0] for _, _, answer in test) == {"closed": 251, "open": 200}


def test_every_question_set_of_the_catalog_has_a_replica():
    assert set(EXPECTED) == set(ROWS) - {"vqa-rad"}  # which is at hand itself


@pytest.mark.parametrize("name", EXPECTED)
def test_a_replica_loads_as_the_real_one_would(task, name):
    sizes, forms, first = EXPECTED[name]
    loaded = task(name)
    assert tuple(map(len, (loaded.train, loaded.validation, loaded.test))) == sizes
    assert Counter(sample.form for sample in loaded.test) == forms
    assert first in (None, loaded.test[0].truth)
    for sample in every(loaded):
        assert sample.truth
        assert not sample.options or sample.truth in sample.options
        assert "<image" not in sample.prompt
        assert sample.prompt.count("(A)") == (sample.form == "choice")


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - {"pmc-vqa-clean"}))
def test_every_image_of_a_replica_decodes(task, name):
    images = {image.digest: image for sample in every(task(name)) for image in sample.images}
    assert {image.open().size for image in images.values()} == {(4, 4)}


def test_an_image_of_several_questions_is_the_same_image(task):
    loaded = task("path-vqa")
    assert len({sample.image.digest for sample in loaded.test}) == 3
    assert len({sample.group for sample in loaded.test}) == 3


def test_figures_of_one_article_are_a_group_and_the_notes_say_what_groups_are(task, changed):
    def same_article(folder):
        for table in folder.glob("*_2.csv"):
            table.write_text(table.read_text().replace("PMC1_Fig1_1", "PMC0_Fig2_1"))

    loaded = changed("pmc-vqa-2", same_article)
    assert Counter(sample.group for sample in every(loaded)) == {"PMC0": 2} | {f"PMC{i}": 1 for i in range(2, 32)}
    notes = {name: task(name).notes["groups"] for name in ("pmc-vqa-2", "slake", "path-vqa", "medxpertqa-mm")}
    assert notes == {"pmc-vqa-2": "article", "slake": "image", "path-vqa": "image", "medxpertqa-mm": "image"}


def test_several_images_come_in_their_order(task):
    loaded = task("medxpertqa-mm")
    assert [len(sample.images) for sample in loaded.test[:3]] == [1, 2, 3]
    assert [image.name for image in loaded.test[2].images] == [f"images.zip:images/MM-2-{letter}.jpeg" for letter in "abc"]
    shown = [image.name for image in task("mmmu-health").test[1].images]
    assert [name.rpartition(", ")[2] for name in shown] == ["image_1", "image_2", "image_3"]


def test_a_letter_is_the_right_choice_even_where_choices_are_letters(task):
    for name, place in (("medxpertqa-mm", 2), ("pmc-vqa-2", 1)):
        sample = task(name).test[place]
        assert sample.reply == "ABCDE"[place]
        assert read(sample.reply, sample.options, lettered=True) == sample.truth


def test_five_folds_test_each_question_once(task):
    tested = [sample.id for i in range(5) for sample in task(f"medxpertqa-mm-fold{i}").test]
    assert sorted(tested) == sorted(sample.id for sample in task("medxpertqa-mm").test)


def test_letters_before_choices_are_cut_off(task):
    assert task("pmc-vqa-clean").test[0].options == ("Left lung", "B", "MRI", "A")


def test_choices_are_as_many_as_a_row_has_and_none_is_listed_twice(task):
    by_id = {sample.id: sample for sample in task("omnimedvqa").test}
    assert by_id["Chest CT Scan_0000-20"].options == ("Yes, it is.", "No, It's normal.")
    assert by_id["Chest CT Scan_0001-21"].truth == "nodule."
    assert by_id["Chest CT Scan_0001-21"].attributes["modality"] == "CT(Computed Tomography)"
    assert task("medxpertqa-mm").test[0].prompt.count("None of the above") == 1


def test_skills_subjects_and_languages_are_on_record(task):
    assert {sample.skill for sample in task("medxpertqa-mm").test} == {"reasoning", "understanding"}
    assert {sample.attributes["subject"] for sample in task("mmmu-health").test} >= {"Clinical_Medicine", "Public_Health"}
    assert {sample.attributes["language"] for sample in task("slake").test} == {"English", "Chinese"}


def test_closed_questions_beyond_yes_and_no_are_compared_as_words(task):
    closed = {sample.truth: sample.options for sample in task("slake").test if sample.form == "closed"}
    assert closed == {"yes": ("yes", "no"), "Lung": (), "是": ("是", "否")}


def test_questions_in_chinese_are_asked_in_chinese_for_words_that_are_read_in_it(task):
    closed, opened = task("slake-zh").test[:2]
    assert (closed.question, closed.prompt) == ("图中包含肺吗？", "请用“是”或“否”回答下面关于图像的问题。图中包含肺吗？")
    assert opened.prompt == "图像的成像方式是什么？\n请简洁地回答问题。"
    assert [read(answer, closed.options) for answer in ("包含。", "没有", "不包含")] == ["是", "否", "否"]


def test_each_of_an_open_question_s_several_answers_is_right(task):
    asked = next(sample for sample in task("mmmu-health").test if sample.form == "open")
    assert (asked.truth, asked.options) == ("24", ("24", "24 cells"))
    (prompt,) = {sample.prompt for sample in task("mmmu-health").test if sample.form == "open"}
    assert prompt.endswith("Answer the question concisely.")
    said = [Prediction(asked.id, "", asked.truth, answer=text, form="open", options=asked.options) for text in ANSWERS]
    assert [accuracy(one) for one in said] == [1.0, 1.0, 0.0]


def test_an_image_that_the_archive_lacks_fails_by_its_name(task):
    missing = task("pmc-vqa-clean").test[3]
    with pytest.raises(UnreadableImage, match=r"images\.zip:images/PMC19_F2\.jpg"):
        missing.image.open()


def test_an_unpacked_archive_is_read_like_the_archive(task, changed):
    def unpack(folder):
        shutil.unpack_archive(folder / "OmniMedVQA.zip", folder)
        (folder / "OmniMedVQA.zip").unlink()

    assert changed("omnimedvqa", unpack).fingerprint == task("omnimedvqa").fingerprint


def test_what_of_an_archive_was_not_unpacked_is_read_from_it(task, changed):
    def unpack_tables(folder):
        shutil.unpack_archive(folder / "OmniMedVQA.zip", folder)
        shutil.rmtree(folder / "OmniMedVQA" / "Images" / "Chest CT Scan")

    loaded = changed("omnimedvqa", unpack_tables)
    assert loaded.fingerprint == task("omnimedvqa").fingerprint
    homes = Counter(sample.image.name.startswith("OmniMedVQA.zip:") for sample in loaded.test)
    assert homes == {False: 20, True: 2}


def test_the_validation_table_of_slake_may_have_its_older_name(task, changed):
    loaded = changed("slake", lambda folder: (folder / "validation.json").rename(folder / "validate.json"))
    assert loaded.fingerprint == task("slake").fingerprint


@pytest.mark.parametrize(
    ("name", "file"), [("slake-en", "imgs.zip"), ("slake-en", "test.json"), ("omnimedvqa", "OmniMedVQA.zip")]
)
def test_a_missing_file_is_named_with_how_to_get_it(changed, name, file):
    with pytest.raises(MissingAsset, match=rf"{file}; get it with: python -m medrival fetch --tasks {name} --assets DIR"):
        changed(name, lambda folder: (folder / file).unlink())


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("answer_type", "MAYBE", r"test\.json: row 0: column \"answer_type\" is 'MAYBE'; expected one of CLOSED, OPEN"),
        ("q_lang", None, r"test\.json: row 0: column \"q_lang\" is empty"),
        ("img_name", "../../passwd", r"test\.json: row 0: column \"img_name\": .* points outside"),
    ],
)
def test_a_wrong_value_is_named_by_file_row_and_column(changed, column, value, says):
    def change(folder):
        rows = json.loads((folder / "test.json").read_text())
        rows[0][column] = value
        write_json(folder / "test.json", rows)

    with pytest.raises(BrokenData, match=says):
        changed("slake", change)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_generated_question_without_a_letter_is_left_out_of_training_but_not_of_the_test(changed, split):
    def change(folder):
        path = folder / f"{split}_2.csv"
        path.write_text(path.read_text().replace(f",A,{split}", f",,{split}", 1))

    if split == "train":
        with pytest.warns(
            MedrivalWarning, match=r'1 training questions are left out, such as .*line 2: column "Answer" is empty'
        ):
            loaded = changed("pmc-vqa-2", change)
        assert len(loaded.train) + len(loaded.validation) == 23
    else:
        with pytest.raises(BrokenData, match=r'test_2\.csv: line 2: column "Answer" is empty'):
            changed("pmc-vqa-2", change)


@pytest.mark.parametrize("column", ["Answer", "Choice D", "Question"])
@pytest.mark.parametrize("table", ["train_2.csv", "test_2.csv"])
def test_a_column_that_a_table_of_generated_questions_lacks_is_an_error_and_leaves_no_question_out(changed, table, column):
    def change(folder):
        path = folder / table
        path.write_text(path.read_text().replace(f",{column},", ",Another,", 1))

    with pytest.raises(BrokenData, match=rf'{table}: line 2: column "{column}" is missing'):
        changed("pmc-vqa-2", change)


def test_a_letter_beyond_the_choices_is_refused(changed):
    def change(folder):
        path = folder / "MM" / "test.jsonl"
        path.write_text(path.read_text().replace('"label": "B"', '"label": "F"', 1))

    with pytest.raises(BrokenData, match=r"test\.jsonl: line 2: column \"label\" is 'F'; expected one of A, B, C, D, E"):
        changed("medxpertqa-mm", change)


def test_a_mirror_of_another_revision_is_refused(assets, tmp_path):
    note = assets / "datasets" / "BoKelvin" / "SLAKE" / ".cache" / "huggingface" / "download" / "test.json.metadata"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text("a" * 40 + "\n")
    row = ROWS["slake-en"]
    try:
        assert imported(row.loader)(row, assets, tmp_path).notes["revision"] == "a" * 40
        with pytest.raises(BrokenData, match="is of revision aaaaaaaaaaaa, and bbbbbbbbbbbb is asked for"):
            imported(row.loader)(replace(row, options={**row.options, "revision": "b" * 40}), assets, tmp_path)
    finally:
        shutil.rmtree(assets / "datasets" / "BoKelvin" / "SLAKE" / ".cache")
