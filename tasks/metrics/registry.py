"""The registry of metrics: one small function each, under a decorator.

A diagnosis metric takes (truth [samples] class indices, scores [samples, classes]) and returns a number, NaN where it
is undefined. A vqa metric takes one prediction and returns its value, NaN where it does not apply; the metric is the
mean. The order in which metrics are defined is the order of reports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from medrival.contracts import TaskKind
from medrival.errors import BrokenCatalog
from medrival.statistics import Floats

Labels = NDArray[np.intp]
Resampled = Callable[[Labels, Floats, Floats], Floats]
F = TypeVar("F", bound=Callable[..., float])

NAN = float("nan")


@dataclass(frozen=True)
class Metric:
    """A metric of one kind of task; `resampled` computes a diagnosis metric under many rows of weights at once."""

    compute: Callable[..., float]
    resampled: Resampled | None


METRICS: dict[TaskKind, dict[str, Metric]] = {"diagnosis": {}, "vqa": {}}


def metric(name: str, of: TaskKind, resampled: Resampled | None = None) -> Callable[[F], F]:
    """Register a metric.

    `resampled` is for a diagnosis: (truth, scores, weights [resamples, samples]) -> [resamples], equal to the metric on
    samples repeated that often. Without it the metric is called once a resample, which is slow.

    Raises:
        BrokenCatalog: for a name that is taken.
    """

    def register(compute: F) -> F:
        if name in METRICS[of]:
            raise BrokenCatalog(f"metric {name!r} of {of} is defined twice; give yours another name")
        METRICS[of][name] = Metric(compute, resampled)
        return compute

    return register
