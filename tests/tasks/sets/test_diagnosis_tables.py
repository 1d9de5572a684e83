"""Tables of the diagnosis sets with a column missing, or with anything in a cell: read, or refused by file, row and column."""

from __future__ import annotations

import csv
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medrival.catalog import imported, load
from medrival.errors import BrokenData
from medrival.tasks.files import Files

sys.path.insert(0, str(Path(__file__).parent))
from replicas_diagnosis import WRITERS

ROWS = load().tasks
TABLES = {
    "chexpert": "CheXpert-v1.0-small/train.csv",
    "chexpert-findings": "CheXpert-v1.0-small/valid.csv",
    "chest-xray14": "Data_Entry_2017.csv",
    "camelyon17": "metadata.csv",
    "ham10000": "HAM10000_metadata.csv",
    "rsna-pneumonia": "stage_2_train_labels.csv",
}


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assets")
    for place in {ROWS[name].place for name in TABLES}:
        WRITERS[place](folder / "datasets" / place)
    return folder


def refusal(of):
    """What a function refuses its data with, or "" where it does not."""
    try:
        of()
    except BrokenData as refused:
        return str(refused)
    return ""


def read(name, assets, folder):
    """The examples alone, without the hashes of their images, of files in a folder."""
    row = ROWS[name]
    return list(imported(row.loader).__wrapped__(row, Files(row, folder, assets)))


def rewritten(name, assets, folder, change):
    """The examples of a set of which a function changed the rows of its table; the images are not copied."""
    shutil.copytree(assets / "datasets" / ROWS[name].place, folder, ignore=shutil.ignore_patterns("*.jpg", "*.png", "*.dcm"))
    path = folder / TABLES[name]
    with path.open(newline="") as stream:
        rows = list(csv.reader(stream))
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(change(rows))
    try:
        return read(name, assets, folder)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", TABLES)
def test_without_a_column_that_is_read_the_error_names_file_row_and_column(name, assets, tmp_path):
    columns = (assets / "datasets" / ROWS[name].place / TABLES[name]).read_text().splitlines()[0].split(",")
    told = {}
    for place, column in enumerate(columns):
        without = partial(_without, place)
        told[column] = refusal(lambda change=without: rewritten(name, assets, tmp_path / "one", change))
    missed = {column: said for column, said in told.items() if said}
    assert len(missed) >= 2
    for column, said in missed.items():
        assert f'{Path(TABLES[name]).name}: line 2: column "{column}" is missing' in said


def _without(place, rows):
    return [row[:place] + row[place + 1 :] for row in rows]


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_a_cell_it_is_read_or_refused_by_file_and_row(name, data, assets, tmp_path):
    line = data.draw(st.integers(1, 8), label="line")
    value = data.draw(
        st.one_of(
            st.sampled_from(["", " ", "nan", "inf", "-1", "1e400", "0.5", "7", "..", "/etc", "a/patient1/b", "Unknown"]),
            st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=6),
        ),
        label="value",
    )

    def change(rows):
        column = data.draw(st.integers(0, len(rows[0]) - 1), label="column")
        return [[*row[:column], value, *row[column + 1 :]] if n == line else row for n, row in enumerate(rows)]

    told = refusal(lambda: rewritten(name, assets, tmp_path / "one", change))
    assert not told or f"{Path(TABLES[name]).name}: line " in told or "outside its folder" in told
