"""A metric in each group of an attribute, such as sex, and the largest gap between two groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from medrival.case import Subgroups
from medrival.contracts import Prediction
from medrival.statistics import LEVEL, UNCOUNTED, Estimate, Statistic, estimates
from medrival.statistics.clusters import Clusters
from medrival.statistics.spread import Spread, gap_interval, spread_of
from medrival.tasks.metrics.registry import undefined

MOST_GROUPS = 12
"""An attribute of more values, such as an exact age, divides samples into too few each to be compared."""

Predictions = Sequence[Prediction]


def subgroups(
    metric: str, statistic: Callable[[Predictions], Statistic], predictions: Predictions, *, seed: int, resamples: int
) -> dict[str, Subgroups]:
    """The metric by every attribute that has 2 to 12 values; a sample without the attribute is in none of its groups.

    A group of a single patient (or image), or in which the metric is undefined, has no value but the reason. An attribute of
    one value, or of more than 12, has no groups; its gap has the reason.

    Args:
        metric: its name.
        statistic: what it is on some of the predictions.
        predictions: all of them.
        seed: of the resamples.
        resamples: how many.
    """
    return {
        attribute: _divided(metric, statistic, attribute, groups, len(predictions), seed, resamples)
        for attribute, groups in _groups(predictions).items()
    }


def _divided(
    metric: str,
    statistic: Callable[[Predictions], Statistic],
    attribute: str,
    groups: Mapping[str, Predictions],
    samples: int,
    seed: int,
    resamples: int,
) -> Subgroups:
    if not 2 <= len(groups) <= MOST_GROUPS:
        many = "every sample that has it has the same value" if len(groups) == 1 else f"{len(groups):,} values"
        reason = f"{many}; groups are made of 2 to {MOST_GROUPS} values"
        return Subgroups(metric, {}, Estimate(None, None, None, 0, reason))
    known = {value: _of_group(statistic, members) for value, members in groups.items()}
    each = {value: _estimate(one, groups[value], seed, resamples) for value, one in known.items()}
    cautions = [f"{value}: {one.caution}" for value, one in each.items() if one.caution]
    if lacking := samples - sum(map(len, groups.values())):
        cautions.append(f"{lacking:,} of {samples:,} samples have no {attribute} and are in no group")
    return Subgroups(metric, each, replace(_gap(known, groups), caution="; ".join(cautions)))


def _groups(predictions: Predictions) -> Mapping[str, Mapping[str, Predictions]]:
    found: dict[str, dict[str, list[Prediction]]] = defaultdict(lambda: defaultdict(list))
    for p in predictions:
        for attribute, value in p.attributes.items():
            if value:
                found[attribute][value].append(p)
    return {attribute: dict(sorted(values.items())) for attribute, values in sorted(found.items())}


def _of_group(statistic: Callable[[Predictions], Statistic], members: Predictions) -> Statistic:
    if len({p.group for p in members}) > 1:
        return statistic(members)
    return undefined(len(members), "a single patient or image")


def _gap(known: Mapping[str, Statistic], groups: Mapping[str, Predictions]) -> Estimate:
    """Best minus worst of the groups that have an interval.

    Which two are furthest apart is not known, and the largest of several gaps is large by chance. So the upper limit is the
    largest of all pairs of groups, for a small group may be far off. The lower limit is the largest at Bonferroni's level,
    0.05 shared by the pairs, and not below 0: where groups do not differ, it is above 0 in at most 5% of studies.
    """
    spreads = _spreads(known, groups)
    pairs = list(combinations(sorted(spreads.values(), key=lambda one: float(one.point), reverse=True), 2))
    n = sum(known[value].n for value in spreads)
    if not pairs:
        return Estimate(None, None, None, n, "fewer than two groups in which it is defined and has an interval")
    shared = 1 - (1 - LEVEL) / len(pairs)
    return Estimate(
        value=max(float(best.point - worst.point) for best, worst in pairs),
        low=max(0.0, *(float(gap_interval(*pair, shared)[0]) for pair in pairs)),
        high=max(float(np.abs(gap_interval(*pair, LEVEL)).max()) for pair in pairs),
        n=n,
        method="conservative",
    )


def _spreads(known: Mapping[str, Statistic], groups: Mapping[str, Predictions]) -> dict[str, Spread]:
    """How sure one may be of each group, told among the samples of all, for patients may be in several groups."""
    members = [(value, p.group) for value, group in groups.items() for p in group]
    clusters, of = Clusters.of([group for _, group in members]), np.array([value for value, _ in members])
    found = {}
    for value, one in known.items():
        if one.undefined or one.influence is None:
            continue
        influence, strata, own = np.zeros(len(of)), np.full(len(of), UNCOUNTED), of == value
        influence[own], strata[own] = one.influence, 0 if one.strata is None else one.strata
        if spread := spread_of(np.float64(one.point), influence, clusters, strata, one.bounds):
            found[value] = spread
    return found


def _estimate(statistic: Statistic, members: Predictions, seed: int, resamples: int) -> Estimate:
    return estimates({"": statistic}, [p.group for p in members], seed=seed, resamples=resamples)[""]
