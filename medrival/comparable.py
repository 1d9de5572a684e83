"""Whether two cases can be compared: both measured, of the same samples, and said by their files as by their reports."""

from __future__ import annotations

from medrival.errors import BrokenData, MedrivalError, UnknownName, first_line
from medrival.gates.baseline import same
from medrival.gates.margins import unlike
from medrival.reports.record import CaseRecord

Sides = tuple[str, str]
"""What two runs are called where something is said of one of them."""


def unmeasured(one: CaseRecord, other: CaseRecord, metric: str, sides: Sides) -> str:
    """Why a case of both runs cannot be compared, or ""."""
    for side, case in zip(sides, (one, other), strict=True):
        if case.status != "measured":
            return f"{case.status} in {side}: {first_line(MedrivalError(case.reason))}"
        if metric and metric not in case.metrics:
            return f"{side} has no metric {metric}"
    return ""


def unfit(one: CaseRecord, other: CaseRecord, metric: str, sides: Sides) -> str:
    """Why two measured cases must not be compared, or ""."""
    from medrival.tasks import metrics

    if reason := unlike_cases(one, other, sides):
        return reason
    try:
        for side, case in zip(sides, (one, other), strict=True):
            check(case, metric or metrics.primary(one.task_kind, one.predictions), side)
    except MedrivalError as error:
        return str(error)
    return ""


def unlike_cases(one: CaseRecord, other: CaseRecord, sides: Sides) -> str:
    """Why two cases are no two answers to the same question, in words; "" where they are."""
    limits = [f"limited to {case.notes['limit']:,} samples" if "limit" in case.notes else "whole" for case in (one, other)]
    apart = {
        "kind of task": (one.task_kind, other.task_kind),
        "test set": limits,
        "classes": [", ".join(case.classes) for case in (one, other)],
    }
    a, b = sides
    differing = [f"the {what} is {ours} in {a} and {theirs} in {b}" for what, (ours, theirs) in apart.items() if ours != theirs]
    differing += filter(None, [unlike(one.predictions, other.predictions, f"in {a}", f"in {b}")])
    if not differing and differ(*(case.notes.get("fingerprint") for case in (one, other))):
        differing = [f"the data has another fingerprint in {a} than in {b}: its training samples or images are not the same"]
    return differing[0] if differing else ""


def differ(one: object, other: object) -> bool:
    """Whether two notes are both there and not the same."""
    return None not in (one, other) and one != other


def check(case: CaseRecord, metric: str, side: str) -> None:
    """See to it that a damaged file, or a metric that is computed in another way since, decides nothing.

    Args:
        case: a measured one.
        metric: what is computed again from its predictions.
        side: what its run is called.

    Raises:
        MedrivalError: the metric is not what the report says, or cannot be computed.
    """
    reported = case.metrics.get(metric, {}).get("value")
    try:
        found = value(case, metric)
    except (BrokenData, UnknownName, AttributeError, KeyError, TypeError, ValueError) as error:
        raise MedrivalError(f"{case.id} of {side} cannot be measured again ({type(error).__name__}: {error})") from error
    if same(found, reported):
        return
    raise MedrivalError(
        f"by its predictions {metric} of {case.id} in {side} is {found}, by its report {reported}: a file is damaged, or the "
        "metric is computed in another way since or rests on labels that no predictions keep; run it again, or name another "
        "metric"
    )


def value(case: CaseRecord, metric: str) -> float | None:
    """A metric, computed again from the case's predictions; None where it is undefined."""
    from medrival.tasks.metrics import values

    return values(case.task_kind, metric, case.predictions, case.classes, validation=case.validation)[metric]
