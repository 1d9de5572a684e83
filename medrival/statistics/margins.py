"""What a difference means against a margin, and how many samples it takes to know.

Each asks about the interval of a `Difference`: at the level 1 - 2 alpha its ends are one-sided bounds at the confidence
1 - alpha (0.90 for 95%), and two one-sided tests are the one interval (Schuirmann 1987). None where there is no interval.
"""

from __future__ import annotations

from math import ceil
from typing import Literal, Protocol

from medrival.statistics.estimate import LEVEL
from medrival.statistics.paired import Difference

Verdict = Literal["general wins", "medical wins", "equivalent", "inconclusive"]


class Measured(Protocol):
    """An estimate or a difference."""

    @property
    def value(self) -> float | None:
        """The point."""

    @property
    def low(self) -> float | None:
        """Lower limit."""

    @property
    def high(self) -> float | None:
        """Upper limit."""

    @property
    def n(self) -> int:
        """Samples."""


def verdict(difference: Difference, margin: float) -> Verdict:
    """Who wins, where the difference is general minus medical.

    Equivalence is asked first: the whole interval inside (-margin, margin). Otherwise the sign of an interval that
    excludes zero decides, and without one nothing is concluded.
    """
    if difference.low is None or difference.high is None:
        return "inconclusive"
    if equivalent(difference, margin):
        return "equivalent"
    if superior(difference):
        return "general wins"
    return "medical wins" if difference.high < 0 else "inconclusive"


def superior(difference: Difference, margin: float = 0.0) -> bool | None:
    """Whether the first is better by more than the margin."""
    return None if difference.low is None else difference.low > margin


def non_inferior(difference: Difference, margin: float) -> bool | None:
    """Whether the first is not worse by the margin or more."""
    return None if difference.low is None else difference.low > -margin


def equivalent(difference: Difference, margin: float) -> bool | None:
    """Whether the two differ by less than the margin, either way: two one-sided tests."""
    if difference.low is None or difference.high is None:
        return None
    return -margin < difference.low and difference.high < margin


def detectable_difference(standard_error: float, level: float = LEVEL, power: float = 0.8) -> float:
    """The smallest true difference that an interval at this level excludes 0 for with this power.

    (z of the level + z of the power) standard errors, as in sample size formulas.
    """
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2) + ndtri(power)) * standard_error


def samples_needed(measured: Measured, threshold: float) -> int | None:
    """How many samples like these would settle on which side of the threshold the truth lies.

    That is, the number at which the interval, centred and spread as now but shrinking with the root of the number, no longer
    holds the threshold. None where there is no interval, or where the value is the threshold itself: then no number would.
    """
    if measured.value is None or measured.low is None or measured.high is None or measured.value == threshold:
        return None
    arm = measured.value - measured.low if measured.value > threshold else measured.high - measured.value
    return max(ceil(measured.n * (arm / (measured.value - threshold)) ** 2), 1)
