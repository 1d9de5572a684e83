"""Every diagnosis set of the catalog on a replica in its exact schema, through the loader that the real one goes through."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medrival.catalog import imported, load
from medrival.errors import BrokenCatalog, BrokenData, MissingAsset, UnreadableImage

sys.path.insert(0, str(Path(__file__).parent))
from replicas_diagnosis import MEDMNIST, arrays, dicom, write

OWN = ("phantom-", "vqa-rad")
ROWS = {name: row for name, row in load().tasks.items() if row.kind == "diagnosis" and not name.startswith(OWN)}
pytestmark = pytest.mark.usefixtures("library")

EXPECTED = {  # train, validation and test samples; classes of the test
    "chexpert": ((34, 6, 12), {"diseased": 8, "normal": 4}),
    "chexpert-findings": ((34, 6, 12), {"No Finding": 4, "Cardiomegaly|Support Devices": 8}),
    "chest-xray14": ((34, 6, 8), {"": 4, "Cardiomegaly|Emphysema": 2, "Pleural_Thickening": 2}),
    "camelyon17": ((36, 16, 16), {"normal": 8, "tumour": 8}),
    "ham10000": ((98, 14, 28), dict.fromkeys(("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"), 4)),
    "ham10000-binary": ((98, 14, 28), {"negative": 20, "positive": 8}),
    "papila": ((36, 4, 12), {"healthy": 6, "glaucoma": 6}),
    "gf3300": ((16, 4, 8), {"normal": 4, "glaucoma": 4}),
    "fairvlmed": ((16, 4, 8), {"normal": 4, "glaucoma": 4}),
    "drishti-gs": ((13, 3, 8), {"Normal": 4, "Glaucomatous": 4}),
    "rsna-pneumonia": ((28, 4, 8), {"negative": 6, "pneumonia": 2}),
    "pcam": ((12, 6, 8), {"false": 4, "true": 4}),
    "lc25000-lung": ((21, 3, 6), {"lung_aca": 2, "lung_n": 2, "lung_scc": 2}),
    "lc25000-colon": ((14, 2, 4), {"colon_aca": 2, "colon_n": 2}),
}
SHARED = {"drishti-gs"}
"""Sets whose published split has patients in both parts."""


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assets")
    write(folder)
    return folder


@pytest.fixture
def task(assets, tmp_path):
    return lambda name, **options: loaded(name, assets, tmp_path, **options)


def loaded(name, assets, cache, **options):
    row = replace(ROWS[name], options={**ROWS[name].options, **options})
    return imported(row.loader)(row, assets, cache)


def copied(name, assets, to):
    """The folder of a copy of a set's files, under the same place."""
    place = ROWS[name].place
    shutil.copytree(assets / "datasets" / place, to / "datasets" / place)
    return to / "datasets" / place


def every(task):
    return [*task.train, *task.validation, *task.test]


def failure(sample):
    """Why a sample's image cannot be read, or "" where it can."""
    try:
        sample.image.open()
    except UnreadableImage as error:
        return str(error)
    return ""


def only(task, identity):
    return next(sample for sample in every(task) if sample.id == identity)


@pytest.mark.parametrize("name", ROWS)
def test_a_replica_loads_in_the_published_split_with_every_class_and_patients_apart(name, task):
    loaded = task(name)
    parts = (loaded.train, loaded.validation, loaded.test)
    counts, truths = EXPECTED.get(name) or medmnist(name)
    assert tuple(map(len, parts)) == counts
    assert Counter(sample.truth for sample in loaded.test) == truths
    assert len(loaded.prompts) == len(loaded.classes) == len(set(loaded.prompts))
    assert {one for sample in every(loaded) for one in sample.truth.split("|") if one} <= set(loaded.classes)
    groups = [{sample.group for sample in part} for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups)) or name in SHARED


