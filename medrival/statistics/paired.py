"""Comparisons of two models on the same samples.

Sources: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapters 15-16 (tests); Davison & Hinkley, Bootstrap
Methods and their Application (1997) for the +1 in the p-value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medrival.statistics.bootstrap import LEVEL, Floats, Statistic, draws, interval, why_no_interval


@dataclass(frozen=True)
class Difference:
    """First minus second on the same samples, with its 95% interval and two-sided p-value; None where undefined."""

    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    n: int
    reason: str = ""


def two_sided_p(draws: Floats) -> float | None:
    """How surprising these resampled differences are if there is none.

    p = min(1, 2 (1 + min(#{d <= 0}, #{d >= 0})) / (B + 1)) over the B differences that are defined; never 0.
    """
    defined = draws[np.isfinite(draws)]
    if not defined.size:
        return None
    smaller_tail = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (1 + smaller_tail) / (defined.size + 1))


def difference(
    first: Sequence[Statistic],
    second: Sequence[Statistic],
    groups: Sequence[str],
    *,
    level: float = LEVEL,
    seed: int = 0,
    resamples: int = 1000,
) -> Difference:
    """First minus second, both under the same weights in every resample: what varies in common cancels.

    Either side is a statistic a seed of training; its value is their mean, and where there are several they are drawn with
    replacement, too, for another training might have given others.
    """
    every = (*first, *second)
    n, reason = min(s.n for s in every), next((s.undefined for s in every if s.undefined), "")
    if reason:
        return Difference(None, None, None, None, n, reason)
    drawn = draws(every, groups, seed, resamples)
    dice = np.random.default_rng([seed, len(every)])
    gaps = _over_seeds(drawn[: len(first)], dice) - _over_seeds(drawn[len(first) :], dice)
    low, high = interval(gaps, level)
    value = float(np.mean([s.point for s in first]) - np.mean([s.point for s in second]))
    return Difference(value, low, high, two_sided_p(gaps), n, why_no_interval(low))


def _over_seeds(drawn: Floats, dice: np.random.Generator) -> Floats:
    """The mean over seeds drawn with replacement, in each resample: [seeds, resamples] -> [resamples]."""
    picks = dice.integers(len(drawn), size=drawn.shape)
    mean: Floats = np.take_along_axis(drawn, picks, axis=0).mean(axis=0)
    return mean
