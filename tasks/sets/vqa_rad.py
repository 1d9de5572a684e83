"""VQA-RAD in its original public layout, as questions (`vqa-rad`) and as a diagnosis of the organ (`vqa-rad-organ`).

Lau et al. 2018, A dataset of clinically generated visual questions and answers about radiology images. Expected:

    vqa_rad/VQA_RAD_Dataset_Public.json     one object a question
    vqa_rad/images/                         the files its "image_name" names

What the file really holds, and how it is read: answers and question ids are text or integers; answers and answer types
have stray white space, which is folded; closed answers go beyond yes and no, and are then compared as words.
"""

from __future__ import annotations

from collections.abc import Iterator

from medrival.catalog import TaskCard
from medrival.errors import BrokenData
from medrival.tasks.answers import YES_NO, normalise
from medrival.tasks.dataset import Example, dataset
from medrival.tasks.files import Files, image_named
from medrival.tasks.tables import Record

FILE = "VQA_RAD_Dataset_Public.json"
ORGANS = ("HEAD", "CHEST", "ABD")


@dataset(groups="image")
def questions(_: TaskCard, files: Files) -> Iterator[Example]:
    """VQA-RAD's questions in the official split: 451 of them are the test.

    The official split is by question: nearly every test image also has training questions. It is kept as it is.

    Raises:
        MissingAsset: the file is not there.
        BrokenData: naming the row and column.
    """
    files.path("images")
    for row in files.table(FILE):
        answer, closed = row.text("answer"), row.text("answer_type", one_of=("CLOSED", "OPEN")) == "CLOSED"
        said = normalise(answer)
        if not said:
            raise row.wrong("answer", "a word")
        options = ("yes", "no") if closed and said in YES_NO else ()
        yield Example(
            id=row.name("qid"),
            images=(image_named(row, "image_name", lambda name: files.image(f"images/{name}")),),
            group=row.name("image_name"),
            truth=said if options else answer,
            split="test" if row.text("phrase_type").startswith("test_") else "train",
            question=row.text("question"),
            form="closed" if closed else "open",
            options=options,
            attributes={"organ": row.text("image_organ", one_of=ORGANS), "topic": row.text("question_type")},
        )


@dataset(groups="image")
def organs(card: TaskCard, files: Files) -> Iterator[Example]:
    """Head, chest or abdomen: one example an image that has a question.

    Raises:
        MissingAsset: the file is not there.
        BrokenData: naming the row and column, or an image said to show two organs.
    """
    files.path("images")
    shown: dict[str, Record] = {}
    for row in files.table(FILE):
        name, organ = row.name("image_name"), row.text("image_organ", one_of=ORGANS)
        first = shown.setdefault(name, row)
        if first.text("image_organ") != organ:
            raise BrokenData(
                f"{card.name}: {row.where}: {name} shows {organ}, and {first.text('image_organ')} in {first.where}"
            )
    for name, row in shown.items():
        yield Example(name, (files.image(f"images/{name}"),), row.text("image_organ"), group=name)
