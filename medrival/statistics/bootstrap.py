"""The cluster bootstrap: whole groups (patients) are drawn with replacement.

Samples of one patient resemble each other and are no independent evidence. A resample is a row of weights: how often
each sample was drawn.

Sources: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13 (percentile interval); Field & Welsh,
Bootstrapping clustered data (2007).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95
WEIGHTS_AT_ONCE = 1_000_000
"""Entries of the weight matrix held in memory at a time: 8 MB."""


@dataclass(frozen=True)
class Statistic:
    """A number computed from samples, now and under any weights of the samples.

    Attributes:
        point: its value on the samples as they are; NaN where it is undefined.
        resampled: weights [resamples, samples] -> its value under each row [resamples], NaN where undefined.
        n: how many samples it is computed from.
        undefined: why `point` is NaN, or "".
        influence: [samples], such that the statistic under weights is about point + sum of weights * influence; for a mean
            (value - mean) / n. None where nobody worked it out.
        bounds: the range of the statistic, (0, 1) for a share or an area; None where it has none.
    """

    point: float
    resampled: Callable[[Floats], Floats]
    n: int
    undefined: str = ""
    influence: Floats | None = None
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval; None where undefined, with the reason."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str = ""


def mean_of(values: Floats) -> Statistic:
    """The mean over the samples that have a value; NaN marks those that have none."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    point = float(values[known].mean()) if known.any() else np.nan

    def resampled(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            mean: Floats = (weights @ filled) / (weights @ known.astype(float))
        return mean

    return Statistic(point, resampled, int(known.sum()), "" if known.any() else "no sample has a value")


def resample(groups: Sequence[str], resamples: int, seed: int) -> Iterator[Floats]:
    """How often each sample is drawn when whole groups are drawn with replacement.

    Yields:
        Weights [rows, samples], a few rows at a time, `resamples` rows in all; a group's do not depend on the order of
        samples.
    """
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    count, rows = len(names), max(1, WEIGHTS_AT_ONCE // max(len(groups), 1))
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, rows):
        drawn = generator.integers(count, size=(min(rows, resamples - start), count))
        cells = drawn + count * np.arange(len(drawn))[:, None]
        times = np.bincount(cells.ravel(), minlength=drawn.size).reshape(drawn.shape)
        yield times[:, member].astype(np.float64)


def interval(draws: Floats, level: float = LEVEL) -> tuple[float, float] | tuple[None, None]:
    """The percentile interval of the resampled values that are defined; (None, None) where none is."""
    defined = draws[np.isfinite(draws)]
    if not defined.size:
        return None, None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def estimates(
    statistics: Mapping[str, Statistic], groups: Sequence[str], *, seed: int = 0, resamples: int = 1000
) -> dict[str, Estimate]:
    """Each statistic with its interval, all from the same resamples. `groups` names the cluster of each sample."""
    drawn = draws(list(statistics.values()), groups, seed, resamples)
    return {name: _estimate(statistic, row) for (name, statistic), row in zip(statistics.items(), drawn, strict=True)}


def draws(statistics: Sequence[Statistic], groups: Sequence[str], seed: int, resamples: int) -> Floats:
    """The statistics [statistics, resamples] under the same resamples; none where there is but one group."""
    if resamples < 1 or len(set(groups)) < 2:  # one group drawn again and again varies in nothing: no interval
        return np.empty((len(statistics), 0))
    chunks = resample(groups, resamples, seed)
    return np.concatenate([np.stack([s.resampled(weights) for s in statistics]) for weights in chunks], axis=1)


def _estimate(statistic: Statistic, draws: Floats) -> Estimate:
    if statistic.undefined:
        return Estimate(None, None, None, statistic.n, statistic.undefined)
    low, high = interval(draws)
    return Estimate(float(statistic.point), low, high, statistic.n, why_no_interval(low))


def why_no_interval(low: float | None) -> str:
    """The reason that goes with an interval that could not be had."""
    return "no interval: too few groups of samples" if low is None else ""
