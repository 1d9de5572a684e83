"""Pixels from numbers: soft-edged shapes, smooth noise and the camera, on a plane from -1 to 1 with y downwards."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = 128
"""Pixels along each side of every drawn image."""

Pixels = NDArray[np.float32]
Bitmap = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Plane:
    """The coordinates of every pixel, two arrays of [height, width]; shapes are masks from 0 to 1 on it."""

    x: Pixels
    y: Pixels

    def moved(self, dx: float, dy: float, angle: float = 0.0, zoom: float = 1.0) -> Plane:
        """The plane of a subject shifted by (dx, dy), turned by `angle` (radians) and enlarged by `zoom`."""
        u, v, cos, sin = self.x - dx, self.y - dy, np.cos(angle) / zoom, np.sin(angle) / zoom
        return Plane((cos * u + sin * v).astype(np.float32), (cos * v - sin * u).astype(np.float32))

    def window(self, cx: float, cy: float, radius: float) -> tuple[slice, slice]:
        """The rows and columns within `radius` of a point of an unmoved plane; small shapes are drawn there only."""
        half = SIZE / 2
        bounds = [(int(max(0, (c - radius + 1) * half)), int(min(SIZE, (c + radius + 1) * half + 2))) for c in (cy, cx)]
        return slice(*bounds[0]), slice(*bounds[1])

    def crop(self, window: tuple[slice, slice]) -> Plane:
        """The part of the plane in a window."""
        return Plane(self.x[window], self.y[window])

    def ellipse(self, cx: float, cy: float, rx: float, ry: float, angle: float = 0.0, soft: float = 0.03) -> Pixels:
        """An ellipse whose edge fades over `soft`."""
        turned = self.moved(cx, cy, angle)
        distance = np.hypot(turned.x / rx, turned.y / ry)
        return np.clip((1 - distance) * min(rx, ry) / soft + 0.5, 0, 1)

    def blob(self, cx: float, cy: float, radii: Pixels, angle: float = 0.0, soft: float = 0.03) -> Pixels:
        """A closed outline given by its radius in equally spaced directions, counted from `angle`."""
        turned = self.moved(cx, cy, angle)
        turn = (np.arctan2(turned.y, turned.x) / (2 * np.pi)) % 1 * len(radii)
        edge = np.interp(turn, np.arange(len(radii) + 1), np.append(radii, radii[0]))
        return np.clip((edge - np.hypot(turned.x, turned.y)) / soft + 0.5, 0, 1).astype(np.float32)

    def polygon(self, corners: NDArray[np.float64], soft: float = 0.03) -> Pixels:
        """A convex polygon; corners [n, 2] clockwise on the screen."""
        inside = np.full_like(self.x, np.inf)
        for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            side = ((bx - ax) * (self.y - ay) - (by - ay) * (self.x - ax)) / np.hypot(bx - ax, by - ay)
            inside = np.minimum(inside, side)
        return np.clip(inside / soft + 0.5, 0, 1)

    def stroke(self, points: NDArray[np.float64], width: float, soft: float = 0.02) -> Pixels:
        """A line of constant width through points [n, 2]."""
        nearest = np.full_like(self.x, np.inf)
        for (ax, ay), (bx, by) in pairwise(points):
            dx, dy = bx - ax, by - ay
            along = np.clip(((self.x - ax) * dx + (self.y - ay) * dy) / (dx * dx + dy * dy + 1e-9), 0, 1)
            nearest = np.minimum(nearest, (self.x - ax - along * dx) ** 2 + (self.y - ay - along * dy) ** 2)
        return np.clip((width / 2 - np.sqrt(nearest)) / soft + 0.5, 0, 1).astype(np.float32)


_axis = (np.arange(SIZE, dtype=np.float32) + 0.5) * 2 / SIZE - 1
PLANE = Plane(np.tile(_axis, (SIZE, 1)), np.tile(_axis[:, None], SIZE))
"""The plane of the image itself."""


def clouds(rng: np.random.Generator, cells: int) -> Pixels:
    """Smooth noise [SIZE, SIZE] of mean 0 and deviation about 1, with about `cells` bumps along a side."""
    coarse = Image.fromarray(rng.standard_normal((cells + 2, cells + 2), dtype=np.float32))
    inner = (0.5, 0.5, cells + 1.5, cells + 1.5)
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=inner)) * np.float32(1.25)


def wobbly(rng: np.random.Generator, radius: float, wobble: float, waves: int = 7, points: int = 72) -> Pixels:
    """Radii of an outline around `radius` that `waves` harmonics disturb by the share `wobble` (standard deviation)."""
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    order = np.arange(2, 2 + waves)
    weight = rng.normal(size=waves) / order**0.7
    bumps = weight @ np.sin(order[:, None] * turn + rng.uniform(0, 2 * np.pi, (waves, 1)))
    return (radius * np.clip(1 + 1.6 * wobble * bumps, 0.4, 1.7)).astype(np.float32)


def blend(canvas: Pixels, mask: Pixels, colour: float | tuple[float, float, float]) -> None:
    """Lay a colour over a canvas [h, w] or [h, w, 3], in place, as far as the mask covers it."""
    cover = mask[..., None] if canvas.ndim == 3 else mask
    canvas += cover * (np.asarray(colour, dtype=np.float32) - canvas)


def develop(
    canvas: NDArray[np.floating], rng: np.random.Generator, gain: float = 1.0, gamma: float = 1.0, noise: float = 0.02
) -> Bitmap:
    """The 8-bit RGB image [SIZE, SIZE, 3] that a camera of this exposure and noise makes of a canvas from 0 to 1."""
    exposed = np.clip(gain * canvas, 0, 1) ** np.float32(gamma)
    grained = exposed + noise * rng.standard_normal(canvas.shape, dtype=np.float32)
    bitmap = (np.clip(grained, 0, 1) * 255 + 0.5).astype(np.uint8)
    return bitmap if bitmap.ndim == 3 else np.repeat(bitmap[..., None], 3, axis=2)
