"""MMMU as the hub has it (MMMU/MMMU); the row's `files` name subjects and split, as only validation answers are public.

Yue et al. 2024, MMMU: a massive multi-discipline multimodal understanding and reasoning benchmark for expert AGI. Columns: id,
question, options (the text of a Python list), answer (a letter, or the text of an open question's answer or of a list of them),
image_1 to image_7.

A question and its choices point at images as "<image 2>". All images stand before the words, in the order of their numbers,
so that this is written "image 2": a model's own marks for images are no part of a prompt.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from medrival.catalog import TaskCard
from medrival.contracts import Form
from medrival.tasks.dataset import Example, dataset
from medrival.tasks.hub import Repository
from medrival.tasks.plain import formed
from medrival.tasks.tables import Record

CHOICE: Form = "choice"
MARK = re.compile(r"<(image \d)>")
IMAGES = [f"image_{number}" for number in range(1, 8)]


@dataset(source=Repository.of)
def questions(_: TaskCard, repository: Repository) -> Iterator[Example]:
    """MMMU's questions.

    Raises:
        MissingAsset: it is in no folder and no cache, and the hub did not give it.
        BrokenData: naming the row and column.
    """
    for row in repository.records():
        choices = tuple(MARK.sub(r"\1", one) for one in _listed(row, "options"))
        answers = [row.option("answer", choices)] if choices else _listed(row, "answer", fewest=1)
        form, options, truth = (CHOICE, choices, answers[0]) if choices else formed(*answers)
        yield Example(
            id=row.name("id"),
            images=tuple(row.image(column) for column in IMAGES if column == IMAGES[0] or row.get(column) is not None),
            truth=truth,
            split=row.text("split"),
            question=MARK.sub(r"\1", row.text("question")),
            form=form,
            options=options,
            attributes={"subject": "_".join(row.text("id").split("_")[1:-1])},
        )


def _listed(row: Record, column: str, fewest: int = 0) -> list[str]:
    """The texts of a column that holds a Python list as text; another text alone."""
    said = row.text(column)
    try:
        found = ast.literal_eval(said) if said.startswith("[") else [said]
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise row.wrong(column, "a list of texts") from None
    if len(found) < fewest:
        raise row.wrong(column, "an answer")
    return [" ".join(str(one).split()) for one in found]
