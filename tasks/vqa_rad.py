"""VQA-RAD in its original public layout, as questions (`vqa-rad`) and as a diagnosis of the organ (`vqa-rad-organ`).

Lau et al. 2018, A dataset of clinically generated visual questions and answers about radiology images. Expected:

    DIR/vqa_rad/VQA_RAD_Dataset_Public.json     one object a question
    DIR/vqa_rad/images/                         the files its "image_name" names

What the file really holds, and how it is read: answers and question ids are text or integers; answers and answer types
have stray white space, which is folded; closed answers go beyond yes and no, and are then compared as words.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medrival.catalog import TaskCard
from medrival.contracts import Sample, Task
from medrival.errors import BrokenCatalog, BrokenData, MissingAsset
from medrival.tasks.answers import YES_NO, normalise
from medrival.tasks.images import ImageFile, fingerprint, inside
from medrival.tasks.prompts import ask

FILE = "VQA_RAD_Dataset_Public.json"
LAYOUT = f"vqa_rad/{FILE} and vqa_rad/images/"
ORGANS = {"HEAD": "head", "CHEST": "chest", "ABD": "abdomen"}
VALIDATION_SHARE = 0.12
ORGAN_SHARES = {"test": 0.25, "validation": 0.15}


@dataclass(frozen=True)
class Row:
    """One question of the file, cleaned."""

    id: str
    image_name: str
    image: ImageFile
    organ: str
    question: str
    topic: str
    answer: str
    closed: bool
    test: bool


def questions(card: TaskCard, assets: Path | None, _cache: Path) -> Task:
    """VQA-RAD's questions in the official split: 451 of them are the test.

    The official split is by question: nearly every test image also has training questions. It is kept as it is, and
    the overlap is in the notes. Validation questions are cut from the training questions by image, of images that are
    not in the test, so that nothing is chosen on a test image and the overlap stays the official one.

    Raises:
        MissingAsset: saying what is missing, where it was looked for, and the layout.
        BrokenData: naming the row and column, or saying that the test split is empty.
    """
    rows = _read(card.name, assets)
    test_images = {row.image_name for row in rows if row.test}
    train_images = {row.image_name for row in rows if not row.test}
    count = round(VALIDATION_SHARE * len(train_images))
    held_out = set(_shuffled(train_images - test_images)[:count])

    def split_of(row: Row) -> str:
        return "test" if row.test else "validation" if row.image_name in held_out else "train"

    splits = _splits(card, rows, split_of, _question)
    notes = {
        "split": "official, by question",
        "test_images": len(test_images),
        "test_images_in_train": len(test_images & train_images),
        "validation_images": len(held_out),
    }
    return Task(card.name, "vqa", *splits, fingerprint=fingerprint(splits), notes=notes)


def organs(card: TaskCard, assets: Path | None, _cache: Path) -> Task:
    """Head, chest or abdomen: one sample an image; of each organ's images a quarter is test and 15% validation.

    Raises:
        MissingAsset: saying what is missing, where it was looked for, and the layout.
        BrokenData: naming the row and column, an image said to show two organs, or an empty test split.
        BrokenCatalog: the row's prompt has no place for the organ.
    """
    template = card.options.get("prompt", "")
    if not isinstance(template, str) or "{}" not in template:
        raise BrokenCatalog(f"task {card.name!r}: prompt is {template!r}; it must have {{}} where the organ goes")
    images: dict[str, Row] = {}
    for row in _read(card.name, assets):
        if images.setdefault(row.image_name, row).organ != row.organ:
            raise BrokenData(f"{card.name}: {FILE} says that {row.image_name} shows {row.organ} and another organ")
    split_of = _by_organ(images.values())
    splits = _splits(card, images.values(), lambda row: split_of[row.image_name], _organ)
    classes, prompts = tuple(ORGANS), tuple(template.replace("{}", word) for word in ORGANS.values())
    mark = fingerprint(splits, *classes, *prompts)
    notes = {"split": "by image, stratified by organ", "images": len(images)}
    return Task(card.name, "diagnosis", *splits, fingerprint=mark, classes=classes, prompts=prompts, notes=notes)


def _splits(
    card: TaskCard, rows: Iterable[Row], split_of: Callable[[Row], str], sample: Callable[[Row], Sample]
) -> tuple[tuple[Sample, ...], tuple[Sample, ...], tuple[Sample, ...]]:
    parts: dict[str, list[Sample]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        parts[split_of(row)].append(sample(row))
    if not parts["test"]:
        raise BrokenData(f"{card.name}: the test split is empty; {FILE} marks no question, or too few images, for it")
    return tuple(parts["train"]), tuple(parts["validation"]), tuple(parts["test"])


def _question(row: Row) -> Sample:
    said = normalise(row.answer)
    options = ("yes", "no") if row.closed and said in YES_NO else ()
    return Sample(
        id=row.id,
        image=row.image,
        group=row.image_name,
        truth=said if options else row.answer,
        prompt=ask("closed" if options else "open", row.question, options),
        question=row.question,
        form="closed" if row.closed else "open",
        options=options,
        attributes={"organ": row.organ, "topic": row.topic},
    )


def _organ(row: Row) -> Sample:
    return Sample(id=row.image_name, image=row.image, group=row.image_name, truth=row.organ)


def _by_organ(rows: Iterable[Row]) -> Mapping[str, str]:
    names: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        names[row.organ].append(row.image_name)
    split_of: dict[str, str] = {}
    for members in names.values():
        left = _shuffled(members)
        for split, share in ORGAN_SHARES.items():
            count = round(share * len(members))
            split_of.update(dict.fromkeys(left[:count], split))
            left = left[count:]
        split_of.update(dict.fromkeys(left, "train"))
    return split_of


def _shuffled(names: Iterable[str]) -> list[str]:
    """In an order that depends on nothing but the names."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


