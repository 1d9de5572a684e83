"""The files of a data set: where they lie, and reading its tables and images from there and from nowhere else."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TypeVar
from unicodedata import normalize
from warnings import warn

from medrival.catalog import TaskCard
from medrival.contracts import Image
from medrival.errors import BrokenData, MedrivalWarning, MissingAsset
from medrival.tasks.images import ImageFile, ZipMember, inside
from medrival.tasks.images.archives import members, refuse_unread
from medrival.tasks.places import advice, local, missing, on_hub, revision, snapshot
from medrival.tasks.tables import Record, check_size, rows

T = TypeVar("T")


@dataclass(frozen=True)
class Files:
    """The files of one data set.

    Attributes:
        card: the task's row; messages begin with its name.
        root: the folder below which they are.
        cache: the folder for what is unpacked of them.
        named: the file that the row names, relative to it, or "".
        revision: the hub's commit they are of, or "" where that is not known.
    """

    card: TaskCard
    root: Path
    cache: Path
    named: str = ""
    revision: str = ""

    @classmethod
    def of(cls, card: TaskCard, assets: Path | None, cache: Path) -> Files:
        """Look beside the catalog file, in ASSETS/datasets, in ASSETS, in the hub's cache, and on the hub.

        Raises:
            MissingAsset: they are in none of these; with what to do.
            BrokenData: they are of another revision than the row names.
        """
        found = local(card, assets) or (snapshot(card, assets) if on_hub(card) else None)
        if found is None:
            raise missing(card, assets)
        if found.is_file():
            return cls(card, found.parent, cache, found.name)
        return cls(card, found, cache, revision=revision(found))

    @classmethod
    def holding(cls, name: str, packaged: str, card: TaskCard, assets: Path | None, cache: Path) -> Files:
        """As `of`, but where a file is not there, the folder where a package of the data set's own puts what it downloads.

        Raises:
            MissingAsset: the file is in neither.
            BrokenData: the data set's folder is of another revision than the row names.
        """
        try:
            files = cls.of(card, assets, cache)
            files.path(name)
            return files
        except MissingAsset as error:
            folder = Path(packaged).expanduser()
            if not (folder / name).is_file():
                raise MissingAsset(f"{error}; nor is there {packaged}/{name}") from None
            return cls(card, folder, cache)

    def path(self, name: str) -> Path:
        """A file or folder that must be there.

        Raises:
            MissingAsset: it is not.
            BrokenData: its name points out of the data set's folder.
        """
        path = self._inside(name)
        if not path.exists():
            raise MissingAsset(f"{self.card.name}: not found: {path}; {advice(self.card)}")
        return path

    def table(self, name: str = "") -> Iterator[Record]:
        """The rows of a table, or of the one that the task's row names.

        Raises:
            MissingAsset: it is not there.
            BrokenData: it is no readable table.
        """
        if not (name or self.named):
            raise BrokenData(
                f"{self.card.name}: {self.root} is a folder; the row must name a table in it, as in FOLDER/labels.csv"
            )
        path = self.path(name or self.named)
        return rows(path, str(path))

    def tables(self, named: Mapping[str, str]) -> Iterator[tuple[str, str, Record]]:
        """The rows of one table a split: an id, the split, and the row.

        Raises:
            MissingAsset: a table is not there.
            BrokenData: it is no readable table.
        """
        for split, name in named.items():
            for number, record in enumerate(self.table(name)):
                yield f"{split}-{number}", split, record

    def examples(self, named: Mapping[str, str], read: Callable[[str, str, Record], T]) -> Iterator[T]:
        """What `read` makes of each row of `tables`; training rows that it refuses are left out, with a warning.

        Raises:
            MissingAsset: a table is not there.
            BrokenData: it is no readable table, or `read` refuses a row that is not for training, or all that are.
        """
        refused, kept = [], 0
        for name, split, record in self.tables(named):
            try:
                example = read(name, split, record)
            except BrokenData as error:
                if split != "train":
                    raise
                refused.append(error)
                continue
            kept += split == "train"
            yield example
        if refused and not kept:
            raise refused[0]
        if refused:
            told = f"{self.card.name}: {len(refused)} training questions are left out, such as {refused[0]}"
            warn(told, MedrivalWarning, stacklevel=1)

    def image(self, name: str) -> ImageFile:
        """An image, which need not be there: what is missing is a failed sample.

        Raises:
            BrokenData: its name points out of the data set's folder.
        """
        return ImageFile(self._inside(name), self.root)

    def packed(self, archive: str, member: str) -> Image:
        """An image beside a zip archive, under the name that it has in there, where it was unpacked; else in the archive.

        Raises:
            MissingAsset: there is no archive, and it was not unpacked.
            BrokenData: the name points out of the data set's folder.
        """
        unpacked = self.image(member)
        if unpacked.path.is_file():
            return unpacked
        if (self.root / member.partition("/")[0]).is_dir() and not (self.root / archive).exists():
            return unpacked
        path = self.path(archive)
        same = member.isascii() or member in members(path)
        return ZipMember(path, self.root, member if same else _spelt(member, path))

    def packed_tables(self, archive: str, pattern: str) -> Iterator[Record]:
        """The rows of all tables that a glob finds in a zip archive, or where it was unpacked, in the order of their names.

        Raises:
            MissingAsset: there is no archive, and it was not unpacked.
            BrokenData: no table has such a name, or one of them is not readable.
        """
        unpacked = self.names(pattern)
        for name in unpacked:
            yield from self.table(name)
        if unpacked:
            return
        path = self.path(archive)
        try:
            with zipfile.ZipFile(path) as opened:
                found = sorted(name for name in opened.namelist() if fnmatchcase(name, pattern))
                for name in found:
                    check_size(opened.getinfo(name))
                    refuse_unread(opened.getinfo(name))
                    yield from rows(zipfile.Path(opened, name), f"{path}:{name}")
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise BrokenData(f"{self.card.name}: archive {path} cannot be read: {error}") from error
        if not found:
            raise BrokenData(f"{self.card.name}: {path} has no table {pattern}")

    def lines(self, name: str) -> list[str]:
        """The lines of a text file, without the empty ones.

        Raises:
            MissingAsset: it is not there.
            BrokenData: it is no text.
        """
        path = self.path(name)
        try:
            return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise BrokenData(f"{path}: not a readable list: {error}") from error

    def by_name(self, pattern: str) -> dict[str, str]:
        """The files that a glob finds, by their name without the folders, for data sets that spread theirs over several."""
        return {PurePosixPath(name).name: name for name in self.names(pattern)}

    def names(self, pattern: str) -> list[str]:
        """The files that a glob finds, relative to the folder, sorted; none that are hidden."""
        found = (path.relative_to(self.root) for path in self.root.glob(pattern) if path.is_file())
        return sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))

    def below(self) -> list[str]:
        """All files below the folder, relative to it, sorted; none that are hidden, or that macOS packs beside others.

        Raises:
            BrokenData: a folder in it is a link that leads out, or round in a circle.
        """
        found: list[str] = []
        for folder, folders, names in os.walk(self.root, followlinks=True):
            here = Path(folder).relative_to(self.root)
            folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
            for name in folders:
                self._check_link(here / name)
            found += [(here / name).as_posix() for name in names if not name.startswith(".")]
        return sorted(found)

    def _check_link(self, folder: Path) -> None:
        path = self.root / folder
        if path.is_symlink():
            target = self._inside(str(folder)).resolve()
            if target in {(self.root / above).resolve() for above in folder.parents}:
                raise BrokenData(f"{self.card.name}: {path} is a link to a folder that it lies in; remove it")

    def _inside(self, name: str) -> Path:
        """As `inside`; in the hub's cache, files are links to its blobs beside the snapshot, which count as inside."""
        base = self.root.parents[1] if self.root.parent.name == "snapshots" else self.root
        below = self.root.relative_to(base)
        path = inside(base, str(below / name))
        return path if name.isascii() or path.exists() else inside(base, str(below / _on_disk(self.root, name)))


def image_named(row: Record, column: str, found: Callable[[str], Image]) -> Image:
    """The image whose file a table's column names, by what finds a file of that name.

    Raises:
        BrokenData: naming table, row and column.
    """
    name = row.name(column)
    try:
        return found(name)
    except BrokenData as error:
        raise BrokenData(f'{row.where}: column "{column}": {error}') from None


def _on_disk(root: Path, name: str) -> PurePosixPath:
    found = PurePosixPath()
    for part in PurePosixPath(name).parts:
        found /= _spelt(part, root / found) if (root / found).is_dir() else part
    return found


def _spelt(name: str, place: Path) -> str:
    """A name as a folder or archive has it, where it has the same text: macOS writes é as two characters (NFD)."""
    return _spellings(place, place.stat().st_mtime_ns).get(normalize("NFC", name), name)


@lru_cache(maxsize=64)
def _spellings(place: Path, _changed: int) -> Mapping[str, str]:
    names = [path.name for path in place.iterdir()] if place.is_dir() else list(members(place))
    return {normalize("NFC", name): name for name in names}
