"""Diagnoses of several findings: how well each class is ranked."""

from __future__ import annotations

from collections.abc import Sequence

from medrival.reports.charts.dots import Dot, dots
from medrival.reports.charts.drawing import SERIES, Figure, figure
from medrival.reports.charts.measured import estimated, firsts, seeds_said
from medrival.reports.charts.words import listed, name, names
from medrival.reports.figures import estimate
from medrival.reports.record import CaseRecord

MOST = 360  # values of one figure


def of_findings(case: CaseRecord) -> bool:
    """Whether the case's classes are independent, so that a sample may have several or none."""
    return any(p.form == "findings" for p in case.predictions)


def by_finding(cases: Sequence[CaseRecord]) -> list[Figure]:
    """A chart for each regime, of at most as many models as there are hues, a row for each class."""
    several = [case for case in firsts(cases) if of_findings(case) and case.per_class.get("auroc")]
    plots = []
    for regime in dict.fromkeys(case.regime for case in several):
        own = [case for case in several if case.regime == regime]
        plots += [_rows(regime, own[i : i + len(SERIES)], cases) for i in range(0, len(own), len(SERIES))]
    return [plot for plot in plots if plot]


def _rows(regime: str, cases: Sequence[CaseRecord], every: Sequence[CaseRecord]) -> Figure | None:
    models = names((case.model for case in cases), 40)
    classes = list(dict.fromkeys(found for case in cases for found in case.per_class["auroc"]))
    shown = classes[: max(1, MOST // len(cases))]
    rows = names(shown, 50)
    values, undefined = [], []
    for found in shown:
        for case in cases:
            one = case.per_class["auroc"].get(found)
            ends = estimated(one)
            if ends is None:
                undefined.append(found)
                continue
            values.append(
                Dot(rows[found], models[case.model], *ends, f"{models[case.model]}, {rows[found]}: AUROC {estimate(one)}")
            )
    if not values:
        return None
    says = ["How well each finding is told from its absence, with 95% intervals; 0.5 is chance."]
    if undefined:
        says.append(f"Undefined, as no sample or every sample has it: {listed(dict.fromkeys(undefined))}.")
    if len(classes) > len(shown):
        says.append(f"{len(classes) - len(shown):,} more classes are in report.json.")
    title = f"AUROC of each finding, {name(regime, 40)}"
    return figure(title, " ".join(says) + seeds_said(every), dots(values, "AUROC"))
