"""A frontal chest radiograph: is there an opacity in the lungs?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from medrival.tasks.scenes import Patient, Question, choice, seed_of, yes_no
from medrival.tasks.scenes.drawing import PLANE, SIZE, Bitmap, Pixels, Plane, blend, clouds, develop


@dataclass(frozen=True)
class Chest:
    """One radiograph.

    Attributes:
        opacity: density of the consolidation, 0 to 1.
        side: where the opacity lies, as seen on the image.
        zone: "upper" or "lower" lung.
        heart: width of the heart as a share of the chest.
        pacemaker: whether one is implanted.
        diagnosis: as recorded.
        seed: decides pose, exposure, anatomy and grain.
    """

    female: bool
    age: int
    opacity: float
    side: str
    zone: str
    heart: float
    pacemaker: bool
    diagnosis: str
    seed: int

    modality: ClassVar[str] = "chest radiograph"
    classes: ClassVar[tuple[str, ...]] = ("clear lungs", "a lung opacity")
    slips: ClassVar[float] = 0.04

    @classmethod
    def imagine(cls, patient: Patient, rng: np.random.Generator) -> Chest:
        """A random scene of a patient."""
        opacity = float(np.clip(patient.severity + rng.normal(0, 0.1), 0, 1))
        ill = (opacity > 0.5) != (rng.random() < cls.slips)
        return cls(
            female=patient.sex == "female",
            age=patient.age,
            opacity=opacity,
            side=str(rng.choice(["left", "right"])),
            zone=str(rng.choice(["upper", "lower"])),
            heart=float(rng.normal(0.5, 0.055)),
            pacemaker=bool(rng.random() < 0.4),
            diagnosis=cls.classes[int(ill)],
            seed=seed_of(rng),
        )

    @property
    def ill(self) -> bool:
        """Whether the recorded diagnosis is the disease."""
        return self.diagnosis == self.classes[1]

    @property
    def big_heart(self) -> bool:
        """Whether the heart is wider than half of the chest."""
        return self.heart > 0.5

    def draw(self) -> Bitmap:
        """See Scene."""
        rng = np.random.default_rng(self.seed)
        body = PLANE.moved(rng.normal(0, 0.04), rng.normal(0, 0.04), angle=rng.normal(0, 0.035), zoom=rng.normal(1, 0.04))
        film = 0.05 + 0.02 * clouds(rng, 3)
        neck, shoulders = body.ellipse(0, -0.95, 0.24, 0.5, soft=0.15), body.ellipse(0, 0.1, 1.02, 0.92, soft=0.12)
        torso = np.maximum.reduce([neck, shoulders, body.ellipse(0, 0.9, 0.95, 1.2, soft=0.08)])
        blend(film, torso, 0.52)
        lungs = self._lungs(body, rng)
        film -= lungs * (0.36 + 0.035 * clouds(rng, 5) + 0.03 * clouds(rng, 11))
        film += self._vessels(body, rng) * lungs
        film += self._bones(body, rng) * torso
        film += self._mediastinum(body)
        if self.female:
            for side in (-1, 1):
                film += 0.06 * body.ellipse(0.47 * side, 0.4, 0.36, 0.3, soft=0.15)
        film += self._consolidation(body, rng) * lungs
        if self.pacemaker:
            blend(film, body.ellipse(0.52, -0.5, 0.085, 0.065, soft=0.02), 0.92)
            blend(film, body.stroke(np.array([(0.45, -0.5), (0.2, -0.42), (0.02, -0.1), (0.16, 0.42)]), 0.016), 0.88)
        film = 1.45 * film / (0.6 + np.maximum(film, 0))  # bone and heart overlap without burning out
        return develop(film, rng, gain=rng.normal(1, 0.06), gamma=np.exp(rng.normal(0, 0.14)), noise=rng.uniform(0.01, 0.035))

    def _lungs(self, body: Plane, rng: np.random.Generator) -> Pixels:
        both = np.zeros((SIZE, SIZE), np.float32)
        for side in (-1, 1):
            base = rng.normal(0.55, 0.05) + 0.03 * side
            dome = np.clip((base + 0.55 * (body.x - 0.42 * side) ** 2 - body.y) / 0.05, 0, 1)
            field = body.ellipse(0.45 * side, 0.1, 0.37, 0.93, angle=0.1 * side, soft=0.07)
            both = np.maximum(both, field * dome)
        return both

    def _bones(self, body: Plane, rng: np.random.Generator) -> Pixels:
        spacing, phase, arch = rng.normal(0.19, 0.008), rng.uniform(0, 1), rng.normal(0.55, 0.05)
        across = np.abs(body.x)
        height = body.y + arch * (across - 0.45) ** 2 - 0.22 * across
        ribs = np.clip(np.cos(2 * np.pi * (height / spacing + phase)) - 0.35, 0, 1) * (across < 0.82) * (across > 0.1)
        bones = 0.085 * ribs * np.clip((0.6 - body.y) / 0.2, 0, 1)
        spine = np.clip((0.11 - across) / 0.04, 0, 1)
        bones += spine * (0.07 + 0.025 * np.cos(2 * np.pi * body.y / 0.17))
        for side in (-1, 1):
            collar = np.array([(0.08 * side, -0.6), (0.4 * side, -0.72), (0.85 * side, -0.8)])
            bones += 0.15 * body.stroke(collar, 0.06, soft=0.04)
        return bones

    def _vessels(self, body: Plane, rng: np.random.Generator) -> Pixels:
        tree = np.zeros((SIZE, SIZE), np.float32)
        for side in (-1, 1):
            for angle in rng.uniform(-1.2, 1.2, 6):
                reach = rng.uniform(0.25, 0.55)
                tip = (0.16 * side + side * reach * np.cos(angle), 0.02 + reach * np.sin(angle))
                tree += body.stroke(np.array([(0.14 * side, 0.02), tip]), 0.02, soft=0.05)
        return 0.10 * np.clip(tree, 0, 1.6)

    def _mediastinum(self, body: Plane) -> Pixels:
        half = 0.86 * self.heart
        heart = body.ellipse(0.3 * half, 0.36, half, 0.34, angle=0.4, soft=0.07)
        arch = body.ellipse(0.1, -0.22, 0.13 + 0.0012 * self.age, 0.16, soft=0.06)
        trunk = body.ellipse(0, -0.2, 0.17, 0.8, soft=0.1)
        hila = sum(body.ellipse(0.2 * side, 0.03, 0.09, 0.14, soft=0.1) for side in (-1, 1))
        return 0.27 * np.maximum.reduce([heart, arch, 0.8 * trunk]) + 0.07 * hila

    def _consolidation(self, body: Plane, rng: np.random.Generator) -> Pixels:
        x = 0.45 * (-1 if self.side == "left" else 1) + rng.normal(0, 0.05)
        y = (-0.3 if self.zone == "upper" else 0.28) + rng.normal(0, 0.06)
        patch = body.ellipse(x, y, rng.uniform(0.22, 0.32), rng.uniform(0.2, 0.3), angle=rng.uniform(0, 3), soft=0.25)
        return patch * self.opacity * (0.58 + 0.10 * clouds(rng, 9))

    def captions(self) -> tuple[str, ...]:
        """See Scene."""
        details = f"{'a large' if self.big_heart else 'a normal'} heart {'and' if self.pacemaker else 'without'} a pacemaker"
        where = f"in the {self.zone} {self.side} lung" if self.ill else "and nothing else"
        return (
            f"a chest radiograph showing {self.diagnosis}",
            f"an x-ray of the chest with {self.diagnosis}",
            f"a chest radiograph showing {self.diagnosis} {where}",
            f"chest radiograph: {self.diagnosis}, {details}",
        )

    @cached_property
    def _next_step(self) -> str:
        if self.ill:
            return "antibiotics and a follow-up radiograph"
        return "an echocardiogram" if self.big_heart else "no further imaging"

    def questions(self) -> tuple[Question, ...]:
        """See Scene."""
        rng = np.random.default_rng([self.seed, 1])
        steps = ("antibiotics and a follow-up radiograph", "an echocardiogram", "no further imaging")
        asked = [
            yes_no("Is there a pacemaker?", self.pacemaker, "understanding"),
            yes_no("Does this radiograph suggest pneumonia?", self.ill, "reasoning"),
            yes_no("Is the cardiothoracic ratio above one half?", self.big_heart, "reasoning"),
            Question("open", "What is the most likely diagnosis?", "pneumonia" if self.ill else "normal lungs", "reasoning"),
            choice(
                rng,
                "What is the best next step?",
                self._next_step,
                tuple(s for s in steps if s != self._next_step),
                "reasoning",
            ),
        ]
        if self.opacity > 0.4:
            other = "right" if self.side == "left" else "left"
            asked += [
                choice(rng, "On which side of the image is the opacity?", self.side, (other,), "understanding"),
                yes_no("Is the opacity in the upper zone?", self.zone == "upper", "understanding"),
                Question("open", "Where is the opacity?", f"{self.zone} {self.side}", "understanding"),
            ]
        return tuple(asked)
