"""Points with the names of as many of them beside them as there is room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt

from medrival.reports.charts.placing import beside
from medrival.reports.charts.scales import kind_colour, kind_shape


def named(
    rows: Sequence[dict[str, Any]], x: tuple[float, float], y: tuple[float, float], size: tuple[int, int]
) -> list[dict[str, Any]]:
    """The rows with the place, in units of the scales, where the `words` of each stand; the first find room first.

    Args:
        rows: each with `x`, `y` and `words`.
        x: the ends of the axis; `y` those of the other.
        size: width and height in pixels.
    """
    wide, high = size
    across, up = (x[1] - x[0]) / wide, (y[1] - y[0]) / high
    points = [((row["x"] - x[0]) / across, (y[1] - row["y"]) / up) for row in rows]
    places = beside(points, [row["words"] for row in rows], wide, high)
    return [
        row | ({"wx": x[0] + at.x * across, "wy": y[1] - at.y * up, "align": at.align} if at else {"words": None})
        for row, at in zip(rows, places, strict=True)
    ]


def marks(base: alt.Chart, x: Callable[[str], alt.X], y: Callable[[str], alt.Y]) -> list[alt.Chart]:
    """Layers of points, filled where `filled` says so, and of their words; `x` and `y` make a channel of a field."""
    points = base.encode(x=x("x"), y=y("y"), color=kind_colour(), shape=kind_shape(), description="says:N")
    chosen = alt.FieldEqualPredicate(field="filled", equal=True)
    return [
        points.transform_filter(alt.LogicalNotPredicate(**{"not": chosen})).mark_point(size=60, strokeWidth=1.6, opacity=1),
        points.transform_filter(chosen).mark_point(filled=True, size=75, opacity=1),
        *(
            base.transform_filter(alt.FieldEqualPredicate(field="align", equal=align))
            .mark_text(align=align, fontSize=11, aria=False, stroke="var(--card)", strokeWidth=3)
            .encode(x=x("wx"), y=y("wy"), text="words:N")
            for align in ("left", "right")
        ),
    ]
