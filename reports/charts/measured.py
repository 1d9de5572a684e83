"""What charts show of cases: a metric of a model on a task after a regime, over the seeds of its training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from typing import Any

from medrival.reports.charts.words import metric_name
from medrival.reports.figures import number
from medrival.reports.record import CaseRecord, Kind

Key = tuple[str, str, str]
"""Model, task and regime."""


@dataclass(frozen=True)
class Measure:
    """A metric of one model, task and regime.

    Attributes:
        value: the mean over seeds.
        low: lower end of the 95% interval, `high` its upper end; of several seeds, what all of their intervals span. None
            where there is no interval.
        seeds: how many have a value.
    """

    model: str
    kind: Kind
    task: str
    regime: str
    metric: str
    value: float
    low: float | None
    high: float | None
    n: int
    seeds: int

    @property
    def says(self) -> str:
        """Such as "AUROC 0.842 [0.821, 0.861], n = 240"."""
        interval = f" [{number(self.low)}, {number(self.high)}]"
        if self.seeds == 1:
            return f"{metric_name(self.metric)} {number(self.value)}{interval}, n = {self.n:,}"
        spans = f"mean of {self.seeds} seeds, whose intervals span{interval}"
        return f"{metric_name(self.metric)} {number(self.value)}, {spans}, n = {self.n:,}"


def measures(cases: Sequence[CaseRecord], metric: str | None = None) -> list[Measure]:
    """One for every model, task and regime in which the metric (else the case's primary one) has a value."""
    found = [_measure(seeds, metric) for seeds in by_seed(cases).values()]
    return [one for one in found if one is not None]


def by_seed(cases: Sequence[CaseRecord]) -> Mapping[Key, list[CaseRecord]]:
    """The measured cases that differ in their seed alone."""
    alike: dict[Key, list[CaseRecord]] = {}
    for case in cases:
        if case.status == "measured":
            alike.setdefault((case.model, case.task, case.regime), []).append(case)
    return alike


def firsts(cases: Sequence[CaseRecord]) -> list[CaseRecord]:
    """Of the measured cases that differ in their seed alone the first, which speaks for all where nothing can be averaged."""
    return [seeds[0] for seeds in by_seed(cases).values()]


def seeds_said(cases: Sequence[CaseRecord]) -> str:
    """A sentence where `firsts` leaves out seeds, else ""."""
    return " Of several seeds, the first is shown." if any(len(seeds) > 1 for seeds in by_seed(cases).values()) else ""


def in_order(tasks: Iterable[str], cases: Sequence[CaseRecord]) -> list[str]:
    """The tasks, each once, in the order of the run."""
    known = set(tasks)
    return [task for task in dict.fromkeys(case.task for case in cases) if task in known]


def finite(value: Any) -> float | None:
    """The number, None where it is none."""
    return float(value) if isinstance(value, (int, float)) and isfinite(value) else None


def estimated(metric: Mapping[str, Any] | None) -> tuple[float, float | None, float | None] | None:
    """Value and ends of the interval; None where there is no value."""
    value = finite(metric.get("value")) if metric else None
    if metric is None or value is None:
        return None
    return value, finite(metric.get("low")), finite(metric.get("high"))


def _measure(seeds: Sequence[CaseRecord], metric: str | None) -> Measure | None:
    asked = metric or seeds[0].primary
    known = [(case, one) for case in seeds if (one := estimated(case.metrics.get(asked))) is not None]
    if not known:
        return None
    case = known[0][0]
    lows, highs = ([end for _, one in known if (end := one[which]) is not None] for which in (1, 2))
    return Measure(
        case.model,
        case.kind,
        case.task,
        case.regime,
        asked,
        fmean(one[0] for _, one in known),
        min(lows, default=None),
        max(highs, default=None),
        int(case.metrics[asked].get("n") or 0),
        len(known),
    )
