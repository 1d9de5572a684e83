"""Drishti-GS: glaucoma in colour fundus photographs (`drishti-gs`).

Sivaswamy et al. 2015, A comprehensive retinal image dataset for the assessment of glaucoma. Expected, at any depth:

    drishti_gs/**/Drishti-GS1_diagnosis.xlsx                Drishti-GS File, Patient ID, ..., Total
    drishti_gs/**/Training/Images/, **/Test/Images/         drishtiGS_001.png

The file names end in an apostrophe in the table. The split goes by image: some patients are in both parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from medrival.catalog import TaskCard
from medrival.tasks.dataset import Example, dataset
from medrival.tasks.files import Files
from medrival.tasks.sheets import sheet

TABLE = "Drishti-GS1_diagnosis.xlsx"


@dataset()
def eyes(_: TaskCard, files: Files) -> Iterator[Example]:
    """An image each, in the part whose folder it lies in.

    Raises:
        MissingAsset: the table is not there.
        BrokenData: naming the row and column; or an image that is in neither folder.
    """
    places = {PurePosixPath(name).stem: name for name in files.names("**/*/Images/*.png")}
    table = next(iter(files.names(f"**/{TABLE}")), TABLE)
    for row in sheet(files.path(table), heading="Drishti-GS File"):
        name = row.text("Drishti-GS File", default="").rstrip("'")
        if not name:
            continue
        if name not in places:
            raise row.wrong("Drishti-GS File", "an image in Training/Images or Test/Images")
        yield Example(
            id=name,
            images=(files.image(places[name]),),
            truth=row.text("Total", one_of=("Normal", "Glaucomatous")),
            split=PurePosixPath(places[name]).parent.parent.name.lower(),
            group=row.text("Patient ID"),
        )
