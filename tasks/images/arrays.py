"""Images that lie one after another in an array, as MedMNIST's npz files hold them: [images, height, width(, 3)]."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

from medrival.errors import BrokenData
from medrival.files import write_atomically
from medrival.tasks.images.archives import members, refuse_unread
from medrival.tasks.images.encoded import OnDisk, Stamp, unreadable
from medrival.tasks.images.pixels import Window, refuse_bombs


@dataclass(frozen=True)
class Slice(OnDisk):
    """One image of an npy file that does not change. Only its own values are read.

    Attributes:
        path: the npy file.
        index: which image, counted from 0.
        array: what messages call the array, e.g. "breastmnist.npz:train_images".
        window: see `Encoded`.
    """

    path: Path
    index: int
    array: str
    window: Window | None = None

    @property
    def name(self) -> str:
        """The array's name and the image's place in it."""
        return f"{self.array}[{self.index}]"

    @property
    def home(self) -> Path:
        """The array: a data set may have several files of one name in its folders."""
        return self.path

    def stamp(self) -> Stamp | None:
        """See `OnDisk`."""
        return Stamp.of(self.path)

    def content(self) -> bytes:
        """An npy file of this image alone (see `Encoded`)."""
        images = _mapped(self.path, self.array)
        if not 0 <= self.index < len(images):
            raise unreadable(self.name, f"the array has {len(images)} images")
        written = BytesIO()
        np.lib.format.write_array(written, np.ascontiguousarray(images[self.index]), version=(1, 0), allow_pickle=False)
        return written.getvalue()


def slices(npz: Path, key: str, cache: Path, window: Window | None = None) -> tuple[Slice, ...]:
    """The images of an npz file's array, which is unpacked into the cache once: nothing inside can be read without all before.

    Raises:
        BrokenData: the file is missing or damaged, has no such array, it is no array of images, or the disk is too full.
    """
    array = f"{npz.name}:{key}"
    entry = members(npz).get(f"{key}.npy")
    if entry is None:
        raise BrokenData(f"{array}: there is no such array; the file has {', '.join(sorted(members(npz))) or 'none'}")
    state = npz.stat()
    mark = hashlib.sha256(f"{npz.resolve()} {state.st_size} {state.st_mtime_ns} {key}".encode()).hexdigest()
    unpacked = cache / "arrays" / f"{mark}.npy"
    try:
        refuse_unread(entry)
        if not unpacked.exists():
            unpacked.parent.mkdir(parents=True, exist_ok=True)
            if entry.file_size > (free := shutil.disk_usage(unpacked.parent).free):
                raise ValueError(f"unpacked it takes {entry.file_size:,} bytes, and the cache's disk has {free:,} left")
            with ZipFile(npz) as archive, archive.open(entry) as member:
                write_atomically(unpacked, lambda stream: shutil.copyfileobj(member, stream, 2**20))
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        raise BrokenData(f"{array} cannot be unpacked: {error}") from error
    return tuple(Slice(unpacked, index, array, window) for index in range(len(_mapped(unpacked, array))))


@lru_cache(maxsize=16)
def _mapped(path: Path, array: str) -> np.ndarray:
    try:
        images: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        if images.ndim not in (3, 4):
            raise ValueError(f"it has the shape {images.shape}; expected images x height x width, or that x 3")
        refuse_bombs(images.shape[2], images.shape[1])
    except (OSError, EOFError, ValueError) as error:
        raise BrokenData(f"{array} is no array of images: {error}") from error
    return images
