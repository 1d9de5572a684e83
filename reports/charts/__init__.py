"""The charts of the report: each function takes what was measured and returns figures, none where there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from medrival.reports.charts.drawing import Figure
from medrival.reports.record import CaseRecord

OVERVIEW: Mapping[str, tuple[str, ...]] = {
    "Overview": ("medrival.reports.charts.heat:heat_maps",),
    "Adaptation": ("medrival.reports.charts.slope:slopes", "medrival.reports.charts.shots:learning_curves"),
    "Cost": ("medrival.reports.charts.cost:paretos",),
    "Understanding and reasoning": ("medrival.reports.charts.skills:skills",),
    "Subgroups": ("medrival.reports.charts.groups:subgroup_gaps",),
}
"""By heading, the "module:function" of charts over all cases, in the order of the page."""

DETAIL: tuple[str, ...] = (
    "medrival.reports.charts.ranked:roc_curves",
    "medrival.reports.charts.calibrated:calibration_curves",
    "medrival.reports.charts.confusion:confusions",
    "medrival.reports.charts.findings:by_finding",
    "medrival.reports.charts.forms:by_form",
)
"""The charts of one task at a time."""


__all__ = ["DETAIL", "OVERVIEW", "Figure", "drawn"]


def drawn(places: Sequence[str], cases: Sequence[CaseRecord]) -> list[Figure]:
    """All figures of these charts."""
    from medrival.catalog import imported

    chosen: list[Callable[[Sequence[CaseRecord]], list[Figure]]] = [imported(place) for place in places]
    return [figure for draw in chosen for figure in draw(cases)]
