"""Tables of every kind: what is in them is read, and whatever is wrong with one is said by file, row and column."""

from __future__ import annotations

import csv
import json
import math

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from medrival.errors import BrokenData
from medrival.tasks.sheets import sheet
from medrival.tasks.tables import READERS, Record, rows

anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.sampled_from(["1", "nan", "-inf", "1_0"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)
readings = {
    "text": lambda record: record.text("dx"),
    "text of few": lambda record: record.text("dx", one_of=("nv", "mel")),
    "text or none": lambda record: record.text("dx", default=""),
    "name": lambda record: record.name("dx"),
    "number": lambda record: record.number("dx"),
    "whole": lambda record: record.whole("dx"),
    "coded": lambda record: record.coded("dx", {0: "normal", 1: "tumour"}),
    "texts": lambda record: record.texts("dx"),
    "option": lambda record: record.option("dx", ("left", "right")),
    "image": lambda record: record.image("dx"),
}
within = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refusal(read):
    """What a function refuses its data with, or "" where it does not."""
    try:
        read()
    except BrokenData as refused:
        return str(refused)
    return ""


def record(**values):
    return Record("labels.csv: line 2", values)


@pytest.mark.parametrize("read", readings.values(), ids=readings)
@given(value=anything)
@example(10**400)
def test_whatever_stands_in_a_cell_it_is_read_or_refused_by_file_row_and_column(read, value):
    said = refusal(lambda: read(record(dx=value)))
    assert not said or said.startswith('labels.csv: line 2: column "dx" is ')


@pytest.mark.parametrize("read", [read for name, read in readings.items() if name != "text or none"])
def test_a_missing_column_is_named_beside_those_that_there_are(read):
    with pytest.raises(BrokenData, match=r'labels\.csv: line 2: column "dx" is missing; there are age, sex'):
        read(record(age=1, sex="f"))


@given(value=anything)
def test_a_number_is_finite_and_a_code_is_one_of_its_meanings(value):
    for read, kind in ((readings["number"], float), (readings["whole"], int), (readings["coded"], str)):
        try:
            found = read(record(dx=value))
        except BrokenData:
            continue
        assert isinstance(found, kind)
        assert not isinstance(found, float) or math.isfinite(found)


def test_white_space_counts_in_a_name_and_is_folded_in_a_text():
    said = record(dx=" a  3.png")
    assert (said.name("dx"), said.text("dx")) == (" a  3.png", "a 3.png")


def test_a_table_that_does_not_fit_into_memory_is_refused_by_its_name(tmp_path, monkeypatch):
    def full(_):
        raise MemoryError

    monkeypatch.setattr(json, "loads", full)  # the real thing would take the machine's memory
    (tmp_path / "any.json").write_text("[]")
    with pytest.raises(BrokenData, match="any: not a readable table: it does not fit into memory"):
        list(rows(tmp_path / "any.json", "any"))


@pytest.mark.parametrize(
    ("value", "meant"), [(1, "tumour"), ("1", "tumour"), ("1.0", "tumour"), (0.0, "normal"), (" 0 ", "normal")]
)
def test_a_code_is_a_number_however_it_is_written(value, meant):
    assert readings["coded"](record(dx=value)) == meant


@within
@given(st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=3, max_size=3), min_size=1, max_size=5))
def test_what_is_written_as_csv_and_tsv_is_read_back(tmp_path, cells):
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        path = tmp_path / f"any{suffix}"
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([["a", "b", "c"], *cells])
        assert [list(found.values.values()) for found in rows(path, "any")] == cells


@within
@given(st.lists(st.dictionaries(st.text(max_size=4), anything, max_size=3), max_size=4))
def test_what_is_written_as_json_is_read_back_in_its_rows(tmp_path, records):
    (tmp_path / "any.json").write_text(json.dumps(records))
    (tmp_path / "any.jsonl").write_text("".join(json.dumps(one) + "\n\n" for one in records))
    listed = list(rows(tmp_path / "any.json", "any.json"))
    assert json.dumps([one.values for one in listed]) == json.dumps(records)
    assert [one.where for one in listed] == [f"any.json: row {number}" for number in range(len(records))]
    lined = list(rows(tmp_path / "any.jsonl", "any.jsonl"))
    assert [one.where for one in lined] == [f"any.jsonl: line {2 * number + 1}" for number in range(len(records))]


@within
@pytest.mark.parametrize("suffix", READERS)
@given(content=st.one_of(st.binary(max_size=40), st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace"))))
@example(b"PAR1")
@example(b"a,b\n1\n")
@example(b'{"a": 1}')
@example(b"[1]")
@example(b"[" * 5000)
def test_any_bytes_are_a_table_or_refused_by_the_name_of_the_file(tmp_path, suffix, content):
    path = tmp_path / f"any{suffix}"
    path.write_bytes(content)
    said = refusal(lambda: list(rows(path, "any")))
    assert not said or said.startswith("any: ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"image;label\na.png;x\n", "line 1 is one column, 'image;label': its cells are separated by semicolons"),
        (b"image\tlabel\na.png\tx\n", "its cells are separated by tabs; separate them by commas, or by tabs in a file called"),
        (b"image,label,label\na.png,x,y\n", "line 1 has the column 'label' twice"),
        ("image,label\na.png,é\n".encode("latin-1"), "it is not UTF-8 .*; save it as UTF-8"),
    ],
)
def test_a_table_as_spreadsheets_write_it_is_refused_with_what_to_do(tmp_path, content, says):
    (tmp_path / "any.csv").write_bytes(content)
    with pytest.raises(BrokenData, match=f"^any: not a readable table: .*{says}"):
        list(rows(tmp_path / "any.csv", "any"))


@pytest.mark.parametrize("value", ["x" * 10**6, {"bytes": b"secret" * 1000}, [b"secret"] * 1000, b"secret"])
def test_a_message_holds_the_beginning_of_a_long_value_and_no_bytes(value):
    said = refusal(lambda: record(dx=value).number("dx"))
    assert len(said) < 250
    assert "secret" not in said


def test_a_damaged_line_of_json_is_told_by_its_number(tmp_path):
    (tmp_path / "q.jsonl").write_text('{"a": 1}\n\n{"a": 2\n')
    with pytest.raises(BrokenData, match="line 3, character 8: Expecting"):
        list(rows(tmp_path / "q.jsonl", "q.jsonl"))


def test_a_file_of_another_kind_is_refused_with_the_kinds_that_are_read(tmp_path):
    with pytest.raises(BrokenData, match=r"any: no table of a known kind; known are \.csv, \.tsv, \.json, \.jsonl, \.parquet"):
        list(rows(tmp_path / "any.xls", "any"))


@settings(within, max_examples=25)
@given(titles=st.integers(0, 3), cells=st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=4))
def test_the_rows_of_a_sheet_are_those_below_its_headings(tmp_path, titles, cells):
    path, book = tmp_path / "any.xlsx", Workbook()
    for row in [*[["a title", None, None]] * titles, [None, " Total ", "Patient\nID"], *[["x", *pair] for pair in cells]]:
        book.worksheets[0].append(row)
    book.save(path)
    found = list(sheet(path, heading="Total"))
    assert [dict(one.values) for one in found] == [{"A": "x", "Total": n, "Patient ID": there} for n, there in cells]
    assert [one.where for one in found] == [f"{path}: row {titles + 2 + number}" for number in range(len(cells))]
    with pytest.raises(BrokenData, match="no row has the heading 'Diagnosis'"):
        list(sheet(path, heading="Diagnosis"))
