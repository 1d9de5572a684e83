"""ChestX-ray14: fourteen findings of chest radiographs (`chest-xray14`).

Wang et al. 2017, ChestX-ray8: hospital-scale chest X-ray database and benchmarks. Expected:

    chest_xray14/Data_Entry_2017*.csv                 Image Index, Finding Labels (joined by "|"), Patient ID, ...
    chest_xray14/train_val_list.txt, test_list.txt    the official split: an image a line
    chest_xray14/**/*.png                             images_001/images/ to images_012/images/, or one folder

The ages are years, or in the first release "058Y", "006M" and "013D"; the sex is under "Patient Gender", later "Patient Sex".
"""

from __future__ import annotations

from collections.abc import Iterator

from medrival.catalog import TaskCard
from medrival.errors import BrokenData
from medrival.tasks.ages import age
from medrival.tasks.dataset import Example, dataset
from medrival.tasks.files import Files
from medrival.tasks.options import class_names

LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}


@dataset()
def findings(card: TaskCard, files: Files) -> Iterator[Example]:
    """The findings of each image, none where its label is "No Finding".

    Raises:
        MissingAsset: the table or a list is not there.
        BrokenData: naming the file, row and column; or an image that is in no list.
    """
    split_of = {name: split for split, file in LISTS.items() for name in files.lines(file)}
    places, known = files.by_name("**/*.png"), [*class_names(card), "No Finding"]
    table = next(iter(files.names("Data_Entry_2017*.csv")), "Data_Entry_2017.csv")
    for row in files.table(table):
        name = row.name("Image Index")
        if name not in split_of:
            raise BrokenData(f"{row.where}: image {name!r} is in neither of {' and '.join(LISTS.values())}")
        shown = row.text("Finding Labels").split("|")
        if not set(shown) <= set(known):
            raise row.wrong("Finding Labels", f"some of {', '.join(known)}, joined by |")
        sex = row.text("Patient Sex" if "Patient Sex" in row.values else "Patient Gender", one_of=("M", "F"))
        yield Example(
            id=name,
            images=(files.image(places.get(name, name)),),
            truth="|".join(one for one in shown if one != "No Finding"),
            form="findings",
            split=split_of[name],
            group=row.text("Patient ID"),
            attributes={"sex": {"M": "male", "F": "female"}[sex], "age": age(row, "Patient Age")},
        )
