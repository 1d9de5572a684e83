"""PMC-VQA as the hub has it (RadGenome/PMC-VQA): two versions with two test sets, by the row's `tables`.

Zhang et al. 2023, PMC-VQA: visual instruction tuning for medical visual question answering. Expected:

    RadGenome/PMC-VQA/train.csv, test_clean.csv and images.zip     version 1, or unpacked: images/*.jpg
    RadGenome/PMC-VQA/train_2.csv, test_2.csv and images_2.zip     version 2, or unpacked: figures/*.jpg

A choice begins with its letter ("A: left lung"), which is cut off: the prompt writes letters of its own. The letter of the
answer is in "Answer_label" (version 1, whose "Answer" is the text) or in "Answer" (version 2). Training questions that
lack a cell are left out with a warning: they were generated, 150,000 of them. A test question that does is an error.
Patients are not known; the group is the article, with which the name of a figure begins ("PMC123_Fig1_1.jpg").
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from medrival.catalog import TaskCard
from medrival.tasks.dataset import Example, dataset
from medrival.tasks.files import Files, image_named
from medrival.tasks.tables import Record

TABLES = {"train": "train_2.csv", "test": "test_2.csv"}


@dataset("tables", groups="article")
def questions(card: TaskCard, files: Files) -> Iterator[Example]:
    """PMC-VQA's questions, each of four choices, in the split of its tables.

    Raises:
        MissingAsset: a file is not there.
        BrokenData: naming the row and column of a test question.
    """
    return files.examples(card.options.get("tables", TABLES), partial(_question, files))


def _question(files: Files, name: str, split: str, row: Record) -> Example:
    choices = tuple(_choice(row, letter) for letter in "ABCD")
    letter, archive, folder = (
        ("Answer_label", "images.zip", "images") if "Answer_label" in row.values else ("Answer", "images_2.zip", "figures")
    )
    return Example(
        id=name,
        images=(image_named(row, "Figure_path", lambda name: files.packed(archive, f"{folder}/{name}")),),
        group=row.name("Figure_path").partition("_")[0],
        truth=row.option(letter, choices),
        split=split,
        question=row.text("Question"),
        form="choice",
        options=choices,
    )


def _choice(row: Record, letter: str) -> str:
    column = f"Choice {letter}"
    said = row.text(column, default="") if row.get(column) else ""  # empty it may be, but not missing
    return said.removeprefix(f"{letter}:").strip()