def _read(task: str, assets: Path | None) -> list[Row]:
    if assets is None:
        raise MissingAsset(f"{task}: needs VQA-RAD; pass --assets DIR, a folder with {LAYOUT}")
    folder = assets / "vqa_rad"
    file, images_folder = folder / FILE, folder / "images"
    missing = [str(path) for path, there in ((file, file.is_file()), (images_folder, images_folder.is_dir())) if not there]
    if missing:
        raise MissingAsset(
            f"{task}: not found: {' and '.join(missing)}; expected {LAYOUT} in {assets}; "
            "get VQA-RAD from its public OSF page and pass --assets DIR"
        )
    images: dict[str, ImageFile] = {}
    rows: dict[str, Row] = {}
    for number, record in enumerate(_records(file)):
        row = _row(_Record(f"{file}: row {number}", record), images_folder, images)
        if row.id in rows:
            raise BrokenData(f'{file}: row {number}: column "qid" repeats {row.id}')
        rows[row.id] = row
    return list(rows.values())


def _records(path: Path) -> Sequence[object]:
    try:
        records = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenData(f"{path}: not a readable JSON file: {error}") from error
    if not isinstance(records, list):
        raise BrokenData(f"{path}: expected a list of questions, found {type(records).__name__}")
    return records


@dataclass(frozen=True)
class _Record:
    """One object of the file, and where it stands."""

    where: str
    values: object

    def text(self, column: str, *, also: type = str, one_of: Iterable[str] = ()) -> str:
        """A column's text with its white space folded; never without a word."""
        if not isinstance(self.values, dict):
            raise BrokenData(f"{self.where}: expected an object, found {type(self.values).__name__}")
        if column not in self.values:
            raise BrokenData(f'{self.where}: column "{column}" is missing')
        value = self.values[column]
        folded = " ".join(str(value).split())
        if type(value) not in (str, also) or not normalise(folded) or (one_of and folded not in one_of):
            expected = " or ".join(one_of) or ("text" if also is str else "text or an integer")
            raise BrokenData(f'{self.where}: column "{column}" is {value!r}; expected {expected}')
        return folded


def _row(record: _Record, folder: Path, images: dict[str, ImageFile]) -> Row:
    name = record.text("image_name")
    if name not in images:
        images[name] = ImageFile(inside(folder, name), folder)
    return Row(
        id=record.text("qid", also=int),
        image_name=name,
        image=images[name],
        organ=record.text("image_organ", one_of=ORGANS),
        question=record.text("question"),
        topic=record.text("question_type"),
        answer=record.text("answer", also=int),
        closed=record.text("answer_type", one_of=("CLOSED", "OPEN")) == "CLOSED",
        test=record.text("phrase_type").startswith("test_"),
    )
