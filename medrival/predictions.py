"""Files of predictions, from any program: JSON, JSONL or CSV in, `Prediction`s out.

What cannot be read is refused with its row and column; nothing is left out and nothing is guessed.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal, cast

from medrival.cells import SEPARATOR, Cells, Columns, Row
from medrival.contracts import Form, Prediction, Sample, Task, TaskKind
from medrival.errors import BrokenData
from medrival.tasks.answers import YES_NO, normalise

__all__ = ["Columns", "Row", "joined", "read", "stated"]

FORMS: Mapping[str, Form] = {
    "closed": "closed",
    "close": "closed",
    "open": "open",
    "choice": "choice",
    "label": "label",
    "findings": "findings",
}
NO_FINDING = frozenset({"", "none", "no finding", "no findings"})
"""What a file may call the truth of a sample in which nothing was found."""


def read(path: Path, columns: Columns | None = None) -> list[Row]:
    """The rows of a .json (a list, or an object by id), .jsonl or .csv file.

    Raises:
        BrokenData: it cannot be read, is of another kind, or holds nothing, or a row has another id than the key it is under.
    """
    keyed = partial(_json, column=(columns or Columns()).id)
    readers: Mapping[str, Callable[[str], list[Row]]] = {".json": keyed, ".jsonl": _jsonl, ".csv": _csv}
    if path.suffix.lower() not in readers:
        raise BrokenData(f"{path}: predictions are read from {', '.join(readers)}")
    try:
        rows = readers[path.suffix.lower()](path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise BrokenData(f"{path}: not a readable {path.suffix[1:]} file of predictions: {error}") from error
    if not rows:
        raise BrokenData(f"{path}: it holds no predictions")
    return rows


def stated(
    rows: Iterable[Row], kind: TaskKind, classes: Sequence[str] = (), columns: Columns | None = None
) -> list[Prediction]:
    """Predictions whose truth, form and options are in the rows themselves.

    A question without a form is a choice where it has options, closed where its truth is yes or no, else open. A closed
    question without options whose truth is yes or no has these two.

    Raises:
        BrokenData: naming row and column.
    """
    names = columns or Columns()
    found = [_stated(Cells(f"row {i}", row, names), kind, classes) for i, row in enumerate(rows, 1)]
    _unique(found)
    return found


def joined(
    rows: Iterable[Row], task: Task, columns: Columns | None = None, split: Literal["test", "validation"] = "test"
) -> list[Prediction]:
    """One prediction a sample of the task's split; the task states everything but what the model said.

    A sample that the rows lack has failed.

    Raises:
        BrokenData: naming row and column, or ids that are twice there or that the split does not have, or of which the rows
            state another truth than the task.
    """
    names, samples = columns or Columns(), {sample.id: sample for sample in getattr(task, split)}
    found: dict[str, Prediction] = {}
    unknown, contrary = [], []
    for i, row in enumerate(rows, 1):
        cells = Cells(f"row {i}", row, names)
        name = cells.text("id")
        if name in found:
            raise BrokenData(f"row {i}: the id {name!r} is there twice")
        if name in samples:
            found[name] = _said(_asked(samples[name]), cells, task.classes)
            contrary += [name] if _contradicts(cells, samples[name]) else []
        else:
            unknown.append(name)
    if unknown:
        shown = ", ".join(map(repr, unknown[:3])) + (", ..." if len(unknown) > 3 else "")
        raise BrokenData(f"{task.name}: {len(unknown)} ids are none of its {len(samples):,} {split} samples: {shown}")
    if contrary:
        truth, name = names.truth, contrary[0]
        raise BrokenData(
            f"{task.name}: the column {truth!r} states another truth than the task for {len(contrary):,} of {len(found):,} "
            f"samples, first for {name!r}, of which the task says {samples[name].truth!r}; these are other samples, "
            "or --truth must name another column"
        )
    return [found.get(name) or replace(_asked(sample), error="no prediction in the file") for name, sample in samples.items()]


def _contradicts(cells: Cells, sample: Sample) -> bool:
    """Whether a row states another truth than its sample; that of a choice may be a letter, findings have no order.

    An empty cell states nothing, but of findings that there is none.
    """
    value = cells.get("truth")
    if value is None:
        return False
    parts = value if isinstance(value, list) else ["" if value != value else value]  # NaN, a table's empty cell
    stated = SEPARATOR.join(map(str, parts))
    if sample.form == "findings":
        return _findings(stated) != _findings(sample.truth)
    allowed = {sample.truth, sample.reply} if sample.form == "choice" else {sample.truth}
    return bool(stated.strip()) and _folded(stated) not in map(_folded, allowed)


def _findings(truth: str) -> list[str]:
    return [part for part in _folded(truth) if part not in NO_FINDING]


def _folded(truth: str) -> list[str]:
    return sorted(normalise(part) or part.strip() for part in truth.split(SEPARATOR))


def _asked(sample: Sample) -> Prediction:
    """What a task states of a sample, with nothing said yet."""
    shared = {f.name for f in fields(Prediction)} & {f.name for f in fields(Sample)}
    return Prediction(**{name: getattr(sample, name) for name in shared})


def _stated(cells: Cells, kind: TaskKind, classes: Sequence[str]) -> Prediction:
    name = cells.text("id")
    form = _form(cells, kind)
    cells.require("truth")
    truth = "" if form == "findings" and not cells.has("truth") else cells.text("truth")
    options = cells.texts("options")
    if form == "closed" and not options and normalise(truth) in YES_NO:
        truth, options = normalise(truth), ("yes", "no")
    if form == "closed" and options and normalise(truth) not in map(normalise, options):
        raise cells.wrong("truth", f"one of the options {', '.join(options)}")
    if form == "choice":
        truth = _option(cells, truth, options)
    attributes = cells.get("attributes") or {}
    if not isinstance(attributes, Mapping):
        raise cells.wrong("attributes", "an object, such as {'sex': 'female'}")
    asked = Prediction(
        id=name,
        group=cells.text("group") if cells.has("group") else name,
        truth=truth,
        question=str(cells.get("question") or ""),
        form=form,
        options=options,
        skill=cells.skill(),
        attributes={str(key): str(value) for key, value in attributes.items()},
    )
    return _said(asked, cells, classes)


def _form(cells: Cells, kind: TaskKind) -> Form:
    if not cells.has("form"):
        if kind == "diagnosis":
            return "label"
        if cells.texts("options"):
            return "closed" if {normalise(option) for option in cells.texts("options")} == YES_NO else "choice"
        return "closed" if normalise(str(cells.get("truth"))) in YES_NO else "open"
    allowed = ("label", "findings") if kind == "diagnosis" else ("closed", "choice", "open")
    form = FORMS.get(str(cells.get("form")).strip().lower())
    if form not in allowed:
        raise cells.wrong("form", f"one of {', '.join(allowed)}")
    return cast(Form, form)


def _option(cells: Cells, truth: str, options: tuple[str, ...]) -> str:
    """The truth of a choice as the text of an option, which it may name by its letter."""
    letters = dict(zip(ascii_uppercase, options, strict=False))
    if truth not in options and truth not in letters:
        raise cells.wrong("truth", f"one of the options {', '.join(options) or '(there are none)'}, or its letter")
    if truth in options and letters.get(truth, truth) != truth:
        raise cells.wrong("truth", f"one option; it is one's text and the letter of {letters[truth]!r}: reword them")
    return truth if truth in options else letters[truth]


def _said(asked: Prediction, cells: Cells, classes: Sequence[str]) -> Prediction:
    """With what the model said; nothing said (null) is a failure, an empty answer is an answer."""
    if error := cells.error():
        return replace(asked, error=error)
    scores = cells.scores(classes)
    if asked.form in ("label", "findings"):
        if not scores:
            cells.require("scores")
        return replace(asked, scores=scores, error="" if scores else "no scores in the file")
    if scores and len(scores) != len(asked.options):
        raise cells.wrong("scores", f"one score for each of {len(asked.options)} options")
    cells.require("answer")
    if cells.get("answer") is None:
        return replace(asked, error="no answer in the file")
    blank = isinstance(cells.get("answer"), str) and not cells.get("answer").strip()
    return replace(asked, answer="" if blank else cells.text("answer"), scores=scores)


def _unique(predictions: Iterable[Prediction]) -> None:
    seen: set[str] = set()
    for i, prediction in enumerate(predictions, 1):
        if prediction.id in seen:
            raise BrokenData(f"row {i}: the id {prediction.id!r} is there twice")
        seen.add(prediction.id)


def _json(text: str, column: str) -> list[Row]:
    document = json.loads(text, object_pairs_hook=_once)
    if isinstance(document, dict):
        return [_keyed(key, row, column) for key, row in zip(document, _objects(list(document.values())), strict=True)]
    return _objects(document)


def _keyed(key: str, row: Row, column: str) -> Row:
    if column in row and str(row[column]).strip() != key.strip():
        raise ValueError(
            f"the row under the key {key!r} has the {column!r} {row[column]!r}; the key is its id, make them agree"
        )
    return {**row, column: key}


def _jsonl(text: str) -> list[Row]:
    return _objects([_line(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()])


def _line(number: int, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number}, column {error.colno}: {error.msg}") from error
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from error


def _csv(text: str) -> list[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows = list(reader)
    names = reader.fieldnames or []
    if len(set(names)) != len(names):
        raise ValueError("two columns have the same name")
    for i, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise ValueError(f"row {i} does not have {len(names)} cells")
    return list(rows)


def _objects(found: Any) -> list[Row]:
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError("expected objects, one a sample")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name, _ in pairs if [key for key, _ in pairs].count(name) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return found
