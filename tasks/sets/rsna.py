"""RSNA Pneumonia Detection Challenge: lung opacities that suggest pneumonia, in DICOM chest radiographs (`rsna-pneumonia`).

Shih et al. 2019, Augmenting the National Institutes of Health chest radiograph dataset with expert annotations of possible
pneumonia. Expected:

    rsna_pneumonia/stage_2_train_labels.csv    patientId, x, y, width, height, Target: a row a box
    rsna_pneumonia/stage_2_train_images/       PATIENTID.dcm

The labels of the challenge's test images were not published: the split is made of the training images, one a patientId.
"""

from __future__ import annotations

from collections.abc import Iterator

from medrival.catalog import TaskCard
from medrival.errors import BrokenData
from medrival.tasks.dataset import Example, dataset
from medrival.tasks.files import Files


@dataset(groups="image")
def radiographs(card: TaskCard, files: Files) -> Iterator[Example]:
    """An image each, whatever the number of its boxes.

    Raises:
        MissingAsset: the table is not there.
        BrokenData: naming the row and column; or an image with and without pneumonia.
    """
    truths: dict[str, str] = {}
    for row in files.table("stage_2_train_labels.csv"):
        patient, truth = row.name("patientId"), row.coded("Target", {0: "negative", 1: "pneumonia"})
        if truths.setdefault(patient, truth) != truth:
            raise BrokenData(f"{card.name}: {row.where}: {patient} is {truth} here, and {truths[patient]} in an earlier row")
    for patient, truth in truths.items():
        yield Example(patient, (files.image(f"stage_2_train_images/{patient}.dcm"),), truth, group=patient)
