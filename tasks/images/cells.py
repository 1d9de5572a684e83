"""Images that are cells of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from medrival.tasks.images.encoded import MOST_BYTES, Encoded, unreadable
from medrival.tasks.images.pixels import Window


class Rows(Protocol):
    """A table by row: a `datasets.Dataset` whose image columns are not decoded (`Image(decode=False)`), or a list."""

    def __getitem__(self, row: int, /) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Cell(Encoded):
    """An encoded image in a cell: its bytes, or {"bytes": ..., "path": ...} as `datasets` keeps them. Read when it is needed.

    Attributes:
        rows: the table.
        row: counted from 0.
        column: the column's name.
        table: what messages call the table, e.g. "test.parquet".
        place: which of several images, where the cell is a list.
        window: see `Encoded`.
    """

    rows: Rows = field(hash=False, repr=False)
    row: int
    column: str
    table: str
    place: int | None = None
    window: Window | None = None

    @property
    def name(self) -> str:
        """Table, row, column, and the place in a list of images."""
        return f"{self.table}: row {self.row}, {self.column}" + ("" if self.place is None else f"[{self.place}]")

    def content(self) -> bytes:
        """See `Encoded`."""
        try:
            value = self.rows[self.row][self.column]
            value = value if self.place is None else value[self.place]
        except (LookupError, TypeError) as error:
            raise unreadable(self.name, "there is no such cell") from error
        content = value.get("bytes") if isinstance(value, Mapping) else value
        if not isinstance(content, bytes):
            raise unreadable(self.name, f"its cell holds no bytes, but {type(content).__name__}")
        if len(content) > MOST_BYTES:
            raise unreadable(self.name, f"it has more than {MOST_BYTES:,} bytes")
        return content
