"""Any table: it gives examples, or one error that names file, row and column."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from medrival.catalog import TaskCard
from medrival.contracts import Image
from medrival.errors import BrokenData
from medrival.tasks import plain
from medrival.tasks.dataset import Example
from medrival.tasks.tables import Record

COLUMNS = ("image", "label", "question", "answer", "options", "split", "patient", "sex", "age", "A", "B", "C")
WORDS = st.text(max_size=12) | st.sampled_from(["yes", "No.", "A", "b", "the left lobe", "  ", "1e999", "nan", "-7"])
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
CELLS = (
    PLAIN | st.lists(PLAIN, max_size=3) | st.lists(WORDS, min_size=2, max_size=30) | st.dictionaries(WORDS, PLAIN, max_size=3)
)
ROWS = st.lists(st.dictionaries(st.sampled_from(COLUMNS), CELLS), min_size=1, max_size=4)
NAMED = st.fixed_dictionaries(
    {},
    optional={name: st.sampled_from(COLUMNS) for name in ("image", "label", "question", "answer", "options", "patient", "age")},
)
COMPLETE = st.fixed_dictionaries({"image": WORDS, "label": PLAIN, "question": PLAIN, "answer": PLAIN, "options": CELLS})


class Picture:
    """Stands for an image that is never looked at here."""

    digest = "0" * 64


def image(record: Record, column: str) -> Image:
    record.text(column)
    return Picture()


@settings(max_examples=300, deadline=None)
@given(
    rows=ROWS | st.lists(COMPLETE, min_size=1, max_size=3),
    kind=st.sampled_from(["diagnosis", "vqa"]),
    named=NAMED,
    several=st.booleans(),
)
def test_a_table_gives_examples_or_one_error_naming_file_row_and_column(rows, kind, named, several):
    options = named | ({"options": ["A", "B", "C"]} if several else {})
    card = replace(TaskCard("mine", "diagnosis", "x", "table:x.csv"), kind=kind, options=options)
    records = [Record(f"x.csv: row {number}", values) for number, values in enumerate(rows)]
    found, refused = [], ""
    try:
        found = list(plain.examples(card, records, image))
    except BrokenData as error:
        refused = str(error)
    if refused:
        assert re.match(r'x\.csv: row \d+: column "\w+" ', refused)
        return
    assert len(found) == len(rows)
    assert len({example.id for example in found}) == len(rows)
    for example in found:
        told_whole(example, kind)


def told_whole(example: Example, kind: str) -> None:
    assert example.truth
    assert example.truth == " ".join(example.truth.split())
    assert (example.form == "label") == (kind == "diagnosis")
    assert bool(example.question) == (kind == "vqa")
    assert not example.options or 2 <= len(example.options) <= 26
    assert example.form != "closed" or example.truth in example.options
    assert "age" not in example.attributes or re.fullmatch(r"-?\d+--?\d+|unknown", example.attributes["age"])
