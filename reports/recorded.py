"""What a case or a pair of the plan becomes in the report, once it is known how it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from medrival.case import Case, Outcome, Pair
from medrival.reports.record import CaseRecord, PairRecord, Status


def case_record(case: Case, status: Status, reason: str = "") -> CaseRecord:
    """A case of which nothing was measured."""
    return CaseRecord(
        id=case.id,
        model=case.model.name,
        kind=case.model.kind,
        task=case.task.name,
        task_kind=case.task.kind,
        domain=case.domain,
        regime=case.regime.name,
        seed=case.seed,
        status=status,
        reason=reason,
    )


def measured_record(case: Case, outcome: Outcome) -> CaseRecord:
    """A case with what it measured."""
    from medrival.tasks.metrics import primary

    return replace(
        case_record(case, "measured"),
        metrics={name: asdict(estimate) for name, estimate in outcome.metrics.items()},
        per_class={name: {c: asdict(e) for c, e in classes.items()} for name, classes in outcome.per_class.items()},
        subgroups={name: asdict(groups) for name, groups in outcome.subgroups.items()},
        primary=primary(case.task.kind, outcome.predictions),
        cost=asdict(outcome.cost),
        notes=outcome.notes,
        classes=outcome.classes,
        predictions=outcome.predictions,
        validation=outcome.validation,
    )


def pair_record(
    pair: Pair, margin: float, status: Status, reason: str = "", comparison: Mapping[str, Any] | None = None
) -> PairRecord:
    """A pair with what was compared, as plain values; nothing where it did not come to that."""
    compared = comparison or {}
    difference = compared.get("difference", {})
    return PairRecord(
        id=pair.id,
        general=pair.general[0].model.name,
        medical=pair.medical[0].model.name,
        task=pair.task.name,
        task_kind=pair.task.kind,
        family=pair.medical[0].model.family,
        domain=pair.domain,
        question=pair.question,
        regimes=(pair.general[0].regime.name, pair.medical[0].regime.name),
        metric=compared.get("metric", ""),
        difference=difference.get("value"),
        low=difference.get("low"),
        high=difference.get("high"),
        p_value=difference.get("p_value"),
        verdict=compared.get("verdict"),
        n=difference.get("n", 0),
        margin=margin,
        seeds=(len(pair.general), len(pair.medical)),
        status=status,
        reason=reason or difference.get("reason", ""),
        caution=difference.get("caution", ""),
    )
