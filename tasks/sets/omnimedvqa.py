"""The open-access part of OmniMedVQA as the hub has it (foreverbeliever/OmniMedVQA): 42 data sets as questions.

Hu et al. 2024, OmniMedVQA: a new large-scale comprehensive evaluation benchmark for medical LVLM. Expected:

    foreverbeliever/OmniMedVQA/OmniMedVQA.zip       with QA_information/Open-access/*.json and Images/..., below OmniMedVQA/,
                                                    or unpacked beside it

There is no official split: all of it is the test, or it is cut by image (`shares`). Choices are two to four, and the answer is
the text of one; where it is the very text of none, the one that has the same words.
"""

from __future__ import annotations

from collections.abc import Iterator

from medrival.catalog import TaskCard
from medrival.tasks.answers import same
from medrival.tasks.dataset import Example, dataset
from medrival.tasks.files import Files, image_named

ARCHIVE = "OmniMedVQA.zip"
TABLES = "OmniMedVQA/QA_information/Open-access/*.json"


@dataset()
def questions(_: TaskCard, files: Files) -> Iterator[Example]:
    """OmniMedVQA's open-access questions.

    Raises:
        MissingAsset: the archive is not there.
        BrokenData: naming the row and column.
    """
    for number, row in enumerate(files.packed_tables(ARCHIVE, TABLES)):
        said = (row.text(f"option_{letter}", default="") for letter in "ABCD")
        options, answer = tuple(one for one in said if one), row.text("gt_answer")
        yield Example(
            id=f"{row.name('question_id')}-{number}",
            images=(image_named(row, "image_path", lambda name: files.packed(ARCHIVE, f"OmniMedVQA/{name}")),),
            truth=answer if answer in options else next((one for one in options if same(one, answer)), answer),
            split="test",
            question=row.text("question"),
            form="choice",
            options=options,
            attributes={  # one row of "Chest CT Scan.json" calls the column "modality"
                "modality": row.text("modality_type" if "modality_type" in row.values else "modality", default="unknown"),
                "topic": row.text("question_type", default="unknown"),
                "source": row.text("dataset", default="unknown"),
            },
        )
