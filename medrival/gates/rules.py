"""The rules of a gate: what each demands of an outcome or a comparison, and how it explains itself.

Rules decide by intervals. A value whose whole 95% interval meets the bound passes, one whose whole interval misses it
fails, and where the bound lies inside the interval the rule is inconclusive. Non-inferiority is asked of the one-sided
lower bound of the paired difference, which is the lower end of its interval at level 2 x confidence - 1. What is undefined
fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

from medrival.case import Case, Comparison, Outcome
from medrival.gates.baseline import Baseline
from medrival.gates.judgement import (
    Finding,
    Side,
    Status,
    against,
    amount,
    cautioned,
    decimals,
    failed,
    open_question,
    reading,
    rounded,
    spread,
)
from medrival.gates.margins import Margin, Other, beside
from medrival.integrity import Audit
from medrival.statistics import Verdict, samples_needed


@dataclass(frozen=True)
class Evidence:
    """What a rule may ask for besides the outcome it judges.

    Attributes:
        rivals: by gate name and case id, the case that a `not-worse-than` compares with.
        evaluate: a case's outcome; from the store where it is known.
    """

    rivals: Mapping[tuple[str, str], Case]
    baseline: Baseline | None
    evaluate: Callable[[Case], Outcome]


class CaseRule(Protocol):
    """A rule on cases."""

    def judge(self, gate: str, case: Case, outcome: Outcome, evidence: Evidence) -> Finding:
        """What the rule says of one case's outcome."""


@dataclass(frozen=True)
class MetricBound:
    """`at-least` or `at-most` on a metric; "" is the primary one."""

    metric: str
    bound: float
    side: Side

    def judge(self, gate: str, case: Case, outcome: Outcome, evidence: Evidence) -> Finding:  # noqa: ARG002 - all rules are asked alike
        """Whether the whole interval reaches the bound."""
        name = self.metric or primary(case, outcome)
        estimate = outcome.metrics.get(name)
        if estimate is None:
            return failed(f"there is no metric {name!r}; there are {', '.join(outcome.metrics)}")
        if estimate.value is None or estimate.low is None or estimate.high is None:
            return failed(f"{reading(name, estimate)} must be at {self.side} {amount(self.bound)} ({estimate.reason})")
        status = against(estimate.low, estimate.high, self.bound, self.side)
        digits = decimals(self.bound, estimate.value, estimate.low, estimate.high)
        begins = f"{reading(name, estimate, digits)} "
        demand = f"at {self.side} {amount(self.bound)}"
        ends = {
            "passed": f"is {demand}",
            "failed": f"must be {demand}, and its whole interval is {'below' if self.side == 'least' else 'above'} that",
            "inconclusive": f"must be {demand}, and {open_question(estimate, self.bound)}",
        }
        return Finding(status, begins + ends[status] + cautioned(estimate), estimate.value, self.bound)


@dataclass(frozen=True)
class CostBound:
    """`at-least` or `at-most` on a cost, such as trainable_parameters; a cost has no interval."""

    cost: str
    bound: float
    side: Side

    def judge(self, gate: str, case: Case, outcome: Outcome, evidence: Evidence) -> Finding:  # noqa: ARG002 - all rules are asked alike
        """Whether the cost keeps the bound."""
        spent = asdict(outcome.cost)[self.cost]
        if spent is None:
            return failed(f"{self.cost} is unknown on this machine and must be at {self.side} {amount(self.bound)}")
        status = against(spent, spent, self.bound, self.side)
        verb = "is" if status == "passed" else "must be"
        shown = amount(spent) if isinstance(spent, int) else f"{spent:,.{decimals(self.bound, spent)}f}"
        return Finding(status, f"{self.cost} {shown} {verb} at {self.side} {amount(self.bound)}", spent, self.bound)


@dataclass(frozen=True)
class NotWorseThan:
    """Non-inferior to another model on the same samples; `regime` "" is the case's own."""

    metric: str
    model: str
    regime: str
    margin: Margin

    def judge(self, gate: str, case: Case, outcome: Outcome, evidence: Evidence) -> Finding:
        """Whether the one-sided bound of the difference to the rival stays within the margin."""
        rival = evidence.rivals[gate, case.id]
        theirs = evidence.evaluate(rival)
        name = self.model if rival.regime.name == case.regime.name else f"{self.model} {rival.regime.name}"
        other = Other(name, theirs.predictions, theirs.validation)
        return beside(case, self.metric or primary(case, outcome), outcome, other, self.margin)


@dataclass(frozen=True)
class NoRegression:
    """Non-inferior to what an earlier run measured in the case of the same id, sample by sample."""

    metric: str
    margin: Margin

    def judge(self, gate: str, case: Case, outcome: Outcome, evidence: Evidence) -> Finding:  # noqa: ARG002 - all rules are asked alike
        """Whether the one-sided bound of the difference to the baseline stays within the margin."""
        if evidence.baseline is None:
            return failed("there is no baseline yet to compare with; --update-baseline of this run writes it")
        before = evidence.baseline.cases.get(case.id)
        if before is None or before.get("status") != "measured":
            return failed(f"the baseline {evidence.baseline.path} has not measured {case.id}")
        if tuple(before.get("classes", ())) != outcome.classes:
            return failed(f"the baseline {evidence.baseline.path} has other classes for {case.task.name}")
        metric = self.metric or primary(case, outcome)
        other = Other(
            f"the baseline of {evidence.baseline.started[:10]}", *evidence.baseline.verified(case.id, case.task.kind, metric)
        )
        return beside(case, metric, outcome, other, self.margin)


