"""Phantoms: drawn, seeded, medical-looking images whose truth is known.

Four anatomies, each with patients of two to four images, a split by patient, a diagnosis and questions. Nothing is
drawn before an image is opened.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image as PILImage

from medrival.catalog import TaskCard
from medrival.contracts import Sample, Task
from medrival.errors import BrokenCatalog
from medrival.files import write_atomically
from medrival.tasks import prompts, scenes
from medrival.tasks.prompts import ask
from medrival.tasks.scenes import Illness, Patient, drawing
from medrival.tasks.scenes.chest import Chest
from medrival.tasks.scenes.dermoscopy import Dermoscopy
from medrival.tasks.scenes.fundus import Fundus
from medrival.tasks.scenes.histology import Histology
from medrival.tasks.wording import class_texts

SEED = 2506
ANATOMIES: Mapping[str, type[Chest | Histology | Dermoscopy | Fundus]] = {
    "chest": Chest,
    "histology": Histology,
    "dermoscopy": Dermoscopy,
    "fundus": Fundus,
}
SPLITS = {"train": range(120), "validation": range(120, 160), "test": range(160, 240)}
"""The numbers of each split's patients."""


@dataclass(frozen=True)
class Phantom:
    """An image that is drawn when it is opened, or read from the cache where it was drawn before."""

    scene: Illness
    cache: Path

    @cached_property
    def digest(self) -> str:
        """sha256 of the scene and of all that draws it."""
        return hashlib.sha256(f"{code_digest()} {self.scene!r}".encode()).hexdigest()

    def open(self) -> PILImage.Image:
        """The picture, RGB, SIZE x SIZE."""
        kept = self.cache / "phantoms" / f"{self.digest}.rgb"
        shape = (drawing.SIZE, drawing.SIZE, 3)
        with suppress(OSError, zlib.error, ValueError):  # no such file, a damaged one, one of another size
            return PILImage.fromarray(np.frombuffer(zlib.decompress(kept.read_bytes()), np.uint8).reshape(shape))
        pixels = self.scene.draw()
        with suppress(OSError):  # a full or read-only disk costs time, not the image
            write_atomically(kept, lambda stream: stream.write(zlib.compress(pixels.tobytes(), 1)))
        return PILImage.fromarray(pixels)


@cache
def code_digest() -> str:
    """sha256 of all that turns a scene into pixels: the code and the libraries it draws with."""
    sources = [Path(__file__), *sorted(Path(scenes.__file__).parent.glob("*.py"))]
    parts = [source.read_bytes() for source in sources] + [f"{np.__version__} {PIL.__version__}".encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _dice(anatomy: str, *numbers: int) -> np.random.Generator:
    return np.random.default_rng([SEED, list(ANATOMIES).index(anatomy), *numbers])


def patient(anatomy: str, number: int) -> Patient:
    """The patient of this number; older ones are somewhat sicker."""
    rng = _dice(anatomy, number)
    age = int(rng.integers(18, 91))
    severity = 0.5 + rng.choice([-1, 1]) * 0.19 + rng.normal(0, 0.11) + 0.002 * (age - 54)
    return Patient(number, str(rng.choice(["female", "male"])), age, float(severity))


def images_of(anatomy: str, who: Patient) -> int:
    """How many images of a patient the task holds: 2 to 4."""
    return int(_dice(anatomy, who.number, 9_999).integers(2, 5))  # a last number of 0 would be the patient's own dice again


def imagine(anatomy: str, who: Patient, image: int) -> Illness:
    """The scene of a patient's image, counted from 1; numbers beyond the task's images give further ones."""
    return ANATOMIES[anatomy].imagine(who, _dice(anatomy, who.number, image))


def _images(anatomy: str, split: str, cache: Path) -> Iterator[tuple[str, Patient, Illness, Phantom]]:
    for number in SPLITS[split]:
        who = patient(anatomy, number)
        for image in range(1, images_of(anatomy, who) + 1):
            scene = imagine(anatomy, who, image)
            yield f"{anatomy}-p{number:03d}-{image}", who, scene, Phantom(scene, cache)


def _sample(name: str, who: Patient, image: Phantom, **rest: Any) -> Sample:
    return Sample(name, image, name.rpartition("-")[0], attributes={"sex": who.sex, "age": who.age_band}, **rest)


def diagnosis(card: TaskCard, assets: Path | None, cache: Path) -> Task:  # noqa: ARG001 - a phantom needs none
    """The diagnosis of one anatomy.

    Raises:
        BrokenCatalog: for an anatomy that nobody can draw, or a row without a prompt that has a place for the class.
    """
    anatomy, classes = _anatomy(card), ANATOMIES[_anatomy(card)].classes
    texts = class_texts(card, classes)
    train, validation, test = (
        tuple(_sample(name, who, image, truth=scene.diagnosis) for name, who, scene, image in _images(anatomy, part, cache))
        for part in SPLITS
    )
    return Task(
        card.name,
        "diagnosis",
        train,
        validation,
        test,
        fingerprint=_fingerprint("diagnosis", anatomy, *texts.parts),
        classes=classes,
        prompts=texts.prompts,
        notes=NOTES,
        ensembles=texts.ensembles,
    )


def vqa(card: TaskCard, assets: Path | None, cache: Path) -> Task:  # noqa: ARG001 - a phantom needs none
    """Questions about one anatomy: one an image, and a second for every sixth image.

    Raises:
        BrokenCatalog: for an anatomy that nobody can draw.
    """
    anatomy = _anatomy(card)
    train, validation, test = (tuple(_asked(anatomy, part, cache)) for part in SPLITS)
    return Task(card.name, "vqa", train, validation, test, fingerprint=_fingerprint("vqa", anatomy), notes=NOTES)


NOTES = {"images": "procedurally drawn phantoms: a score says nothing about patients"}


def _asked(anatomy: str, part: str, cache: Path) -> Iterator[Sample]:
    for index, (name, who, scene, image) in enumerate(_images(anatomy, part, cache)):
        pool = scene.questions()
        for pick in _dice(anatomy, 10_000 + index, SPLITS[part].start).permutation(len(pool))[: 2 if index % 6 == 0 else 1]:
            question = pool[pick]
            options = ("yes", "no") if question.form == "closed" else question.options
            yield _sample(
                f"{name}-q{pick}",
                who,
                image,
                truth=question.answer,
                prompt=ask(question.form, question.text, options),
                question=question.text,
                form=question.form,
                options=options,
                skill=question.skill,
            )


def _anatomy(card: TaskCard) -> str:
    anatomy = str(card.options.get("anatomy"))
    if anatomy not in ANATOMIES:
        raise BrokenCatalog(f"task {card.name!r}: nobody can draw the anatomy {anatomy!r}; there are {', '.join(ANATOMIES)}")
    return anatomy


def _fingerprint(*parts: str) -> str:
    wording = Path(prompts.__file__).read_bytes()
    return hashlib.sha256("\0".join([code_digest(), *parts]).encode() + wording).hexdigest()
