"""MedXpertQA-MM as the hub has it (TsinghuaC3I/MedXpertQA), by the row's `tables`.

Zuo et al. 2025, MedXpertQA: benchmarking expert-level medical reasoning and understanding. Expected:

    TsinghuaC3I/MedXpertQA/MM/dev.jsonl, MM/test.jsonl     one object a question
    TsinghuaC3I/MedXpertQA/images.zip                      or unpacked: images/MM-26-a.jpeg

A question lists its five choices itself ("Answer Choices: (A) ..."), so that the prompt does not list them again. It is about
one image or several, in their order. Some choices are letters themselves (of a label in the figure), so that only the letter
that `label` names says which is right.
"""

from __future__ import annotations

from collections.abc import Iterator

from medrival.catalog import TaskCard
from medrival.tasks.dataset import Example, dataset
from medrival.tasks.files import Files

TABLES = {"validation": "MM/dev.jsonl", "test": "MM/test.jsonl"}
SKILLS = ("Reasoning", "Understanding")


@dataset("tables")
def questions(card: TaskCard, files: Files) -> Iterator[Example]:
    """MedXpertQA's questions about images.

    Raises:
        MissingAsset: a file is not there.
        BrokenData: naming the row and column.
    """
    for _, split, row in files.tables(card.options.get("tables", TABLES)):
        options, shown = row.texts("options"), row.texts("images")
        if not shown:
            raise row.wrong("images", "one file name or several")
        yield Example(
            id=row.name("id"),
            images=tuple(files.packed("images.zip", f"images/{name}") for name in shown),
            truth=row.option("label", options),
            split=split,
            question=row.text("question"),
            form="choice",
            options=options,
            listed=True,
            skill=row.text("question_type", one_of=SKILLS).lower(),
            attributes={
                "topic": row.text("medical_task", default="unknown"),
                "organ": row.text("body_system", default="unknown"),
            },
        )
