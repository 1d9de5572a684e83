"""What a difference means against a margin."""

from __future__ import annotations

from typing import Literal

from medrival.statistics.paired import Difference

Verdict = Literal["general wins", "medical wins", "equivalent", "inconclusive"]


def verdict(difference: Difference, margin: float) -> Verdict:
    """Who wins, where the difference is general minus medical.

    Equivalence is asked first: the whole interval inside (-margin, margin). Otherwise the sign of an interval that
    excludes zero decides, and without one nothing is concluded.
    """
    low, high = difference.low, difference.high
    if low is None or high is None:
        return "inconclusive"
    if -margin < low and high < margin:
        return "equivalent"
    if low > 0:
        return "general wins"
    return "medical wins" if high < 0 else "inconclusive"
