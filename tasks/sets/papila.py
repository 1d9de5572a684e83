"""PAPILA: glaucoma in colour fundus photographs of both eyes of a patient (`papila`).

Kovalyk et al. 2022, PAPILA: dataset with fundus images and clinical data of both eyes of the same patient. Expected:

    papila/ClinicalData/patient_data_od.xlsx, patient_data_os.xlsx    right and left eyes: patient, Age, Gender, Diagnosis, ...
    papila/FundusImages/RET002OD.jpg

Headings take several rows, of which one holds "Diagnosis"; the patients ("#002") stand in the first column, which has no
heading in that row. Gender is 0 (male) or 1, the diagnosis 0 (healthy), 1 (glaucoma) or 2 (suspect).
"""

from __future__ import annotations

from collections.abc import Iterator

from medrival.catalog import TaskCard
from medrival.tasks.ages import age
from medrival.tasks.dataset import Example, dataset
from medrival.tasks.files import Files
from medrival.tasks.sheets import sheet

DIAGNOSES = {0: "healthy", 1: "glaucoma", 2: "suspect"}
SEXES = {0: "male", 1: "female"}


@dataset()
def eyes(_: TaskCard, files: Files) -> Iterator[Example]:
    """An eye each, by patient.

    Raises:
        MissingAsset: a table is not there.
        BrokenData: naming the file, row and column.
    """
    for eye in ("OD", "OS"):
        for row in sheet(files.path(f"ClinicalData/patient_data_{eye.lower()}.xlsx"), heading="Diagnosis"):
            patient = str(next(iter(row.values.values())) or "")
            if not patient.startswith("#"):  # further rows of headings, and empty ones
                continue
            name = f"RET{patient[1:]}{eye}"
            yield Example(
                id=name,
                images=(files.image(f"FundusImages/{name}.jpg"),),
                truth=row.coded("Diagnosis", DIAGNOSES),
                group=patient,
                attributes={"sex": row.coded("Gender", SEXES), "age": age(row, "Age")},
            )
