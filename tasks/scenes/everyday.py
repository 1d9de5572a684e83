"""Everyday pictures, what general pretraining sees: shapes and digits of some colour and number on a textured ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medrival.tasks.scenes import Question, choice, say, seed_of, yes_no
from medrival.tasks.scenes.drawing import PLANE, Bitmap, Pixels, Plane, blend, clouds, develop, wobbly

COLOURS = {
    "red": (0.85, 0.15, 0.12),
    "green": (0.15, 0.60, 0.20),
    "blue": (0.15, 0.25, 0.80),
    "yellow": (0.95, 0.85, 0.20),
    "orange": (0.95, 0.55, 0.10),
    "purple": (0.50, 0.20, 0.60),
    "black": (0.08, 0.08, 0.08),
    "white": (0.97, 0.97, 0.97),
}
CORNERS = {"triangle": 3, "square": 4, "hexagon": 6}
SHAPES = ("circle", "ring", "star", *CORNERS)
THINGS = (*SHAPES, *(f"digit {number}" for number in range(10)))
GROUNDS = ("plain", "striped", "cloudy", "dotted")
SEGMENTS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")
"""Which strokes of a seven-segment display make each digit."""
STROKES = {
    "a": ((-1, -2), (1, -2)),
    "b": ((1, -2), (1, 0)),
    "c": ((1, 0), (1, 2)),
    "d": ((-1, 2), (1, 2)),
    "e": ((-1, 0), (-1, 2)),
    "f": ((-1, -2), (-1, 0)),
    "g": ((-1, 0), (1, 0)),
}


@dataclass(frozen=True)
class Everyday:
    """One picture of one to four equal things.

    Attributes:
        thing: one of THINGS.
        large, rough: of the things; a rough outline is uneven.
        side: half of the picture in which a single thing lies.
        seed: decides places, shades and grain.
    """

    thing: str
    colour: str
    count: int
    large: bool
    rough: bool
    ground: str
    side: str
    seed: int

    @classmethod
    def imagine(cls, rng: np.random.Generator) -> Everyday:
        """A random scene."""
        return cls(
            thing=str(rng.choice(SHAPES) if rng.random() < 0.7 else rng.choice(THINGS)),
            colour=str(rng.choice(list(COLOURS))),
            count=int(rng.choice([1, 1, 2, 3, 4])),
            large=bool(rng.random() < 0.5),
            rough=bool(rng.random() < 0.5),
            ground=str(rng.choice(GROUNDS)),
            side=str(rng.choice(["left", "right"])),
            seed=seed_of(rng),
        )

    def draw(self) -> Bitmap:
        """See Scene."""
        rng = np.random.default_rng(self.seed)
        picture = self._ground(rng)
        radius = (0.34 if self.large else 0.2) * rng.uniform(0.85, 1.15)
        ink = np.clip(np.array(COLOURS[self.colour]) + rng.normal(0, 0.04, 3), 0, 1)
        for x, y in self._places(rng, radius):
            blend(picture, self._mask(rng, x, y, radius), (ink[0], ink[1], ink[2]))
        return develop(picture, rng, gain=rng.normal(1, 0.07), noise=rng.uniform(0.005, 0.04))

    def _ground(self, rng: np.random.Generator) -> Pixels:
        base = rng.uniform(0.3, 0.75, 3)
        turned = PLANE.moved(0, 0, angle=rng.uniform(0, np.pi))
        waves = rng.uniform(8, 20)
        texture = {
            "plain": np.zeros_like(PLANE.x),
            "striped": 0.12 * np.sign(np.sin(waves * turned.x)),
            "cloudy": 0.1 * clouds(rng, int(rng.integers(3, 9))),
            "dotted": 0.25 * (np.sin(waves * turned.x) * np.sin(waves * turned.y) > 0.5),
        }[self.ground]
        return (base + texture[..., None]).astype(np.float32)

    def _places(self, rng: np.random.Generator, radius: float) -> list[tuple[float, float]]:
        if self.count == 1:
            x = rng.uniform(0.3, 0.6) * (-1 if self.side == "left" else 1)
            return [(x, rng.uniform(-0.5, 0.5))]
        quarters = rng.permutation([(-1, -1), (-1, 1), (1, -1), (1, 1)])[: self.count]
        spread = 0.9 - radius
        return [(x * rng.uniform(0.4, spread), y * rng.uniform(0.4, spread)) for x, y in quarters]

    def _mask(self, rng: np.random.Generator, x: float, y: float, radius: float) -> Pixels:
        plane, angle = PLANE.moved(x, y, angle=rng.normal(0, 0.15)), np.linspace(0, 2 * np.pi, 72, endpoint=False)
        if self.thing.startswith("digit"):
            return _digit(plane, int(self.thing[-1]), radius)
        outline = wobbly(rng, radius, 0.1 if self.rough else 0.0)
        if self.thing == "star":
            outline *= (0.7 + 0.3 * np.cos(5 * angle)).astype(np.float32)
        if self.thing in CORNERS:
            part = 2 * np.pi / CORNERS[self.thing]
            outline *= (np.cos(part / 2) / np.cos((angle + 0.4) % part - part / 2)).astype(np.float32)
        mask = plane.blob(0, 0, outline)
        return mask - plane.blob(0, 0, outline * rng.uniform(0.35, 0.75)) if self.thing == "ring" else mask

    @property
    def _things(self) -> str:
        return self.thing if self.count == 1 else f"{self.thing}s"

    def captions(self) -> tuple[str, ...]:
        """See Scene."""
        number = "a" if self.count == 1 else say(self.count)
        size, edge = "large" if self.large else "small", "rough" if self.rough else "smooth"
        place = f"on the {self.side} of" if self.count == 1 else "on"
        return (
            f"{number} {self.colour} {self._things}",
            f"a picture of {number} {size} {self._things}",
            f"{number} {edge} {self.colour} {self._things} {place} a {self.ground} picture",
            f"{self.colour} {self._things} on {self.ground} ground",
        )

    def questions(self) -> tuple[Question, ...]:
        """See Scene."""
        rng = np.random.default_rng([self.seed, 1])
        hues, kinds = ([str(v) for v in rng.permutation(pool)] for pool in (list(COLOURS), SHAPES))
        colours = tuple(c for c in hues if c != self.colour)[: rng.integers(1, 4)]
        things = tuple(t for t in kinds if t != self.thing)[: rng.integers(1, 4)]
        hue = self.colour if rng.random() < 0.5 else colours[0]
        kind = self.thing if rng.random() < 0.5 else things[0]
        asked = [
            yes_no(f"Is there a {kind}?", kind == self.thing, "understanding"),
            yes_no(f"Is something {hue}?", hue == self.colour, "understanding"),
            yes_no("Are there more than two things?", self.count > 2, "reasoning"),
            yes_no("Are the things large?", self.large, "understanding"),
            choice(rng, "What is in the picture?", self.thing, things, "understanding"),
            choice(rng, "Which colour is it?", self.colour, colours, "understanding"),
            Question("open", "How many things are there?", say(self.count), "understanding"),
            Question("open", "Which colour is it?", self.colour, "understanding"),
            Question("open", "What is in the picture?", self.thing, "understanding"),
        ]
        if self.count == 1:
            asked += [
                Question("open", "Where is it?", self.side, "understanding"),
                yes_no("Is it on the left?", self.side == "left", "understanding"),
            ]
        return tuple(asked)


def _digit(plane: Plane, number: int, radius: float) -> Pixels:
    lines = [plane.stroke(np.array(STROKES[name]) * radius / 2.2, 0.25 * radius) for name in SEGMENTS[number]]
    return np.maximum.reduce(lines)
