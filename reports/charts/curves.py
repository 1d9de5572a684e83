"""The points of ROC and calibration curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medrival.tasks.metrics.calibration import BINS, bin_of
from medrival.tasks.metrics.diagnosed import Diagnosed

Floats = NDArray[np.float64]
TOLERANCE = 0.002
"""How far a thinned curve may lie from the whole one: half a pixel of 250."""


@dataclass(frozen=True)
class Curve:
    """Points from left to right, `x` and `y` [points]."""

    x: Floats
    y: Floats

    @property
    def area(self) -> float:
        """Under the lines between the points."""
        return float(np.trapezoid(self.y, self.x))


@dataclass(frozen=True)
class Bin:
    """Samples of about the same confidence: how sure the model is on average, how often it is right, how many they are."""

    confidence: float
    accuracy: float
    n: int


def roc(samples: Diagnosed) -> Curve | None:
    """True over false positive rate: of the last of two classes, else the mean of all classes, each against the rest.

    Its area is the task's AUROC. None where that is undefined: a class has no sample, or every one.
    """
    columns = [1] if len(samples.classes) == 2 else range(len(samples.classes))
    members = [samples.members[:, column] for column in columns]
    if not members or any(member.all() or not member.any() for member in members):
        return None
    return macro([_roc(member, samples.scores[:, column]) for member, column in zip(members, columns, strict=True)])


def macro(curves: Sequence[Curve]) -> Curve:
    """The mean of several curves at every false positive rate at which one of them bends, its vertical steps kept."""
    if len(curves) == 1:
        return curves[0]
    grid = np.unique(np.concatenate([curve.x for curve in curves]))
    sides = [_sides(curve, grid) for curve in curves]
    before, after = (np.mean([side[i] for side in sides], axis=0) for i in (0, 1))
    return Curve(np.repeat(grid, 2), np.stack([before, after], axis=1).ravel())


def thinned(curve: Curve, tolerance: float = TOLERANCE) -> Curve:
    """The fewest of its points that the method of Douglas and Peucker (1973) needs to stay within the tolerance."""
    points = np.stack([curve.x, curve.y], axis=1)
    kept = np.zeros(len(points), dtype=np.bool_)
    kept[[0, -1]] = True
    parts = [(0, len(points) - 1)]
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        gaps = _off(points[first + 1 : last], points[first], points[last])
        if gaps.max() > tolerance:
            furthest = first + 1 + int(gaps.argmax())
            kept[furthest] = True
            parts += [(first, furthest), (furthest, last)]
    return Curve(*points[kept].T)


def calibration(samples: Diagnosed) -> list[Bin]:
    """The bins of the expected calibration error that hold samples; one that failed is sure of a wrong class, as there.

    Raises:
        Undefined: the scores are no probabilities of exclusive classes.
    """
    sure, right = samples.probabilities.max(axis=1), samples.hits
    of = bin_of(sure)
    held = [of == one for one in range(BINS)]
    return [Bin(float(sure[own].mean()), float(right[own].mean()), int(own.sum())) for own in held if own.any()]


def _roc(member: NDArray[np.bool_], score: Floats) -> Curve:
    from sklearn.metrics import roc_curve

    false, true, _ = roc_curve(member, score)
    return Curve(false, true)


def _sides(curve: Curve, grid: Floats) -> tuple[Floats, Floats]:
    """Its height just left and just right of each place of the grid."""
    places = np.unique(curve.x)
    lowest = curve.y[np.searchsorted(curve.x, places, side="left")]
    highest = curve.y[np.searchsorted(curve.x, places, side="right") - 1]
    i = np.clip(np.searchsorted(places, grid, side="right") - 1, 0, len(places) - 2)
    share = (grid - places[i]) / (places[i + 1] - places[i])
    between = highest[i] + share * (lowest[i + 1] - highest[i])
    at = np.searchsorted(places, grid).clip(0, len(places) - 1)
    bends = places[at] == grid
    return np.where(bends, lowest[at], between), np.where(bends, highest[at], between)


def _off(points: Floats, start: Floats, end: Floats) -> Floats:
    """How far each point lies from the line between two."""
    along = end - start
    length = float(np.hypot(*along))
    away = points - start
    if length == 0:
        return np.hypot(away[:, 0], away[:, 1])
    gaps: Floats = np.abs(along[0] * away[:, 1] - along[1] * away[:, 0]) / length
    return gaps
