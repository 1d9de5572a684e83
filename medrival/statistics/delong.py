"""The area under the ROC curve: influence values, variance, and the paired test of two areas.

Sources: DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988) 837-845; for clusters, Obuchowski, Biometrics 53 (1997)
567-578, which is DeLong's where each sample is its own cluster; midranks after Sun & Xu, IEEE Signal Processing Letters
21 (2014) 1389-1393.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medrival.errors import MedrivalError
from medrival.statistics.clusters import Clusters
from medrival.statistics.statistic import Floats

Mask = NDArray[np.bool_]

NOTHING = 1e-20
"""Variances below it are rounding errors of 0."""
ROUNDING = 1e-10
"""Differences of two areas below it are rounding errors of 0."""


def placements(positive: Mask, scores: Floats) -> Floats:
    """For each sample, the share of samples of the other class that it is ranked rightly against; a tie counts one half.

    DeLong's structural components, in O(n log n). Their mean over either class is the area.

    Args:
        positive: [n], whether the sample is of the class that should score high.
        scores: [..., n].

    Returns:
        [..., n]; NaN where a class is missing.

    Raises:
        MedrivalError: for scores that are not a number.
    """
    if np.isnan(scores).any():
        raise MedrivalError("scores that are not a number (NaN) have no rank; count their samples as failed first")
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not (positives and negatives):
        return np.full(scores.shape, np.nan)
    order = np.argsort(scores, axis=-1)
    ranked = np.take_along_axis(scores, order, axis=-1)
    hits = positive[order]
    ours, theirs = (_below(ranked, of) for of in (hits, ~hits))
    found = np.empty(scores.shape)
    np.put_along_axis(found, order, np.where(hits, theirs / negatives, 1 - ours / positives), axis=-1)
    return found


def auroc(positive: Mask, scores: Floats) -> tuple[Floats, Floats]:
    """The area [...] and its influence values [..., n], for scores [..., n]; NaN where a class is missing."""
    found = placements(positive, scores)
    if not positive.any():
        return found.mean(axis=-1), found
    area = found[..., positive].mean(axis=-1)
    return area, (found - area[..., None]) / np.where(positive, positive.sum(), (~positive).sum())


def auroc_influence(positive: Mask, scores: Floats) -> Floats:
    """How much each sample moves the area: area under weights ~ area + sum of weights * influence.

    Args:
        positive: [n], whether the sample is of the class that should score high.
        scores: [..., n].

    Returns:
        [..., n], summing to zero over either class; NaN where a class is missing.
    """
    return auroc(positive, scores)[1]


def auroc_covariance(positive: Mask, scores: Floats, groups: Sequence[str] | None = None) -> Floats:
    """Covariance [..., models, models] of the areas of several models on the same samples.

    Args:
        positive: [n].
        scores: [..., models, n].
        groups: the cluster of each sample; each is its own where there are none given.

    Raises:
        MedrivalError: where either class is of fewer than two clusters.
    """
    return _covariance(positive, auroc_influence(positive, scores), _clusters(groups, len(positive)))


def _covariance(positive: Mask, components: Floats, clusters: Clusters) -> Floats:
    many, few = _clusters_of(positive, clusters), _clusters_of(~positive, clusters)
    if min(many, few) < 2:
        raise MedrivalError("the variance of an AUROC needs two patients (or images) of either class; add samples")
    ours, theirs = (clusters.sums(np.where(of, components, 0.0)) for of in (positive, ~positive))
    cross = ours @ theirs.mT * clusters.count / (clusters.count - 1)
    covariance: Floats = ours @ ours.mT * many / (many - 1) + theirs @ theirs.mT * few / (few - 1) + cross + cross.mT
    return covariance


def delong_test(positive: Mask, first: Floats, second: Floats, groups: Sequence[str] | None = None) -> Floats:
    """Two-sided p-value [...] of equal areas of two models on the same samples, whose scores are [..., n].

    The statistic is referred to Student's t, which is DeLong's normal in large samples and keeps its level in small ones, on
    Welch's degrees of freedom: either class has a variance of its own. Where the areas are equal p is 1; where they differ and
    the difference has no variance, p is NaN: nothing is known.

    Raises:
        MedrivalError: where either class is of fewer than two clusters.
    """
    from scipy.special import stdtr

    clusters, contrast = _clusters(groups, len(positive)), np.array([1.0, -1.0])
    areas, components = auroc(positive, np.stack([first, second], axis=-2))
    gap = areas @ contrast
    variance = np.maximum(contrast @ _covariance(positive, components, clusters) @ contrast, 0.0)
    known = variance > NOTHING
    freedom = np.where(known, _freedom(positive, contrast @ components, clusters), 1.0)
    p = 2 * stdtr(freedom, -np.abs(gap) / np.sqrt(np.where(known, variance, 1.0)))
    return np.where(known, p, np.where(np.abs(gap) < ROUNDING, 1.0, np.nan))


def _freedom(positive: Mask, components: Floats, clusters: Clusters) -> Floats:
    """Of the sum of the two classes' variances (Welch, Biometrika 34 (1947) 28-35); components are [..., n]."""
    free = np.array([_clusters_of(of, clusters) - 1 for of in (positive, ~positive)])
    squares = [(clusters.sums(np.where(of, components, 0.0)) ** 2).sum(axis=-1) for of in (positive, ~positive)]
    parts = np.stack(squares, axis=-1) * (free + 1) / free
    found: Floats = parts.sum(axis=-1) ** 2 / np.maximum((parts**2 / free).sum(axis=-1), NOTHING**2)
    return found


def _clusters_of(mask: Mask, clusters: Clusters) -> int:
    """How many clusters have a sample under the mask."""
    return len(np.unique(clusters.member[mask]))


def _clusters(groups: Sequence[str] | None, n: int) -> Clusters:
    return Clusters(np.arange(n), n) if groups is None else Clusters.of(groups)


def _below(ranked: Floats, hits: Mask) -> Floats:
    """How many hits are ranked below each place [..., n], those that tie counting one half, for ascending scores."""
    n = ranked.shape[-1]
    step = ranked[..., 1:] != ranked[..., :-1]
    edge, place = np.ones((*ranked.shape[:-1], 1), bool), np.arange(n)
    first = np.maximum.accumulate(np.where(np.concatenate([edge, step], axis=-1), place, 0), axis=-1)
    ends = np.where(np.concatenate([step, edge], axis=-1), place, n - 1)
    last = np.minimum.accumulate(ends[..., ::-1], axis=-1)[..., ::-1]
    upto = hits.cumsum(axis=-1)
    through, before = np.take_along_axis(upto, last, axis=-1), np.take_along_axis(upto - hits, first, axis=-1)
    below: Floats = (through + before) / 2
    return below
