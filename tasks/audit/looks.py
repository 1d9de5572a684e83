"""How an image looks, in bits that survive another compression, another size and a thin border cut off.

The bits of a mirrored or turned image are the same ones in another order, some of them the other way.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from scipy.fft import dct

from medrival.batches import Progress
from medrival.contracts import Image
from medrival.errors import UnreadableImage

Hashes = NDArray[np.uint64]

SIDE = 64
FREQUENCIES = 16
BITS = FREQUENCIES**2 - 1
CROPS = (0.0, 0.015, 0.03)
"""Shares of the width and height that are cut off each side before a hash is taken; the first is the whole image's."""
PLAIN = 3.0
"""Grey levels of 255: an image whose thumbnail varies less (standard deviation) has no looks."""
SHOWN = 1 / 6
"""Nor has one of which less than this share of the thumbnail differs from its median by more than PLAIN: of something small
before an empty background the lowest frequencies know where it is, but not what (docs/integrity.md)."""
AHEAD = 1024

MIRRORS: Hashes = np.array([[0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 1], [0, 1, 1, 0]], dtype=np.uint64) * np.uint64(2**64 - 1)
"""[4 views, 4]: what of a hash is the other way after no mirror, left to right, top to bottom, and both (half a turn)."""

_COSINES = dct(np.eye(SIDE), axis=0, norm="ortho")[:FREQUENCIES]


@dataclass(frozen=True)
class Looks:
    """How some images look.

    Attributes:
        hashes: [images, crops, 4], of those that have looks; `rows` is which these are.
        unreadable: why, by row.
    """

    hashes: Hashes
    rows: NDArray[np.intp]
    unreadable: dict[int, str]


def looks(images: Sequence[Image], progress: Progress, label: str) -> Looks:
    """Decode each image once, a few at a time and side by side; of each a few bytes are kept."""
    found: list[Hashes | str | None] = []
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as readers:
        for start in progress(range(0, len(images), AHEAD), label):
            found += readers.map(_look, images[start : start + AHEAD])
    rows = [row for row, one in enumerate(found) if isinstance(one, np.ndarray)]
    hashes = np.array([found[row] for row in rows], dtype=np.uint64).reshape(-1, len(CROPS), 4)
    unreadable = {row: one for row, one in enumerate(found) if isinstance(one, str)}
    return Looks(hashes, np.array(rows, dtype=np.intp), unreadable)


def perceptual_hashes(image: PILImage.Image) -> Hashes | None:
    """[crops, 4]: for each crop 255 bits, or None for an image that is too plain, or shows too little.

    A bit says whether one of the 16 x 16 lowest frequencies (DCT-II of a grey thumbnail of 64 x 64 pixels, without the mean)
    is above zero: the pHash of Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", with 255
    bits instead of 64, which do not tell one chest radiograph from another (docs/integrity.md), and with zero in the place of
    the median, which is near it but another one after a mirror has changed some signs.

    A word of 64 bits has the frequencies of one parity: even down and across (without the mean, whose bit is 0), odd across
    alone, odd down alone, odd both ways. A mirror changes the sign of all odd frequencies of its direction.
    """
    grey = image.convert("L")
    thumbnails = np.array([_thumbnail(grey, crop) for crop in CROPS])
    shown = (np.abs(thumbnails[0] - np.median(thumbnails[0])) > PLAIN).mean()
    if shown < SHOWN or thumbnails.std(axis=(1, 2)).min() < PLAIN:
        return None
    bits = _COSINES @ thumbnails @ _COSINES.T > 0
    bits[:, 0, 0] = False
    half = FREQUENCIES // 2
    return _packed(bits.reshape(-1, half, 2, half, 2).transpose(0, 2, 4, 1, 3))


def transposed(hashes: Hashes) -> Hashes:
    """[images, 4]: the hashes of the same images with rows for columns; mirrored as well, those of quarter turns."""
    half = FREQUENCIES // 2
    bits = np.unpackbits(np.ascontiguousarray(hashes).view(np.uint8)).reshape(-1, 2, 2, half, half)
    return _packed(bits.transpose(0, 2, 1, 4, 3))


def _packed(bits: NDArray[np.bool_] | NDArray[np.uint8]) -> Hashes:
    """[images, 4] of bits [images, 2 parities down, 2 across, 8 frequencies down, 8 across]."""
    return np.packbits(bits.reshape(-1, BITS + 1), axis=1).view(np.uint64)


def _thumbnail(grey: PILImage.Image, crop: float) -> NDArray[np.float64]:
    """Scaled by a smooth filter: Pillow's BOX gives a pixel between two to one of them, which a mirror turns into the other."""
    across, down = crop * grey.width, crop * grey.height
    box = (across, down, grey.width - across, grey.height - down)
    return np.asarray(grey.resize((SIDE, SIDE), PILImage.Resampling.HAMMING, box=box), dtype=np.float64)


def _look(image: Image) -> Hashes | str | None:
    try:
        return perceptual_hashes(image.open())
    except UnreadableImage as error:
        return str(error)
