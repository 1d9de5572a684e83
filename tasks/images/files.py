"""Images that are files in a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from errno import EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR
from functools import lru_cache
from pathlib import Path

from medrival.errors import BrokenData
from medrival.tasks.images.encoded import MOST_BYTES, OnDisk, Stamp, unreadable
from medrival.tasks.images.pixels import Window

NO_FILE = (ENOENT, EISDIR, ENOTDIR, ELOOP, ENAMETOOLONG)


@dataclass(frozen=True)
class ImageFile(OnDisk):
    """An image file of a data set.

    Attributes:
        path: the file, which need not exist.
        root: the data set's folder; messages name the file as it lies in there.
        window: see `Encoded`.
    """

    path: Path
    root: Path
    window: Window | None = None

    @property
    def name(self) -> str:
        """Its path in the data set's folder."""
        return within(self.path, self.root)

    @property
    def home(self) -> Path:
        """See `OnDisk`."""
        return self.root

    def stamp(self) -> Stamp | None:
        """See `OnDisk`."""
        return Stamp.of(self.path)

    def content(self) -> bytes:
        """See `Encoded`."""
        try:
            with self.path.open("rb") as stream:
                content = stream.read(MOST_BYTES + 1)
        except OSError as error:
            if error.errno not in NO_FILE:
                raise BrokenData(f"image {self.name!r} cannot be read from disk: {error.strerror}") from error
            why = "there is no such file" if error.errno == ENOENT else str(error.strerror).lower()
            raise unreadable(self.name, why) from error
        if len(content) > MOST_BYTES:
            raise unreadable(self.name, f"it has more than {MOST_BYTES:,} bytes")
        return content


def within(path: Path, root: Path) -> str:
    """A file as it lies in a data set's folder."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def inside(root: Path, relative: str) -> Path:
    """The path of a file that a data file names, below the data set's folder.

    Raises:
        BrokenData: for a path that leaves the folder: absolute, by "..", or by a symbolic link.
    """
    path = root / relative
    try:
        base = _resolved(root)
        stays = os.path.realpath(base / relative).startswith(os.path.join(base, ""))
    except (OSError, ValueError):  # a loop of links; a null byte
        stays = False
    if not stays:
        how = "is a link that points" if path.is_symlink() else "points"
        raise BrokenData(f"image path {relative!r} {how} outside its folder {root}; only files inside it are read")
    return path


@lru_cache(maxsize=16)
def _resolved(root: Path) -> Path:
    """Once a data set, not once an image."""
    return root.resolve()
