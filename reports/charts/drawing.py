"""From a chart to SVG that follows the page: its colours in light and dark, its words for screen readers and tooltips."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    import altair

SHRINKS = 0.85  # of its width, on a narrow screen; letters would be too small below
HUES = {
    "general wins": "var(--general)",
    "medical wins": "var(--medical)",
    "equivalent": "var(--equivalent)",
    "inconclusive": "var(--undecided)",
}
"""Of the verdicts; told apart under every common colour blindness."""
SHAPES = {"general wins": "triangle-up", "medical wins": "triangle-down", "equivalent": "square", "inconclusive": "circle"}
KINDS = {"general": "var(--general)", "medical": "var(--medical)"}
KIND_SHAPES = {"general": "circle", "medical": "diamond"}
KIND_DASHES = {"general": [1, 0], "medical": [5, 3]}
SERIES = tuple(f"var(--series-{i})" for i in range(8))
SERIES_DASHES = ([1, 0], [6, 3], [2, 2], [9, 3, 2, 3], [12, 4], [4, 1], [1, 3], [7, 2, 1, 2, 1, 2])
SERIES_SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "triangle-left", "triangle-right")
HEAT = tuple(f"var(--heat-{i})" for i in range(9))
"""From low to high; `style.css` has them for both themes."""
ON_HEAT = ("var(--heat-text-low)",) * 6 + ("var(--heat-text-high)",) * 3
"""The colour of words on each."""

THEME: dict[str, Any] = {
    "background": None,
    "font": "Arial, Liberation Sans, Helvetica, sans-serif",  # of one width each, by which labels find their room
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--soft)",
        "titleColor": "var(--soft)",
        "titleFontWeight": "normal",
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelLimit": 340,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titlePadding": 8,
    },
    "header": {"labelColor": "var(--text)", "labelFontSize": 12, "titleColor": "var(--soft)", "labelLimit": 260},
    "legend": {"labelColor": "var(--text)", "titleColor": "var(--soft)", "labelLimit": 260, "labelFontSize": 12},
    "title": {"color": "var(--text)"},
    "text": {"color": "var(--text)"},
}


@dataclass(frozen=True)
class Figure:
    """A chart on the page.

    Attributes:
        title: what it shows, in a few words.
        says: how to read it, in a sentence or two.
        svg: its picture, "" where it could not be drawn. What a mark stands for is in its `aria-label`.
    """

    title: str
    says: str
    svg: Markup


@dataclass(frozen=True)
class Rows:
    """What a chart shows, as Altair hands it on: as a list it would be copied and checked at every step."""

    rows: Sequence[Mapping[str, Any]]


def inline(values: Sequence[Mapping[str, Any]]) -> Any:
    """The data of a chart: one mapping a mark, of JSON's own types."""
    return {"values": Rows(values)}


def figure(title: str, says: str, chart: altair.TopLevelMixin) -> Figure:
    """Draw a chart of inline data.

    The data may hold any text: it is never part of an expression, and the SVG escapes it. Give each mark a `description`.
    """
    return Figure(title, says, Markup(_named(_svg(chart), title)))  # noqa: S704 - the renderer has escaped what it was given


_NOTHING = re.compile(r' role="graphics-symbol" aria-roledescription="[a-z]+ mark container"/>')  # a group of no marks


def _svg(chart: altair.TopLevelMixin) -> str:
    # checking a chart against the schema takes as long as drawing it; the renderer refuses what is no chart, too
    spec = json.dumps(chart.to_dict(validate=False), default=lambda data: data.rows)
    drawn: str = _renderer().vegalite_to_svg(spec, config=THEME, allowed_base_urls=[])
    return drawn


@cache
def _renderer() -> Any:
    import vl_convert

    return vl_convert


def _named(svg: str, title: str) -> str:
    """With a name for the picture, a width below which it scrolls rather than shrinks further, and no role without a name."""
    svg = _NOTHING.sub("/>", svg)
    width = re.match(r'<svg [^>]*?width="([\d.]+)"', svg)
    least = round(float(width[1]) * SHRINKS) if width else 0
    opening = f'<svg role="graphics-document" aria-label="{escape(title, quote=True)}" style="min-width:{least}px" '
    return re.sub(r"^<svg ", lambda _: opening, svg, count=1)
