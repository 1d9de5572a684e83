"""The channels that several charts share: a hue is never alone, a shape or a dash goes with it."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from medrival.reports.charts.drawing import (
    KIND_DASHES,
    KIND_SHAPES,
    KINDS,
    SERIES,
    SERIES_DASHES,
    SERIES_SHAPES,
)

RANK = alt.EncodingSortField(field="rank", op="min")
"""Rows carry their order as a number: a list of names to sort by would become part of an expression."""
LEGEND = alt.Legend(
    orient="top", direction="horizontal", title=None, offset=8, columns=4, symbolOpacity=1, symbolSize=80, symbolStrokeWidth=0
)
LINES = alt.Legend(
    orient="top",
    direction="horizontal",
    title=None,
    offset=8,
    columns=4,
    symbolType="stroke",
    symbolSize=400,
    symbolStrokeWidth=2,
)


def kind_colour() -> alt.Color:
    """Of general and medical models."""
    return alt.Color("kind:N", legend=LEGEND, scale=alt.Scale(domain=list(KINDS), range=list(KINDS.values())))


def kind_shape() -> alt.Shape:
    """Goes with `kind_colour`."""
    return alt.Shape("kind:N", legend=LEGEND, scale=alt.Scale(domain=list(KIND_SHAPES), range=list(KIND_SHAPES.values())))


def kind_dash() -> alt.StrokeDash:
    """Goes with `kind_colour`, where there are lines."""
    return alt.StrokeDash("kind:N", legend=None, scale=alt.Scale(domain=list(KIND_DASHES), range=list(KIND_DASHES.values())))


def series_colour(names: Sequence[str], legend: alt.Legend = LEGEND) -> alt.Color:
    """Of the values of the field `series`."""
    hues = [SERIES[i % len(SERIES)] for i in range(len(names))]
    return alt.Color("series:N", legend=legend, scale=alt.Scale(domain=list(names), range=hues))


def series_dash(names: Sequence[str]) -> alt.StrokeDash:
    """Goes with `series_colour`, where there are lines."""
    dashes = [SERIES_DASHES[i % len(SERIES_DASHES)] for i in range(len(names))]
    return alt.StrokeDash("series:N", legend=LINES, scale=alt.Scale(domain=list(names), range=dashes))


def series_shape(names: Sequence[str]) -> alt.Shape:
    """Goes with `series_colour`, where there are points; of more than eight, hue and shape together tell one."""
    shapes = [SERIES_SHAPES[(i + i // len(SERIES)) % len(SERIES_SHAPES)] for i in range(len(names))]
    return alt.Shape("series:N", legend=LEGEND, scale=alt.Scale(domain=list(names), range=shapes))


def part(base: alt.Chart, name: str) -> alt.Chart:
    """Of rows of several sorts, those whose field `part` says so."""
    return base.transform_filter(alt.FieldEqualPredicate(field="part", equal=name))


def panels(field: str, columns: int) -> tuple[alt.Facet, int]:
    """A panel for each value of the field, in the order of the rows' ranks."""
    header = alt.Header(title=None, labelFontWeight="bold", labelAnchor="start", labelPadding=6)
    return alt.Facet(f"{field}:N", sort=RANK, header=header), columns


def around(values: Sequence[float], share: float = 0.06, low: float | None = None, high: float | None = None) -> list[float]:
    """The range of the values with some room, within `low` and `high`."""
    least, most = min(values), max(values)
    room = max((most - least) * share, 0.01)
    least, most = least - room, most + room
    return [least if low is None else max(least, low), most if high is None else min(most, high)]
