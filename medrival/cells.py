"""One row of a file of predictions: where it has what, and cells that cannot be read refused with row and column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medrival.errors import BrokenData

Row = Mapping[str, Any]

SEPARATOR = "|"
NO_ERROR = frozenset({"", "false", "n/a", "nan", "none", "null"})
"""What says in the column of errors that there is none, beside null, false and NaN themselves."""
SKILLS = ("understanding", "reasoning")


@dataclass(frozen=True)
class Columns:
    """Where a file has what: column names (CSV) or keys (JSON). The defaults are those of a report's predictions/*.jsonl.

    Attributes:
        id: unique; where a JSON file is an object of objects, the key itself (a row that has this column, too, must agree).
        truth: the class or the reference answer; where a task states it, it may be left out but not be another.
        answer: the model's words.
        scores: probabilities of the classes or options: a list, numbers joined by "|", or an object by class. A diagnosis
            may have a column a class instead.
        form: "closed" (or "close"), "open", "choice"; of a diagnosis "label" or "findings".
        options: what could be answered: a list, or texts joined by "|".
        group: patient or image, the cluster of the bootstrap; without it each sample is its own.
        skill: "understanding" or "reasoning", or empty.
        error: why the sample failed; empty, null, none, false, n/a or NaN where it did not.
    """

    id: str = "id"
    truth: str = "truth"
    answer: str = "answer"
    scores: str = "scores"
    form: str = "form"
    options: str = "options"
    group: str = "group"
    skill: str = "skill"
    question: str = "question"
    attributes: str = "attributes"
    error: str = "error"


@dataclass(frozen=True)
class Cells:
    """One row, where it stands, and what its columns are called; what reads a cell raises `BrokenData`."""

    where: str
    row: Row
    columns: Columns

    def get(self, field: str) -> Any:
        """The cell of a field of `Columns`, or None."""
        return self.row.get(getattr(self.columns, field))

    def has(self, field: str) -> bool:
        """Whether it holds anything."""
        return self.get(field) not in (None, "")

    def wrong(self, field: str, expected: str) -> BrokenData:
        """What to raise where it cannot be read."""
        return BrokenData(f"{self.where}: column {getattr(self.columns, field)!r} is {self.get(field)!r}; expected {expected}")

    def require(self, field: str) -> None:
        """Refuse a row without the column, with the option that names another."""
        if getattr(self.columns, field) not in self.row:
            raise BrokenData(
                f"{self.where}: there is no column {getattr(self.columns, field)!r}; name it with --{field} COLUMN. "
                f"There are {', '.join(map(repr, self.row))}"
            )

    def text(self, field: str) -> str:
        """A text that must be there; a number counts as its digits."""
        self.require(field)
        value = self.get(field)
        text = "" if type(value) not in (str, int, float) or value != value else str(value).strip()  # NaN, a table's empty cell
        if not text:
            raise self.wrong(field, "a text")
        return text

    def texts(self, field: str) -> tuple[str, ...]:
        """Several texts, or none."""
        value = self.get(field) if self.has(field) else []
        parts = value.split(SEPARATOR) if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
            raise self.wrong(field, f"texts: a list, or joined by {SEPARATOR!r}")
        return tuple(part.strip() for part in parts)

    def error(self) -> str:
        """Why the sample failed, or nothing."""
        value = self.get("error")
        if value is None or value is False or value != value:
            return ""
        if not isinstance(value, str):
            raise self.wrong("error", "why the sample failed, or nothing")
        return "" if value.strip().lower() in NO_ERROR else value.strip()

    def skill(self) -> str:
        """What the question asks for, or nothing."""
        value = self.get("skill")
        said = "" if value is None or value != value else str(value).strip().lower()
        if said not in ("", *SKILLS):
            raise self.wrong("skill", f"one of {', '.join(SKILLS)}, or nothing")
        return said

    def scores(self, classes: Sequence[str]) -> tuple[float, ...]:
        """The scores that there are: in the column of that name, or a column a class."""
        value = self.get("scores") if self.has("scores") else []
        if not value and classes and all(name in self.row for name in classes):
            return tuple(self._score(name) for name in classes)
        if isinstance(value, Mapping):
            if not classes:
                raise self.wrong("scores", f"numbers in the order of the options: a list, or joined by {SEPARATOR!r}")
            if set(value) != set(classes):
                raise self.wrong("scores", f"one score for each of {', '.join(classes)}")
            value = [value[name] for name in classes]
        try:
            return tuple(map(_number, value.split(SEPARATOR) if isinstance(value, str) else value))
        except (TypeError, ValueError, OverflowError):
            raise self.wrong("scores", f"numbers: a list, an object by class, or joined by {SEPARATOR!r}") from None

    def _score(self, name: str) -> float:
        try:
            return _number(self.row[name])
        except (TypeError, ValueError, OverflowError):
            raise BrokenData(f"{self.where}: column {name!r}, of a class, is {self.row[name]!r}; expected a number") from None


def _number(value: Any) -> float:
    """Raises: ValueError: also for 1_0, which Python takes for ten."""
    if isinstance(value, str) and "_" in value:
        raise ValueError(value)
    return float(value)
