"""CheXpert: chest radiographs, as no finding or some (paper A: `chexpert`) and as fourteen findings (`chexpert-findings`).

Irvin et al. 2019, CheXpert: a large chest radiograph dataset with uncertainty labels and expert comparison. Expected:

    chexpert/CheXpert-v1.0-small/train.csv, valid.csv   Path, Sex, Age, Frontal/Lateral, AP/PA and a column a finding
    chexpert/CheXpert-v1.0-small/train/, valid/         the files that Path names, beginning with "CheXpert-v1.0-small/"

A finding is 1.0, 0.0, -1.0 (uncertain) or blank (not mentioned). As in paper A, only 1 means that it is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from medrival.catalog import TaskCard
from medrival.contracts import Form
from medrival.tasks.ages import age
from medrival.tasks.dataset import Example, dataset
from medrival.tasks.files import Files
from medrival.tasks.options import class_names
from medrival.tasks.tables import Record

RELEASE = "CheXpert-v1.0-small"
SAID = {1: "present", 0: "absent", -1: "uncertain"}
PATIENT = re.compile(r"/(patient\d+)/")


@dataset("release")
def no_finding(card: TaskCard, files: Files) -> Iterator[Example]:
    """Normal where the radiologist's report found nothing, diseased otherwise; the row's `release` names the folder.

    Raises:
        MissingAsset: a table is not there.
        BrokenData: naming the file, row and column.
    """
    for split, row in _rows(card, files):
        yield _example(files, split, row, "normal" if _shown(row, ["No Finding"]) else "diseased")


@dataset("release")
def findings(card: TaskCard, files: Files) -> Iterator[Example]:
    """The findings that the row's `classes` name, each by its column.

    Raises:
        MissingAsset: a table is not there.
        BrokenData: naming the file, row and column.
    """
    names = class_names(card)
    for split, row in _rows(card, files):
        yield _example(files, split, row, "|".join(_shown(row, names)), form="findings")


def _rows(card: TaskCard, files: Files) -> Iterator[tuple[str, Record]]:
    for split in ("train", "valid"):
        for row in files.table(f"{card.options.get('release', RELEASE)}/{split}.csv"):
            yield split, row


def _shown(row: Record, names: Sequence[str]) -> list[str]:
    """The findings of these that are there."""
    return [name for name in names if row.get(name) != "" and row.coded(name, SAID) == "present"]


def _example(files: Files, split: str, row: Record, truth: str, form: Form = "label") -> Example:
    path = row.name("Path")
    patient = PATIENT.search(path)
    if patient is None:
        raise row.wrong("Path", "a path with the patient, such as .../patient00001/...")
    view = row.text("Frontal/Lateral", one_of=("Frontal", "Lateral")).lower()
    subgroups = {"sex": row.text("Sex").lower(), "age": age(row, "Age"), "view": view}
    return Example(path, (files.image(path),), truth, split, patient[1], form=form, attributes=subgroups)
