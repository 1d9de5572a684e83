"""How sure one may be of a statistic, from its influence values: the intervals that medrival shows.

Each cluster pulls the statistic by the sum of its samples' influence values, divided by how much of the statistic is not the
cluster's own: for it has moved what it is held against. The sum of squared pulls is the variance. Where each sample is its own
cluster the divisor is the root of that share (CR2), which is unbiased, and DeLong's for an AUROC; else it is the share itself
(CR3, the jackknife's), for the root is too little where the images of a patient are alike. Then

- a statistic with bounds, such as a share or an AUROC, has Wilson's score interval at the effective sample size
  p (1 - p) / variance: as if it were a share of so many independent samples. It stays within the bounds, is skewed as it
  should be near them, and has a length where every answer is right: the effective size is then the number of clusters.
- one without bounds has Student's interval on clusters - 1 degrees of freedom.
- a difference combines the two intervals with the correlation of the pulls (the method of variance estimates recovery), on at
  most the rarest class's clusters - 1 degrees of freedom (Welch's lower bound).

The quantile is Student's, for the effective size is itself estimated: its degrees of freedom are 2 / the relative variance of
the effective size (Satterthwaite), which the pulls give by the delta method. For a share of independent samples the effective
size is known, the degrees are infinite and the interval is Wilson's own. The delta method is too sure of itself the fewer
patients there are to a sample and the rarer the rarest class; there, in that proportion, the relative variance of the variance
takes its place, which is larger, and where patients have several images there are at most clusters - 1 degrees. That proportion
is no theory: of the schemes that were simulated it is the one that held 94-96%, given as many patients as `FEWEST` says; see
`proof`.

Sources: Wilson, JASA 22 (1927) 209-212; Franco, Little, Louis & Slud, Journal of Survey Statistics and Methodology 7 (2019)
334-364 (Wilson at the effective sample size, for clustered samples); Bell & McCaffrey, Survey Methodology 28 (2002) 169-181
(CR2 and CR3); Satterthwaite, Biometrics Bulletin 2 (1946) 110-114; Newcombe, Statistics in Medicine 17 (1998) 2635-2650, and
Zou & Donner, Statistics in Medicine 27 (2008) 1693-1702 (differences).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medrival.statistics.clusters import Clusters
from medrival.statistics.statistic import UNCOUNTED, Floats, Statistic, Strata

FEWEST = (25, 90)
"""Clusters of the rarest class that it takes for 95% intervals to cover 94-96%: where all classes are equally frequent, and
where one is very rare; linear in how rare between the two. With fewer, 91 to 98% was simulated: at an AUROC of 0.95, 93.6% with
30 positives among 1,000 patients; with 57 of 1,140 a gate passed a model worse by its margin in 5.6%."""
NOTHING = 1e-20
"""Variances below it, in units of the bounds, are rounding errors of 0."""


@dataclass(frozen=True)
class Spread:
    """A statistic and how each cluster pulls it. All but the last axis of `point` and `pulls` are replicates.

    Attributes:
        point: [...].
        pulls: [..., clusters], whose squares sum to the variance that the samples cause.
        counted: [clusters], whether the cluster has a sample that counts.
        fewest: clusters of the stratum that has the fewest.
        effective: the same, as of equal size (Kish: (sum of sizes)^2 / sum of squared sizes).
        alone: whether each sample is its own cluster.
        plain: fewest * strata / samples: 1 where each sample is its own cluster and the strata are equally large.
        balance: fewest * strata / clusters, at most 1: 1 where the strata are equally frequent, near 0 where one is rare.
        bounds: the statistic's range, or None.
        training: variance that seeds of training cause, and its degrees of freedom.
    """

    point: Floats
    pulls: Floats
    counted: NDArray[np.bool_]
    fewest: int
    effective: float
    alone: bool
    plain: float
    balance: float
    bounds: tuple[float, float] | None
    training: tuple[float, int] = (0.0, 0)

    @cached_property
    def variance(self) -> Floats:
        """Of the statistic, from samples and seeds."""
        total: Floats = (self.pulls**2).sum(axis=-1) + self.training[0]
        return total

    @cached_property
    def freedom(self) -> Floats:
        """Degrees of freedom of the variance, or of the effective sample size."""
        most = self.counted.sum() - 1
        sampled = (self.pulls**2).sum(axis=-1)
        doubt = self._doubt()
        free = 2 / np.maximum(doubt, 1e-12)
        free = free if self.alone and self.bounds is not None else np.minimum(free, most)
        free = np.maximum(np.where(sampled > NOTHING, free, most), 1.0)
        seeds, of_seeds = self.training
        if not seeds:
            return free
        combined: Floats = self.variance**2 / (sampled**2 / free + seeds**2 / of_seeds)
        return combined

    @property
    def enough(self) -> int:
        """Clusters of the rarest stratum at which the interval covers as often as it says."""
        balanced, rare = FEWEST
        return round(rare + (balanced - rare) * self.balance)

    def interval(self, level: float, most_freedom: float = np.inf) -> tuple[Floats, Floats]:
        """Lower and upper limit [...] at this confidence; `most_freedom` caps the degrees of freedom."""
        from scipy.special import stdtrit

        quantile = stdtrit(np.minimum(self.freedom, most_freedom), (1 + level) / 2)
        if self.bounds is None:
            half = quantile * np.sqrt(self.variance)
            return self.point - half, self.point + half
        start, width = self.bounds[0], self.bounds[1] - self.bounds[0]
        low, high = wilson(self._share(), self.size, quantile)
        return start + width * low, start + width * high

    @cached_property
    def size(self) -> Floats:
        """The effective sample size, of a statistic with bounds."""
        share, variance = self._share(), self._scaled(self.variance)
        known = (variance > NOTHING) & (share > 0) & (share < 1)
        return np.where(known, share * (1 - share) / np.where(known, variance, 1.0), self.effective)

    def _doubt(self) -> Floats:
        """Relative variance of the effective sample size; without bounds, 0: only the number of clusters counts."""
        sampled = (self.pulls**2).sum(axis=-1, keepdims=True)
        if self.bounds is None:
            return np.zeros(sampled.shape[:-1])
        share = self._share()[..., None]
        spread = np.where(self.counted, self.pulls**2 / np.maximum(sampled, NOTHING) - 1 / self.counted.sum(), 0.0)
        slope = (1 - 2 * share) / np.maximum(share * (1 - share), NOTHING)
        residual = spread - slope * self.pulls / (self.bounds[1] - self.bounds[0])
        doubt: Floats = self.plain * (residual**2).sum(axis=-1) + (1 - self.plain) * (spread**2).sum(axis=-1)
        return doubt

    def _share(self) -> Floats:
        assert self.bounds is not None
        return np.clip((self.point - self.bounds[0]) / (self.bounds[1] - self.bounds[0]), 0.0, 1.0)

    def _scaled(self, variance: Floats) -> Floats:
        assert self.bounds is not None
        return variance / (self.bounds[1] - self.bounds[0]) ** 2


def spread(statistic: Statistic, clusters: Clusters) -> Spread | None:
    """What the influence values say; None where there are none, or a class is of a single cluster."""
    if statistic.influence is None:
        return None
    return spread_of(np.float64(statistic.point), statistic.influence, clusters, statistic.strata, statistic.bounds)


def spread_of(
    point: Floats | np.float64,
    influence: Floats,
    clusters: Clusters,
    strata: Strata | None,
    bounds: tuple[float, float] | None,
) -> Spread | None:
    """As `spread`, for any number of replicates at once: point [...], influence [..., samples]."""
    strata = np.zeros(len(clusters.member), np.intp) if strata is None else strata
    sizes, counted = clusters.sizes(strata), strata != UNCOUNTED
    fewest = int((sizes > 0).sum(axis=1).min()) if counted.any() else 0
    if fewest < 2:
        return None
    shares, alone = sizes / sizes.sum(axis=1, keepdims=True), bool(sizes.sum(axis=0).max() <= 1)
    others = np.ones(len(strata))
    others[counted] -= shares[np.unique(strata[counted], return_inverse=True)[1], clusters.member[counted]]
    return Spread(
        point=np.asarray(point),
        pulls=clusters.sums(influence / (np.sqrt(others) if alone else others)),
        counted=sizes.sum(axis=0) > 0,
        fewest=fewest,
        effective=float((1 / (shares**2).sum(axis=1)).min()),
        alone=alone,
        plain=fewest * len(sizes) / int(counted.sum()),
        balance=min(fewest * len(sizes) / int((sizes.sum(axis=0) > 0).sum()), 1.0),
        bounds=bounds,
    )


def over_seeds(spreads: Sequence[Spread]) -> Spread:
    """The mean over seeds of training on the same samples; how much they differ adds to the variance."""
    points = np.stack([one.point for one in spreads])
    count = len(spreads)
    between = float(points.var(ddof=1) / count) if count > 1 else 0.0
    return replace(
        spreads[0],
        point=points.mean(axis=0),
        pulls=np.mean([one.pulls for one in spreads], axis=0),
        training=(between, count - 1),
    )


def wilson(share: Floats, size: Floats, quantile: Floats) -> tuple[Floats, Floats]:
    """Wilson's score interval of a share of `size` samples, at a quantile of the standard normal or Student's t."""
    shrink = 1 + quantile**2 / size
    centre = (share + quantile**2 / (2 * size)) / shrink
    half = quantile / shrink * np.sqrt(share * (1 - share) / size + quantile**2 / (4 * size**2))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def gap_interval(first: Spread, second: Spread, level: float) -> tuple[Floats, Floats]:
    """Limits of first - second on the same samples, from the limits of either and the correlation of their pulls."""
    most = min(first.fewest, second.fewest) - 1
    (low, high), (other_low, other_high) = (one.interval(level, most) for one in (first, second))
    shared = 2 * correlation(first, second)
    gap = first.point - second.point
    below, above = first.point - low, high - first.point
    other_below, other_above = second.point - other_low, other_high - second.point
    down = below**2 + other_above**2 - shared * below * other_above
    up = above**2 + other_below**2 - shared * above * other_below
    return gap - np.sqrt(np.maximum(down, 0.0)), gap + np.sqrt(np.maximum(up, 0.0))


def correlation(first: Spread, second: Spread) -> Floats:
    """Of two statistics of the same samples; 0 where either has no variance."""
    both = np.sqrt(first.variance * second.variance)
    known = both > NOTHING
    found: Floats = np.where(known, (first.pulls * second.pulls).sum(axis=-1) / np.where(known, both, 1.0), 0.0)
    return np.clip(found, -1.0, 1.0)


def gap_error(first: Spread, second: Spread) -> Floats:
    """Standard error of first - second on the same samples."""
    shared = 2 * (first.pulls * second.pulls).sum(axis=-1)
    error: Floats = np.sqrt(np.maximum(first.variance + second.variance - shared, 0.0))
    return error
