"""Which folders above an image are its class, and its split."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath
from warnings import warn

from medrival.catalog import TaskCard
from medrival.errors import BrokenData, MedrivalWarning
from medrival.tasks.splitting import used_as


def class_folders(card: TaskCard, folders: Collection[PurePosixPath]) -> dict[PurePosixPath, PurePosixPath]:
    """The folder named after the class, of each folder of images: itself, or one above it that the row's `classes` name.

    A folder of a class that holds images is not taken for those below it, which may be masks.

    Raises:
        BrokenData: each folder is in one of several above it, which may well be the classes, and these the patients.
    """
    there = set(folders)
    if said := {str(name) for name in card.options.get("classes", ())}:
        ups = {folder: [up for up in folder.parents if up.name in said and up not in there] for folder in there}
        return {folder: folder if folder.name in said else next(iter(ups[folder]), folder) for folder in folders}
    above: dict[str, set[str]] = {}
    for folder in folders:
        above.setdefault(folder.name, set()).add(_without_split(card, folder.parent))
    parents = [parent for parents in above.values() for parent in parents]
    if len(parents) == len(above) > len(set(parents)) > 1:
        first, other = sorted(set(parents))[:2]
        raise BrokenData(
            f"{card.name}: its classes may be folders such as {first!r} and {other!r}, or the {len(above)} in them; "
            "the row must list them as `classes`"
        )
    if len(above) > len(set(parents)) > 1 and len({re.sub(r"\d+", "", name) for name in above}) == 1:
        told = f"{card.name}: its {len(above)} classes, such as {min(above)!r}, differ in a number alone, and lie in several"
        told += f" folders, such as {min(parents)!r}; if these are the classes, the row must list them as `classes`"
        warn(told, MedrivalWarning, stacklevel=2)
    return {folder: folder for folder in folders}


def split_folders(card: TaskCard, folders: Sequence[PurePosixPath], paths: Sequence[PurePosixPath]) -> dict[PurePosixPath, str]:
    """The split folder that each class folder lies below; "" of all where there are none, or the row cuts anew.

    Args:
        paths: of all images, for messages.

    Raises:
        BrokenData: it is not clear of which split an image is.
    """
    if card.options.get("split") == "made":
        return dict.fromkeys(folders, "")
    found = {folder: [name for name in folder.parts[:-1] if used_as(card, name) is not None] for folder in folders}
    ways = 'name folders otherwise, or cut all anew by split = "made"'
    if several := [folder for folder, names in found.items() if len({used_as(card, name) for name in names}) > 1]:
        raise BrokenData(f"{card.name}: {several[0]} lies below folders of several splits; {ways}")
    if not any(found.values()) and all(used_as(card, folder.name) is not None for folder in folders):
        raise BrokenData(f"{card.name}: {paths[0]} lies in a folder named after a split, and in none named after its class")
    if any(found.values()) and (without := [folder for folder, names in found.items() if not names]):
        other = next(folder for folder, names in found.items() if names)
        raise BrokenData(f"{card.name}: {other} lies below a folder named after a split, and {without[0]} does not; {ways}")
    return {folder: next(iter(names), "") for folder, names in found.items()}


def _without_split(card: TaskCard, folder: PurePosixPath) -> str:
    return "/".join(name for name in folder.parts if used_as(card, name) is None)
