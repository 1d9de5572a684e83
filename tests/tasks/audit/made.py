"""Tasks made in memory, whose images count how often they are decoded."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
from PIL import Image as PILImage

from medrival.contracts import Sample, Task
from medrival.errors import UnreadableImage


@dataclass(frozen=True)
class Picture:
    pixels: PILImage.Image | None
    name: str = "one.png"
    opened: list[int] = field(default_factory=list)

    def open(self) -> PILImage.Image:
        self.opened.append(1)
        if self.pixels is None:
            raise UnreadableImage(f"image {self.name!r} cannot be read: the file is empty")
        return self.pixels

    @property
    def digest(self) -> str:
        return hashlib.sha256(b"" if self.pixels is None else self.pixels.tobytes()).hexdigest()


def scene(seed: int, side: int = 96) -> PILImage.Image:
    """A random picture of large and small forms: as different from the next as two photographs."""
    rng = np.random.default_rng(seed)
    octaves = [PILImage.fromarray(rng.integers(0, 256, (n, n, 3), dtype=np.uint8)) for n in (48, 24, 12, 6)]
    picture = octaves[0].resize((side, side), PILImage.Resampling.BICUBIC)
    for octave in octaves[1:]:
        picture = PILImage.blend(picture, octave.resize((side, side), PILImage.Resampling.BICUBIC), 0.5)
    return picture


def small(picture: PILImage.Image, side: int) -> PILImage.Image:
    """The picture in the middle of an empty ground of 224 x 224, as the last slices through a head are."""
    ground = PILImage.new("RGB", (224, 224))
    ground.paste(picture.resize((side, side)), ((224 - side) // 2,) * 2)
    return ground


def asked(name: str, seed: int, truth: object = None, **given) -> Sample:
    """A question about the image of a seed; its answer is yes where the seed is even, unless it is given."""
    truth = ("yes", "no")[seed % 2] if truth is None else truth
    told = {"question": "Is there a mass?", "form": "closed", "options": ("yes", "no"), "group": f"g{seed}"} | given
    return Sample(name, Picture(scene(seed)), truth=truth, **told)


def questions(train=(), test=(), validation=()) -> Task:
    return Task("made", "vqa", tuple(train), tuple(validation), tuple(test), fingerprint="f")


def silent(items, _):
    return items
