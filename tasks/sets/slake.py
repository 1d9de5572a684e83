"""SLAKE as the hub has it (BoKelvin/SLAKE), in English and Chinese.

Liu et al. 2021, SLAKE: a semantically-labeled knowledge-enhanced dataset for medical visual question answering. Expected:

    BoKelvin/SLAKE/train.json, validation.json, test.json     one object a question; or validate.json, as in older copies
    BoKelvin/SLAKE/imgs.zip                                   or unpacked: imgs/xmlab102/source.jpg

Its closed questions go beyond yes and no (416 of 1,061 English test questions are closed), and are then compared as words.
Chinese ones that are answered 有 or 不包含 are asked for 是 or 否, as which either is read.
"""

from __future__ import annotations

from collections.abc import Iterator

from medrival.catalog import TaskCard
from medrival.tasks.dataset import Example, dataset
from medrival.tasks.files import Files, image_named
from medrival.tasks.plain import closed

LANGUAGES = {"en": "English", "zh": "Chinese"}


@dataset(groups="image")
def questions(_: TaskCard, files: Files) -> Iterator[Example]:
    """SLAKE's questions in the official split.

    Raises:
        MissingAsset: a file is not there.
        BrokenData: naming the row and column.
    """
    older = not files.names("validation.json") and files.names("validate.json")
    tables = {"train": "train.json", "validation": "validate.json" if older else "validation.json", "test": "test.json"}
    for name, split, row in files.tables(tables):
        answer, form = row.text("answer"), row.text("answer_type", one_of=("CLOSED", "OPEN"))
        options, truth = closed(answer) if form == "CLOSED" else ((), answer)
        yield Example(
            id=name,
            images=(image_named(row, "img_name", lambda name: files.packed("imgs.zip", f"imgs/{name}")),),
            group=row.name("img_name"),
            truth=truth,
            split=split,
            question=row.text("question"),
            form="closed" if form == "CLOSED" else "open",
            options=options,
            attributes={
                "language": LANGUAGES[row.text("q_lang", one_of=LANGUAGES)],
                "modality": row.text("modality", default="unknown"),
                "topic": row.text("content_type", default="unknown"),
            },
        )
