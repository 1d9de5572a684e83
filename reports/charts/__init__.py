"""The charts of the report: each function takes what was measured and returns figures, none where there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from medrival.reports.charts.drawing import Figure
from medrival.reports.figures import clip, visible
from medrival.reports.record import CaseRecord, PairRecord, plain

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


FORESTS: tuple[str, ...] = ("medrival.reports.charts.forest:forests",)
"""The charts of pairs."""

__all__ = ["DETAIL", "FORESTS", "OVERVIEW", "Figure", "drawn"]


def drawn(places: Sequence[str], records: Sequence[CaseRecord] | Sequence[PairRecord]) -> list[Figure]:
    """All figures of these charts; in the place of one that cannot be drawn, why: no chart is worth the report."""
    return [figure for place in places for figure in _drawn(place, records)]


def _drawn(place: str, records: Sequence[Any]) -> list[Figure]:
    from medrival.catalog import imported

    try:
        draw: Callable[[Sequence[Any]], list[Figure]] = imported(place)
        return draw(records)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the renderer, which is Rust, is no Exception
        title = f"Not drawn: {place.partition(':')[2].replace('_', ' ')}"
        why = clip(visible(plain(f"{type(error).__name__}: {error}")), 500)
        return [Figure(title, f"{why}. The figures are in the tables of this page and in report.json.", Markup())]
