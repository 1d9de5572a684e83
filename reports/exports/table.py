"""A view of a report: a table with a name, columns, rows and a caption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from medrival.errors import UnknownName


@dataclass(frozen=True)
class Cell:
    """A cell that is made to be read.

    Attributes:
        best: whether it is the best of its kind.
        note: why it holds no figure, or "".
    """

    text: str
    best: bool = False
    note: str = ""

    @property
    def whole(self) -> str:
        """Text and note."""
        return f"{self.text}: {self.note}" if self.note else self.text


Value: TypeAlias = str | int | float | bool | Cell | None
Row: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True)
class View:
    """A table of a report; each row has as many values as there are columns."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    caption: str

    @classmethod
    def of(cls, name: str, columns: Iterable[str], rows: Iterable[Row], caption: str) -> View:
        """From rows by column; what a row does not have is None."""
        named = tuple(columns)
        return cls(name, named, tuple(tuple(row.get(column) for column in named) for row in rows), caption)

    def only(self, columns: Iterable[str]) -> View:
        """The same rows with these columns, in this order.

        Raises:
            UnknownName: it has no such column.
        """
        chosen = tuple(columns)
        if missing := [column for column in chosen if column not in self.columns]:
            raise UnknownName(f"the view {self.name!r} has no column {missing[0]!r}; it has {', '.join(self.columns)}")
        at = [self.columns.index(column) for column in chosen]
        return View(self.name, chosen, tuple(tuple(row[i] for i in at) for row in self.rows), self.caption)
