"""Harvard's glaucoma data: maps of the nerve fibre layer (`gf3300`) and scanning laser ophthalmoscopy (`fairvlmed`).

Luo et al. 2023, Harvard Glaucoma Fairness; Luo et al. 2024, FairCLIP (Harvard-FairVLMed). Expected: one npz file a patient,
in folders named after the split:

    gf3300/train/data_0001.npz        rnflt [height, width] float, glaucoma, male, race, age, ...
    fairvlmed/Training/data_00001.npz slo_fundus [height, width], glaucoma, gender, race, age, ...

Glaucoma is 1, a man 1; races are 0 Asian, 1 Black, 2 White, or in words; what is not known is -1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from medrival.catalog import TaskCard
from medrival.errors import BrokenCatalog, BrokenData
from medrival.tasks.ages import age
from medrival.tasks.arrays import sample
from medrival.tasks.dataset import Example, dataset
from medrival.tasks.files import Files
from medrival.tasks.images import Window, ZipMember
from medrival.tasks.options import array_name

RACES = {"0": "asian", "1": "black", "2": "white", "-1": "unknown"}
RACES |= {"Asian": "asian", "Black or African American": "black", "White or Caucasian": "white"}
SEXES = {0: "female", 1: "male", -1: "unknown"}


@dataset("array", "window", "sex")
def patients(card: TaskCard, files: Files) -> Iterator[Example]:
    """An image each: the row's `array`, of which `window` becomes black to white; `sex` names the array of sexes.

    Raises:
        BrokenData: naming the file and array; or there is no file.
        BrokenCatalog: the row names no arrays, or a window that is not two numbers.
    """
    array, sex, window = array_name(card, "array"), array_name(card, "sex"), _window(card)
    names = files.names("*/data_*.npz")
    if not names:
        raise BrokenData(f"{card.name}: {files.root} has no data_*.npz in folders named after a split")
    for name in names:
        row, path = sample(files.path(name), "glaucoma", "age", "race", sex), PurePosixPath(name)
        yield Example(
            id=path.stem,
            images=(ZipMember(files.path(name), files.root, f"{array}.npy", window),),
            truth=row.coded("glaucoma", {0: "normal", 1: "glaucoma"}),
            split=path.parent.name.lower(),
            group=path.stem,
            attributes={"sex": row.coded(sex, SEXES), "race": RACES[row.text("race", one_of=RACES)], "age": age(row, "age")},
        )


def _window(card: TaskCard) -> Window | None:
    said = card.options.get("window")
    if said is None:
        return None
    if not isinstance(said, list) or [type(end) for end in said] not in ([int, int], [float, float]):
        raise BrokenCatalog(f"task {card.name!r}: window is {said!r}; it must be the values that become black and white")
    return float(said[0]), float(said[1])
