"""Data sets that need no Python: folders of class folders, tables of images with labels or questions, data sets of the hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from medrival.catalog import TaskCard
from medrival.contracts import Form, Image
from medrival.errors import BrokenCatalog, BrokenData
from medrival.tasks import chinese
from medrival.tasks.ages import age
from medrival.tasks.answers import YES_NO, normalise
from medrival.tasks.dataset import SUFFIXES, Example, dataset
from medrival.tasks.files import Files, image_named
from medrival.tasks.folders import class_folders, split_folders
from medrival.tasks.hub import Repository
from medrival.tasks.tables import Record

COLUMNS = ("id", "image", "label", "question", "answer", "options", "patient", "split")
"""What a row may say the column of, or "" for none; by default the column has the same name, where there is one."""
GROUPS = ("site", "sex", "age")
"""Columns that become subgroups, likewise."""
LETTERED = re.compile(r"\(?(?P<letter>[A-Za-z])[.):、．：）]\s*(?P<words>.+)")
"""An option that comes with its letter."""


@dataset("patient", among=Files.below)
def folder(card: TaskCard, files: Files) -> Iterator[Example]:
    """Images in folders named after their class, at any depth below folders named after a split, where there are such.

    Where the row names its `classes`, there may be further folders below them, such as of patients. The row's `patient` is a
    regular expression whose first group finds the patient in a file's path.

    Raises:
        BrokenData: there is no image in a folder, or it is not clear of which split one is.
        BrokenCatalog: the row's `patient` is no regular expression with a group, or it asks for questions.
    """
    if card.kind != "diagnosis":
        raise BrokenCatalog(f"task {card.name!r}: {card.data!r} holds classes; questions of kind 'vqa' need a table of them")
    if files.named:
        raise BrokenData(f"{card.name}: {files.root / files.named} is a file; the row must name the folder of class folders")
    patient = _patient(card)
    there = [PurePosixPath(name) for name in files.below()]
    paths = [path for path in there if path.suffix.lower() in SUFFIXES and len(path.parts) > 1]
    if not paths:
        raise BrokenData(
            f"{card.name}: {files.root} has no folder with images in it, named after their class; of its {len(there)} files "
            f"those are images whose names end in one of {', '.join(sorted(SUFFIXES))}"
        )
    class_of = class_folders(card, dict.fromkeys(path.parent for path in paths))
    split_of = split_folders(card, list(dict.fromkeys(class_of.values())), paths)
    for path in paths:
        name, folder = path.as_posix(), class_of[path.parent]
        yield Example(name, (files.image(name),), folder.name, split=split_of[folder], group=patient(name))


@dataset(*COLUMNS, *GROUPS, "answers")
def table(card: TaskCard, files: Files) -> Iterator[Example]:
    """A table with a column of image files, relative to the table's folder, and one of labels, or of questions and answers.

    Raises:
        BrokenData: a column is missing or holds what it should not.
    """

    def image(record: Record, column: str) -> Image:
        if isinstance(record.get(column), dict | bytes):
            inside = 'a table with the images in it is read by data = "hub:FOLDER", the folder that it lies in'
            raise record.wrong(column, f"the name of an image file; {inside}")
        return image_named(record, column, files.image)

    found = list(examples(card, files.table(), image))
    if not found:
        raise BrokenData(f"{card.name}: {files.root / files.named} has no rows")
    return iter(found)


@dataset(*COLUMNS, *GROUPS, "answers", "config", "streaming", source=Repository.of)
def hub(card: TaskCard, repository: Repository) -> Iterator[Example]:
    """A data set of the hub with a column of images, and one of labels, or of questions and answers.

    The row's `config` names one of several tables of it; `streaming = true` keeps nothing of it on the disk.

    Raises:
        MissingAsset: it is in no folder and no cache, and the hub did not give it.
        BrokenData: a column is missing or holds what it should not.
    """
    return examples(card, repository.records(), Record.image)


def examples(card: TaskCard, records: Iterable[Record], image: Callable[[Record, str], Image]) -> Iterator[Example]:
    """An example of each record, by the columns that the row names; of choices, all answers are read in one way (`READINGS`).

    The row's `answers` says which; without it they are the texts of options where all are, else their letters where all are.

    Args:
        image: the image in a record's column.

    Raises:
        BrokenData: a column is missing or holds what it should not, or the answers of choices can be read in no way or in two.
        BrokenCatalog: the row's `answers` is no way to read them.
    """
    column = _columns(card)
    found = _as_written(card, records, column, image)
    return _with_answers(card, list(found), column["answer"]) if card.kind == "vqa" else found


def _as_written(
    card: TaskCard, records: Iterable[Record], column: dict[str, str], image: Callable[[Record, str], Image]
) -> Iterator[Example]:
    """As `examples`, but that the truth of a choice is what its answer's column says."""
    named = {column[key] for key in column if key in card.options and column[key]} | set(_option_columns(card))
    first: Record | None = None
    seen: set[str] = set()

    def told(record: Record, key: str) -> bool:
        return column[key] in named or (column[key] != "" and column[key] in record.values)

    for number, record in enumerate(records):
        first = first or record
        seen.update(record.values)
        yield Example(
            id=record.name(column["id"]) if told(record, "id") else f"{number:06d}",
            images=(image(record, column["image"]),),
            split=record.text(column["split"], default="") if told(record, "split") else "",
            group=record.text(column["patient"]) if told(record, "patient") else "",
            attributes={name: _subgroup(record, name, column[name]) for name in GROUPS if told(record, name)},
            classes=record.names.get(column["label"], ()),
            where=record.where,
            **(_question(card, record, column) if card.kind == "vqa" else {"truth": _label(record, column["label"])}),
        )
    if first and (missing := sorted(named - seen)):
        first.get(missing[0])  # refuses it


