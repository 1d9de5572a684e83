"""Non-inferiority of a case: to a rival, or to what an earlier run measured, on the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medrival.case import Case, Outcome
from medrival.contracts import Prediction
from medrival.gates.judgement import Finding, Status, amount, cautioned, decimals, failed, open_question, reading, spread
from medrival.statistics import Difference


@dataclass(frozen=True)
class Margin:
    """How much worse still counts as not worse, in units of the metric, and how sure one must be of that."""

    width: float
    confidence: float = 0.95

    @property
    def level(self) -> float:
        """Of the two-sided interval whose ends are the one-sided bounds at this confidence."""
        return 2 * self.confidence - 1


@dataclass(frozen=True)
class Other:
    """What an outcome is held against.

    Attributes:
        name: what the explanation calls it.
        predictions: of the same samples.
        validation: of the validation samples, for a metric that needs a threshold.
    """

    name: str
    predictions: Sequence[Prediction]
    validation: Sequence[Prediction] = ()


def beside(case: Case, metric: str, outcome: Outcome, other: Other, margin: Margin) -> Finding:
    """Judge an outcome against other predictions of the same samples.

    Passed where the lower bound of the paired difference lies above minus the margin, failed where the upper bound lies
    below it. Of a metric that is better when lower, the difference counts the other way round. Identical predictions pass
    whatever the interval: it allows for chance, and there is none between a model and itself. A difference that rests on
    other samples than the metric decides nothing and fails. What passes only because samples of the other failed, which count
    as wrong, is inconclusive.
    """
    from medrival.tasks.metrics import METRICS, compare

    estimate = outcome.metrics.get(metric)
    if estimate is None:
        return failed(f"there is no metric {metric!r}; there are {', '.join(outcome.metrics)}")
    if apart := unlike(outcome.predictions, other.predictions):
        return failed(f"{metric} cannot be compared with {other.name}: {apart}")
    sides, tuning = ([outcome.predictions], [other.predictions]), ([outcome.validation], [other.validation])
    gap = compare(case.task.kind, metric, *sides, outcome.classes, validation=tuning, level=margin.level)
    if gap.value == 0 and identical(outcome.predictions, other.predictions):
        words = f"is level with {other.name} (margin {amount(margin.width)}; the predictions are identical)"
        return Finding("passed", f"{reading(metric, estimate)} {words}", 0.0, -margin.width)
    if gap.n != estimate.n:
        return failed(
            f"{reading(metric, estimate)} cannot be compared with {other.name}: the difference is known on {gap.n:,} samples "
            "only, for it leaves out what --skills labels and what has no value in one of the two"
        )
    if gap.value is None or gap.low is None or gap.high is None:
        return failed(f"{reading(metric, estimate)} cannot be compared with {other.name}: {gap.reason}")
    sign = -1 if METRICS[case.task.kind][metric].lower_is_better else 1
    low, high = sorted((sign * gap.low, sign * gap.high))
    status: Status = "passed" if low > -margin.width else "failed" if high < -margin.width else "inconclusive"
    answered = [i for i, prediction in enumerate(other.predictions) if not prediction.error]
    if status == "passed" and len(answered) < len(other.predictions):
        ours, theirs = ([[predictions[i] for i in answered]] for predictions in (outcome.predictions, other.predictions))
        fair = compare(case.task.kind, metric, ours, theirs, outcome.classes, validation=tuning, level=margin.level)
        worst = None if fair.low is None or fair.high is None else min(sign * fair.low, sign * fair.high)
        if worst is None or worst <= -margin.width:
            return Finding("inconclusive", _unfair(reading(metric, estimate), other, len(answered), fair), None, -margin.width)
    digits = decimals(-margin.width, sign * gap.value, low, high)
    explanation = (
        f"{reading(metric, estimate)} is {_apart(gap.value, digits)} {other.name} (margin {amount(margin.width)}; "
        f"{amount(100 * margin.level)}% interval of the difference {spread(gap.low, gap.high, digits, '+')})"
    )
    ends = {
        "passed": "",
        "failed": ": worse by more than the margin",
        "inconclusive": f": {open_question(gap, -sign * margin.width)}",
    }
    return Finding(status, explanation + ends[status] + cautioned(gap), sign * gap.value, -margin.width)


def _unfair(ours: str, other: Other, answered: int, fair: Difference) -> str:
    failures = len(other.predictions) - answered
    left = (
        f"the difference is undefined ({fair.reason})"
        if fair.value is None or fair.low is None or fair.high is None
        else f"the difference is {fair.value:+.3f} {spread(fair.low, fair.high, sign='+')}"
    )
    return (
        f"{ours} is ahead of {other.name} only because {failures:,} of its {len(other.predictions):,} samples failed and count "
        f"as wrong: on the others {left}"
    )


def _apart(difference: float, digits: int) -> str:
    if difference == 0:
        return "level with"
    return f"{abs(difference):.{digits}f} {'above' if difference > 0 else 'below'}"


def identical(ours: Sequence[Prediction], theirs: Sequence[Prediction]) -> bool:
    """Whether two lists of predictions of the same samples say the same of each."""
    said = ([(p.scores, p.answer, p.error) for p in side] for side in (ours, theirs))
    return next(said) == next(said)


def unlike(ours: Sequence[Prediction], theirs: Sequence[Prediction], here: str = "here", there: str = "there") -> str:
    """Why two lists of predictions are not of the same samples, or ""."""
    if len(ours) != len(theirs):
        return f"there are {len(ours):,} samples {here} and {len(theirs):,} {there}"
    for mine, other in zip(ours, theirs, strict=True):
        for what in ("id", "truth", "group", "question", "form", "options", "skill"):
            if getattr(mine, what) != getattr(other, what):
                found = f"{getattr(mine, what)!r} {here} and {getattr(other, what)!r} {there}"
                return f"the {what} of sample {mine.id!r} is {found}"
    return ""
