"""A metric in each group of an attribute, such as sex, and the largest gap between two groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from medrival.case import Subgroups
from medrival.contracts import Prediction
from medrival.statistics import UNCOUNTED, Estimate, Floats, Statistic, difference, estimates
from medrival.tasks.metrics.registry import undefined

MOST_GROUPS = 12
"""An attribute of more values, such as an exact age, divides samples into too few each to be compared."""

Predictions = Sequence[Prediction]


def subgroups(
    metric: str, statistic: Callable[[Predictions], Statistic], predictions: Predictions, *, seed: int, resamples: int
) -> dict[str, Subgroups]:
    """The metric by every attribute that has 2 to 12 values; a sample without the attribute is in none of its groups.

    A group of a single patient (or image), or in which the metric is undefined, has no value but the reason.

    Args:
        metric: its name.
        statistic: what it is on some of the predictions.
        predictions: all of them.
        seed: of the resamples.
        resamples: how many.
    """
    found = {}
    for attribute, groups in _groups(predictions).items():
        known = {value: _of_group(statistic, members) for value, members in groups.items()}
        found[attribute] = Subgroups(
            metric,
            {value: _estimate(one, groups[value], seed, resamples) for value, one in known.items()},
            _gap(known, groups, seed, resamples),
        )
    return found


def _groups(predictions: Predictions) -> Mapping[str, Mapping[str, Predictions]]:
    found: dict[str, dict[str, list[Prediction]]] = defaultdict(lambda: defaultdict(list))
    for p in predictions:
        for attribute, value in p.attributes.items():
            if value:
                found[attribute][value].append(p)
    return {
        attribute: dict(sorted(values.items()))
        for attribute, values in sorted(found.items())
        if 2 <= len(values) <= MOST_GROUPS
    }


def _of_group(statistic: Callable[[Predictions], Statistic], members: Predictions) -> Statistic:
    if len({p.group for p in members}) > 1:
        return statistic(members)
    return undefined(len(members), "a single patient or image")


def _gap(known: Mapping[str, Statistic], groups: Mapping[str, Predictions], seed: int, resamples: int) -> Estimate:
    """Best minus worst group.

    Its interval is that of the difference between these two groups. In each resample another two may be furthest apart;
    the interval of their gap would lie above the truth, for the largest of several gaps is large by chance.
    """
    ranked = sorted((value for value, one in known.items() if not one.undefined), key=lambda value: known[value].point)
    if len(ranked) < 2:
        return Estimate(None, None, None, 0, "fewer than two groups in which it is defined")
    best, worst = ranked[-1], ranked[0]
    both = [*groups[best], *groups[worst]]
    split = len(groups[best])
    first, second = _among(known[best], len(both), slice(split)), _among(known[worst], len(both), slice(split, None))
    gap = difference([first], [second], [p.group for p in both], seed=seed, resamples=resamples)
    return Estimate(
        value=gap.value,
        low=gap.low,
        high=gap.high,
        n=first.n + second.n,
        reason=gap.reason,
        method=gap.method,
        caution=gap.caution,
        undefined_resamples=gap.undefined_resamples,
    )


def _among(statistic: Statistic, samples: int, own: slice) -> Statistic:
    """The same statistic, told among more samples than its own."""

    def resampled(weights: Floats) -> Floats:
        return statistic.resampled(weights[:, own])

    influence, strata = None, np.full(samples, UNCOUNTED)
    strata[own] = 0 if statistic.strata is None else statistic.strata
    if statistic.influence is not None:
        influence = np.zeros(samples)
        influence[own] = statistic.influence
    return replace(statistic, resampled=resampled, influence=influence, strata=strata, ratio=None)


def _estimate(statistic: Statistic, members: Predictions, seed: int, resamples: int) -> Estimate:
    return estimates({"": statistic}, [p.group for p in members], seed=seed, resamples=resamples)[""]
