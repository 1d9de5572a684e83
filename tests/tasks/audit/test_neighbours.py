"""The search for near hashes finds what comparing all pairs one by one finds."""

import numpy as np
import pytest
from PIL import Image as PILImage

from medrival.tasks.audit.looks import perceptual_hashes
from medrival.tasks.audit.neighbours import CROPPED, WHOLE, nearest, nearest_turned
from tests.tasks.audit.made import scene


def hashes(n, seed, crops=3):
    return np.random.default_rng(seed).integers(0, 2**64, size=(n, crops, 4), dtype=np.uint64)


def flipped(one, bits, seed):
    """The hash with so many of its bits the other way."""
    chosen = np.unpackbits(one.copy().view(np.uint8))
    chosen[np.random.default_rng(seed).choice(256, bits, replace=False)] ^= 1
    return np.packbits(chosen).view(np.uint64)


def one_by_one(rows, others, crops, within, apart):
    """The oracle: Python's own integers."""
    found = []
    for i, row in enumerate(rows):
        distances = [
            (min(sum((int(a) ^ int(b)).bit_count() for a, b in zip(row[x], other[y], strict=True)) for x, y in crops), j)
            for j, other in enumerate(others)
            if not (apart and i == j)
        ]
        best = min(distances, default=(257, -1))
        found.append(best if best[0] <= within else (-1, -1))
    return [place for _, place in found], [distance for distance, _ in found]


@pytest.mark.parametrize("within", [0, 28, 110, 256])
def test_all_pairs_of_two_sets_are_searched(within):
    rows, others = hashes(70, 1), hashes(45, 2)
    rows[3, 0] = flipped(others[40, 2], 20, 0)
    rows[69, 1] = others[7, 0]
    places, distances = nearest(rows, others, within)
    assert (places.tolist(), distances.tolist()) == one_by_one(rows, others, CROPPED, within, apart=False)


@pytest.mark.parametrize("within", [28, 110])
def test_an_image_is_not_its_own_neighbour(within):
    rows = hashes(80, 3)
    rows[50] = rows[2]
    rows[79, 0] = flipped(rows[2, 0], 9, 1)
    places, distances = nearest(rows, within=within)
    assert (places.tolist(), distances.tolist()) == one_by_one(rows, rows, WHOLE, within, apart=True)
    assert (places[50], distances[50]) == (2, 0)


@pytest.mark.parametrize("within", [20, 110, 256])
@pytest.mark.parametrize("itself", [True, False])
def test_all_turned_pairs_are_searched(within, itself):
    """The oracle turns the images themselves, whose thumbnails of 64 x 64 pixels they are."""
    images = [scene(seed, side=64) for seed in range(30)]
    images[7] = images[3].transpose(PILImage.Transpose.ROTATE_90)
    images[21] = images[20].transpose(PILImage.Transpose.FLIP_LEFT_RIGHT)
    hashed = np.array([perceptual_hashes(image) for image in images])
    turned = [[perceptual_hashes(image.transpose(turn))[:1] for turn in PILImage.Transpose] for image in images]
    rows, others = (hashed, hashed) if itself else (hashed[:20], hashed[5:])
    views = turned if itself else turned[:20]
    expected = []
    for row, seen in zip(rows, views, strict=True):
        best = [
            (min(one_by_one([view], [other], WHOLE, 256, apart=False)[1][0] for view in seen), j)
            for j, other in enumerate(others)
            if one_by_one([row], [other], WHOLE, 256, apart=False)[1][0] > 28
        ]
        expected.append((min(best)[1], min(best)[0]) if min(best)[0] <= within else (-1, -1))
    places, distances = nearest_turned(rows, None if itself else others, within)
    assert list(zip(places.tolist(), distances.tolist(), strict=True)) == expected


def test_a_pair_that_looks_alike_as_it_is_is_no_turned_pair():
    same = np.zeros((2, 3, 4), np.uint64)  # with rows for columns it is the same
    assert nearest(same)[0].tolist() == [1, 0]
    assert nearest_turned(same)[0].tolist() == [-1, -1]


def test_a_hash_in_another_block_is_found():
    others = hashes(9000, 4, crops=3)
    row = others[8999:9000].copy()
    row[0, 0] = flipped(others[8999, 0], 28, 5)
    assert nearest(row, others)[0].tolist() == [8999]


def test_a_thousand_copies_of_one_image_are_no_trouble():
    same = np.repeat(hashes(1, 6), 1000, axis=0)
    places, distances = nearest(same)
    assert set(places.tolist()) == {0, 1}
    assert set(distances.tolist()) == {0}


def test_nothing_is_near_nothing():
    none = np.empty((0, 3, 4), np.uint64)
    for search in (nearest, nearest_turned):
        assert search(none)[0].tolist() == []
        assert search(none, hashes(3, 1))[0].tolist() == []
        assert search(hashes(3, 1), none)[0].tolist() == [-1, -1, -1]
