"""Where words find room in a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

LETTER = 5.9  # pixels, the mean width of a letter of 11 pixels
LINE = 13  # pixels, the height of a line of it


def spread(places: Sequence[float], gap: float) -> list[float]:
    """The places, moved as little as it takes (in squares) for any two to be `gap` apart, in the same order."""
    order = np.argsort(places, kind="stable")
    steps = np.arange(len(order)) * gap
    moved = np.empty(len(order))
    if len(order):
        moved[order] = isotonic_regression(np.asarray(places, dtype=float)[order] - steps).x + steps
    return [float(place) for place in moved]


@dataclass(frozen=True)
class Place:
    """Where the words of a point stand: `x`, `y` in pixels, and whether they begin or end there."""

    x: float
    y: float
    align: str


def beside(points: Sequence[tuple[float, float]], texts: Sequence[str], width: float, height: float) -> list[Place | None]:
    """A place beside each point (in pixels), None where its words would lie on others or on a point; the first come first."""
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    places: list[Place | None] = []
    for (x, y), text in zip(points, texts, strict=True):
        long = LETTER * len(text)
        tries = [(x - 4, y - LINE, "right"), (x + 4, y - LINE, "left"), (x + 9, y, "left"), (x - 9, y, "right")]
        tries += [(x + 4, y + LINE, "left"), (x - 4, y + LINE, "right")]
        chosen = None
        for left, middle, align in tries:
            start = left if align == "left" else left - long
            box = (start, middle - LINE / 2, start + long, middle + LINE / 2)
            if box[0] >= 0 and box[2] <= width and box[1] >= 0 and box[3] <= height and not any(_meet(box, b) for b in taken):
                chosen = Place(left, middle, align)
                taken.append(box)
                break
        places.append(chosen)
    return places


def _meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