def medmnist(name):
    classes, _ = MEDMNIST[name.partition("-")[0]]
    names = ROWS[name].options.get("labels") or list(ROWS[name].options["classes"])
    truths = ["|".join(names[:i]) for i in range(classes)] if name.startswith("chestmnist") else names
    return (3 * classes, classes, 2 * classes), dict.fromkeys(truths, 2)


@pytest.mark.parametrize("name", ROWS)
def test_every_image_of_a_replica_decodes(name, task):
    assert {sample.image.open().mode for sample in task(name).test} == {"RGB"}


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.data.startswith("hub:")])
def test_where_the_files_are_not_there_the_user_learns_where_to_get_them(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(MissingAsset, match=r"pass --assets DIR|put it into") as caught:
        imported(ROWS[name].loader)(ROWS[name], tmp_path, tmp_path)
    assert ROWS[name].access in str(caught.value)


def test_paper_a_s_labels_and_prompts_are_in_its_order():
    words = {name: list(ROWS[name].options["classes"].values()) for name in ROWS if ROWS[name].published}
    assert words == {
        "chexpert": ["diseased xray", "normal xray"],
        "camelyon17": ["negative tumor", "positive tumor"],
        "ham10000-binary": ["benign keratosis-like lesions", "actinic keratoses or melanoma"],
        "papila": ["benign fundus", "glaucoma fundus"],
        "gf3300": ["benign retina", "glaucomatous retina"],
        "fairvlmed": [
            "a benign scanning laser ophthalmoscope fundus image",
            "a glaucoma scanning laser ophthalmoscope fundus image",
        ],
    }
    assert {ROWS[name].options["prompt"] for name in words} == {"a photo of {}"}


def test_of_two_classes_the_last_is_the_disease_but_where_paper_a_counts_the_other_way():
    two = {name: list(ROWS[name].options["classes"])[1] for name in ROWS if len(ROWS[name].options["classes"]) == 2}
    assert two == {
        "chexpert": "normal",
        "camelyon17": "tumour",
        "ham10000-binary": "positive",
        "papila": "glaucoma",
        "gf3300": "glaucoma",
        "fairvlmed": "glaucoma",
        "drishti-gs": "Glaucomatous",
        "rsna-pneumonia": "pneumonia",
        "pcam": "true",
        "lc25000-colon": "colon_aca",
        "pneumoniamnist": "pneumonia",
        "breastmnist": "malignant",
        **{f"pneumoniamnist-{size}": "pneumonia" for size in (28, 64, 128)},
        **{f"breastmnist-{size}": "malignant" for size in (28, 64, 128)},
    }


def test_breastmnist_s_label_0_is_malignant_though_that_class_stands_last(task):
    assert task("breastmnist").classes == ("normal, benign", "malignant")
    assert only(task("breastmnist"), "test-000000").truth == "malignant"


def test_chexpert_takes_uncertain_and_unmentioned_findings_as_absent(task):
    patient = "CheXpert-v1.0-small/valid/patient{}/study1/view1_frontal.jpg"
    findings = task("chexpert-findings")
    assert only(findings, patient.format(64541)).truth == "Cardiomegaly|Support Devices"  # not the one that is -1
    assert only(findings, patient.format(64542)).truth == "No Finding"
    assert {sample.form for sample in every(findings)} == {"findings"}
    normal = only(task("chexpert"), patient.format(64542))
    assert (normal.truth, normal.group) == ("normal", "patient64542")
    assert normal.attributes == {"sex": "male", "age": "80-99", "view": "frontal"}


def test_chexpert_of_frontal_views_alone_is_a_line_in_a_row(task):
    assert len(task("chexpert", only={"view": "frontal"}).test) == 6


def test_chest_xray14_reads_findings_and_both_ways_of_writing_an_age(task):
    loaded = task("chest-xray14")
    first, second = only(loaded, "00000001_000.png"), only(loaded, "00000001_001.png")
    assert first.attributes == second.attributes == {"sex": "female", "age": "40-59"}
    assert (first.truth, first.form, first.group) == ("Cardiomegaly|Emphysema", "findings", "1")
    assert only(loaded, "00000003_000.png").truth == ""


def test_chest_xray14_refuses_an_image_that_is_in_neither_list(assets, tmp_path):
    folder = copied("chest-xray14", assets, tmp_path)
    (folder / "test_list.txt").write_text("")
    with pytest.raises(BrokenData, match=r"Data_Entry_2017\.csv: line 42: image '00000021_000\.png' is in neither of"):
        loaded("chest-xray14", tmp_path, tmp_path)


def test_camelyon17_is_split_by_hospital_first_and_leaves_out_the_validation_of_the_same_hospitals(task):
    loaded = task("camelyon17")
    sites = [{sample.attributes["site"] for sample in part} for part in (loaded.train, loaded.validation, loaded.test)]
    assert sites == [{"0", "3", "4"}, {"1"}, {"2"}]
    kept_out = task("camelyon17", splits={"val": "", "id_val": "validation"})
    assert {sample.attributes["site"] for sample in kept_out.validation} == {"0", "3", "4"}


def test_ham10000_keeps_the_images_of_a_lesion_together(task):
    assert {len({sample.group for sample in every(task(name))}) for name in ("ham10000", "ham10000-binary")} == {70}
    unknown = only(task("ham10000"), "ISIC_0024313")
    assert unknown.attributes == {"sex": "unknown", "age": "unknown"}
    assert only(task("ham10000-binary"), unknown.id).truth == "negative"


def test_papila_leaves_suspects_out_unless_the_row_says_otherwise(task):
    assert len(every(task("papila"))) == 52
    both = [sample for sample in every(task("papila")) if sample.group == "#003"]
    assert {sample.id for sample in both} == {"RET003OD", "RET003OS"}
    assert both[0].attributes == {"sex": "female", "age": "40-59"}
    named = {"healthy": "healthy", "glaucoma": "glaucoma", "suspect": "suspected glaucoma"}
    assert len(every(task("papila", only={}, classes=named))) == 80


def test_a_map_of_thickness_is_windowed_as_paper_a_windows_it(task):
    sample = only(task("gf3300"), "data_0010")
    scaled = (np.array([[-2, 350], [10, 400], [174, -50]]) + 2) / 352 * 255
    assert np.asarray(sample.image.open())[:, :, 0].tolist() == scaled.round().clip(0, 255).tolist()
    assert sample.attributes == {"sex": "male", "race": "black", "age": "60-79"}


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_fairvlmed_s_pixels_are_not_stretched_whatever_their_type(assets, tmp_path, kind):
    folder = copied("fairvlmed", assets, tmp_path)
    shades = np.arange(100, 112, dtype=kind).reshape(3, 4)
    arrays(folder / "Test" / "data_00027.npz", slo_fundus=shades, glaucoma=1, gender=1, race=1, age=50.0)
    sample = only(loaded("fairvlmed", tmp_path, tmp_path), "data_00027")
    assert np.asarray(sample.image.open())[:, :, 0].tolist() == shades.tolist()


@pytest.mark.parametrize(
    ("name", "table", "column"),
    [
        ("ham10000", "HAM10000_metadata.csv", "age"),
        ("chexpert", "CheXpert-v1.0-small/valid.csv", "Age"),
        ("chest-xray14", "Data_Entry_2017.csv", "Patient Age"),
    ],
)
def test_a_table_without_the_column_of_ages_is_an_error_and_not_of_unknown_ages(assets, tmp_path, name, table, column):
    path = copied(name, assets, tmp_path) / table
    path.write_text(path.read_text().replace(f",{column},", ",years,", 1))
    with pytest.raises(BrokenData, match=rf'{table}: line 2: column "{column}" is missing; there are '):
        loaded(name, tmp_path, tmp_path)


@pytest.mark.parametrize("race", [1, 1.0, "Black or African American"])
def test_a_race_is_a_number_or_a_word(assets, tmp_path, race):
    folder = copied("gf3300", assets, tmp_path)
    arrays(folder / "train" / "data_0000.npz", rnflt=np.zeros((2, 2)), glaucoma=0.0, male=1, race=race, age=50.0)
    assert only(loaded("gf3300", tmp_path, tmp_path), "data_0000").attributes["race"] == "black"


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("gf3300", {"array": None}, "array is None; it must be the name of an array"),
        ("gf3300", {"window": [1]}, r"window is \[1\]; it must be the values that become black and white"),
        ("ham10000-binary", {"positive": "mel"}, "positive is 'mel'; it must be a list of akiec, bcc"),
        ("ham10000-binary", {"positive": ["melanoma"]}, "it must be a list of akiec, bcc"),
        ("chexpert-findings", {"classes": None}, "classes is None; "),
        ("breastmnist", {"labels": ["malignant", "benign"]}, "it must be a list of its classes in the file's order"),
        ("breastmnist", {"labels": "malignant"}, "labels is 'malignant'; it must be a list"),
        ("papila", {"release": "2"}, "unknown key 'release'"),
    ],
)
def test_a_row_that_says_what_cannot_be_is_told_so(task, name, options, says):
    with pytest.raises(BrokenCatalog, match=says):
        task(name, **options)


