"""Predictions in, numbers with intervals out.

A sample that failed counts as wrong: its true class has probability 0 and the others share the rest, its answer is
empty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from medrival.contracts import Prediction, TaskKind
from medrival.errors import BrokenData, MedrivalError, UnknownName
from medrival.statistics import Difference, Estimate, Floats, Statistic, difference, estimates, mean_of
from medrival.tasks.metrics.registry import METRICS, NAN, Labels, Metric
from medrival.tasks.metrics.vqa import CLOSED

PRIMARY = {"diagnosis": "auroc", "vqa": "closed_accuracy"}


def measure(
    kind: TaskKind,
    predictions: Sequence[Prediction],
    classes: Sequence[str] = (),
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> dict[str, Estimate]:
    """Every metric of this kind of task, with 95% intervals clustered by the predictions' group.

    A metric that is undefined on these predictions has the value None and a reason.

    Raises:
        BrokenData: a diagnosis whose truth is none of the classes, or whose scores are not one a class.
    """
    statistics = _statistics(kind, predictions, classes, tuple(METRICS[kind]))
    return estimates(statistics, [p.group for p in predictions], seed=seed, resamples=resamples)


def compare(
    kind: TaskKind,
    metric: str,
    first: Sequence[Sequence[Prediction]],
    second: Sequence[Sequence[Prediction]],
    classes: Sequence[str] = (),
    *,
    seed: int = 0,
    resamples: int = 2000,
) -> Difference:
    """First minus second in one metric, on the same samples under the same resamples (paired, clustered by group).

    Either side is a list of predictions a seed of training; seeds are resampled along with the groups.

    Raises:
        UnknownName: there is no such metric.
        MedrivalError: the predictions are not of the same samples in the same order.
    """
    asked = [[(p.id, p.group, p.truth) for p in one] for one in (*first, *second)]
    if any(other != asked[0] for other in asked[1:]):
        raise MedrivalError("only predictions of the same samples in the same order can be compared; measure both anew")
    left, right = ([_statistics(kind, p, classes, (metric,))[metric] for p in side] for side in (first, second))
    return difference(left, right, [p.group for p in first[0]], seed=seed, resamples=resamples)


def primary(kind: TaskKind, predictions: Sequence[Prediction]) -> str:
    """The metric that decides: AUROC; for questions closed accuracy, or accuracy where none is closed."""
    if kind == "vqa" and not any(p.form in CLOSED for p in predictions):
        return "accuracy"
    return PRIMARY[kind]


def _statistics(
    kind: TaskKind, predictions: Sequence[Prediction], classes: Sequence[str], names: Sequence[str]
) -> dict[str, Statistic]:
    if unknown := sorted(set(names) - set(METRICS[kind])):
        raise UnknownName(f"unknown metric {unknown[0]!r}; those of {kind} are {', '.join(METRICS[kind])}")
    chosen = {name: METRICS[kind][name] for name in names}
    if kind == "vqa":
        said = [replace(p, answer="") if p.error else p for p in predictions]
        return {name: _per_answer(one, said) for name, one in chosen.items()}
    truth, scores = _scored(predictions, classes)
    return {name: _over_scores(one, truth, scores, classes) for name, one in chosen.items()}


def _per_answer(metric: Metric, predictions: Sequence[Prediction]) -> Statistic:
    statistic = mean_of(np.array([metric.compute(p) for p in predictions], dtype=np.float64))
    return replace(statistic, undefined="no question of the kind it is about") if statistic.undefined else statistic


def _over_scores(metric: Metric, truth: Labels, scores: Floats, classes: Sequence[str]) -> Statistic:
    point = metric.compute(truth, scores) if len(truth) else NAN
    present = [classes[i] for i in np.unique(truth)]
    undefined = f"undefined where samples are of {' and '.join(present) or 'no class'} only" if np.isnan(point) else ""
    resampled: Any = partial(metric.resampled or partial(_one_by_one, metric.compute), truth, scores)
    return Statistic(point, resampled, len(truth), undefined)


def _one_by_one(compute: Callable[..., float], truth: Labels, scores: Floats, weights: Floats) -> Floats:
    times = weights.astype(np.intp)
    return np.array([compute(np.repeat(truth, row), np.repeat(scores, row, axis=0)) for row in times])


def _scored(predictions: Sequence[Prediction], classes: Sequence[str]) -> tuple[Labels, Floats]:
    index = {name: i for i, name in enumerate(classes)}
    truth, scores = np.empty(len(predictions), np.intp), np.empty((len(predictions), len(classes)))
    for row, p in enumerate(predictions):
        if p.truth not in index:
            raise BrokenData(f"sample {p.id!r}: its class {p.truth!r} is none of {', '.join(classes)}")
        if not p.error and len(p.scores) != len(classes):
            raise BrokenData(f"sample {p.id!r}: {len(p.scores)} scores for {len(classes)} classes")
        truth[row] = index[p.truth]
        failed = bool(p.error) or not np.isfinite(p.scores).all()
        scores[row] = 1 / max(len(classes) - 1, 1) if failed else p.scores
        if failed:
            scores[row, truth[row]] = 0.0
    return truth, scores
