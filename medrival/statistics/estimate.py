"""A statistic with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medrival.statistics.bootstrap import Limits, bca_interval, draws, interval, without_each
from medrival.statistics.clusters import Clusters
from medrival.statistics.spread import FEWEST, Spread, spread
from medrival.statistics.statistic import Floats, Statistic

LEVEL = 0.95
TOO_FEW = "no interval: too few groups of samples"

Method = Literal["wilson", "t", "bca", "percentile", "recovered", "conservative", ""]
"""How an interval was made; "" where there is none.

See `spread` for the first two, `bootstrap` for the next two; "recovered" is a difference between two groups, "conservative"
covers at least as often as it says (the metric tells how).
"""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval; None where undefined, with the reason.

    Attributes:
        n: how many samples it is computed from.
        method: how the interval was made.
        caution: why the interval may not cover as often as it says, or "".
        undefined_resamples: in how many resamples of a bootstrap the statistic is undefined; the interval is of the others.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str = ""
    method: Method = ""
    caution: str = ""
    undefined_resamples: int = 0


def estimates(
    statistics: Mapping[str, Statistic],
    groups: Sequence[str],
    *,
    level: float = LEVEL,
    seed: int = 0,
    resamples: int = 1000,
    method: Literal["", "bca", "percentile"] = "",
) -> dict[str, Estimate]:
    """Each statistic with its interval.

    Args:
        statistics: by name.
        groups: the cluster of each sample: the patient, or the image.
        level: of the interval.
        seed: of the resamples.
        resamples: of the bootstrap, where one is needed; the same for all statistics.
        method: a bootstrap for all; else a statistic that knows its influence values has that of `spread`, the others BCa.
    """
    clusters = Clusters.of(groups)
    spreads = {} if method else {name: spread(one, clusters) for name, one in statistics.items() if not one.undefined}
    known = {name: one for name, one in spreads.items() if one is not None}
    rest = {name: one for name, one in statistics.items() if not one.undefined and (method or one.influence is None)}
    drawn = dict(zip(rest, draws(list(rest.values()), clusters, seed, resamples), strict=True))
    found = {}
    for name, one in statistics.items():
        if one.undefined:
            found[name] = Estimate(None, None, None, one.n, one.undefined)
        elif name in known:
            found[name] = _from_spread(one, known[name], level)
        elif name in drawn:
            found[name] = _from_draws(one, drawn[name], clusters, level, method or "bca")
        else:
            found[name] = Estimate(float(one.point), None, None, one.n, TOO_FEW)
    return found


def _from_spread(statistic: Statistic, known: Spread, level: float) -> Estimate:
    low, high = known.interval(level)
    made: Method = "t" if known.bounds is None else "wilson"
    caution = too_few(known.fewest, known.enough)
    return Estimate(float(statistic.point), float(low), float(high), statistic.n, method=made, caution=caution)


def _from_draws(
    statistic: Statistic, drawn: Floats, clusters: Clusters, level: float, method: Literal["bca", "percentile"]
) -> Estimate:
    limits: Limits
    if method == "bca" and drawn.size:
        limits = bca_interval(statistic.point, drawn, without_each(statistic, clusters), level)
    else:
        limits = interval(drawn, level)
    if limits[0] is None:
        reason = "no interval: undefined in every resample" if drawn.size else TOO_FEW
        return Estimate(float(statistic.point), None, None, statistic.n, reason, "", "", drawn.size)
    lost = undefined(drawn)
    return Estimate(
        float(statistic.point),
        *limits,
        statistic.n,
        method=method,
        caution="; ".join(filter(None, [too_few(clusters.count, FEWEST[0]), of_undefined(lost, drawn.size)])),
        undefined_resamples=lost,
    )


def undefined(drawn: Floats) -> int:
    """How many resampled values are undefined."""
    return int((~np.isfinite(drawn)).sum())


def too_few(clusters: int, enough: int) -> str:
    """The caution that so few clusters of the rarest class deserve, or ""."""
    if clusters >= enough:
        return ""
    return f"only {clusters} patients (or images) of the rarest class: the interval may cover less often than it says"


def of_undefined(lost: int, resamples: int) -> str:
    """The caution that undefined resamples deserve, or ""."""
    return f"undefined in {lost:,} of {resamples:,} resamples, which are left out" if lost else ""
