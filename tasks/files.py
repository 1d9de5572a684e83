"""The files of a data set: where they lie, and reading its tables and images from there and from nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medrival.catalog import TaskCard
from medrival.errors import MissingAsset
from medrival.tasks.images import ImageFile, inside
from medrival.tasks.tables import Record, rows


@dataclass(frozen=True)
class Files:
    """The files of one data set.

    Attributes:
        card: the task's row; messages begin with its name.
        root: the folder below which they are.
        named: the file that the row names, relative to it, or "".
    """

    card: TaskCard
    root: Path
    named: str = ""

    @classmethod
    def of(cls, card: TaskCard, assets: Path | None) -> Files:
        """Look beside the catalog file, then in ASSETS/datasets, then in ASSETS.

        Raises:
            MissingAsset: they are in none of these; with what to do.
        """
        place = where(card)
        if not place:
            raise MissingAsset(f"{card.name}: its row does not say where its files are: it lacks 'place'")
        places = [Path(card.folder) / Path(place).expanduser()]
        places += [assets / "datasets" / place, assets / place] if assets else []
        for found in places:
            if found.is_dir():
                return cls(card, found)
            if found.is_file():
                return cls(card, found.parent, found.name)
        raise MissingAsset(f"{card.name}: not found: {' or '.join(map(str, places))}; {advice(card, assets)}")

    def path(self, name: str) -> Path:
        """A file or folder that must be there.

        Raises:
            MissingAsset: it is not.
            BrokenData: its name points out of the data set's folder.
        """
        path = inside(self.root, name)
        if not path.exists():
            raise MissingAsset(f"{self.card.name}: not found: {path}; {advice(self.card, None)}")
        return path

    def table(self, name: str = "") -> Iterator[Record]:
        """The rows of a table, or of the one that the task's row names.

        Raises:
            MissingAsset: it is not there.
            BrokenData: it is no readable table.
        """
        path = self.path(name or self.named)
        return rows(path, str(path))

    def image(self, name: str) -> ImageFile:
        """An image, which need not be there: what is missing is a failed sample.

        Raises:
            BrokenData: its name points out of the data set's folder.
        """
        return ImageFile(inside(self.root, name), self.root)

    def names(self, pattern: str) -> list[str]:
        """The files that a glob finds, relative to the folder, sorted; none that are hidden."""
        found = (path.relative_to(self.root) for path in self.root.glob(pattern) if path.is_file())
        return sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))


def where(card: TaskCard) -> str:
    """The place that the row names: by its own key, or behind the word that says how its data lies."""
    return card.place or (card.data.partition(":")[2] if card.loader != card.data else "")


def advice(card: TaskCard, assets: Path | None) -> str:
    """What to do where data is missing."""
    there = f"{assets or 'DIR'}/datasets/{where(card)}"
    licence = f" ({card.licence})" if card.licence else ""
    source = f"get it from {card.access}{licence}, " if card.access else f"get the data{licence}, "
    given = "" if assets else " and pass --assets DIR"
    return f"{source}put it into {there}{given}; docs/data.md shows the layout"
