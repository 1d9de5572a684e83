"""Encoded images: where the bytes lie differs, what is made of them does not."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from functools import cached_property
from io import BytesIO
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError

from medrival.errors import UnreadableImage
from medrival.tasks.images.pixels import Window, refuse_bombs, shown

MOST_BYTES = 2**30
"""No encoded image is read beyond this: it would hold more than MOST_PIXELS, or be no image."""
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")
"""Of the formats that Pillow knows, those of photographs and scans. For others it would start programs (EPS: Ghostscript)."""
NPY = b"\x93NUMPY"
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Encoded(ABC):
    """An image that lies somewhere as encoded bytes (see `contracts.Image`).

    Attributes:
        window: the values that become black and white; None: see `open`.
    """

    window: Window | None

    @property
    @abstractmethod
    def name(self) -> str:
        """What messages call it: where it lies in its data set."""

    @abstractmethod
    def content(self) -> bytes:
        """The encoded bytes.

        Raises:
            UnreadableImage: they are missing or damaged.
            BrokenData: the disk did not give them, which says nothing about the image: no permission, a read error.
        """

    def open(self) -> PILImage.Image:
        """Decode to 8-bit RGB, upright as its EXIF orientation says; of several frames or pages the first.

        Greyscale, palette, CMYK and the like are converted, and transparency is ignored: the colours under it are shown, as
        `convert("RGB")` of the models' own processors does. Grey values of more than 8 bits (16-bit, 32-bit, float) are
        scaled from their own minimum and maximum, DICOM by the window that it states; a stated `window` comes before both and
        holds for 8 bits, too. Of colours with more than 8 bits the lower ones are dropped. Arrays (npy) are [height, width]
        or [height, width, 3].

        Raises:
            UnreadableImage: no bytes, damaged ones, no image, one of a kind that is not read, or too large to decode safely.
            BrokenData: see `content`.
        """
        content = self.content()
        try:
            if not content:
                raise ValueError("it is empty")
            return self._decoded(content)
        except MemoryError:
            raise
        except Exception as error:  # on broken bytes decoders raise anything from SyntaxError to struct.error
            raise unreadable(self.name, _reason(error)) from error

    @cached_property
    def digest(self) -> str:
        """Sha256 of the bytes, and of a stated window; where there are no bytes, of why."""
        try:
            content = self.content()
        except UnreadableImage as error:
            content = str(error).encode()
        return self._digest(hashlib.sha256(content).hexdigest())

    def _digest(self, sha256: str) -> str:
        return sha256 if self.window is None else hashlib.sha256(f"{sha256} {self.window}".encode()).hexdigest()

    def _decoded(self, content: bytes) -> PILImage.Image:
        if content.startswith(NPY):
            return shown(_array(content), self.window)
        if content[128:132] == b"DICM" or self.name.lower().endswith((".dcm", ".dicom")):
            from medrival.tasks.images.dicom import read  # only data sets that hold DICOM pay for importing pydicom

            return read(content, self.window)
        with PILImage.open(BytesIO(content), formats=FORMATS) as image:
            refuse_bombs(*image.size)
            return _rgb(ImageOps.exif_transpose(image), self.window)


class Stamp(NamedTuple):
    """What a file was like when it was hashed; times in nanoseconds since 1970, the last two of a member of an archive."""

    size: int
    modified: int
    changed: int
    inode: int
    crc: int = 0
    length: int = 0

    @classmethod
    def of(cls, path: Path) -> Stamp | None:
        """A file's, or None where there is none."""
        try:
            state = path.stat()
        except (OSError, ValueError):
            return None
        return cls(state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


class OnDisk(Encoded):
    """An image whose bytes are a file, or lie in one."""

    @property
    @abstractmethod
    def home(self) -> Path:
        """The data set's folder, or the file that has all its images: no two images in it have one name."""

    @abstractmethod
    def stamp(self) -> Stamp | None:
        """What its file is like now; None where there is none."""

    def hash_is(self, sha256: str) -> None:
        """Spare `digest` the reading: these are its bytes' hash."""
        vars(self)["digest"] = self._digest(sha256)


def unreadable(name: str, why: str) -> UnreadableImage:
    """The error of an image that cannot be read."""
    return UnreadableImage(f"image {name!r} cannot be read: {why}")


def _rgb(image: PILImage.Image, window: Window | None) -> PILImage.Image:
    if image.mode.startswith(("I", "F")):
        return shown(np.asarray(image), window)
    if image.mode == "P":  # a palette with transparency does not convert to RGB directly
        image = image.convert("RGBA")
    return image.convert("RGB") if window is None else shown(np.asarray(image.convert("RGB")), window)


def _array(content: bytes) -> np.ndarray:
    """The array of an npy file (numpy.lib.format). Python objects are refused: unpickling them would run their code."""
    stream = BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"it is of npy version {version}; 1.0 and 2.0 are read")
    shape, by_column, dtype = HEADERS[version](stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    if len(shape) > 1:
        refuse_bombs(shape[1], shape[0])
    values = np.frombuffer(content, dtype, count=prod(shape), offset=stream.tell())
    return values.reshape(shape, order="F" if by_column else "C")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no image of a known format"
    return " ".join(str(error).split()) or type(error).__name__
