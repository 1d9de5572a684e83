"""What a row says to the loader of its data set, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from medrival.catalog import TaskCard
from medrival.errors import BrokenCatalog

T = TypeVar("T")


def class_names(card: TaskCard) -> list[str]:
    """The classes in label order, for data that calls them by number or by column.

    Raises:
        BrokenCatalog: the row does not name them.
    """
    said = card.options.get("classes")
    if not isinstance(said, list | dict) or not all(isinstance(name, str) for name in said):
        raise BrokenCatalog(
            f"task {card.name!r}: classes is {said!r}; its data has no names for them, so the row must name them"
        )
    return list(said)


def class_numbers(card: TaskCard, key: str) -> list[str]:
    """The classes by the number that the data has for each: in the order of a list that the row may have, or label order.

    Raises:
        BrokenCatalog: the row does not name the classes, or its list is not of them.
    """
    classes = class_names(card)
    said = card.options.get(key, classes)
    if not isinstance(said, list) or len(said) != len(classes) or any(name not in said for name in classes):
        raise BrokenCatalog(f"task {card.name!r}: {key} is {said!r}; it must be a list of its classes in the file's order")
    return said


def array_name(card: TaskCard, key: str) -> str:
    """The name that the row must say of an array in the data set's files.

    Raises:
        BrokenCatalog: it says none.
    """
    said = card.options.get(key)
    if not isinstance(said, str):
        raise BrokenCatalog(f"task {card.name!r}: {key} is {said!r}; it must be the name of an array in the files")
    return said


def one_of(card: TaskCard, key: str, known: Sequence[T], default: T) -> T:
    """One of a few values, or the default where the row says none.

    Raises:
        BrokenCatalog: it says another.
    """
    said: T = card.options.get(key, default)
    if said not in known:
        raise BrokenCatalog(f"task {card.name!r}: {key} is {said!r}; it must be one of {', '.join(map(str, known))}")
    return said