def test_what_fairvlmed_does_not_know_of_a_patient_is_unknown(task):
    assert only(task("fairvlmed"), "data_00000").attributes == {"sex": "unknown", "race": "unknown", "age": "40-59"}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"glaucoma": 2}, r'data_00000\.npz: column "glaucoma" is 2; expected one of 0, 1'),
        ({"glaucoma": np.nan}, 'column "glaucoma" is nan|column "glaucoma" is empty'),
        ({"glaucoma": [0, 1]}, r'array "glaucoma" has the shape \(2,\); expected one value'),
        ({"glaucoma": [[0, 1]]}, r'array "glaucoma" has the shape \(1, 2\); expected one value'),
        ({"gender": "male"}, "column \"gender\" is 'male'; expected a number"),
        ({"race": "martian"}, "column \"race\" is 'martian'; expected one of 0, 1, 2, -1, Asian"),
        ({"age": np.array({}, dtype=object)}, "arrays glaucoma, age, race, gender cannot be read"),
        ({"age": None}, 'array "age" is missing; there are slo_fundus, glaucoma'),
    ],
)
def test_a_patient_s_file_that_says_something_else_is_named_with_the_array(assets, tmp_path, changed, says):
    folder = copied("fairvlmed", assets, tmp_path)
    told = {"slo_fundus": np.zeros((2, 2), np.uint8), "glaucoma": 0, "gender": 0, "race": 0, "age": 50.0, **changed}
    arrays(folder / "Training" / "data_00000.npz", **{key: value for key, value in told.items() if value is not None})
    with pytest.raises(BrokenData, match=says):
        loaded("fairvlmed", tmp_path, tmp_path)


