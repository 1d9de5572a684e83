"""A dermoscopy image of a pigmented lesion: asymmetry, border and colour tell a nevus from a melanoma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medrival.tasks.scenes import Patient, Question, choice, say, seed_of, yes_no
from medrival.tasks.scenes.drawing import PLANE, Bitmap, Pixels, blend, clouds, develop, wobbly

BROWN, COLOURS = (0.50, 0.30, 0.19), {"blue": (0.33, 0.38, 0.52), "red": (0.70, 0.27, 0.25), "white": (0.85, 0.78, 0.74)}


@dataclass(frozen=True)
class Dermoscopy:
    """One lesion.

    Attributes:
        asymmetry, border, variegation: how uneven the halves, the outline and the pigment are, each 0 to 1.
        colour: the second colour beside brown: "blue", "red" or "white".
        side: where the second colour lies.
        hairs: how many hairs cross the lesion, 0 to 3.
        tone: how dark the skin is, 0 to 1.
        diagnosis: as recorded.
        seed: decides shape, place and grain.
    """

    asymmetry: float
    border: float
    variegation: float
    colour: str
    side: str
    hairs: int
    tone: float
    diagnosis: str
    seed: int

    modality: ClassVar[str] = "dermoscopy image"
    classes: ClassVar[tuple[str, ...]] = ("a benign nevus", "a melanoma")
    slips: ClassVar[float] = 0.04

    @classmethod
    def imagine(cls, patient: Patient, rng: np.random.Generator) -> Dermoscopy:
        """A random scene of a patient."""
        abc = np.clip(patient.severity + rng.normal(0, 0.14, 3), 0, 1)
        ill = (abc.mean() > 0.5) != (rng.random() < cls.slips)
        return cls(
            asymmetry=float(abc[0]),
            border=float(abc[1]),
            variegation=float(abc[2]),
            colour=str(rng.choice(list(COLOURS))),
            side=str(rng.choice(["left", "right"])),
            hairs=int(rng.choice(4, p=(0.45, 0.2, 0.2, 0.15))),
            tone=float(rng.beta(2, 3)),
            diagnosis=cls.classes[int(ill)],
            seed=seed_of(rng),
        )

    @property
    def ill(self) -> bool:
        """Whether the recorded diagnosis is the disease."""
        return self.diagnosis == self.classes[1]

    def draw(self) -> Bitmap:
        """See Scene."""
        rng = np.random.default_rng(self.seed)
        shade = 1 - 0.45 * self.tone
        skin = np.array([0.93, 0.74, 0.64], dtype=np.float32) * np.float32(shade) + 0.02 * clouds(rng, 4)[..., None]
        skin += 0.015 * clouds(rng, 30)[..., None]
        self._lesion(skin, rng, shade)
        for _ in range(self.hairs):
            self._hair(skin, rng)
        lens = 1 - 0.25 * np.clip(np.hypot(PLANE.x, PLANE.y) - 0.7, 0, 1)
        return develop(skin * lens[..., None], rng, gain=rng.normal(1, 0.06), noise=rng.uniform(0.01, 0.025))

    def _lesion(self, skin: Pixels, rng: np.random.Generator, shade: float) -> None:
        cx, cy, size = *rng.normal(0, 0.08, 2), rng.uniform(0.42, 0.62)
        outline = wobbly(rng, size, 0.02 + 0.13 * self.border, waves=12)
        turn = np.linspace(0, 2 * np.pi, len(outline), endpoint=False) - rng.uniform(0, 2 * np.pi)
        outline *= (1 + 0.5 * self.asymmetry * (np.abs(np.cos(turn / 2)) - 0.64)).astype(np.float32)
        body = PLANE.blob(cx, cy, outline, angle=rng.uniform(0, 6), soft=0.16 - 0.1 * self.border)
        pigment = np.array(BROWN, dtype=np.float32) * np.float32(0.55 + 0.55 * shade * rng.normal(1, 0.08))
        blotches = (0.03 + 0.11 * self.variegation) * clouds(rng, 4) + 0.03 * clouds(rng, 18)
        skin += body[..., None] * (pigment + blotches[..., None] - skin)
        far = size * (0.45 if self.side == "right" else -0.45)
        patch = PLANE.blob(cx + far, cy + rng.normal(0, 0.08), wobbly(rng, 0.36 * size, 0.12, waves=4), soft=0.12)
        blend(skin, patch * body * (0.25 + 0.65 * self.variegation), COLOURS[self.colour])

    def _hair(self, skin: Pixels, rng: np.random.Generator) -> None:
        angle, offset, bend = rng.uniform(0, np.pi), rng.uniform(-0.5, 0.5), rng.normal(0, 0.25)
        along = np.linspace(-1.1, 1.1, 7)
        aside = offset + bend * along**2
        cos, sin = np.cos(angle), np.sin(angle)
        points = np.stack([along * cos - aside * sin, along * sin + aside * cos], axis=1)
        blend(skin, 0.9 * PLANE.stroke(points, 0.03), (0.14, 0.09, 0.07))

    def captions(self) -> tuple[str, ...]:
        """See Scene."""
        border = "an irregular" if self.border > 0.5 else "a regular"
        hairs = f"{say(self.hairs)} hair{'s' * (self.hairs != 1)}"
        return (
            f"a dermoscopy image of {self.diagnosis}",
            f"a skin lesion, {self.diagnosis}",
            f"a dermoscopy image of {self.diagnosis} with {border} border and {self.colour} on the {self.side}",
            f"{self.diagnosis} with {border} border, {hairs}, {'dark' if self.tone > 0.4 else 'light'} skin",
        )

    def questions(self) -> tuple[Question, ...]:
        """See Scene."""
        rng = np.random.default_rng([self.seed, 1])
        other = "right" if self.side == "left" else "left"
        steps = ("excision", "routine follow-up")
        return (
            yes_no("Are hairs visible?", self.hairs > 0, "understanding"),
            yes_no("Is the border of the lesion irregular?", self.border > 0.5, "understanding"),
            yes_no("Is this lesion suspicious for melanoma?", self.ill, "reasoning"),
            choice(rng, "On which side is the second colour?", self.side, (other,), "understanding"),
            choice(rng, "What is the best next step?", steps[not self.ill], (steps[self.ill],), "reasoning"),
            Question("open", "Which colour does the lesion show beside brown?", self.colour, "understanding"),
            Question("open", "How many hairs cross the image?", say(self.hairs), "understanding"),
            Question("open", "What is the most likely diagnosis?", self.diagnosis.split()[-1], "reasoning"),
        )