def _columns(card: TaskCard) -> dict[str, str]:
    """The column of each thing that a table may say, but for options."""
    said = {key: card.options.get(key, key) for key in (*COLUMNS, *GROUPS) if key != "options"}
    if wrong := [key for key in said if not isinstance(said[key], str)]:
        raise BrokenCatalog(f"task {card.name!r}: {wrong[0]} is {said[wrong[0]]!r}; it must be the name of a column")
    return {**said, "split": "" if said["split"] == "made" else said["split"]}


def _option_columns(card: TaskCard) -> list[str]:
    """The columns of options that the row names."""
    said = card.options.get("options", [])
    columns = [said] if isinstance(said, str) and said else said or []
    if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
        raise BrokenCatalog(f"task {card.name!r}: options is {said!r}; it must name a column, or several in a list")
    return columns


def _question(card: TaskCard, record: Record, column: dict[str, str]) -> dict[str, Any]:
    answer, written = record.text(column["answer"]), _options(card, record)
    options = _unlettered(written)
    if len(options) == 1 or len(options) > len(ascii_uppercase):
        first = next(iter(_option_columns(card)), "options")
        raise BrokenData(f'{record.where}: column "{first}" has {len(options)} options; a choice needs 2 to 26')
    question = record.text(column["question"])
    if options:
        form, truth = "choice", dict(zip(written, options, strict=True)).get(answer, answer)
    elif chinese.written(question) and answer in chinese.OPTIONS:
        form, options, truth = "closed", chinese.OPTIONS, answer
    else:
        form, options, truth = formed(answer)
    return {"question": question, "truth": truth, "form": form, "options": options}


def _unlettered(options: tuple[str, ...]) -> tuple[str, ...]:
    """Options without the letters before them ("A. left", "B) right") where all have theirs in order: prompts write such."""
    found = [LETTERED.fullmatch(option) for option in options]
    letters = "".join(one["letter"] for one in found if one)
    in_order = letters.upper() == ascii_uppercase[: len(options)]
    return tuple(one["words"] for one in found if one) if in_order else options


def formed(answer: str, *others: str) -> tuple[Form, tuple[str, ...], str]:
    """The form of a question without choices, what may be answered, and its truth: an answer of yes or no makes it closed.

    Args:
        others: are right, too.
    """
    if normalise(answer) in YES_NO:
        return "closed", ("yes", "no"), normalise(answer)
    return "open", tuple(dict.fromkeys((answer, *others))) if others else (), answer


