"""Samples in batches: several images to a question, unreadable ones set apart."""

from dataclasses import dataclass

from PIL import Image

from medrival.batches import Decoded, in_batches
from medrival.contracts import Failed, Sample
from medrival.errors import UnreadableImage


@dataclass(frozen=True)
class Drawn:
    """An image of one colour, or one that cannot be decoded."""

    colour: str
    torn: bool = False

    @property
    def digest(self):
        return self.colour

    def open(self):
        if self.torn:
            raise UnreadableImage(f"{self.colour} is torn")
        return Image.new("RGB", (4, 4), self.colour)


PAIR = Sample("pair", Drawn("red"), "p", "yes", prompt="which?", more_images=(Drawn("green"), Drawn("blue")))
ALONE = Sample("alone", Drawn("blue"), "a", "no", prompt="what?")
TORN = Sample("torn", Drawn("red"), "t", "no", prompt="who?", more_images=(Drawn("green", torn=True),))


def colours(pictures):
    return [picture.getpixel((0, 0)) for picture in pictures]


def work(shown, samples):
    return [(sample.id, colours(pictures)) for pictures, sample in zip(shown, samples, strict=True)]


def test_a_sample_brings_all_its_images_in_order_and_one_torn_image_fails_it_alone():
    found = in_batches([PAIR, TORN, ALONE], work, 2, lambda items, _: items, "")
    assert found[0] == ("pair", [(255, 0, 0), (0, 128, 0), (0, 0, 255)])
    assert found[1] == Failed("green is torn")
    assert found[2] == ("alone", [(0, 0, 255)])


def test_training_images_are_kept_each_once_and_samples_with_a_torn_one_are_left_out():
    images = Decoded()
    readable = images.readable([PAIR, TORN, ALONE])
    assert readable == [PAIR, ALONE]
    shown = images.of(readable)
    assert [colours(pictures) for pictures in shown] == [[(255, 0, 0), (0, 128, 0), (0, 0, 255)], [(0, 0, 255)]]
    assert shown[0][2] is shown[1][0]
    assert images.of([PAIR])[0][0] is shown[0][0]
