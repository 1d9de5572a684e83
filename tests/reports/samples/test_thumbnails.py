"""Thumbnails are small, and of the image that was asked for."""

from base64 import b64decode
from io import BytesIO

from PIL import Image

from medrival.reports.samples.thumbnails import SIDE, thumbnails


def test_a_thumbnail_is_the_image_made_small() -> None:
    found = thumbnails("task", ["a"], lambda _task, _sample: Image.new("RGB", (1000, 500), (200, 10, 10)))
    image = Image.open(BytesIO(b64decode(found[0]["jpeg"]))).convert("RGB")
    assert image.size == (SIDE, SIDE // 2)
    pixel = image.getpixel((60, 30))
    assert isinstance(pixel, tuple)
    assert abs(pixel[0] - 200) < 8


def test_a_small_image_keeps_its_size_and_each_sample_has_its_own() -> None:
    images = {"a": Image.new("L", (20, 10), 250), "b": Image.new("RGB", (30, 30))}
    found = thumbnails("task", ["a", "b", "c"], lambda _task, sample: images.get(sample))
    assert [Image.open(BytesIO(b64decode(one["jpeg"]))).size for one in found[:2]] == [(20, 10), (30, 30)]
    assert found[2] == {"absent": "no image at hand"}


def test_whatever_is_wrong_with_an_image_it_is_told_in_its_place() -> None:
    def images(_task: str, sample: str) -> Image.Image:
        raise {"a": KeyError("pixels"), "b": Image.DecompressionBombError("too large")}[sample]

    found = thumbnails("task", ["a", "b"], images)
    assert found == [{"absent": "KeyError: 'pixels'"}, {"absent": "DecompressionBombError: too large"}]
