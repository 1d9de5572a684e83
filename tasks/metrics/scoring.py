"""Predictions in, numbers with intervals out.

A sample that failed counts as wrong: its true class has probability 0 and the others share the rest, its answer is
empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from medrival.case import Subgroups
from medrival.contracts import Prediction, TaskKind
from medrival.errors import MedrivalError, UnknownName
from medrival.statistics import LEVEL, Difference, Estimate, Floats, Statistic, difference, estimates, mean_of
from medrival.tasks.metrics.diagnosed import Diagnosed, diagnosed, finite
from medrival.tasks.metrics.ranking import OneVersusRest
from medrival.tasks.metrics.registry import METRICS, NAN, Metric, Undefined, undefined
from medrival.tasks.metrics.subgroups import subgroups
from medrival.tasks.metrics.vqa import CLOSED

BIASED = "chance adds to this metric, and more where the model is better: the difference is understated"
PRIMARY = {"diagnosis": "auroc", "vqa": "closed_accuracy"}


@dataclass(frozen=True)
class Measured:
    """All that was measured on some predictions; intervals are 95%, clustered by the predictions' group.

    Attributes:
        metrics: every metric of the kind of task; the value None, with a reason, where it is undefined.
        per_class: the metrics that rank a class against the rest, by metric and class (diagnosis).
        subgroups: the primary metric by attribute and group.
        notes: the decision threshold, where one could be chosen (diagnosis of two classes).
    """

    metrics: Mapping[str, Estimate]
    per_class: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    subgroups: Mapping[str, Subgroups] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


def measure(
    kind: TaskKind,
    predictions: Sequence[Prediction],
    classes: Sequence[str] = (),
    *,
    validation: Sequence[Prediction] = (),
    seed: int = 0,
    resamples: int = 1000,
) -> Measured:
    """Every metric of this kind of task.

    Args:
        kind: "diagnosis" or "vqa".
        predictions: what is measured.
        classes: in the order of scores (diagnosis).
        validation: predictions of other samples, on which thresholds are chosen (diagnosis).
        seed: of the resamples.
        resamples: how many.

    Raises:
        BrokenData: a diagnosis whose truth is none of the classes, or whose scores are not one a class; scores that are not
            finite. The sample is named.
    """
    statistics = partial(_statistics, kind, classes=classes, validation=validation)
    groups, decides = [p.group for p in predictions], primary(kind, predictions)
    with_intervals = partial(estimates, groups=groups, seed=seed, resamples=resamples)
    found = statistics(predictions, names=METRICS[kind])
    own = {
        name: one.interval
        for name, one in METRICS[kind].items()
        if kind == "diagnosis" and one.interval and not found[name].undefined
    }
    general = with_intervals({name: one for name, one in found.items() if name not in own})
    divided = subgroups(
        decides, lambda some: statistics(some, names=[decides])[decides], predictions, seed=seed, resamples=resamples
    )
    if kind == "vqa":
        return Measured(general, subgroups=divided)
    samples = diagnosed(predictions, classes, validation)
    metrics = {name: own[name](samples, groups, seed, resamples) if name in own else general[name] for name in found}
    per_class = {name: with_intervals(each) for name, each in _per_class(samples).items()}
    return Measured(metrics, per_class, divided, _chosen(samples))


def compare(
    kind: TaskKind,
    metric: str,
    first: Sequence[Sequence[Prediction]],
    second: Sequence[Sequence[Prediction]],
    classes: Sequence[str] = (),
    *,
    validation: tuple[Sequence[Sequence[Prediction]], Sequence[Sequence[Prediction]]] | None = None,
    level: float = LEVEL,
    seed: int = 0,
    resamples: int = 2000,
) -> Difference:
    """First minus second in one metric, on the same samples under the same resamples (paired, clustered by group).

    Either side is a list of predictions a seed of training; seeds are resampled along with the groups. `validation` holds
    either side's validation predictions, for a metric that needs a threshold. `level` is the interval's.

    Raises:
        UnknownName: there is no such metric.
        MedrivalError: the predictions are not of the same samples in the same order.
        BrokenData: as `measure`.
    """
    asked = [[(p.id, p.group, p.truth) for p in one] for one in (*first, *second)]
    if any(other != asked[0] for other in asked[1:]):
        raise MedrivalError("only predictions of the same samples in the same order can be compared; measure both anew")
    known = validation or ([()] * len(first), [()] * len(second))
    left, right = (
        [_statistics(kind, p, classes, [metric], tuned)[metric] for p, tuned in zip(side, tuning, strict=True)]
        for side, tuning in zip((first, second), known, strict=True)
    )
    gap = difference(left, right, [p.group for p in first[0]], level=level, seed=seed, resamples=resamples)
    biased = METRICS[kind][metric].interval is not None and gap.value is not None
    return replace(gap, caution="; ".join(filter(None, [gap.caution, BIASED]))) if biased else gap


def values(
    kind: TaskKind,
    metric: str,
    predictions: Sequence[Prediction],
    classes: Sequence[str] = (),
    *,
    validation: Sequence[Prediction] = (),
) -> dict[str, float | None]:
    """One metric without its interval, None where it is undefined, and the decision threshold, where one could be chosen.

    Raises:
        UnknownName: there is no such metric.
        BrokenData: as `measure`.
    """
    statistic = _statistics(kind, predictions, classes, [metric], validation)[metric]
    chosen = _chosen(diagnosed(predictions, classes, validation)) if validation else {}
    return {metric: None if statistic.undefined else float(statistic.point), **chosen}


def primary(kind: TaskKind, predictions: Sequence[Prediction]) -> str:
    """The metric that decides: AUROC; for questions closed accuracy, or accuracy where none is closed."""
    if kind == "vqa" and not any(p.form in CLOSED for p in predictions):
        return "accuracy"
    return PRIMARY[kind]


def _statistics(
    kind: TaskKind,
    predictions: Sequence[Prediction],
    classes: Sequence[str],
    names: Iterable[str],
    validation: Sequence[Prediction] = (),
) -> dict[str, Statistic]:
    if unknown := sorted(set(names) - set(METRICS[kind])):
        raise UnknownName(f"unknown metric {unknown[0]!r}; those of {kind} are {', '.join(METRICS[kind])}")
    chosen = {name: METRICS[kind][name] for name in names}
    if kind == "vqa":
        for p in predictions:
            finite(p)
        said = _counted(predictions)
        return {name: _per_answer(one, said) for name, one in chosen.items()}
    samples = diagnosed(predictions, classes, validation)
    return {name: _over_samples(one, samples) for name, one in chosen.items()}


def _counted(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Failed samples with an empty answer and, where the model gives probabilities of options, with 0 for each of theirs."""
    scored = any(p.scores for p in predictions)
    return [replace(p, answer="", scores=(0.0,) * (len(p.options) * scored)) if p.error else p for p in predictions]


