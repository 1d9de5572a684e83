"""What audits say, beside the scores: figures without the image, scores without what was leaked, and lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from textwrap import wrap
from typing import Any

from medrival.integrity import Audit, Blind
from medrival.reports.figures import count, visible
from medrival.reports.record import AuditRecord, CaseRecord

SHOWN = 5
"""Of a long list; the report as data has it all."""


def beside(cases: Iterable[CaseRecord], audits: Sequence[AuditRecord], *, drop_leaked: bool) -> tuple[CaseRecord, ...]:
    """The cases with what the audits of their tasks say of their scores.

    Args:
        drop_leaked: whether to measure each case also without leaked test samples, from its predictions.
    """
    known = {record.task: record.audit for record in audits if record.audit}
    return tuple(
        _beside(case, known[case.task], drop_leaked) if case.status == "measured" and case.task in known else case
        for case in cases
    )


def unaudited(cases: Iterable[CaseRecord], audits: Iterable[AuditRecord]) -> list[str]:
    """The tasks with measured cases of which it is not known what is leaked."""
    known = {record.task for record in audits if record.audit}
    return list(dict.fromkeys(case.task for case in cases if case.status == "measured" and case.task not in known))


def audit_lines(audits: Iterable[AuditRecord], width: int) -> list[str]:
    """Of each task with a warning the first one, and how many more there are."""
    lines = []
    for record in audits:
        if record.audit and (grave := warnings(record.audit)):
            more = f"; {count(len(grave) - 1, 'more finding')} in the report" if len(grave) > 1 else ""
            lines += wrap(f"  {visible(record.task)}: {visible(grave[0])}{more}", width, subsequent_indent="    ")
    return lines


def warnings(audit: Audit) -> list[str]:
    """What must be known before scores are believed, the gravest first."""
    return [finding.text for finding in audit.findings if finding.severity != "note"]


def details(audit: Audit) -> Iterator[tuple[str, str]]:
    """What a table has no room for, each with its title: balance, repeated questions, pairs of look-alikes, names."""
    for split, counted in audit.balance.items():
        for what, counts in counted.items():
            yield f"{split}, {what}", _first([f"{value} {n:,}" for value, n in counts.items()])
    for where, repeated in audit.repeats.items():
        if any(repeated.values()):
            yield f"questions repeated, {where}", ", ".join(f"{n:,} on {image}" for image, n in repeated.items())
    found = audit.duplicates
    for title, pairs in (("mirrored or turned", found.turned_examples), ("look alike", found.examples)):
        for pair in pairs:
            yield title, f"{pair.samples[0]} and {pair.samples[1]}: {pair.distance} of {found.bits} bits differ"
    if audit.images.unreadable:
        yield "cannot be read", _first(audit.images.unreadable, "; ")
    if audit.leakage.leaked:
        yield "leaked", _first(audit.leakage.leaked)


def _first(texts: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(texts) - SHOWN:,} more in report.json" if len(texts) > SHOWN else ""
    return between.join(texts[:SHOWN]) + more


def _beside(case: CaseRecord, audit: Audit, drop_leaked: bool) -> CaseRecord:
    blind = {"constant": _value(audit.constant, case.primary), "question_only": _value(audit.question_only, case.primary)}
    return replace(case, blind=blind, unleaked=_unleaked(case, set(audit.leakage.leaked)) if drop_leaked else None)


def _value(blind: Blind | None, metric: str) -> float | None:
    return blind.metrics.get(metric) if blind else None


def _unleaked(case: CaseRecord, leaked: set[str]) -> Mapping[str, Any]:
    """The number of test samples left, and every metric on them."""
    from medrival.tasks.metrics import measure

    kept = [prediction for prediction in case.predictions if prediction.id not in leaked]
    if len(kept) == len(case.predictions):
        return {"n": len(kept), "metrics": case.metrics}
    found = measure(case.task_kind, kept, case.classes, validation=case.validation).metrics if kept else {}
    return {"n": len(kept), "metrics": {name: asdict(estimate) for name, estimate in found.items()}}
