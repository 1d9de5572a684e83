"""Rows of the tables that data sets come with: CSV, TSV, JSON, JSON lines, parquet; a bad value is named by row and column."""

from __future__ import annotations

import csv
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, isnan
from pathlib import Path
from reprlib import Repr
from string import ascii_uppercase
from typing import Any

from medrival.contracts import Image
from medrival.errors import BrokenData
from medrival.tasks.images.encoded import Encoded

Place = Path | zipfile.Path
"""A file, or a member of an archive."""
MOST_BYTES = 2 * 2**30
"""No table, and no array of labels, that an archive declares to be larger is inflated."""
PIECE = 2**20
"""Bytes that are read at once: asked for more, zipfile inflates a member beyond the size that its archive declares."""


@dataclass(frozen=True)
class Record:
    """One row of a table.

    Attributes:
        where: file and row, as a message names them. Rows of JSON and parquet count from 0, lines of a text file from 1.
        values: what stands in it, by column.
        names: of columns whose numbers have names, all of these in their order.
    """

    where: str
    values: Mapping[str, Any]
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def text(self, column: str, *, one_of: Collection[str] = (), default: str | None = None) -> str:
        """A column's text or number, with its white space folded.

        Args:
            one_of: what it may be; anything, where nothing is named.
            default: what an empty or missing cell means; None where it must not be empty.

        Raises:
            BrokenData: naming file, row and column.
        """
        folded = " ".join(self._worded(column, default).split())
        if one_of and folded not in one_of and folded != default:
            raise self.wrong(column, f"one of {', '.join(one_of)}")
        return folded

    def name(self, column: str) -> str:
        """A column's file name, path or id, to the letter: white space in it counts.

        Raises:
            BrokenData: naming file, row and column.
        """
        return self._worded(column, None)

    def number(self, column: str, default: float | None = None) -> float:
        """A column's number, which a text file writes in digits.

        Raises:
            BrokenData: naming file, row and column.
        """
        value = self._filled(column, default)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise self.wrong(column, "a number") from None
        if not isfinite(number):
            raise self.wrong(column, "a number")
        return number

    def whole(self, column: str) -> int:
        """A column's whole number.

        Raises:
            BrokenData: naming file, row and column.
        """
        number = self.number(column)
        if not number.is_integer():
            raise self.wrong(column, "a whole number")
        return int(number)

    def coded(self, column: str, meanings: Mapping[int, str]) -> str:
        """What the number in a column stands for.

        Raises:
            BrokenData: naming file, row and column.
        """
        number = self.number(column)
        if number not in meanings:
            raise self.wrong(column, f"one of {', '.join(map(str, meanings))}")
        return meanings[int(number)]

    def texts(self, column: str, *, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A column's list of texts, or its table of texts by the letters A, B, C ..., in their order; the last may be empty.

        Args:
            default: what an empty or missing cell means; None where it must not be empty.

        Raises:
            BrokenData: naming file, row and column.
        """
        value = self._filled(column, default)
        if default is not None and value is default:
            return default
        if isinstance(value, dict):
            if set(value) != set(ascii_uppercase[: len(value)]):
                raise self.wrong(column, "a text for each of the letters A, B, C, ..., or a list of texts")
            value = [value[letter] for letter in sorted(value)]
        if not isinstance(value, list) or not all(one is None or isinstance(one, str) for one in value):
            raise self.wrong(column, "a list of texts, or a row that lists the columns of options")
        texts = _without_end(["" if one is None else " ".join(one.split()) for one in value])
        if "" in texts:
            raise self.wrong(column, "a list of texts of which only the last may be empty")
        return texts

    def texts_of(self, columns: Sequence[str]) -> tuple[str, ...]:
        """The texts of several columns, of which the last may be empty.

        Raises:
            BrokenData: naming file, row and column.
        """
        texts = _without_end([self.text(column, default="") for column in columns])
        if "" in texts:
            column = columns[texts.index("")]
            raise BrokenData(f'{self.where}: column "{column}" is empty; of {", ".join(columns)} only the last may be')
        return texts

    def option(self, column: str, options: Sequence[str]) -> str:
        """The option whose letter stands in a column.

        Raises:
            BrokenData: naming file, row and column.
        """
        return options[ascii_uppercase.index(self.text(column, one_of=ascii_uppercase[: len(options)]))]

    def image(self, column: str) -> Image:
        """A column's image.

        Raises:
            BrokenData: naming file, row and column.
        """
        value = self.get(column)
        if not isinstance(value, Encoded):
            raise self.wrong(column, "an image")
        return value

    def get(self, column: str) -> Any:
        """A column's value as it stands.

        Raises:
            BrokenData: there is no such column.
        """
        if column not in self.values:
            raise BrokenData(f'{self.where}: column "{column}" is missing; there are {", ".join(map(str, self.values))}')
        return self.values[column]

    def wrong(self, column: str, expected: str) -> BrokenData:
        """The error for a value that is not what it should be."""
        return BrokenData(f'{self.where}: column "{column}" is {_Short().repr(self.values[column])}; expected {expected}')

    def _worded(self, column: str, default: str | None) -> str:
        value = self._filled(column, default)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.wrong(column, "a text")
        return str(value)

    def _filled(self, column: str, default: Any) -> Any:
        value = self.values.get(column) if default is not None else self.get(column)
        empty = value is None or (isinstance(value, float) and isnan(value)) or (isinstance(value, str) and not value.strip())
        if not empty:
            return value
        if default is None:
            raise BrokenData(f'{self.where}: column "{column}" is empty')
        return default


def _without_end(texts: Sequence[str]) -> tuple[str, ...]:
    """Texts without the empty ones at their end. One before that stays: without it, what follows would get another letter."""
    return tuple(texts[: max((place for place, text in enumerate(texts, start=1) if text), default=0)])


class _Short(Repr):
    """A value in a message: the beginning of what is long, and no bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80

    def repr_bytes(self, value: bytes, _: int) -> str:
        return f"{len(value):,} bytes"


def rows(path: Place, shown: str) -> Iterator[Record]:
    """The rows of a table file, one at a time.

    Args:
        shown: how messages name the file.

    Raises:
        BrokenData: it is unreadable, no table, of an unknown kind, or a row of it has too many or too few cells.
    """
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise BrokenData(f"{shown}: no table of a known kind; known are {', '.join(READERS)}")
    try:
        for place, values in read(path):
            if not isinstance(values, dict):
                raise BrokenData(f"{shown}: {place}: expected an object, found {type(values).__name__}")
            yield Record(f"{shown}: {place}", values)
    except UnicodeDecodeError as error:
        raise BrokenData(f"{shown}: not a readable table: it is not UTF-8 ({error}); save it as UTF-8") from error
    except MemoryError as error:
        raise BrokenData(f"{shown}: not a readable table: it does not fit into memory") from error
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise BrokenData(f"{shown}: not a readable table: {error}") from error


def check_size(member: zipfile.ZipInfo) -> None:
    """Raise ValueError for a member of an archive that is declared to be larger than any table."""
    if member.file_size > MOST_BYTES:
        raise ValueError(f"{member.filename} has {member.file_size:,} bytes, more than {MOST_BYTES:,}")


Numbered = Iterable[tuple[str, Any]]
SIGNS = {";": "semicolons", "\t": "tabs", ",": "commas"}
"""What programs separate the cells of a line by."""


def _separated(delimiter: str) -> Callable[[Place], Numbered]:
    def read(path: Place) -> Numbered:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.DictReader(stream, delimiter=delimiter, strict=True)
            _check_headings(lines.fieldnames or (), delimiter)
            for values in lines:
                if None in values or None in values.values():
                    raise ValueError(f"line {lines.line_num} has not as many cells as the first line")
                yield f"line {lines.line_num}", values

    return read


def _check_headings(names: Sequence[str], delimiter: str) -> None:
    if twice := sorted(name for name, times in Counter(names).items() if name and times > 1):
        raise ValueError(f"line 1 has the column {twice[0]!r} twice")
    if len(names) == 1 and (others := [sign for sign in SIGNS if sign in names[0] and sign != delimiter]):
        raise ValueError(
            f"line 1 is one column, {names[0]!r}: its cells are separated by {SIGNS[others[0]]}; "
            "separate them by commas, or by tabs in a file called .tsv"
        )


def _json(path: Place) -> Numbered:
    with path.open("rb") as stream:
        content = json.loads(b"".join(iter(lambda: stream.read(PIECE), b"")))
    if not isinstance(content, list):
        raise ValueError(f"expected a list of objects, found {type(content).__name__}")
    for number, values in enumerate(content):
        yield f"row {number}", values


def _json_lines(path: Place) -> Numbered:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield f"line {number}", _object(line, number)


def _object(line: str, number: int) -> Any:
    try:
        return json.loads(line.rstrip())
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number}, character {error.colno}: {error.msg}") from error


def _parquet(path: Place) -> Numbered:
    from pyarrow.parquet import ParquetFile

    number = 0
    for batch in ParquetFile(path).iter_batches(batch_size=1024):
        for values in batch.to_pylist():
            yield f"row {number}", values
            number += 1


READERS: Mapping[str, Callable[[Place], Numbered]] = {
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".json": _json,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
