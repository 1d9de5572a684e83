"""Dot plots: rows of several values each, every one with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from medrival.reports.charts.drawing import inline
from medrival.reports.charts.scales import RANK, around, part, series_colour, series_shape

WIDTH = 460  # pixels
STEP = 11  # pixels of a value's line


@dataclass(frozen=True)
class Dot:
    """One value.

    Attributes:
        row: beside the axis; rows stand in the order in which they first come.
        series: which of the row's values it is.
        note: stands at the end of the row, where it is not "".
    """

    row: str
    series: str
    value: float
    low: float | None
    high: float | None
    says: str
    note: str = ""


def dots(values: Sequence[Dot], axis: str, noted: str = "") -> alt.TopLevelMixin:
    """A plot of the values.

    Args:
        values: what is drawn; rows and series have names fit for a chart.
        axis: what the values are.
        noted: what the notes at the ends of rows are.
    """
    series = list(dict.fromkeys(dot.series for dot in values))
    ends = around([end for dot in values for end in (dot.value, dot.low, dot.high) if end is not None], 0.03)
    rows = [
        {
            "row": dot.row,
            "series": dot.series,
            "value": dot.value,
            "low": dot.value if dot.low is None else dot.low,
            "high": dot.value if dot.high is None else dot.high,
            "says": dot.says,
            "part": "noted" if dot.note else "",
            "note": dot.note,
            "rank": rank,
        }
        for rank, dot in enumerate(values)
    ]
    y = alt.Y(
        "row:N",
        sort=RANK,
        title=None,
        scale=alt.Scale(paddingInner=0.25),
        axis=alt.Axis(grid=True, tickBand="extent", ticks=False, domain=False),
    )
    offset = alt.YOffset("series:N", sort=RANK, scale=alt.Scale(domain=series))
    base = alt.Chart(inline(rows), width=WIDTH, height=alt.Step(STEP, **{"for": "offset"})).encode(y=y)

    def x(field: str) -> alt.X:
        return alt.X(f"{field}:Q", title=axis, scale=alt.Scale(domain=ends, nice=False, zero=False), axis=alt.Axis(tickCount=7))

    colour = series_colour(series)
    layers: list[alt.Chart] = [
        base.mark_rule(strokeWidth=2, opacity=0.7, aria=False).encode(x=x("low"), x2="high:Q", yOffset=offset, color=colour),
        base.mark_point(filled=True, size=55, opacity=1).encode(
            x=x("value"), yOffset=offset, color=colour, shape=series_shape(series), description="says:N"
        ),
    ]
    if any(dot.note for dot in values):
        words = (
            part(base, "noted").mark_text(align="left", fontSize=12, aria=False).encode(x=alt.value(WIDTH + 12), text="note:N")
        )
        heading = alt.Chart(inline([{"noted": noted}])).mark_text(align="left", fontSize=12, color="var(--soft)", aria=False)
        layers += [words, heading.encode(x=alt.value(WIDTH + 12), y=alt.value(-8), text="noted:N")]
    return alt.layer(*layers)
