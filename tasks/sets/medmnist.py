"""MedMNIST's twelve 2D sets, of every size (`pneumoniamnist` of 224 pixels, `pneumoniamnist-28`, `-64`, `-128`, ...).

Yang et al. 2023, MedMNIST v2; 64, 128 and 224 pixels: MedMNIST+, 2024. Expected:

    medmnist/pneumoniamnist_224.npz    train_images, train_labels, val_images, val_labels, test_images, test_labels
    medmnist/pneumoniamnist.npz        the same of 28 pixels

or, under the same names, ~/.medmnist, where the medmnist package puts what it downloads.

Images are [samples, size, size(, 3)] uint8, labels [samples, 1] numbers of classes, or [samples, classes] of 0 and 1 in
ChestMNIST. What the numbers mean, `classes` in a row, is from the package's INFO; `labels` says it where the classes stand
in another order, such as the disease last.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medrival.catalog import TaskCard
from medrival.contracts import Form
from medrival.errors import BrokenData
from medrival.tasks.arrays import numbers
from medrival.tasks.dataset import Example, dataset
from medrival.tasks.files import Files
from medrival.tasks.images import slices
from medrival.tasks.options import class_numbers, one_of

SIZES = (28, 64, 128, 224)
PACKAGE = "~/.medmnist"
"""The medmnist package's own folder, unless it is told another."""


def _found(card: TaskCard, assets: Path | None, cache: Path) -> Files:
    return Files.holding(_file(card), PACKAGE, card, assets, cache)


def _file(card: TaskCard) -> str:
    size = one_of(card, "size", SIZES, default=224)
    return f"{card.options.get('file', card.name)}{'' if size == 28 else f'_{size}'}.npz"


@dataset("file", "size", "labels", source=_found)
def images(card: TaskCard, files: Files) -> Iterator[Example]:
    """The images of the row's `file`, of its `size` (224 pixels), in the official split.

    Raises:
        MissingAsset: the file is not there.
        BrokenData: it lacks an array, or its labels are not those of its images and classes.
        BrokenCatalog: the row says another size, does not name the classes, or names others by number.
    """
    npz, labels = files.path(_file(card)), class_numbers(card, "labels")
    for split in ("train", "val", "test"):
        shown, truths = slices(npz, f"{split}_images", files.cache), _truths(npz, f"{split}_labels", labels)
        if len(shown) != len(truths):
            raise BrokenData(f"{npz}: {len(shown)} {split}_images have {len(truths)} {split}_labels")
        for image, (form, truth) in zip(shown, truths, strict=True):
            yield Example(f"{split}-{image.index:06d}", (image,), truth, split, form=form)


def _truths(npz: Path, key: str, classes: list[str]) -> list[tuple[Form, str]]:
    labels = numbers(npz, key)
    if labels.ndim != 2 or labels.shape[1] not in (1, len(classes)):
        raise BrokenData(f'{npz}: array "{key}" has the shape {labels.shape}; expected samples x 1 or samples x {len(classes)}')
    several = labels.shape[1] > 1
    allowed = range(2 if several else len(classes))
    if strange := sorted(set(labels.ravel().tolist()) - set(allowed)):
        raise BrokenData(f'{npz}: array "{key}" holds {strange[0]}; expected 0 to {allowed[-1]}')
    if several:
        return [("findings", "|".join(name for name, there in zip(classes, row, strict=True) if there)) for row in labels]
    return [("label", classes[number]) for number in labels[:, 0].astype(int).tolist()]