def _per_answer(metric: Metric, predictions: Sequence[Prediction]) -> Statistic:
    statistic = mean_of(np.array([metric.compute(p) for p in predictions], dtype=np.float64))
    return replace(statistic, undefined="no question of the kind it is about") if statistic.undefined else statistic


def _over_samples(metric: Metric, samples: Diagnosed) -> Statistic:
    if not len(samples):
        return undefined(0, "no samples")
    try:
        found = metric.compute(samples)
    except Undefined as reason:
        return undefined(len(samples), str(reason))
    if isinstance(found, Statistic):
        return found
    if np.isnan(found):
        return undefined(len(samples), "undefined on these samples")
    return Statistic(found, partial(_one_by_one, metric, samples), len(samples))


def _one_by_one(metric: Metric, samples: Diagnosed, weights: Floats) -> Floats:
    drawn = (_over_samples(metric, samples.drawn(row)) for row in weights.astype(np.intp))
    return np.array([NAN if one.undefined else one.point for one in drawn])


def _per_class(samples: Diagnosed) -> dict[str, dict[str, Statistic]]:
    ranks = {name: one.compute for name, one in METRICS["diagnosis"].items()}
    return {name: rank.each(samples) for name, rank in ranks.items() if isinstance(rank, OneVersusRest)}


def _chosen(samples: Diagnosed) -> dict[str, float]:
    try:
        return {"decision_threshold": samples.threshold}
    except Undefined:
        return {}
