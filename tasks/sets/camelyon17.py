"""Camelyon17-WILDS: tumour in the middle of patches of lymph nodes, from five hospitals (`camelyon17`).

Koh et al. 2021, WILDS: a benchmark of in-the-wild distribution shifts, of Bandi et al. 2018. Expected, as WILDS unpacks it:

    camelyon17_v1.0/metadata.csv    patient, node, x_coord, y_coord, tumor, slide, center, split (0 or 1)
    camelyon17_v1.0/patches/patient_004_node_4/patch_patient_004_node_4_x_3328_y_21792.png

The official split goes by hospital first (WILDS, camelyon17_dataset.py): center 1 validates and center 2 tests; `split` tells
training (0) from validation in the same hospitals (1), "id_val", of the other three.
"""

from __future__ import annotations

from collections.abc import Iterator

from medrival.catalog import TaskCard
from medrival.tasks.dataset import Example, dataset
from medrival.tasks.files import Files

CENTERS = {center: str(center) for center in range(5)}
KEPT_OUT = {"1": "val", "2": "test"}


@dataset()
def patches(_: TaskCard, files: Files) -> Iterator[Example]:
    """A patch each, by patient; the hospital is its subgroup.

    Raises:
        MissingAsset: the table is not there.
        BrokenData: naming the row and column.
    """
    for row in files.table("metadata.csv"):
        node = f"patient_{row.text('patient').zfill(3)}_node_{row.whole('node')}"
        name = f"patch_{node}_x_{row.whole('x_coord')}_y_{row.whole('y_coord')}"
        center, kept = row.coded("center", CENTERS), row.coded("split", {0: "train", 1: "id_val"})
        yield Example(
            id=name,
            images=(files.image(f"patches/{node}/{name}.png"),),
            truth=row.coded("tumor", {0: "normal", 1: "tumour"}),
            split=KEPT_OUT.get(center, kept),
            group=row.text("patient").zfill(3),
            attributes={"site": center},
        )