def closed(answer: str) -> tuple[tuple[str, ...], str]:
    """What may be answered to a closed question, yes and no in its language or nothing for other words; and its truth."""
    if normalise(answer) in YES_NO:
        return ("yes", "no"), normalise(answer)
    said = chinese.polar(answer)
    return (chinese.OPTIONS, said) if said else ((), answer)


def _by_text(answer: str, options: tuple[str, ...]) -> str:
    return answer if answer in options else ""


def _by_letter(answer: str, options: tuple[str, ...]) -> str:
    return dict(zip(ascii_lowercase, options, strict=False)).get(answer.lower(), "")


def _by_index(answer: str, options: tuple[str, ...]) -> str:
    return dict(zip(map(str, range(len(options))), options, strict=True)).get(answer.removesuffix(".0"), "")


READINGS: Mapping[str, Callable[[str, tuple[str, ...]], str]] = {"text": _by_text, "letter": _by_letter, "index": _by_index}
"""The option that an answer means, or "" for none: by its very text, its letter in either case, or its number from 0."""


def _with_answers(card: TaskCard, examples: Sequence[Example], column: str) -> Iterator[Example]:
    """Examples whose choices have the option that is meant as their truth."""
    read = READINGS[_reading(card, [example for example in examples if example.form == "choice"], column)]
    for example in examples:
        yield replace(example, truth=read(example.truth, example.options)) if example.form == "choice" else example


def _reading(card: TaskCard, choices: Sequence[Example], column: str) -> str:
    """The name of the way in which the answers of all choices are read."""
    said = card.options.get("answers")
    if said not in (None, *READINGS):
        raise BrokenCatalog(f"task {card.name!r}: answers is {said!r}; it must be one of {', '.join(READINGS)}")
    tried = [said] if said else ["text", "letter"]
    meant = {way: [READINGS[way](choice.truth, choice.options) for choice in choices] for way in tried}
    fitting = [way for way in tried if all(meant[way])]
    if not fitting:
        wrong = choices[max(meant[way].index("") for way in tried)]
        expected = (
            f'the {said} of one of its {len(wrong.options)} options, by the row\'s answers = "{said}"'
            if said
            else 'all answers to be the text of an option, or all its letter (its number from 0: answers = "index")'
        )
        there = ", ".join(map(repr, wrong.options))
        raise BrokenData(f'{wrong.where}: column "{column}" is {wrong.truth!r}; expected {expected}; its options are {there}')
    differing = (choice for choice, *both in zip(choices, *meant.values(), strict=True) if len(set(both)) > 1)
    if len(fitting) > 1 and (unclear := next(differing, None)):
        raise BrokenData(
            f'{unclear.where}: column "{column}" is {unclear.truth!r}, the text of one option and the letter of another, and '
            'all answers can be read in both ways; the row must say answers = "text" or answers = "letter"'
        )
    return fitting[0]


def _options(card: TaskCard, record: Record) -> tuple[str, ...]:
    """The options in a column that lists them, or in several columns; none where nothing stands there."""
    said = card.options.get("options", "options")
    if isinstance(said, list):
        return record.texts_of(said)
    return record.texts(said, default=()) if said else ()


def _label(record: Record, column: str) -> str:
    """A label's text or number; of one that is true or false, that word."""
    value = record.get(column)
    return str(value).lower() if isinstance(value, bool) else record.text(column)


def _subgroup(record: Record, name: str, column: str) -> str:
    dated = name == "age" and column in record.values  # which not every line of a JSON lines file has
    return age(record, column) if dated else record.text(column, default="unknown")


def _patient(card: TaskCard) -> Callable[[str], str]:
    pattern = card.options.get("patient", "")
    try:
        expression = re.compile(pattern)
    except (re.error, TypeError) as error:
        raise BrokenCatalog(f"task {card.name!r}: patient is {pattern!r}, which is no regular expression: {error}") from None
    if pattern and not expression.groups:
        raise BrokenCatalog(f"task {card.name!r}: patient is {pattern!r}; it must have a group, such as (P\\d+)_")

    def of(name: str) -> str:
        found = expression.search(name) if pattern else None
        if pattern and found is None:
            raise BrokenData(f"{card.name}: there is no patient in the file name {name!r}, by the row's pattern {pattern!r}")
        return found[1] if found else ""

    return of
