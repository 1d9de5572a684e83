"""The nearest of many hashes, by Hamming distance: all pairs, in blocks, so that memory grows with the hashes alone.

100,000 hashes against each other are 10^10 pairs and take about 20 seconds on one core (docs/integrity.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from medrival.tasks.audit.looks import CROPS, Hashes

WITHIN = 28
"""The most differing bits, of 255, between two images that look alike; for the evidence see docs/integrity.md."""

ROWS, COLUMNS = 32, 4096
"""Of a block: its distances fit into a processor's cache."""

WHOLE = ((0, 0),)
CROPPED = ((0, 0), *((0, crop) for crop in range(1, len(CROPS))), *((crop, 0) for crop in range(1, len(CROPS))))
"""Which crops of two images are compared: the whole of one with each of the other."""

Numbers = NDArray[np.int64]
NONE = -1


def nearest(hashes: Hashes, others: Hashes | None = None, within: int = WITHIN) -> tuple[Numbers, Numbers]:
    """For each image, which other one looks most like it, and by how many bits their hashes differ.

    Cropped copies are found among `others` alone: what two splits share is worth more time than what one repeats.

    Args:
        hashes: [images, crops, 4].
        others: the same of other images; None for the other ones of the same.

    Returns:
        [images] rows of `others` and [images] distances, both -1 where none is as near as `within`.
    """
    known, crops = (hashes, WHOLE) if others is None else (others, CROPPED)
    blocks = [slice(start, start + ROWS) for start in range(0, len(hashes), ROWS)]
    search = partial(_nearest_of_block, hashes, known, crops=crops, itself=others is not None, within=within)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as workers:
        found = np.concatenate([np.empty(0, np.int64), *workers.map(search, blocks)])
    far = found == np.iinfo(np.int64).max
    return np.where(far, NONE, found % max(len(known), 1)), np.where(far, NONE, found // max(len(known), 1))


def _nearest_of_block(
    hashes: Hashes, others: Hashes, block: slice, *, crops: Sequence[tuple[int, int]], itself: bool, within: int
) -> Numbers:
    """[rows of the block], distance * len(others) + row: the least of these is the nearest."""
    best = np.full(len(hashes[block]), np.iinfo(np.int64).max)
    for rows, columns, distances in _pairs(hashes[block], others, crops, within):
        apart = np.full(len(rows), True) if itself else rows + block.start != columns
        np.minimum.at(best, rows[apart], distances[apart] * len(others) + columns[apart])
    return best


def _pairs(
    block: Hashes, others: Hashes, crops: Sequence[tuple[int, int]], within: int
) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
    """Rows, columns and distances of pairs that are near; half of the bits decide for almost all that they are not."""
    for mine, theirs in crops:
        for start in range(0, len(others), COLUMNS):
            left, right = block[:, mine], others[start : start + COLUMNS, theirs]
            half = np.bitwise_count(left[:, None, 0] ^ right[None, :, 0])
            half += np.bitwise_count(left[:, None, 1] ^ right[None, :, 1])
            rows, columns = np.divmod(np.flatnonzero(half <= within), len(right))
            distances = np.bitwise_count(left[rows] ^ right[columns]).sum(axis=1, dtype=np.int64)
            near = distances <= within
            yield rows[near], columns[near] + start, distances[near]
