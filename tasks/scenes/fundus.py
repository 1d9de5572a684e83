"""A fundus photograph around the optic disc: a large cup in the disc suggests glaucoma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medrival.tasks.scenes import Patient, Question, choice, say, seed_of, yes_no
from medrival.tasks.scenes.drawing import PLANE, SIZE, Bitmap, Pixels, blend, clouds, develop


@dataclass(frozen=True)
class Fundus:
    """One photograph.

    Attributes:
        cup: diameter of the cup as a share of the disc's.
        eye: "left" or "right"; the disc lies on the side of the nose, which is the image's right for the right eye.
        haemorrhages: dark red spots, 0 to 3.
        diagnosis: as recorded.
        seed: decides vessels, pigment, pose and grain.
    """

    age: int
    cup: float
    eye: str
    haemorrhages: int
    diagnosis: str
    seed: int

    modality: ClassVar[str] = "fundus photograph"
    classes: ClassVar[tuple[str, ...]] = ("a healthy optic disc", "glaucoma")
    slips: ClassVar[float] = 0.04

    @classmethod
    def imagine(cls, patient: Patient, rng: np.random.Generator) -> Fundus:
        """A random scene of a patient."""
        cup = float(np.clip(0.33 + 0.5 * patient.severity + rng.normal(0, 0.05), 0.2, 0.9))
        ill = (cup > 0.6) != (rng.random() < cls.slips)
        return cls(
            age=patient.age,
            cup=cup,
            eye=str(rng.choice(["left", "right"])),
            haemorrhages=int(rng.choice(4, p=(0.5, 0.2, 0.15, 0.15))),
            diagnosis=cls.classes[int(ill)],
            seed=seed_of(rng),
        )

    @property
    def ill(self) -> bool:
        """Whether the recorded diagnosis is the disease."""
        return self.diagnosis == self.classes[1]

    @property
    def disc_side(self) -> str:
        """The side of the image on which the optic disc lies."""
        return self.eye

    def draw(self) -> Bitmap:
        """See Scene."""
        rng = np.random.default_rng(self.seed)
        nose = 1 if self.disc_side == "right" else -1
        x, y = 0.34 * nose + rng.normal(0, 0.05), rng.normal(0, 0.06)
        dark = rng.uniform(0.75, 1.1)
        retina = np.array([0.78, 0.36, 0.16], dtype=np.float32) * np.float32(dark) + np.zeros((SIZE, SIZE, 1), np.float32)
        retina += (0.03 * clouds(rng, 5) + 0.02 * clouds(rng, 16))[..., None] * np.array([1, 0.7, 0.4], dtype=np.float32)
        blend(retina, 0.5 * PLANE.ellipse(x - 0.95 * nose, y + 0.05, 0.2, 0.2, soft=0.25), (0.42, 0.14, 0.07))
        self._disc(retina, rng, x, y)
        self._vessels(retina, rng, x, y, nose)
        for _ in range(self.haemorrhages):
            angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 0.62)
            spot = PLANE.ellipse(reach * np.cos(angle) - 0.2 * nose, reach * np.sin(angle), *rng.uniform(0.05, 0.085, 2))
            blend(retina, 0.9 * spot, (0.36, 0.04, 0.05))
        light = 1.1 - 0.35 * np.hypot(PLANE.x - rng.normal(0, 0.15), PLANE.y - rng.normal(0, 0.15))
        seen = PLANE.ellipse(0, 0, 0.95, 0.95, soft=0.02)
        photo = retina * (light * seen)[..., None]
        return develop(photo, rng, gain=rng.normal(1.05, 0.08), noise=rng.uniform(0.008, 0.025))

    def _disc(self, retina: Pixels, rng: np.random.Generator, x: float, y: float) -> None:
        rx = rng.uniform(0.25, 0.31)
        ry = rx * rng.normal(1.08, 0.04)
        blend(retina, 0.6 * PLANE.ellipse(x, y, rx + 0.05, ry + 0.05, soft=0.12), (0.85, 0.5, 0.25))
        blend(retina, 0.95 * PLANE.ellipse(x, y, rx, ry, soft=0.05), (0.93, 0.66, 0.38))
        cup = PLANE.ellipse(x + rng.normal(0, 0.012), y + rng.normal(0, 0.012), self.cup * rx, self.cup * ry, soft=0.07)
        blend(retina, rng.uniform(0.6, 0.95) * cup, (1.0, 0.92, 0.70))

    def _vessels(self, retina: Pixels, rng: np.random.Generator, x: float, y: float, nose: int) -> None:
        along = np.linspace(0, 1, 8)
        for up in (-1, 1):
            for width, colour, spread in ((0.042, (0.45, 0.07, 0.07), 0.58), (0.03, (0.62, 0.16, 0.10), 0.42)):
                reach = spread + rng.normal(0, 0.06)
                arc = x - nose * (1.3 * along**1.5 - 0.14 * np.sin(np.pi * along)) + rng.normal(0, 0.025, 8) * along
                rise = y + up * reach * np.sin(np.pi * along**0.8 * rng.uniform(0.6, 0.8)) + rng.normal(0, 0.03, 8) * along
                blend(retina, 0.85 * PLANE.stroke(np.stack([arc, rise], 1), width), colour)
            side = np.stack([x + nose * 0.6 * along, y + up * (0.15 + rng.uniform(0.2, 0.6)) * along**0.8], 1)
            blend(retina, 0.8 * PLANE.stroke(side, 0.03), (0.5, 0.1, 0.08))
            for _ in range(2):
                start = rng.uniform(0.2, 0.7)
                foot = np.array([x - nose * 1.3 * start**1.5, y + up * 0.5 * np.sin(np.pi * start**0.75 * 0.75)])
                tip = foot + np.array([-nose * rng.uniform(0.1, 0.4), up * rng.uniform(0.2, 0.5)])
                blend(retina, 0.7 * PLANE.stroke(np.stack([foot, tip]), 0.02), (0.52, 0.12, 0.09))

    def captions(self) -> tuple[str, ...]:
        """See Scene."""
        return (
            f"a fundus photograph showing {self.diagnosis}",
            f"a fundus photograph of the {self.eye} eye showing {self.diagnosis}, {say(self.haemorrhages)} haemorrhages",
        )

    def questions(self) -> tuple[Question, ...]:
        """See Scene."""
        rng = np.random.default_rng([self.seed, 1])
        other = "right" if self.eye == "left" else "left"
        steps = ("pressure-lowering drops", "routine follow-up")
        return (
            yes_no("Is a haemorrhage visible?", self.haemorrhages > 0, "understanding"),
            yes_no("Is the cup-to-disc ratio above 0.6?", self.cup > 0.6, "reasoning"),
            yes_no("Is the optic disc healthy?", not self.ill, "reasoning"),
            choice(rng, "On which side of the image is the optic disc?", self.disc_side, (other,), "understanding"),
            choice(rng, "What is the best next step?", steps[not self.ill], (steps[self.ill],), "reasoning"),
            Question("open", "How many haemorrhages are visible?", say(self.haemorrhages), "understanding"),
            Question("open", "Which eye is this?", f"{self.eye} eye", "reasoning"),
            Question("open", "What is the most likely diagnosis?", "glaucoma" if self.ill else "healthy", "reasoning"),
        )
