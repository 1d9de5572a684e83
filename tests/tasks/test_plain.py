"""Data sets by a row alone: folders of class folders and tables, split, cut and told apart."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pyarrow as pa
import pytest
from PIL import Image as PILImage
from pyarrow import parquet

from medrival import catalog
from medrival.catalog import TaskCard
from medrival.errors import BrokenCatalog, BrokenData, MissingAsset
from medrival.tasks import plain
from medrival.tasks.splits import Manifest


def card(tmp_path, data, kind="diagnosis", **options):
    return TaskCard("mine", kind, "ultrasound", data, folder=str(tmp_path), options=options)


def picture(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.new("L", (4, 4), shade).save(path)


@pytest.fixture
def breasts(tmp_path):
    for label in ("benign", "malignant_mass"):
        for i in range(20):
            picture(tmp_path / "breasts" / label / f"P{i // 2:02d}_{i}.png", shade=i if label == "benign" else 100 + i)
    return card(tmp_path, "folder:breasts", prompt="an ultrasound image of a {}")


@pytest.fixture
def labels(tmp_path):
    """A task of a table with these rows and options."""

    def make(rows, name="labels.csv", kind="diagnosis", **options):
        folder = tmp_path / "table"
        for i in range(10):
            picture(folder / "images" / f"{i}.png", i)
        with (folder / name).open("w", newline="") as stream:
            if name.endswith(".json"):
                json.dump(rows, stream)
            else:
                writer = csv.DictWriter(stream, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        given = {"prompt": "a {}"} | options if kind == "diagnosis" else options
        return card(tmp_path, f"table:table/{name}", kind, **given)

    return make


def rows(**columns):
    return [
        {"image": f"images/{i}.png", "label": "sick" if i % 2 else "well", **{name: of(i) for name, of in columns.items()}}
        for i in range(10)
    ]


def every(task):
    return [*task.train, *task.validation, *task.test]


def test_a_folder_of_class_folders_is_a_task_by_a_five_line_row(breasts, tmp_path):
    task = plain.folder(breasts, None, tmp_path)
    assert task.classes == ("benign", "malignant_mass")
    assert task.prompts == ("an ultrasound image of a benign", "an ultrasound image of a malignant mass")
    assert [len(part) for part in (task.train, task.validation, task.test)] == [28, 4, 8]
    assert {sample.truth for sample in task.validation} == {"benign", "malignant_mass"}
    assert len({sample.id for sample in every(task)}) == 40


def test_split_folders_above_class_folders_are_the_split(tmp_path):
    for i, (split, label) in enumerate((s, c) for s in ("train", "val", "test") for c in ("a", "b")):
        for j in range(3):
            picture(tmp_path / "set" / split / label / f"{j}.png", 10 * i + j)
    task = plain.folder(card(tmp_path, "folder:set", prompt="{}"), None, tmp_path)
    assert [len(part) for part in (task.train, task.validation, task.test)] == [6, 6, 6]
    assert {sample.id.split("/")[0] for sample in task.test} == {"test"}
    assert task.notes["split"] == "official"


def test_the_patient_in_a_file_name_keeps_that_patient_in_one_split(breasts, tmp_path):
    task = plain.folder(replace(breasts, options={**breasts.options, "patient": r"(P\d+)_"}), None, tmp_path)
    found = [{sample.group for sample in part} for part in (task.train, task.validation, task.test)]
    assert all(found)
    assert sum(map(len, found)) == len(set.union(*found)) == 10
    with pytest.raises(BrokenData, match="no patient in the file name"):
        plain.folder(replace(breasts, options={**breasts.options, "patient": r"(X\d+)_"}), None, tmp_path)


def test_a_made_split_is_written_down_and_can_be_pinned(breasts, tmp_path):
    task = plain.folder(breasts, None, tmp_path)
    (written,) = (tmp_path / "splits").iterdir()
    manifest = Manifest.read(written)
    assert manifest.sha256 == task.notes["split_sha256"]
    assert {one for one, split in manifest.split_of.items() if split == "test"} == {sample.id for sample in task.test}
    pinned = replace(breasts, options={**breasts.options, "manifest": str(written)})
    assert plain.folder(pinned, None, tmp_path).test == task.test
    picture(tmp_path / "breasts" / "benign" / "new.png", 250)
    with pytest.raises(BrokenData, match=r"of other data: sample 'benign/new\.png' is not in the file"):
        plain.folder(pinned, None, tmp_path)


def test_a_changed_manifest_is_refused(breasts, tmp_path):
    plain.folder(breasts, None, tmp_path)
    (written,) = (tmp_path / "splits").iterdir()
    told = json.loads(written.read_text())
    told["splits"]["train"].append(told["splits"]["test"].pop())
    written.write_text(json.dumps(told))
    with pytest.raises(BrokenData, match="not those that its hash is of"):
        plain.folder(replace(breasts, options={**breasts.options, "manifest": str(written)}), None, tmp_path)


def test_the_columns_that_a_row_names_become_label_patient_and_subgroups(labels, tmp_path):
    table = [
        {"file": f"images/{i}.png", "dx": "sick" if i % 2 else "well", "who": f"p{i // 2}", "gender": "f", "years": 30 + i}
        for i in range(10)
    ]
    named = {"image": "file", "label": "dx", "patient": "who", "sex": "gender", "age": "years"}
    task = plain.table(labels(table, **named, shares={"test": 0.4}), None, tmp_path)
    assert {sample.group for sample in every(task)} == {f"p{i}" for i in range(5)}
    assert {sample.attributes["age"] for sample in every(task)} == {"20-39"}
    assert {sample.attributes["sex"] for sample in every(task)} == {"f"}
    assert len(task.test) == 4


def test_classes_may_be_called_as_what_other_readers_take_for_nothing(labels, tmp_path):
    names = ("NA", "None", "nan")
    table = [{"image": f"images/{i}.png", "label": names[i % 3]} for i in range(10)]
    assert plain.table(labels(table), None, tmp_path).classes == names


def test_a_table_of_questions_knows_their_forms(labels, tmp_path):
    table = [
        {"image": "images/0.png", "question": "Mass?", "answer": "Yes", "A": "", "B": "", "split": "test"},
        {"image": "images/0.png", "question": "Where?", "answer": "the left lobe", "A": "", "B": "", "split": "test"},
        {"image": "images/1.png", "question": "Which?", "answer": "B", "A": "CT", "B": "MR", "split": "test"},
        {"image": "images/2.png", "question": "Which?", "answer": "a", "A": "CT", "B": "MR", "split": "train"},
    ]
    task = plain.table(labels(table, kind="vqa", options=["A", "B"]), None, tmp_path)
    assert [(s.form, s.truth, s.options) for s in task.test] == [
        ("closed", "yes", ("yes", "no")),
        ("open", "the left lobe", ()),
        ("choice", "MR", ("CT", "MR")),
    ]
    assert task.test[0].group == task.test[1].group != task.test[2].group


def test_a_question_in_chinese_is_closed_by_its_own_yes_and_no(labels, tmp_path):
    said = [{"image": f"images/{i}.png", "question": "图中有病变吗?", "answer": "是否"[i % 2]} for i in range(9)]
    said.append({"image": "images/9.png", "question": "有什么病变?", "answer": "没有"})
    found = {s.image.name: s for s in every(plain.table(labels(said, "q.json", "vqa"), None, tmp_path))}
    assert {(s.form, s.options) for name, s in found.items() if "9" not in name} == {("closed", ("是", "否"))}
    assert {found[f"images/{i}.png"].truth for i in (0, 2)} == {"是"}
    assert found["images/9.png"].form == "open"


def test_a_table_without_rows_is_named(labels, tmp_path):
    with pytest.raises(BrokenData, match=r"table/q\.json has no rows"):
        plain.table(labels([], "q.json"), None, tmp_path)


def questions(answer, **columns):
    return [{"image": f"images/{i}.png", "question": f"Which of {i}?", "answer": answer, **columns} for i in range(10)]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"A": "right", "B": "left"}, ("right", "left")),
        ({"B": "left", "A": "right"}, ("right", "left")),
        ({"A": "right", "B": "left", "C": None}, ("right", "left")),
        (["right", "left", ""], ("right", "left")),
    ],
)
def test_a_table_of_options_is_read_by_its_letters(labels, tmp_path, options, shown):
    task = plain.table(labels(questions("B", options=options), "q.json", "vqa"), None, tmp_path)
    assert {(sample.options, sample.truth, sample.reply) for sample in every(task)} == {(shown, "left", "B")}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"A": "x", "C": "y"}, "expected a text for each of the letters A, B, C"),
        ({"A": "x", "B": None, "C": "y"}, "of which only the last may be empty"),
        (["x", "", "y"], "of which only the last may be empty"),
        ({"1": "x", "2": "y"}, "expected a text for each of the letters A, B, C"),
        ([1, 2], "expected a list of texts"),
    ],
)
def test_options_that_would_get_another_letter_are_refused(labels, tmp_path, options, says):
    with pytest.raises(BrokenData, match=rf'q\.json: row 0: column "options" is .*{says}'):
        plain.table(labels(questions("C", options=options), "q.json", "vqa"), None, tmp_path)


def test_an_empty_column_before_the_last_option_is_refused_by_its_name(labels, tmp_path):
    table = questions("C", A="x", B="", C="y", D="")
    with pytest.raises(BrokenData, match=r'line 2: column "B" is empty; of A, B, C, D only the last may be'):
        plain.table(labels(table, kind="vqa", options=["A", "B", "C", "D"]), None, tmp_path)


@pytest.mark.parametrize("nothing", [None, [], "", {}])
def test_a_question_beside_choices_without_options_is_no_choice(labels, tmp_path, nothing):
    table = [*questions("B", options=["x", "y"])[:5], *questions("the lung", options=nothing)[5:]]
    task = plain.table(labels(table, "q.json", "vqa"), None, tmp_path)
    assert sorted((sample.form, sample.truth) for sample in every(task)) == [("choice", "y")] * 5 + [("open", "the lung")] * 5


def asked(options, *answers):
    """Questions of the same options, with these answers in turn."""
    return [one | {"answer": answers[i % len(answers)]} for i, one in enumerate(questions("", options=options))]


@pytest.mark.parametrize(
    ("options", "answers", "said", "truths"),
    [
        (["x", "y", "z"], ["x", "z"], {}, {"x", "z"}),
        (["x", "y", "z"], ["A", "c"], {}, {"x", "z"}),
        (["B", "C"], ["C"], {}, {"C"}),
        (["B", "A", "x"], ["C", "A"], {}, {"x", "B"}),
        (["B", "A"], ["A", "B"], {"answers": "letter"}, {"A", "B"}),
        (["B", "A"], ["A"], {"answers": "letter"}, {"B"}),
        (["B", "A"], ["A"], {"answers": "text"}, {"A"}),
        (["A", "B"], ["A"], {}, {"A"}),
        (["x", "y", "z"], [0, "2", 1.0], {"answers": "index"}, {"x", "y", "z"}),
        (["1", "0"], ["0"], {}, {"0"}),
        (["1", "0"], ["0"], {"answers": "index"}, {"1"}),
    ],
)
def test_the_answers_of_choices_are_read_in_one_way(labels, tmp_path, options, answers, said, truths):
    task = plain.table(labels(asked(options, *answers), "q.json", "vqa", **said), None, tmp_path)
    assert {sample.truth for sample in every(task)} == truths
    assert {options["ABC".index(sample.reply)] for sample in every(task)} == truths


@pytest.mark.parametrize("marked", ["{}. {}", "{}) {}", "({}) {}", "{}: {}", "{}.{}", "{}、{}"])
@pytest.mark.parametrize("answers", [["b", "A"], ["left", "right lung"], ["{}"]])
def test_options_that_come_with_their_letters_are_asked_and_scored_by_their_words(labels, tmp_path, marked, answers):
    words = ["right lung", "left"]
    options = [marked.format(letter, text) for letter, text in zip("AB", words, strict=True)]
    answers = [answer.format(options[1]) for answer in answers]
    task = plain.table(labels(asked(options, *answers), "q.json", "vqa"), None, tmp_path)
    assert {sample.options for sample in every(task)} == {("right lung", "left")}
    assert {sample.truth for sample in every(task)} == ({"left"} if len(answers) == 1 else {"left", "right lung"})
    assert "\n(A) right lung\n(B) left\n" in task.test[0].prompt


@pytest.mark.parametrize("options", [["A. right", "left"], ["B. right", "A. left"], ["A.", "B."], ["A right", "B left"]])
def test_options_of_which_not_all_carry_their_letter_in_order_stay_as_they_are(labels, tmp_path, options):
    task = plain.table(labels(asked(options, *options), "q.json", "vqa"), None, tmp_path)
    assert {sample.options for sample in every(task)} == {tuple(options)}


@pytest.mark.parametrize(
    ("options", "answers", "said", "says"),
    [
        (
            ["x", "y"],
            ["A", "x"],
            {},
            r"row 1: column \"answer\" is 'x'; expected all answers to be the text of an option, or all",
        ),
        (["x", "y"], ["A", "b", "c"], {}, r"row 2: column \"answer\" is 'c'; expected all"),
        (["x", "y"], [0, 1], {}, r"row 0: column \"answer\" is '0'; expected all .* answers = \"index\""),
        (
            ["B", "A"],
            ["B", "A"],
            {},
            r"row 0: .* 'B', the text of one option and the letter of another.* must say answers = \"text\"",
        ),
        (["x", "y"], ["A", "x"], {"answers": "letter"}, r"row 1: .* is 'x'; expected the letter of one of its 2 options"),
        (["x", "y"], [0, 2], {"answers": "index"}, r"row 1: .* is '2'; expected the index of one of its 2 options"),
        (["x", "y"], ["A"], {"answers": "number"}, r"answers is 'number'; it must be one of text, letter, index"),
    ],
)
def test_answers_of_choices_that_can_be_read_in_no_way_or_in_two_are_refused(labels, tmp_path, options, answers, said, says):
    with pytest.raises((BrokenData, BrokenCatalog), match=says):
        plain.table(labels(asked(options, *answers), "q.json", "vqa", **said), None, tmp_path)


@pytest.mark.parametrize(("said", "options"), [('["A", "B"]', ("x", "y")), ('"choices"', ("p", "q"))])
def test_a_catalog_file_names_the_columns_of_options(labels, tmp_path, said, options):
    labels(questions("B", A="x", B="y", choices=["p", "q"]), "q.json", "vqa")
    row = f'[tasks.mine]\nkind = "vqa"\nmodality = "x"\ndata = "table:table/q.json"\noptions = {said}\n'
    (tmp_path / "my.toml").write_text(row)
    task = plain.table(catalog.load([tmp_path / "my.toml"]).tasks["mine"], None, tmp_path)
    assert {(sample.options, sample.truth) for sample in every(task)} == {(options, options[1])}


def test_columns_of_the_usual_names_are_taken_unless_the_row_says_none(labels, tmp_path):
    table = rows(
        id=lambda i: f"x{i}", patient=lambda i: f"p{i // 2}", sex=lambda i: "fm"[i % 2], age=lambda i: "90+" if i else ""
    )
    task = plain.table(labels(table), None, tmp_path)
    assert {sample.id for sample in every(task)} == {f"x{i}" for i in range(10)}
    assert {sample.group for sample in every(task)} == {f"p{i}" for i in range(5)}
    assert [dict(s.attributes) for s in sorted(every(task), key=lambda s: s.id)[:2]] == [
        {"sex": "f", "age": "unknown"},
        {"sex": "m", "age": "80-99"},
    ]
    task = plain.table(labels(table, id="", patient="", sex="", age=""), None, tmp_path)
    assert {sample.id for sample in every(task)} == {f"{i:06d}" for i in range(10)}
    assert len({sample.group for sample in every(task)}) == 10
    assert not any(sample.attributes for sample in every(task))


@pytest.mark.parametrize("key", ["split", "sex", "age", "site", "id", "patient"])
def test_a_column_that_the_row_names_must_be_there(labels, tmp_path, key):
    with pytest.raises(BrokenData, match=r'labels\.csv: line 2: column "splt" is missing; there are image, label'):
        plain.table(labels(rows(), **{key: "splt"}), None, tmp_path)


def test_equal_images_without_a_patient_are_one_group(labels, tmp_path):
    task = labels(rows())
    picture(tmp_path / "table" / "images" / "1.png", 0)
    groups = {sample.image.path.name: sample.group for sample in every(plain.table(task, None, tmp_path))}
    assert groups["0.png"] == groups["1.png"]
    assert len(set(groups.values())) == 9


def test_only_chooses_by_form_and_by_attribute(labels, tmp_path):
    table = rows(site=lambda i: "north" if i < 6 else "south", split=lambda i: "test" if i < 4 else "train")
    task = plain.table(labels(table, site="site", only={"site": ["north"]}), None, tmp_path)
    assert {sample.attributes["site"] for sample in every(task)} == {"north"}
    assert len(every(task)) == 6
    with pytest.raises(BrokenCatalog, match=r"only = \{ town = \.\.\. \}: its examples have site, form, skill"):
        plain.table(labels(table, site="site", only={"town": "x"}), None, tmp_path)


def test_folds_cut_the_same_samples_for_everyone_and_each_once(labels, tmp_path):
    tests = [
        {s.id for s in plain.table(labels(rows(), folds={"of": 5, "fold": k, "seed": 42}), None, tmp_path).test}
        for k in range(5)
    ]
    assert sorted(one for part in tests for one in part) == [f"{i:06d}" for i in range(10)]
    with pytest.raises(BrokenCatalog, match="there is no fold 5 of 5"):
        plain.table(labels(rows(), folds={"of": 5, "fold": 5, "seed": 42}), None, tmp_path)


def test_a_published_validation_split_can_be_the_test(labels, tmp_path):
    table = rows(split=lambda i: "dev" if i < 4 else "train")
    task = plain.table(labels(table, splits={"dev": "test"}), None, tmp_path)
    assert len(task.test) == 4
    assert task.validation
    assert task.notes["split"] == "official; validation cut from train by group"


def test_an_unknown_split_is_named(labels, tmp_path):
    table = rows(split=lambda i: "holdout" if i < 4 else "train")
    with pytest.raises(BrokenData, match=r"labels\.csv: line 2: sample '000000' is of an unknown split 'holdout'"):
        plain.table(labels(table), None, tmp_path)


def test_a_sample_without_a_split_among_others_is_not_left_out_in_silence(labels, tmp_path):
    table = rows(split=lambda i: "" if i == 7 else "test" if i < 4 else "train")
    with pytest.raises(BrokenData, match="'000007' is of an unknown split ''"):
        plain.table(labels(table), None, tmp_path)
    task = plain.table(labels(table, splits={"": ""}), None, tmp_path)
    assert len(every(task)) == 9


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"label": "dx"}, r'labels\.csv: line 2: column "dx" is missing; there are image, label'),
        (
            {"classes": ["well", "ill"]},
            r"labels\.csv: line 3: sample '000001': 'sick' is none of its classes, which are well, ill",
        ),
        ({"classes": "well"}, "classes is 'well'; it must be a list or a table"),
        ({"only": "well"}, "only is 'well'; it must be a table"),
        ({"shares": 0.2}, "shares is 0.2; it must be a table"),
        ({"shares": {"test": 0.9, "validation": 0.9}}, "shares"),
        ({"shares": {"tset": 0.2}}, "shares"),
        ({"folds": {"of": 5}}, "folds is"),
        ({"prompt": "an image"}, "it must have {} where the class goes"),
        ({"lable": "dx"}, "has an unknown key 'lable'; it may have"),
        ({"label": 3}, "label is 3; it must be the name of a column"),
        ({"options": [1]}, r"options is \[1\]; it must name a column, or several in a list"),
    ],
)
def test_a_wrong_row_is_told_what_is_wrong(labels, tmp_path, options, says):
    with pytest.raises((BrokenData, BrokenCatalog), match=says):
        plain.table(labels(rows(), **options), None, tmp_path)


def test_a_line_with_missing_cells_is_refused_by_its_number(labels, tmp_path):
    mine = labels(rows())
    path = tmp_path / "table" / "labels.csv"
    path.write_text(path.read_text() + "images/3.png\n")
    with pytest.raises(BrokenData, match="line 12 has not as many cells"):
        plain.table(mine, None, tmp_path)


def test_data_that_is_nowhere_is_told_where_to_put_it(tmp_path):
    mine = replace(card(tmp_path, "folder:org/name", prompt="{}"), access="https://example.org", licence="CC0 1.0")
    with pytest.raises(MissingAsset) as caught:
        plain.folder(mine, tmp_path / "assets", tmp_path)
    for part in (str(tmp_path / "assets" / "datasets" / "org" / "name"), "get it from https://example.org (CC0 1.0)"):
        assert part in str(caught.value)


def test_an_id_that_is_there_twice_is_told_with_its_rows(labels, tmp_path):
    table = rows(id=lambda i: "x" if i in (3, 7) else i)
    with pytest.raises(BrokenData, match=r"2 samples have the id 'x': \S*labels\.csv: line 5, \S*labels\.csv: line 9"):
        plain.table(labels(table), None, tmp_path)


def test_white_space_in_file_names_and_ids_counts(labels, tmp_path):
    table = labels([one | {"id": f"x  {i}", "image": one["image"].replace("3", "a  3")} for i, one in enumerate(rows())])
    picture(tmp_path / "table" / "images" / "a  3.png", 3)
    found = {sample.id: sample.image.open().size for sample in every(plain.table(table, None, tmp_path))}
    assert found == {f"x  {i}": (4, 4) for i in range(10)}


def test_an_image_outside_the_folder_is_told_with_row_and_column(labels, tmp_path):
    table = [*rows(), {"image": "../secret.png", "label": "sick"}]
    says = r'labels\.csv: line 12: column "image": image path .*secret\.png. points outside'
    with pytest.raises(BrokenData, match=says):
        plain.table(labels(table), None, tmp_path)


def test_a_table_with_images_in_it_is_told_how_it_is_read(tmp_path):
    (tmp_path / "table").mkdir()
    held = pa.table({"image": [{"bytes": b"PNG", "path": "1.png"}], "label": ["sick"]})
    parquet.write_table(held, tmp_path / "table" / "train.parquet")
    with pytest.raises(BrokenData, match=r'parquet: row 0: column "image" is .*3 bytes.* is read by data = "hub:FOLDER"'):
        plain.table(card(tmp_path, "table:table/train.parquet", prompt="a {}"), None, tmp_path)


def test_too_few_samples_to_cut_a_test_from_are_told(labels, tmp_path):
    with pytest.raises(BrokenData, match="none of 2 samples is for it; there are too few to cut one from"):
        plain.table(labels(rows()[:2]), None, tmp_path)


def test_a_folder_is_no_table(labels, tmp_path):
    mine = replace(labels(rows()), data="table:table")
    with pytest.raises(BrokenData, match=r"is a folder; the row must name a table in it, as in FOLDER/labels\.csv"):
        plain.table(mine, None, tmp_path)


@pytest.mark.parametrize("folds", [{"of": 2.7, "fold": 1, "seed": 0}, {"of": 5, "fold": True, "seed": 0}])
def test_folds_are_whole_numbers(labels, tmp_path, folds):
    with pytest.raises(BrokenCatalog, match="they must be whole numbers"):
        plain.table(labels(rows(), folds=folds), None, tmp_path)


def test_the_splits_of_a_table_count_in_any_case(labels, tmp_path):
    task = plain.table(labels(rows(split=lambda i: "Test" if i < 4 else "TRAIN")), None, tmp_path)
    assert len(task.test) == 4


def test_image_files_that_no_sample_shows_are_counted(labels, tmp_path):
    task = plain.table(labels(rows()[:8]), None, tmp_path)
    assert (task.notes["image_files"], task.notes["image_files_without_sample"]) == (10, 2)