def test_drishti_s_published_split_shares_patients_and_a_made_one_does_not(task):
    assert only(task("drishti-gs"), "drishtiGS_017").group in {sample.group for sample in task("drishti-gs").train}
    made = task("drishti-gs", split="made")
    assert not {sample.group for sample in made.test} & {sample.group for sample in made.train}


def test_rsna_has_one_sample_a_radiograph_whatever_the_number_of_its_boxes(task, assets, tmp_path):
    assert Counter(sample.truth for sample in every(task("rsna-pneumonia"))) == {"negative": 30, "pneumonia": 10}
    folder = copied("rsna-pneumonia", assets, tmp_path)
    table = folder / "stage_2_train_labels.csv"
    table.write_text(table.read_text() + table.read_text().splitlines()[1][:-1] + "0\n")
    with pytest.raises(BrokenData, match=r"line 52: 00000000-.* is negative here, and pneumonia in an earlier row"):
        loaded("rsna-pneumonia", tmp_path, tmp_path)


def test_a_radiograph_that_is_missing_or_damaged_is_a_failed_sample_with_its_name(assets, tmp_path):
    folder = copied("rsna-pneumonia", assets, tmp_path) / "stage_2_train_images"
    for file in folder.iterdir():
        file.write_bytes(b"") if file.name < "00000014" else file.unlink()
    dicom(next(iter(sorted(folder.iterdir()))), 3)
    samples = every(loaded("rsna-pneumonia", tmp_path, tmp_path))
    assert sum(sample.id in failure(sample) for sample in samples) == 39


