"""Folders of class folders as people have them: split folders, links, stray files; nothing is left out in silence."""

from __future__ import annotations

import warnings
from zlib import crc32

import pytest
from PIL import Image as PILImage

from medrival.catalog import TaskCard
from medrival.errors import BrokenCatalog, BrokenData, MedrivalWarning
from medrival.tasks import plain
from medrival.tasks.audit import audit
from tests.tasks.audit.made import silent


def card(tmp_path, kind="diagnosis", data="folder:set", **options):
    return TaskCard("mine", kind, "ultrasound", data, folder=str(tmp_path), options={"prompt": "{}", **options})


def pictures(folder, *, count=4, suffix=".png"):
    """Images that no other folder has."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        colour = (*crc32(str(folder).encode()).to_bytes(4)[:2], i)
        PILImage.new("RGB", (4, 4), colour).save(folder / f"{i}{suffix}")


def split_of(task):
    parts = {"train": task.train, "validation": task.validation, "test": task.test}
    return {sample.id: name for name, part in parts.items() for sample in part}


@pytest.mark.parametrize(
    ("train", "test", "splits"),
    [
        ("Train", "TEST", {}),
        ("train_set", "held_out", {"train_set": "train", "held_out": "test"}),
        ("train/site0", "test/site1/scanner", {}),
        ("site0/train", "site1/test", {}),
    ],
)
def test_split_folders_count_in_any_case_by_the_rows_names_and_at_any_depth(tmp_path, train, test, splits):
    for folder in (train, test):
        for label in "ab":
            pictures(tmp_path / "set" / folder / label)
    found = split_of(plain.folder(card(tmp_path, splits=splits), None, tmp_path))
    assert {name for name, split in found.items() if split == "test"} == {name for name in found if name.startswith(test)}
    assert len(found) == 16


@pytest.mark.parametrize(
    ("folders", "options", "error", "says"),
    [
        (("train/a", "train/b", "test/a", "c"), {}, BrokenData, "lies below a folder named after a split, and c does not"),
        (("train/val/a", "test/b"), {}, BrokenData, "train/val/a lies below folders of several splits"),
        (("train", "test"), {}, BrokenData, "lies in a folder named after a split, and in none named after its class"),
        (("a", "b"), {"split": "splt"}, BrokenCatalog, "split is 'splt'; it must be \"made\""),
        (
            ("train/a", "test/b"),
            {"splits": {"tests": "test"}},
            BrokenCatalog,
            "splits names 'tests', of which there is no sample",
        ),
        (
            ("train/a", "test/b"),
            {"splits": {"test": "tst"}},
            BrokenCatalog,
            "splits has 'test' used as 'tst'; it must be one of",
        ),
        (("train/a", "train/b"), {}, BrokenData, 'test split is empty.* split = "made", or say by `splits`'),
        (("a", "b"), {"only": {"truth": "c"}}, BrokenData, r"only = \{'truth': 'c'\} leaves none of 8"),
        (("a|b", "c"), {}, BrokenData, "its class is 'a|b'; the name of one has no"),
    ],
)
def test_what_is_not_clear_is_refused_with_what_to_do(tmp_path, folders, options, error, says):
    for folder in folders:
        pictures(tmp_path / "set" / folder)
    with pytest.raises(error, match=says.replace("|", r"\|")):
        plain.folder(card(tmp_path, **options), None, tmp_path)


def test_a_made_split_does_not_look_at_split_folders(tmp_path):
    for folder in ("train/a", "train/b", "c"):
        pictures(tmp_path / "set" / folder)
    assert set(split_of(plain.folder(card(tmp_path, split="made"), None, tmp_path)).values()) == {"train", "validation", "test"}


def test_images_of_every_format_are_samples_and_other_files_are_counted(tmp_path):
    for label in "ab":
        for suffix in (".png", ".jp2", ".ppm", ".jfif"):
            pictures(tmp_path / "set" / label, count=2, suffix=suffix)
    for name in ("a/notes.TXT", "a/mask", "overview.png", "c/0.npy", ".hidden/a/0.png", "__MACOSX/a/0.png", "a/._0.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(b"x")
    task = plain.folder(card(tmp_path), None, tmp_path)
    assert len(split_of(task)) == 16
    assert task.notes["files_without_sample"] == {".npy": 1, ".png": 1, ".txt": 1, "no suffix": 1}
    told = [finding.text for finding in audit(task, {}, silent, None).findings]
    assert "files below its folder that are no sample, by suffix: 1 .npy, 1 .png, 1 .txt, 1 no suffix" in told


def test_linked_class_folders_are_followed_inside_and_refused_outside(tmp_path):
    pictures(tmp_path / "set" / "a")
    pictures(tmp_path / "set" / ".store" / "b")
    (tmp_path / "set" / "b").symlink_to(tmp_path / "set" / ".store" / "b")
    task = plain.folder(card(tmp_path), None, tmp_path)
    assert sorted(split_of(task)) == [f"{label}/{i}.png" for label in "ab" for i in range(4)]
    pictures(tmp_path / "elsewhere")
    (tmp_path / "set" / "c").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BrokenData, match="'c' is a link that points outside its folder"):
        plain.folder(card(tmp_path), None, tmp_path)


def test_links_in_a_circle_are_refused_by_name(tmp_path):
    pictures(tmp_path / "set" / "a")
    (tmp_path / "set" / "b").mkdir()
    (tmp_path / "set" / "a" / "to_b").symlink_to(tmp_path / "set" / "b")
    (tmp_path / "set" / "b" / "to_a").symlink_to(tmp_path / "set" / "a")
    with pytest.raises(BrokenData, match="is a link to a folder that it lies in"):
        plain.folder(card(tmp_path), None, tmp_path)


def test_a_linked_image_that_leads_out_is_called_a_link(tmp_path):
    pictures(tmp_path / "elsewhere", count=1)
    pictures(tmp_path / "set" / "a")
    (tmp_path / "set" / "a" / "far.png").symlink_to(tmp_path / "elsewhere" / "0.png")
    with pytest.raises(BrokenData, match=r"'a/far\.png' is a link that points outside its folder"):
        plain.folder(card(tmp_path), None, tmp_path)


def test_a_folder_holds_no_questions_and_is_no_file(tmp_path):
    pictures(tmp_path / "set" / "a")
    with pytest.raises(BrokenCatalog, match="'folder:set' holds classes; questions of kind 'vqa' need a table of them"):
        plain.folder(card(tmp_path, kind="vqa"), None, tmp_path)
    with pytest.raises(BrokenData, match=r"0\.png is a file; the row must name the folder of class folders"):
        plain.folder(card(tmp_path, data="folder:set/a/0.png"), None, tmp_path)


def test_a_folder_a_patient_below_the_classes_is_no_class(tmp_path):
    for folder in ("benign/P0", "benign/P1", "benign/P2", "malignant/P3", "malignant/P4/left", "malignant/P5"):
        pictures(tmp_path / "set" / folder)
    with pytest.raises(
        BrokenData, match="may be folders such as 'benign' and 'malignant', or the 6 in them; the row must list"
    ):
        plain.folder(card(tmp_path), None, tmp_path)
    task = plain.folder(card(tmp_path, classes=["benign", "malignant"], patient=r"(P\d)/"), None, tmp_path)
    samples = (*task.train, *task.validation, *task.test)
    assert len(samples) == 24
    assert all(sample.id.startswith(sample.truth) and f"/{sample.group}/" in sample.id for sample in samples)


def test_patients_of_the_same_names_below_each_class_are_warned_of_until_the_row_lists_the_classes(tmp_path):
    for label in ("benign", "malignant"):
        for patient in range(5):
            pictures(tmp_path / "set" / label / f"P{patient}", count=2)
    with pytest.warns(MedrivalWarning, match=r"its 5 classes, such as 'P0', differ in a number alone, .* such as 'benign'; if"):
        assert len(plain.folder(card(tmp_path), None, tmp_path).classes) == 5
    with warnings.catch_warnings(action="error"):
        plain.folder(card(tmp_path, classes=["benign", "malignant"]), None, tmp_path)


@pytest.mark.parametrize("classes", [("benign", "malignant"), ("0", "1")])
def test_classes_in_the_folders_of_several_sites_are_not_taken_for_patients(tmp_path, classes):
    for site in ("here", "there"):
        for label in classes:
            pictures(tmp_path / "set" / site / label)
    with warnings.catch_warnings(action="error"):
        assert plain.folder(card(tmp_path), None, tmp_path).classes == classes


def test_a_folder_beside_the_images_of_a_class_is_refused(tmp_path):
    for folder in ("benign", "benign/masks", "malignant"):
        pictures(tmp_path / "set" / folder)
    with pytest.raises(BrokenData, match="'masks' is none of its classes"):
        plain.folder(card(tmp_path, classes=["benign", "malignant"]), None, tmp_path)


@pytest.mark.parametrize("other", ["Benign", "be\u0301nign", "benign "])
def test_classes_that_look_alike_are_refused_unless_the_row_lists_them(tmp_path, other):
    first = "b\u00e9nign" if "\u0301" in other else "benign"
    for name in (first, other, "malignant"):
        pictures(tmp_path / "set" / name)
    with pytest.raises(BrokenData, match="differ in case, white space or the encoding of accents alone"):
        plain.folder(card(tmp_path), None, tmp_path)
    assert len(plain.folder(card(tmp_path, classes=[first, other, "malignant"]), None, tmp_path).classes) == 3


def test_files_that_are_taken_for_no_image_are_told_where_there_is_none(tmp_path):
    (tmp_path / "set" / "a").mkdir(parents=True)
    (tmp_path / "set" / "a" / "IM00001").write_bytes(b"DICM")
    with pytest.raises(BrokenData, match=r"of its 1 files those are images whose names end in one of .*\.dcm"):
        plain.folder(card(tmp_path), None, tmp_path)


def test_classes_may_be_numbers_and_keep_the_order_of_the_row(tmp_path):
    for label in "012":
        pictures(tmp_path / "set" / label)
    assert plain.folder(card(tmp_path, classes=[2, 1, 0]), None, tmp_path).classes == ("2", "1", "0")


def test_too_few_patients_for_a_validation_part_are_told(tmp_path):
    for label in "ab":
        pictures(tmp_path / "set" / label, count=2)
    task = plain.folder(card(tmp_path), None, tmp_path)
    assert not task.validation
    assert task.notes["split"].endswith("; no validation, for training has too few groups to cut it from")
