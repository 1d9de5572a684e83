"""HAM10000: pigmented skin lesions, as seven diagnoses (`ham10000`) or two kinds of them (paper A: `ham10000-binary`).

Tschandl et al. 2018, The HAM10000 dataset, a large collection of multi-source dermatoscopic images. Expected:

    ham10000/HAM10000_metadata.csv    lesion_id, image_id, dx, dx_type, age, sex, localization
    ham10000/**/*.jpg                 HAM10000_images_part_1/ and HAM10000_images_part_2/, or one folder

A lesion has several images: it is the group that is never divided. There is no official split of these images.
"""

from __future__ import annotations

from collections.abc import Iterator

from medrival.catalog import TaskCard
from medrival.errors import BrokenCatalog
from medrival.tasks.ages import age
from medrival.tasks.dataset import Example, dataset
from medrival.tasks.files import Files

DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


@dataset("positive", groups="lesion")
def lesions(card: TaskCard, files: Files) -> Iterator[Example]:
    """An image each, by lesion. Where the row names `positive` diagnoses, they are one class and the others another.

    Raises:
        MissingAsset: the table is not there.
        BrokenData: naming the row and column.
        BrokenCatalog: the row's `positive` is no list of diagnoses.
    """
    places, positive = files.by_name("**/*.jpg"), card.options.get("positive")
    if positive is not None and (not isinstance(positive, list) or any(one not in DIAGNOSES for one in positive)):
        raise BrokenCatalog(f"task {card.name!r}: positive is {positive!r}; it must be a list of {', '.join(DIAGNOSES)}")
    for row in files.table("HAM10000_metadata.csv"):
        name, diagnosis = f"{row.name('image_id')}.jpg", row.text("dx", one_of=DIAGNOSES)
        yield Example(
            id=row.name("image_id"),
            images=(files.image(places.get(name, name)),),
            truth=diagnosis if positive is None else "positive" if diagnosis in positive else "negative",
            group=row.text("lesion_id"),
            attributes={"sex": row.text("sex", one_of=("male", "female", "unknown")), "age": age(row, "age")},
        )
