"""Images that are members of a zip archive, read in place: nothing is extracted, so nothing can leave a folder."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from medrival.errors import BrokenData
from medrival.tasks.images.encoded import MOST_BYTES, OnDisk, Stamp, unreadable
from medrival.tasks.images.files import within
from medrival.tasks.images.pixels import Window

ENCRYPTED = 0x1
LOCAL_HEADER = struct.Struct("<4s22x2H")
"""What stands before a member's bytes: signature, and how long its name and its extra field are (PKWARE APPNOTE 4.3.7)."""
INFLATE_ALONE = -zlib.MAX_WBITS
"""Deflated bytes without a header of their own."""


@dataclass(frozen=True)
class ZipMember(OnDisk):
    """An image in a zip archive; in an npz file, which is one, the array KEY is the member "KEY.npy".

    Attributes:
        path: the archive.
        root: the data set's folder; messages name the archive as it lies in there.
        member: the name inside the archive; checked when the image is made.
        window: see `Encoded`.

    Raises:
        BrokenData: the member's name is absolute or leads out of the archive.
    """

    path: Path
    root: Path
    member: str
    window: Window | None = None

    def __post_init__(self) -> None:
        inner = PurePosixPath(self.member.replace("\\", "/"))
        if inner.is_absolute() or ".." in inner.parts or not inner.parts or inner.parts[0].endswith(":"):
            raise BrokenData(f"{self.path.name}: member {self.member!r} points outside the archive; only members are read")

    @property
    def name(self) -> str:
        """The archive's path in the data set's folder, and the member's in the archive."""
        return f"{within(self.path, self.root)}:{self.member}"

    @property
    def home(self) -> Path:
        """See `OnDisk`."""
        return self.root

    def stamp(self) -> Stamp | None:
        """The archive's, with the CRC and size that it states of the member."""
        stamp, entry = Stamp.of(self.path), members(self.path).get(self.member)
        return stamp._replace(crc=entry.CRC, length=entry.file_size) if stamp and entry else None

    def content(self) -> bytes:
        """See `Encoded`.

        Raises:
            UnreadableImage: no such member; an encrypted, damaged or oddly compressed one; one larger than it says or than
                any image.
            BrokenData: the archive is missing or damaged as a whole.
        """
        entry = members(self.path).get(self.member)
        if entry is None:
            raise unreadable(self.name, "the archive has no such member")
        try:
            return _inflated(self.path, entry)
        except OSError as error:
            raise BrokenData(f"archive {within(self.path, self.root)!r} cannot be read from disk: {error.strerror}") from error
        except (ValueError, struct.error, zlib.error) as error:
            raise unreadable(self.name, str(error)) from error


def members(archive: Path) -> Mapping[str, ZipInfo]:
    """An archive's members by name, without folders; its directory is read once as long as the file does not change.

    Raises:
        BrokenData: the archive is missing or damaged.
    """
    try:
        state = archive.stat()
        return _directory(archive, state.st_size, state.st_mtime_ns)
    except (OSError, BadZipFile, ValueError, NotImplementedError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise BrokenData(f"archive {archive} cannot be read: {why}") from error


@lru_cache(maxsize=16)
def _directory(archive: Path, _size: int, _changed: int) -> Mapping[str, ZipInfo]:
    with ZipFile(archive) as opened:
        return {entry.filename: entry for entry in opened.infolist() if not entry.is_dir()}


def refuse_unread(entry: ZipInfo) -> None:
    """Raise ValueError for a member that is encrypted, or compressed so that its size cannot be bounded while it is read."""
    if entry.flag_bits & ENCRYPTED:
        raise ValueError("it is encrypted")
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError(f"it is compressed by method {entry.compress_type}; stored and deflated members are read")


def _inflated(archive: Path, entry: ZipInfo) -> bytes:
    """A member's bytes. Read by hand: a ZipFile is not safe between threads, and opening one reads the whole directory."""
    refuse_unread(entry)
    if max(entry.file_size, entry.compress_size) > MOST_BYTES:
        raise ValueError(f"it has {max(entry.file_size, entry.compress_size):,} bytes, more than {MOST_BYTES:,}")
    with archive.open("rb") as stream:
        stream.seek(entry.header_offset)
        signature, name, extra = LOCAL_HEADER.unpack(stream.read(LOCAL_HEADER.size))
        stream.seek(name + extra, 1)
        content = stream.read(entry.compress_size)
    if entry.compress_type == ZIP_DEFLATED:
        content = zlib.decompressobj(INFLATE_ALONE).decompress(content, entry.file_size + 1)
    if len(content) > entry.file_size:
        raise ValueError(f"it has more bytes than the {entry.file_size:,} that its archive declares")
    if signature != b"PK\x03\x04" or len(content) < entry.file_size or zlib.crc32(content) != entry.CRC:
        raise ValueError("it is damaged")
    return content
