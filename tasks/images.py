"""Images on disk, decoded on demand to 8-bit RGB whatever the file holds; the fingerprint of samples that show them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from errno import EISDIR, ENOENT, ENOTDIR
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError

from medrival.contracts import Sample
from medrival.errors import BrokenData, UnreadableImage

MOST_PIXELS = 89_478_485
"""More is taken for a decompression bomb. Pillow's own default, kept here because other libraries lift it."""


@dataclass(frozen=True)
class ImageFile:
    """An image file of a data set (see `contracts.Image`).

    Attributes:
        path: the file, which need not exist.
        root: the data set's folder; messages name the file as it lies in there.
    """

    path: Path
    root: Path

    def open(self) -> PILImage.Image:
        """Decode to 8-bit RGB, upright as its EXIF orientation says; of several frames the first.

        Greyscale, palette, CMYK and the like are converted and transparency is ignored. Values of more than 8 bits
        (16-bit, 32-bit, float) are scaled from their own minimum and maximum to 0..255; a constant image becomes black.

        Raises:
            UnreadableImage: the file is missing, empty, truncated, no image, or too large to decode safely.
            BrokenData: the disk did not give the file, which says nothing about the image: no permission, a read error.
        """
        try:
            with PILImage.open(self.path) as image:
                return self._decoded(image)
        except (UnreadableImage, MemoryError):
            raise
        except FileNotFoundError as error:
            raise self._unreadable("there is no such file") from error
        except Exception as error:  # on a broken file Pillow's decoders raise anything from SyntaxError to struct.error
            if isinstance(error, OSError) and error.errno not in (None, ENOENT, EISDIR, ENOTDIR):
                raise BrokenData(f"image {self._name!r} cannot be read from disk: {error.strerror}") from error
            empty = self.path.is_file() and not self.path.stat().st_size
            raise self._unreadable("the file is empty" if empty else self._reason(error)) from error

    @cached_property
    def digest(self) -> str:
        """Sha256 of the file's bytes; of a missing file, of its name and of that fact."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError:
            return hashlib.sha256(f"missing: {self._name}".encode()).hexdigest()

    @property
    def _name(self) -> str:
        return self.path.relative_to(self.root).as_posix() if self.path.is_relative_to(self.root) else self.path.name

    def _decoded(self, image: PILImage.Image) -> PILImage.Image:
        if image.width * image.height > MOST_PIXELS:
            raise self._unreadable(f"{image.width} x {image.height} pixels are more than {MOST_PIXELS:,}")
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith(("I", "F")):
            return _scaled(np.asarray(upright, dtype=np.float64))
        if upright.mode == "P":  # a palette with transparency does not convert to RGB directly
            upright = upright.convert("RGBA")
        return upright.convert("RGB")

    def _unreadable(self, why: str) -> UnreadableImage:
        return UnreadableImage(f"image {self._name!r} cannot be read: {why}")

    def _reason(self, error: Exception) -> str:
        if isinstance(error, UnidentifiedImageError):
            return "the file is no image of a known format"
        return str(error).replace(str(self.path), self._name) or type(error).__name__


def inside(root: Path, relative: str) -> Path:
    """The path of a file that a data file names, below the data set's folder.

    Raises:
        BrokenData: for a path that leaves the folder: absolute, by "..", or by a symbolic link.
    """
    path = root / relative
    try:
        stays = path.resolve().is_relative_to(root.resolve()) and path.resolve() != root.resolve()
    except (OSError, ValueError):  # a loop of links; a null byte
        stays = False
    if not stays:
        raise BrokenData(f"image path {relative!r} points outside its folder {root}; only files inside it are read")
    return path


def fingerprint(splits: Sequence[Sequence[Sample]], *texts: str) -> str:
    """Sha256 over a task's samples (order, split, questions, truth and the bytes of their images) and further texts."""
    described = [
        [split, [image.digest for image in sample.images], *(told for key, told in vars(sample).items() if "image" not in key)]
        for split, samples in enumerate(splits)
        for sample in samples
    ]
    return hashlib.sha256(json.dumps([described, texts], sort_keys=True).encode()).hexdigest()


def _scaled(values: np.ndarray) -> PILImage.Image:
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are no finite numbers")
    low, high = float(values.min()), float(values.max())
    grey = np.zeros_like(values) if low == high else (values - low) / (high - low) * 255
    return PILImage.fromarray(grey.round().astype(np.uint8)).convert("RGB")
