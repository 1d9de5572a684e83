"""Subgroups: how a model does in each group of patients, and how far apart two groups are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medrival.reports.charts.dots import Dot, dots
from medrival.reports.charts.drawing import Figure, figure
from medrival.reports.charts.measured import estimated, firsts, seeds_said
from medrival.reports.charts.words import listed, metric_name, name, names
from medrival.reports.figures import count, estimate
from medrival.reports.record import CaseRecord

MOST, ROWS = 360, 24  # values and rows of one figure


def subgroup_gaps(cases: Sequence[CaseRecord]) -> list[Figure]:
    """A chart for each attribute and metric, the surest gaps first: by the lower ends of their intervals."""
    known: dict[tuple[str, str], list[tuple[CaseRecord, Mapping[str, Any]]]] = {}
    for case in firsts(cases):
        for attribute, divided in case.subgroups.items():
            if any(estimated(one) for one in divided["groups"].values()):
                known.setdefault((attribute, divided["metric"]), []).append((case, divided))
    return [_gaps(attribute, metric, found) for (attribute, metric), found in known.items()]


def _gaps(attribute: str, metric: str, found: list[tuple[CaseRecord, Mapping[str, Any]]]) -> Figure:
    found = sorted(found, key=lambda one: _gap(one[1]), reverse=True)
    most = max(len(divided["groups"]) for _, divided in found)
    shown = found[: max(1, min(MOST // most, ROWS))]
    groups = names((group for _, divided in shown for group in sorted(divided["groups"])), 30)
    rows = names((f"{case.task} · {case.model} · {case.regime}" for case, _ in shown), 70)
    values, undefined = [], []
    for case, divided in shown:
        row = rows[f"{case.task} · {case.model} · {case.regime}"]
        gap = divided["gap"]
        note = estimate(gap) if estimated(gap) else "n/a"
        for group, one in sorted(divided["groups"].items()):
            if (ends := estimated(one)) is None:
                undefined.append(f"{group}: {one.get('reason') or 'undefined'}")
                continue
            whose = f"{row}, {name(attribute, 30)} {groups[group]}"
            said = f"{whose}: {metric_name(metric)} {estimate(one)}, n = {one.get('n') or 0:,}"
            values.append(Dot(row, groups[group], *ends, said, note))
            note = ""
    says = ["The value in each group with its 95% interval; at the end, the largest gap between two groups. Surest gaps first."]
    if any(one["low"] is None for _, divided in shown for one in divided["groups"].values() if estimated(one)):
        says.append("A point without a line is of too few samples for an interval, and in no gap.")
    if undefined:
        says.append(f"Without a value: {listed(dict.fromkeys(undefined), 3)}.")
    if rest := len(found) - len(shown):
        says.append(f"{count(rest, 'case')} with less sure gaps {'is' if rest == 1 else 'are'} in report.json.")
    says.append(seeds_said([case for case, _ in found]).strip())
    title = f"{metric_name(metric)} by {name(attribute, 40)}"
    return figure(title, " ".join(filter(None, says)), dots(values, metric_name(metric), "largest gap"))


def _gap(divided: Mapping[str, Any]) -> tuple[float, float]:
    """How sure it is that there is one, then how wide it is."""
    value, low, _ = estimated(divided["gap"]) or (-1.0, None, None)
    return (low or 0.0, value)
