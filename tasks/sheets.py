"""Spreadsheets that data sets come with: the rows of an xlsx file's first sheet, below whatever stands above its headings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from medrival.errors import BrokenData
from medrival.tasks.tables import Record


def sheet(path: Path, heading: str) -> Iterator[Record]:
    """The rows below the headings, which are the first row that holds `heading`; columns without one go by their letter.

    Raises:
        BrokenData: it is no readable spreadsheet, or no row holds the heading.
    """
    names: dict[int, str] = {}
    for number, cells in _rows(path):
        if names:
            yield Record(f"{path}: row {number}", {name: cells.get(column) for column, name in names.items()})
        elif heading in cells.values():
            from openpyxl.utils import get_column_letter

            names = {column: str(value or get_column_letter(column)).strip() for column, value in cells.items()}
    if not names:
        raise BrokenData(f"{path}: no row has the heading {heading!r}")


def _rows(path: Path) -> Iterator[tuple[int, dict[int, Any]]]:
    """The rows of the first sheet, counted from 1 as spreadsheets do, and their cells by column."""
    try:
        from openpyxl import load_workbook

        with closing(load_workbook(path, read_only=True, data_only=True)) as opened:
            for number, cells in enumerate(opened.worksheets[0].iter_rows(values_only=True), start=1):
                yield number, {column: _folded(value) for column, value in enumerate(cells, start=1)}
    except Exception as error:  # on broken files openpyxl raises anything from KeyError to errors of XML
        raise BrokenData(f"{path}: not a readable spreadsheet: {error}") from error


def _folded(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value
