"""The nearest of many hashes, by Hamming distance: all pairs, in blocks, so that memory grows with the hashes alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from medrival.tasks.audit.looks import CROPS, MIRRORS, Hashes, transposed

WITHIN = 28
"""The most differing bits, of 255, between two images that look alike; for the evidence see docs/integrity.md."""
WITHIN_TURNED = 20
"""The most between an image and its mirrored or turned copy, fewer since that counts as a fact (likewise)."""

ROWS, COLUMNS = 32, 4096
"""Of a block: its distances fit into a processor's cache."""

WHOLE = ((0, 0),)
CROPPED = ((0, 0), *((0, crop) for crop in range(1, len(CROPS))), *((crop, 0) for crop in range(1, len(CROPS))))
"""Which crops of two images are compared: the whole of one with each of the other."""

Numbers = NDArray[np.int64]
Apart = Callable[[Numbers, Numbers], NDArray[np.bool_]]
"""Of rows and columns: whether the two are a pair at all."""
NONE = -1
FAR = np.iinfo(np.int64).max


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
    compared = [_Compared(hashes[:, mine], known[:, theirs], MIRRORS[:1]) for mine, theirs in crops]
    return _search(compared, np.not_equal if others is None else lambda rows, _: np.full(len(rows), True), within)


def nearest_turned(hashes: Hashes, others: Hashes | None = None, within: int = WITHIN_TURNED) -> tuple[Numbers, Numbers]:
    """For each image, which other one is most like it after a mirror, a turn by a quarter or a half, or both.

    Pairs that look alike as they are do not count: they are `nearest`'s. Arguments and result are those of `nearest`, but
    whole images are compared alone.
    """
    own, known = hashes[:, 0], (hashes if others is None else others)[:, 0]
    compared = [_Compared(own, known, MIRRORS[1:]), _Compared(transposed(own), known, MIRRORS)]
    return _search(compared, lambda rows, columns: _differing(own[rows] ^ known[columns]) > WITHIN, within)


@dataclass(frozen=True)
class _Compared:
    """Hashes [images, 4] and others [images, 4] of which each pair is compared under each of some mirrors [views, 4]."""

    hashes: Hashes
    others: Hashes
    mirrors: Hashes


def _search(compared: Sequence[_Compared], apart: Apart, within: int) -> tuple[Numbers, Numbers]:
    n, known = len(compared[0].hashes), max(len(compared[0].others), 1)
    search = partial(_nearest_of_block, compared, apart, within)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as workers:
        found = np.concatenate([np.empty(0, np.int64), *workers.map(search, range(0, n, ROWS))])
    return np.where(found == FAR, NONE, found % known), np.where(found == FAR, NONE, found // known)


def _nearest_of_block(compared: Sequence[_Compared], apart: Apart, within: int, first: int) -> Numbers:
    """[rows of the block], distance * len(others) + row: the least of these is the nearest."""
    best = np.full(len(compared[0].hashes[first : first + ROWS]), FAR)
    for one in compared:
        for rows, columns, distances in _pairs(one, first, within):
            kept = apart(rows + first, columns)
            np.minimum.at(best, rows[kept], distances[kept] * len(one.others) + columns[kept])
    return best


def _pairs(compared: _Compared, first: int, within: int) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
    """Rows of the block, columns and distances of pairs that are near.

    Half of the bits decide for almost all that they are not: the frequencies that are odd across, since bodies are alike on
    both sides, and images of one kind are told apart by what is not. A mirror changes all bits of a word, or none.
    """
    left = compared.hashes[first : first + ROWS]
    for start in range(0, len(compared.others), COLUMNS):
        right = compared.others[start : start + COLUMNS]
        half = np.zeros((len(left), len(right)), np.uint8)
        for word in (1, 3):
            bits = np.bitwise_count(left[:, word, None] ^ np.ascontiguousarray(right[:, word]))
            half += bits if len(compared.mirrors) == 1 else np.minimum(bits, 64 - bits)
        rows, columns = np.divmod(np.flatnonzero(half <= within), len(right))
        distances = _differing((left[rows] ^ right[columns])[:, None] ^ compared.mirrors).min(axis=1)
        near = distances <= within
        yield rows[near], columns[near] + start, distances[near]


def _differing(bits: Hashes) -> Numbers:
    return np.bitwise_count(bits).sum(axis=-1, dtype=np.int64)
