"""The registry of metrics: one small function each, under a decorator.

A diagnosis metric takes the samples as arrays (`Diagnosed`) and returns a `Statistic`, or just a number, NaN where it is
undefined. A vqa metric takes one prediction and returns its value, NaN where it does not apply; the metric is the mean.
The order in which metrics are defined is the order of reports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from medrival.contracts import TaskKind
from medrival.errors import BrokenCatalog
from medrival.statistics import Estimate, Statistic

F = TypeVar("F", bound=Callable[..., Any])
Interval = Callable[..., Estimate]

NAN = float("nan")


class Undefined(Exception):
    """Raised inside a metric: why it is undefined on these samples. It is shown as the reason of a missing value."""


@dataclass(frozen=True)
class Metric:
    """A metric of one kind of task.

    Attributes:
        compute: what the decorated function returns.
        lower_is_better: as of an error; of a share or an area more is better.
        interval: its own, where the general ones do not hold for it: (samples, groups, seed, resamples) -> its estimate.
    """

    compute: Callable[..., Any]
    lower_is_better: bool = False
    interval: Interval | None = None


METRICS: dict[TaskKind, dict[str, Metric]] = {"diagnosis": {}, "vqa": {}}


def metric(name: str, of: TaskKind, *, lower_is_better: bool = False, interval: Interval | None = None) -> Callable[[F], F]:
    """Register a metric.

    A diagnosis metric that returns a plain number is computed anew in each resample, which is slow; one that returns a
    `Statistic` says itself what it is under any weights.

    Raises:
        BrokenCatalog: for a name that is taken.
    """

    def register(compute: F) -> F:
        if name in METRICS[of]:
            raise BrokenCatalog(f"metric {name!r} of {of} is defined twice; give yours another name")
        METRICS[of][name] = Metric(compute, lower_is_better, interval)
        return compute

    return register


def undefined(n: int, reason: str) -> Statistic:
    """A statistic without a value, and why."""
    return Statistic(NAN, lambda weights: np.full(len(weights), NAN), n, reason)
