"""Copies of an image look alike however they were saved, and different images do not."""

import io

import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import ImageOps

from medrival.tasks import phantoms
from medrival.tasks.audit.looks import BITS, MIRRORS, looks, perceptual_hashes, transposed
from medrival.tasks.audit.neighbours import WITHIN, WITHIN_TURNED, nearest, nearest_turned
from tests.tasks.audit.made import Picture, scene, silent, small


def encoded(image, **how):
    stream = io.BytesIO()
    image.save(stream, "JPEG", **how)
    return PILImage.open(stream).convert("RGB")


def cropped(image, share):
    across, down = round(share * image.width), round(share * image.height)
    return image.crop((across, down, image.width - across, image.height - down))


COPIES = {
    "JPEG of low quality": lambda image: encoded(image, quality=20),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2), PILImage.Resampling.LANCZOS),
    "larger and no longer square": lambda image: image.resize((300, 200), PILImage.Resampling.BICUBIC),
    "brighter": lambda image: image.point(lambda grey: min(255, int(grey * 1.1) + 5)),
    "a border of 1% cut off": lambda image: cropped(image, 0.01),
    "a border of 3% cut off, as JPEG": lambda image: encoded(cropped(image, 0.03), quality=75),
}


Turn = PILImage.Transpose
TURNS = {
    Turn.FLIP_LEFT_RIGHT: lambda whole: whole ^ MIRRORS[1],
    Turn.FLIP_TOP_BOTTOM: lambda whole: whole ^ MIRRORS[2],
    Turn.ROTATE_180: lambda whole: whole ^ MIRRORS[3],
    Turn.TRANSPOSE: transposed,
    Turn.ROTATE_90: lambda whole: transposed(whole) ^ MIRRORS[2],
    Turn.ROTATE_270: lambda whole: transposed(whole) ^ MIRRORS[1],
    Turn.TRANSVERSE: lambda whole: transposed(whole) ^ MIRRORS[3],
}
"""Each mirror and turn, and what it makes of hashes."""
each_turn = pytest.mark.parametrize("turn", TURNS, ids=lambda turn: turn.name)


@pytest.fixture(scope="module")
def drawn_images(drawn):
    """The first image of each of 30 patients of each anatomy."""
    return [
        phantoms.Phantom(phantoms.imagine(anatomy, phantoms.patient(anatomy, number), 1), drawn).open()
        for anatomy in phantoms.ANATOMIES
        for number in range(30)
    ]


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_a_changed_copy_is_found_and_points_to_its_original(drawn_images, change):
    originals = np.array([perceptual_hashes(image) for image in drawn_images])
    copies = np.array([perceptual_hashes(change(image)) for image in drawn_images])
    places, distances = nearest(copies, originals)
    assert places.tolist() == list(range(len(drawn_images)))
    assert distances.max() <= WITHIN


def test_images_of_different_patients_do_not_look_alike(drawn_images):
    hashes = np.array([perceptual_hashes(image) for image in drawn_images])
    assert set(nearest(hashes)[0].tolist()) == {-1}
    assert set(nearest_turned(hashes)[0].tolist()) == {-1}


@each_turn
def test_the_hash_of_a_turned_image_follows_from_that_of_the_image(turn):
    image = scene(1, side=64)  # its thumbnail is itself, so that nothing is rounded
    expected = TURNS[turn](perceptual_hashes(image)[:1])
    assert perceptual_hashes(image.transpose(turn))[:1].tolist() == expected.tolist()


@each_turn
def test_a_turned_copy_saved_as_jpeg_is_found_and_does_not_look_alike_as_it_is(drawn_images, turn):
    originals = np.array([perceptual_hashes(image) for image in drawn_images])
    copies = np.array([perceptual_hashes(encoded(image.transpose(turn), quality=50)) for image in drawn_images])
    places, distances = nearest_turned(copies, originals)
    assert places.tolist() == list(range(len(drawn_images)))
    assert distances.max() <= WITHIN_TURNED
    assert set(nearest(copies, originals)[0].tolist()) == {-1}


def test_all_bits_of_a_negative_are_the_other_way_but_not_that_of_the_mean():
    image = scene(1, side=64).convert("L")
    differ = perceptual_hashes(image)[0] ^ perceptual_hashes(ImageOps.invert(image))[0]
    assert np.bitwise_count(differ).sum() == BITS == 255


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_an_empty_image_looks_like_nothing(shade):
    assert perceptual_hashes(PILImage.new("RGB", (64, 64), (shade, shade, shade))) is None


def test_images_that_differ_in_a_speck_on_an_empty_ground_are_not_compared():
    grey = np.full((200, 200, 3), 10, np.uint8)
    grey[3:6, 3:6] = 255
    assert perceptual_hashes(PILImage.fromarray(grey)) is None


@pytest.mark.parametrize(("side", "compared"), [(60, False), (80, False), (110, True)])
def test_an_image_that_is_small_before_an_empty_ground_is_not_compared(side, compared):
    assert (perceptual_hashes(small(scene(1), side)) is not None) == compared


def test_each_image_is_decoded_once_and_unreadable_ones_are_named():
    images = [Picture(scene(1)), Picture(None, "broken.png"), Picture(PILImage.new("RGB", (8, 8))), Picture(scene(2))]
    found = looks(images, silent, "looks")
    assert [len(image.opened) for image in images] == [1, 1, 1, 1]
    assert found.rows.tolist() == [0, 3]
    assert found.hashes.shape == (2, 3, 4)
    assert found.unreadable == {1: "image 'broken.png' cannot be read: the file is empty"}
