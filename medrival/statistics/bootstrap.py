"""The cluster bootstrap: whole groups (patients) are drawn with replacement.

Samples of one patient resemble each other and are no independent evidence. A resample is a row of weights: how often
each sample was drawn.

Sources: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 (percentile interval), 14 (BCa) and 15-16
(tests); Field & Welsh, Bootstrapping clustered data (2007); Davison & Hinkley, Bootstrap Methods and their Application (1997)
for the +1 in the p-value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from medrival.statistics.clusters import Clusters
from medrival.statistics.statistic import Floats, Statistic, quotient

WEIGHTS_AT_ONCE = 1_000_000
"""Entries of the weight matrix held in memory at a time: 8 MB."""

Limits = tuple[float, float] | tuple[None, None]


def resample(clusters: Clusters, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each cluster is drawn when as many as there are are drawn with replacement.

    Yields:
        Weights [rows, clusters], a few rows at a time, `resamples` rows in all.
    """
    count, rows = clusters.count, max(1, WEIGHTS_AT_ONCE // max(len(clusters.member), 1))
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, rows):
        drawn = generator.integers(count, size=(min(rows, resamples - start), count))
        times = np.empty(drawn.shape)
        for row, picks in enumerate(drawn):  # a row at a time: its counters stay in the processor's cache
            times[row] = np.bincount(picks, minlength=count)
        yield times


def draws(statistics: Sequence[Statistic], clusters: Clusters, seed: int, resamples: int) -> Floats:
    """The statistics [statistics, resamples] under the same resamples; none where there is but one group.

    Ratios of sums are summed over each cluster first and resampled in one matrix product.
    """
    if not statistics or resamples < 1 or clusters.count < 2:  # one group drawn again and again varies in nothing: no interval
        return np.empty((len(statistics), 0))
    ratios = [i for i, one in enumerate(statistics) if one.ratio is not None]
    others = [i for i, one in enumerate(statistics) if one.ratio is None]
    sums = np.concatenate([clusters.sums(one.ratio) for one in statistics if one.ratio is not None]).T if ratios else None
    found, start = np.empty((len(statistics), resamples)), 0
    for times in resample(clusters, resamples, seed):
        stop = start + len(times)
        if sums is not None:
            totals = (times @ sums).T
            found[ratios, start:stop] = quotient(totals[::2], totals[1::2])
        if others:
            weights = times[:, clusters.member]
            for i in others:
                found[i, start:stop] = statistics[i].resampled(weights)
        start = stop
    return found


def without_each(statistic: Statistic, clusters: Clusters) -> Floats:
    """The statistic without each cluster in turn [clusters]: the jackknife."""
    if statistic.ratio is not None:
        above, below = statistic.ratio.sum(axis=1, keepdims=True) - clusters.sums(statistic.ratio)
        return quotient(above, below)
    rows = max(1, WEIGHTS_AT_ONCE // max(len(clusters.member), 1))
    left_out = [np.arange(start, min(start + rows, clusters.count)) for start in range(0, clusters.count, rows)]
    return np.concatenate([statistic.resampled((clusters.member != out[:, None]).astype(np.float64)) for out in left_out])


def interval(draws: Floats, level: float) -> Limits:
    """The percentile interval of the resampled values that are defined; (None, None) where none is."""
    defined = draws[np.isfinite(draws)]
    if not defined.size:
        return None, None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bca_interval(point: float, draws: Floats, jackknife: Floats, level: float) -> Limits:
    """The bias-corrected and accelerated interval of the resampled values that are defined; (None, None) where none is.

    Where all of them lie on one side of the point, or no cluster moves it, the correction is unknown: the percentile interval.
    """
    from scipy.special import ndtr, ndtri

    defined = draws[np.isfinite(draws)]
    if not defined.size:
        return None, None
    bias = ndtri(((defined < point).mean() + (defined <= point).mean()) / 2)
    pulls = np.nanmean(jackknife) - jackknife[np.isfinite(jackknife)]
    scale = 6 * (pulls**2).sum() ** 1.5
    if not np.isfinite(bias) or scale == 0:
        return interval(draws, level)
    ends = bias + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    low, high = np.quantile(defined, ndtr(bias + ends / (1 - (pulls**3).sum() / scale * ends)))
    return float(low), float(high)


def two_sided_p(draws: Floats) -> float | None:
    """How surprising these resampled differences are if there is none.

    p = min(1, 2 (1 + min(#{d <= 0}, #{d >= 0})) / (B + 1)) over the B differences that are defined; never 0.
    """
    defined = draws[np.isfinite(draws)]
    if not defined.size:
        return None
    smaller_tail = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (1 + smaller_tail) / (defined.size + 1))
