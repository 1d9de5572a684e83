"""Scenes: pictures as values, from which pixels, captions, a diagnosis and questions all follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from medrival.contracts import Form
from medrival.tasks.scenes.drawing import Bitmap

Skill = Literal["understanding", "reasoning"]


@dataclass(frozen=True)
class Question:
    """A question about a scene, with its answer; the answer to a choice is the text of an option."""

    form: Form
    text: str
    answer: str
    skill: Skill
    options: tuple[str, ...] = ()


class Scene(Protocol):
    """All that can be known about a picture before it is drawn."""

    def draw(self) -> Bitmap:
        """The picture: 8-bit RGB [SIZE, SIZE, 3]; equal scenes draw equal pixels."""

    def captions(self) -> tuple[str, ...]:
        """What a writer of captions might say about it, in several wordings."""

    def questions(self) -> tuple[Question, ...]:
        """Everything that can be asked about it."""


@dataclass(frozen=True)
class Patient:
    """Who is in the picture.

    Attributes:
        number: unique within one anatomy.
        sex: "female" or "male".
        age: years, 18 to 90.
        severity: how diseased the patient is, about 0 to 1; the patient's images vary around it.
    """

    number: int
    sex: str
    age: int
    severity: float

    @property
    def age_band(self) -> str:
        """One of three bands."""
        return "18-39" if self.age < 40 else "40-59" if self.age < 60 else "60+"


class Illness(Scene, Protocol):
    """A medical scene."""

    @property
    def diagnosis(self) -> str:
        """One of the anatomy's classes, as the (sometimes mistaken) reader of the image recorded it."""


def yes_no(text: str, truth: bool, skill: Skill) -> Question:
    """A closed question."""
    return Question("closed", text, "yes" if truth else "no", skill)


def choice(rng: np.random.Generator, text: str, answer: str, others: tuple[str, ...], skill: Skill) -> Question:
    """A multiple choice whose options are shuffled, so that no letter is likelier than another."""
    options = (answer, *others)
    return Question("choice", text, answer, skill, tuple(options[i] for i in rng.permutation(len(options))))


def say(number: int) -> str:
    """A small number in words."""
    return ("none", "one", "two", "three", "four", "five")[number]


def seed_of(rng: np.random.Generator) -> int:
    """A seed for what a scene leaves to chance when it is drawn."""
    return int(rng.integers(2**31))
