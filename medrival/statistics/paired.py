"""Comparisons of two models on the same samples: what varies in common cancels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medrival.statistics.bootstrap import draws, interval, two_sided_p
from medrival.statistics.clusters import Clusters
from medrival.statistics.estimate import LEVEL, TOO_FEW, of_undefined, too_few, undefined
from medrival.statistics.spread import FEWEST, Spread, gap_error, gap_interval, over_seeds, spread
from medrival.statistics.statistic import Floats, Statistic

SMALLEST_P = 1e-15
"""Below it a p-value says no more than that it is small."""


@dataclass(frozen=True)
class Difference:
    """First minus second on the same samples, with its interval and two-sided p-value; None where undefined.

    The interval excludes 0 exactly where the p-value is below 1 - level.

    Attributes:
        n: how many samples either is computed from, the smaller number.
        level: of the interval; its ends are one-sided bounds at the confidence (1 + level) / 2.
        standard_error: from samples and seeds.
        method: "recovered" from the two intervals and the correlation of the models (see `spread`), or "percentile".
        caution: why the interval may not cover as often as it says, or "".
        undefined_resamples: in how many resamples of a bootstrap it is undefined; the interval is of the others.
    """

    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    n: int
    reason: str = ""
    level: float = LEVEL
    standard_error: float | None = None
    method: Literal["recovered", "percentile", ""] = ""
    caution: str = ""
    undefined_resamples: int = 0


def difference(
    first: Sequence[Statistic],
    second: Sequence[Statistic],
    groups: Sequence[str],
    *,
    level: float = LEVEL,
    seed: int = 0,
    resamples: int = 2000,
    method: Literal["", "percentile"] = "",
) -> Difference:
    """First minus second.

    Either side is a statistic a seed of training; its value is their mean, and how much seeds differ widens the interval, for
    another training might have given others.

    Args:
        first: one statistic a seed.
        second: likewise, of the same samples.
        groups: the cluster of each sample.
        level: of the interval.
        seed: of the resamples.
        resamples: of the bootstrap, where one is needed.
        method: "percentile" for the bootstrap; else it serves only where a statistic does not know its influence values.
    """
    every = (*first, *second)
    n, reason = min(s.n for s in every), next((s.undefined for s in every if s.undefined), "")
    if reason:
        return Difference(None, None, None, None, n, reason, level)
    clusters = Clusters.of(groups)
    value = float(np.mean([s.point for s in first]) - np.mean([s.point for s in second]))
    if method or any(s.influence is None for s in every):
        return _resampled(first, second, clusters, value, n, level, seed, resamples)
    sides = [[spread(one, clusters) for one in side] for side in (first, second)]
    known = [over_seeds([one for one in side if one is not None]) for side in sides if all(side)]
    if len(known) < 2:
        return Difference(value, None, None, None, n, TOO_FEW, level)
    ours, theirs = known
    low, high = (float(end) for end in gap_interval(ours, theirs, level))
    return Difference(
        value,
        low,
        high,
        _p_value(ours, theirs),
        n,
        level=level,
        standard_error=float(gap_error(ours, theirs)),
        method="recovered",
        caution=too_few(min(ours.fewest, theirs.fewest), max(ours.enough, theirs.enough)),
    )


def _p_value(first: Spread, second: Spread) -> float:
    """One minus the highest level at which the interval excludes 0, by bisection of its logarithm."""
    if first.point == second.point:
        return 1.0

    def excludes_zero(p: float) -> bool:
        low, high = gap_interval(first, second, 1 - p)
        return bool(low > 0 or high < 0)

    small, large = np.log(SMALLEST_P), 0.0
    if excludes_zero(SMALLEST_P):
        return SMALLEST_P
    for _ in range(50):
        middle = (small + large) / 2
        small, large = (small, middle) if excludes_zero(np.exp(middle)) else (middle, large)
    return float(np.exp(large))


def _resampled(
    first: Sequence[Statistic],
    second: Sequence[Statistic],
    clusters: Clusters,
    value: float,
    n: int,
    level: float,
    seed: int,
    resamples: int,
) -> Difference:
    """The paired bootstrap: clusters are drawn with replacement, and seeds of training where there are several."""
    drawn = draws((*first, *second), clusters, seed, resamples)
    dice = np.random.default_rng([seed, len(first) + len(second)])
    gaps = _over_seeds(drawn[: len(first)], dice) - _over_seeds(drawn[len(first) :], dice)
    low, high = interval(gaps, level)
    if low is None:
        return Difference(value, None, None, None, n, TOO_FEW, level, undefined_resamples=gaps.size)
    lost = undefined(gaps)
    return Difference(
        value,
        low,
        high,
        two_sided_p(gaps),
        n,
        level=level,
        standard_error=float(np.nanstd(gaps, ddof=1)) if gaps.size - lost > 1 else None,
        method="percentile",
        caution="; ".join(filter(None, [too_few(clusters.count, FEWEST[0]), of_undefined(lost, gaps.size)])),
        undefined_resamples=lost,
    )


def _over_seeds(drawn: Floats, dice: np.random.Generator) -> Floats:
    """The mean over seeds drawn with replacement, in each resample: [seeds, resamples] -> [resamples]."""
    picks = dice.integers(len(drawn), size=drawn.shape)
    mean: Floats = np.take_along_axis(drawn, picks, axis=0).mean(axis=0)
    return mean
