"""A stained tissue section: how crowded and how atypical are the nuclei?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medrival.tasks.scenes import Patient, Question, choice, say, seed_of, yes_no
from medrival.tasks.scenes.drawing import PLANE, Bitmap, Pixels, blend, clouds, develop, wobbly


@dataclass(frozen=True)
class Histology:
    """One field of view.

    Attributes:
        crowding: density of the nuclei, 0 to 1.
        atypia: how large, dark and irregular the nuclei are, 0 to 1.
        lumens: gland openings in view, 0 to 3.
        bluish: whether haematoxylin dominates the stain.
        diagnosis: as recorded.
        seed: decides places, stain and grain.
    """

    crowding: float
    atypia: float
    lumens: int
    bluish: bool
    diagnosis: str
    seed: int

    modality: ClassVar[str] = "histology slide"
    classes: ClassVar[tuple[str, ...]] = ("benign tissue", "low-grade carcinoma", "high-grade carcinoma")
    slips: ClassVar[float] = 0.05

    @classmethod
    def imagine(cls, patient: Patient, rng: np.random.Generator) -> Histology:
        """A random scene of a patient."""
        crowding, atypia = (float(v) for v in np.clip(patient.severity + rng.normal(0, 0.12, 2), 0, 1))
        grade = int(np.digitize((crowding + atypia) / 2, (0.38, 0.62)))
        if rng.random() < cls.slips:
            grade = 1 if grade != 1 else int(rng.choice([0, 2]))
        return cls(
            crowding=crowding,
            atypia=atypia,
            lumens=int(rng.choice(4, p=(0.4, 0.25, 0.2, 0.15))),
            bluish=bool(rng.random() < 0.5),
            diagnosis=cls.classes[grade],
            seed=seed_of(rng),
        )

    @property
    def malignant(self) -> bool:
        """Whether the recorded diagnosis is a carcinoma."""
        return self.diagnosis != self.classes[0]

    def draw(self) -> Bitmap:
        """See Scene."""
        rng = np.random.default_rng(self.seed)
        slide = self._stroma(rng)
        centres = self._glands(slide, rng)
        self._nuclei(slide, rng, centres)
        tint = np.array([0.93, 0.92, 1.02] if self.bluish else [1.02, 0.96, 0.96]) + rng.normal(0, 0.015, 3)
        return develop(slide * tint.astype(np.float32), rng, gain=rng.normal(1, 0.04), noise=rng.uniform(0.01, 0.03))

    def _stroma(self, rng: np.random.Generator) -> Pixels:
        turned = PLANE.moved(0, 0, angle=rng.uniform(0, np.pi))
        fibres = np.sin(turned.y * rng.uniform(18, 26) + 2.5 * clouds(rng, 4)) * 0.03 + 0.035 * clouds(rng, 7)
        eosin = np.array([0.90, 0.70, 0.80] if self.bluish else [0.93, 0.68, 0.80], dtype=np.float32)
        return eosin + fibres[..., None] * np.array([0.5, 1.2, 0.8], dtype=np.float32)

    def _glands(self, slide: Pixels, rng: np.random.Generator) -> list[tuple[float, float, float]]:
        """Draw white lumens with a rim of cytoplasm; returns their centres and radii."""
        glands: list[tuple[float, float, float]] = []
        while len(glands) < self.lumens:
            cx, cy, radius = *rng.uniform(-0.68, 0.68, 2), rng.uniform(0.15, 0.22)
            if all(np.hypot(cx - x, cy - y) > radius + r + 0.2 for x, y, r in glands):
                glands.append((cx, cy, radius))
        for cx, cy, radius in glands:
            outline = wobbly(rng, radius, 0.14, waves=4)
            blend(slide, PLANE.blob(cx, cy, outline + 0.12, soft=0.06), (0.80, 0.55, 0.72))
            blend(slide, PLANE.blob(cx, cy, outline), (0.97, 0.95, 0.96))
        return glands

    def _nuclei(self, slide: Pixels, rng: np.random.Generator, glands: list[tuple[float, float, float]]) -> None:
        places = [
            (cx + (radius + 0.06) * np.cos(turn), cy + (radius + 0.06) * np.sin(turn))
            for cx, cy, radius in glands
            for turn in np.arange(0, 2 * np.pi, 0.11 / radius) + rng.uniform(0, 1)
        ]
        strewn = rng.uniform(-1.05, 1.05, (int(28 + 62 * self.crowding + rng.normal(0, 8)), 2))
        places += [(x, y) for x, y in strewn if all(np.hypot(x - cx, y - cy) > r + 0.1 for cx, cy, r in glands)]
        for x, y in places:
            self._nucleus(slide, rng, x, y)

    def _nucleus(self, slide: Pixels, rng: np.random.Generator, x: float, y: float) -> None:
        odd = self.atypia
        radius = 0.062 * (1 + 0.55 * odd) * np.exp(rng.normal(0, 0.10 + 0.22 * odd))
        window = PLANE.window(x, y, 2 * radius)
        plane, part = PLANE.crop(window), slide[window]
        if part.size == 0:
            return
        outline = wobbly(rng, radius, 0.02 + 0.13 * odd, waves=3, points=24)
        stretch = 1 + abs(rng.normal(0, 0.3))
        turned = plane.moved(x, y, angle=rng.uniform(0, np.pi))
        squeezed = type(plane)(turned.x / np.float32(stretch), turned.y)
        depth = rng.normal(0.60 - 0.16 * odd, 0.05)
        mask = 0.85 * squeezed.blob(0, 0, outline, soft=0.035)
        blend(part, mask, (0.80 * depth, 0.55 * depth, 1.10 * depth))
        if rng.random() < 0.25 + 0.5 * odd:
            blend(part, plane.ellipse(x, y, 0.3 * radius, 0.3 * radius), (0.3 * depth, 0.2 * depth, 0.6 * depth))

    def captions(self) -> tuple[str, ...]:
        """See Scene."""
        crowd = "crowded" if self.crowding > 0.5 else "sparse"
        return (
            f"a histology slide showing {self.diagnosis}",
            f"a tissue section of {self.diagnosis}",
            f"a histology slide showing {self.diagnosis} with {crowd} nuclei and {say(self.lumens)} gland lumens",
            f"tissue with a {'blue' if self.bluish else 'pink'} stain and {crowd} nuclei: {self.diagnosis}",
        )

    def questions(self) -> tuple[Question, ...]:
        """See Scene."""
        rng = np.random.default_rng([self.seed, 1])
        names = ("benign", "low grade", "high grade")
        steps = ("no treatment", "surgery", "surgery and chemotherapy")
        grade = self.classes.index(self.diagnosis)
        colour, other = ("blue", "pink") if self.bluish else ("pink", "blue")
        return (
            yes_no("Is a gland lumen visible?", self.lumens > 0, "understanding"),
            yes_no("Are the nuclei crowded?", self.crowding > 0.5, "understanding"),
            yes_no("Is this tissue malignant?", self.malignant, "reasoning"),
            yes_no("Is this a high-grade tumour?", grade == 2, "reasoning"),
            choice(rng, "Which colour dominates the stain?", colour, (other,), "understanding"),
            choice(rng, "What is the best treatment?", steps[grade], tuple(s for s in steps if s != steps[grade]), "reasoning"),
            Question("open", "How many gland lumens are visible?", say(self.lumens), "understanding"),
            Question("open", "What is the grade of this tissue?", names[grade], "reasoning"),
        )
