"""What a gate says of what was measured, and how its sentences give figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from medrival.statistics import Difference, Estimate, samples_needed

Status = Literal["passed", "failed", "inconclusive"]
Side = Literal["least", "most"]

DIGITS = (3, 4, 5, 6)


@dataclass(frozen=True)
class Finding:
    """What one rule says of one outcome.

    Attributes:
        explanation: one sentence with figures: what was required, what was measured, and what would settle it.
        measured: the number that was held against the rule; None where there is none.
        required: the number it was held against.
    """

    status: Status
    explanation: str
    measured: float | None = None
    required: float | None = None


@dataclass(frozen=True)
class Judgement:
    """One gate on one case, pair or task, or on the run as a whole where none is named.

    Attributes:
        name: the gate's.
        holds: whether the run may pass; an inconclusive gate holds only where it says so.
    """

    name: str
    case: str | None
    pair: str | None
    status: Status
    holds: bool
    measured: float | None
    required: float | None
    explanation: str
    task: str | None = None

    @property
    def subject(self) -> str:
        """The case, pair or task, or "" for the run."""
        return self.case or self.pair or self.task or ""

    @property
    def sentence(self) -> str:
        """What a failed test says, such as "FAILED gate 'keeps up': auroc 0.61 [0.55, 0.67] ..."."""
        return f"{'passed' if self.holds else 'FAILED'} gate {self.name!r}: {self.explanation}"


def failed(explanation: str) -> Finding:
    """What cannot be judged never passes."""
    return Finding("failed", explanation)


def against(low: float, high: float, bound: float, side: Side) -> Status:
    """Whether an interval reaches a bound as a whole, misses it as a whole, or leaves it open."""
    if side == "most":
        low, high, bound = -high, -low, -bound
    return "passed" if low >= bound else "failed" if high < bound else "inconclusive"


def amount(value: float) -> str:
    """A number of a gate file as a person would write it: 0.7, 2,000,000."""
    return f"{value:,.12g}"


def decimals(bound: float, *values: float) -> int:
    """So many that no value which differs from the bound reads like the bound; 3 where that is enough."""
    differing = [value for value in values if value != bound]
    return next((d for d in DIGITS if all(round(value, d) != round(bound, d) for value in differing)), DIGITS[-1])


def spread(low: float | None, high: float | None, digits: int = 3, sign: str = "") -> str:
    """An interval, such as [0.821, 0.861]."""
    return f"[{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


def reading(metric: str, estimate: Estimate, digits: int = 3) -> str:
    """A metric as a sentence begins with it: auroc 0.842 [0.821, 0.861] on 1,811 samples."""
    figures = "undefined" if estimate.value is None else f"{estimate.value:.{digits}f}"
    unknown = estimate.low is None or estimate.high is None
    interval = "" if unknown else f" {spread(estimate.low, estimate.high, digits)}"
    return f"{metric} {figures}{interval} on {estimate.n:,} samples"


def open_question(measured: Estimate | Difference, bound: float) -> str:
    """How an inconclusive sentence ends: with the number of samples that would settle it, where one would."""
    needed = samples_needed(measured, bound)
    return "its interval leaves that open" + (f"; about {rounded(needed):,} samples would settle it" if needed else "")


def rounded(samples: int) -> int:
    """A number of samples to two digits, upwards: it is a forecast."""
    step = 10 ** max(len(str(samples)) - 2, 0)
    return -(-samples // step) * step


def cautioned(measured: Estimate | Difference) -> str:
    """What must be known of an interval before it decides, in brackets, or ""."""
    return f" (mind: {measured.caution})" if measured.caution else ""
