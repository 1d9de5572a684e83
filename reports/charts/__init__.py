"""The charts of the report: each function takes what was measured and returns figures, none where there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from medrival.reports.charts.drawing import Figure
from medrival.reports.record import CaseRecord

OVERVIEW: Mapping[str, tuple[str, ...]] = {}
"""By heading, the "module:function" of charts over all cases, in the order of the page."""

DETAIL: tuple[str, ...] = ()
"""The charts of one task at a time."""


__all__ = ["DETAIL", "OVERVIEW", "Figure", "drawn"]


def drawn(places: Sequence[str], cases: Sequence[CaseRecord]) -> list[Figure]:
    """All figures of these charts."""
    from medrival.catalog import imported

    chosen: list[Callable[[Sequence[CaseRecord]], list[Figure]]] = [imported(place) for place in places]
    return [figure for draw in chosen for figure in draw(cases)]