@dataclass(frozen=True)
class SubgroupGap:
    """The largest difference of the primary metric between two groups of an attribute is at most a bound."""

    attribute: str
    at_most: float

    def judge(self, gate: str, case: Case, outcome: Outcome, evidence: Evidence) -> Finding:  # noqa: ARG002 - all rules are asked alike
        """Whether the whole interval of the gap keeps the bound; a group that cannot be measured leaves it open."""
        demand = f"must be at most {amount(self.at_most)}"
        if self.attribute not in outcome.subgroups:
            known = ", ".join(name for name, one in outcome.subgroups.items() if one.groups) or "none"
            return failed(f"the gap between groups of {self.attribute} {demand}; the attributes with groups are: {known}")
        groups = outcome.subgroups[self.attribute]
        gap = groups.gap
        if gap.value is None or gap.low is None or gap.high is None:
            return failed(f"the gap in {groups.metric} between groups of {self.attribute} {demand}; {gap.reason}")
        status = against(gap.low, gap.high, self.at_most, "most")
        digits = decimals(self.at_most, gap.value, gap.low, gap.high)
        each = ", ".join(f"{name} {'undefined' if e.value is None else f'{e.value:.3f}'}" for name, e in groups.groups.items())
        begins = (
            f"the gap in {groups.metric} between groups of {self.attribute} is {gap.value:.{digits}f} "
            f"{spread(gap.low, gap.high, digits)} on {gap.n:,} samples ({each})"
        )
        if unknown := [name for name, estimate in groups.groups.items() if estimate.low is None]:
            status = "failed" if status == "failed" else "inconclusive"
            demand += f", and {', '.join(unknown)} cannot be measured"
        elif status == "inconclusive":
            demand += f", and {open_question(gap, self.at_most)}"
        ends = "" if status == "passed" else f"; it {demand}"
        return Finding(status, begins + ends + cautioned(gap), gap.value, self.at_most)


@dataclass(frozen=True)
class VerdictIn:
    """A pair ends in one of these verdicts."""

    allowed: tuple[Verdict, ...]

    def judge(self, comparison: Comparison) -> Finding:
        """Whether the verdict is one of those allowed."""
        gap, wanted = comparison.difference, " or ".join(self.allowed)
        if gap.value is None or gap.low is None or gap.high is None:
            return failed(f"the difference in {comparison.metric} is undefined ({gap.reason}); the verdict must be {wanted}")
        begins = (
            f"{comparison.verdict}: {comparison.metric} differs by {gap.value:+.3f} {spread(gap.low, gap.high, sign='+')} "
            f"on {gap.n:,} samples (general minus medical, margin {amount(comparison.margin)})"
        )
        if comparison.verdict in self.allowed:
            return Finding("passed", begins + cautioned(gap), gap.value)
        status: Status = "inconclusive" if comparison.verdict == "inconclusive" else "failed"
        needed = _samples_for_a_verdict(comparison) if status == "inconclusive" else None
        settles = f"; about {rounded(needed):,} samples would settle it" if needed else ""
        return Finding(status, f"{begins}; the verdict must be {wanted}{settles}{cautioned(gap)}", gap.value)


@dataclass(frozen=True)
class MaxLeakage:
    """At most a share of a data set's test samples are on training images or of training patients."""

    bound: float

    def judge(self, audit: Audit) -> Finding:
        """Whether the share keeps the bound; it is counted, not estimated, and has no interval."""
        leaks = audit.leakage
        status = against(leaks.share, leaks.share, self.bound, "most")
        found = f"{len(leaks.leaked):,} of {leaks.test_samples:,} test samples are leaked, a share of "
        demand = f"which {'is' if status == 'passed' else 'must be'} at most {amount(self.bound)}"
        share = f"{leaks.share:.{decimals(self.bound, leaks.share)}f}"
        return Finding(status, f"{found}{share}, {demand}", leaks.share, self.bound)


@dataclass(frozen=True)
class Required:
    """All cases and pairs of these names were measured, as a whole."""


Rule = MetricBound | CostBound | NotWorseThan | NoRegression | SubgroupGap | VerdictIn | MaxLeakage | Required


def _samples_for_a_verdict(comparison: Comparison) -> int | None:
    """How many samples would end in a win of either, or in equivalence, whichever takes fewer."""
    gap, margin = comparison.difference, comparison.margin
    equivalence = [samples_needed(gap, margin), samples_needed(gap, -margin)] if abs(gap.value or 0) < margin else [None]
    enough = [samples_needed(gap, 0.0), None if None in equivalence else max(n or 0 for n in equivalence)]
    return min((n for n in enough if n), default=None)


def primary(case: Case, outcome: Outcome) -> str:
    """The metric that decides where a gate names none."""
    from medrival.tasks.metrics import primary

    return primary(case.task.kind, outcome.predictions)
