"""Intervals, paired tests and margins: pure functions on arrays."""

from medrival.statistics.bootstrap import (
    LEVEL,
    Estimate,
    Floats,
    Statistic,
    estimates,
    interval,
    mean_of,
    resample,
)
from medrival.statistics.delong import auroc_influence
from medrival.statistics.margins import Verdict, verdict
from medrival.statistics.paired import Difference, difference, two_sided_p

__all__ = [
    "LEVEL",
    "Difference",
    "Estimate",
    "Floats",
    "Statistic",
    "Verdict",
    "auroc_influence",
    "difference",
    "estimates",
    "interval",
    "mean_of",
    "resample",
    "two_sided_p",
    "verdict",
]