def test_medmnist_s_sets_have_a_row_of_every_size_which_differ_in_nothing_else(task):
    for size in (28, 64, 128):
        for name in MEDMNIST:
            row = ROWS[f"{name}-{size}"]
            assert replace(row, name=name, options={}) == replace(ROWS[name], options={})
            assert row.options == {**ROWS[name].options, "size": size}
        assert task(f"breastmnist-{size}").test[0].image.open().size == (size, size)
    assert task("breastmnist").test[0].image.open().size == (224, 224)


def test_medmnist_is_found_where_the_medmnist_package_puts_it_after_assets(assets, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    theirs, ours = tmp_path / "home" / ".medmnist", tmp_path / "datasets" / "medmnist"
    for folder, names in ((theirs, ("pneumoniamnist", "breastmnist_64")), (ours, ("bloodmnist",))):
        folder.mkdir(parents=True)
        for name in names:
            shutil.copy(assets / "datasets" / "medmnist" / f"{name}.npz", folder)
    for name in ("pneumoniamnist-28", "breastmnist-64", "bloodmnist-28"):
        assert loaded(name, tmp_path, tmp_path).fingerprint == loaded(name, assets, tmp_path).fingerprint
    with pytest.raises(MissingAsset, match=r"put it into DIR/.*; nor is there ~/.medmnist/breastmnist_128\.npz"):
        loaded("breastmnist-128", tmp_path, tmp_path)


def test_medmnist_of_a_size_that_there_is_not_is_told_so(task):
    with pytest.raises(BrokenCatalog, match="size is 32; it must be one of 28, 64, 128, 224"):
        task("pneumoniamnist", size=32)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"val_labels": None}, 'pneumoniamnist.npz: array "val_labels" is missing; there are train_images'),
        ({"val_images": None}, "pneumoniamnist.npz:val_images: there is no such array"),
        ({"test_labels": np.zeros((3, 1))}, "4 test_images have 3 test_labels"),
        ({"test_labels": np.full((4, 1), 2)}, 'array "test_labels" holds 2; expected 0 to 1'),
        ({"test_labels": np.full((4, 1), 0.5)}, 'array "test_labels" holds 0.5; expected 0 to 1'),
        ({"test_labels": np.zeros(4)}, r'array "test_labels" has the shape \(4,\); expected samples x 1 or samples x 2'),
        ({"test_labels": np.full((4, 1), "a")}, 'array "test_labels" holds <U1; expected numbers'),
        ({"test_images": np.zeros(4)}, "test_images is no array of images"),
    ],
)
def test_medmnist_refuses_labels_that_are_not_those_of_its_images(assets, tmp_path, changed, says):
    folder = copied("pneumoniamnist", assets, tmp_path)
    with np.load(folder / "pneumoniamnist.npz") as whole:
        told = {**whole, **changed}
    arrays(folder / "pneumoniamnist.npz", **{key: value for key, value in told.items() if value is not None})
    with pytest.raises(BrokenData, match=says):
        loaded("pneumoniamnist-28", tmp_path, tmp_path)


@pytest.mark.parametrize("name", ["papila", "drishti-gs"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"a,b\n1,2\n"])
def test_a_spreadsheet_that_is_none_is_refused_by_its_name(name, content, assets, tmp_path):
    for table in copied(name, assets, tmp_path).rglob("*.xlsx"):
        table.write_bytes(content)
    with pytest.raises(BrokenData, match=r"\.xlsx: not a readable spreadsheet"):
        loaded(name, tmp_path, tmp_path)
