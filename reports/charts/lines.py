"""Panels of curves, one a regime, with what each curve is worth written into them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
from markupsafe import Markup

from medrival.reports.charts.curves import Curve
from medrival.reports.charts.drawing import SERIES, Figure, figure, inline
from medrival.reports.charts.placing import LETTER, LINE
from medrival.reports.charts.scales import LINES, panels, part, series_colour, series_dash
from medrival.reports.charts.words import listed, names

SIDE = 250  # pixels of a panel
COLUMNS, PANELS = 4, 12  # side by side, and of one figure


@dataclass(frozen=True)
class Line:
    """The curve of a model after a regime.

    Attributes:
        worth: what is written into the panel, such as "0.842 [0.821, 0.861]".
        says: the same in full.
        sizes: of its points, where these are shown.
    """

    model: str
    regime: str
    curve: Curve
    worth: str
    says: str
    sizes: tuple[float, ...] = ()


@dataclass(frozen=True)
class Frame:
    """What the panels of a kind of curve have in common.

    Attributes:
        x: what is drawn along the axis; `y` what up.
        across: the ends of the axis.
        words_below: whether the words stand below the curves, where these may run through the lower right corner.
    """

    x: str
    y: str
    across: tuple[float, float]
    words_below: bool = False


def plots(title: str, says: str, lines: Sequence[Line], without: Collection[str], frame: Frame) -> list[Figure]:
    """The figures of some curves, as many as it takes; `without` names those of which there is none."""
    missing = f" No curve, as it is undefined: {listed(without)}." if without else ""
    if without and not lines:
        return [Figure(title, missing.strip(), Markup())]
    parts = _parted(lines)
    numbers = [f" ({i} of {len(parts)})" if len(parts) > 1 else "" for i in range(1, len(parts) + 1)]
    return [figure(title + number, says + missing, _chart(some, frame)) for number, some in zip(numbers, parts, strict=True)]


def _parted(lines: Sequence[Line]) -> list[list[Line]]:
    """As many models as there are hues and as many panels as a figure has at a time."""
    parts: list[list[Line]] = []
    models = list(dict.fromkeys(line.model for line in lines))
    for i in range(0, len(models), len(SERIES)):
        own = [line for line in lines if line.model in models[i : i + len(SERIES)]]
        regimes = list(dict.fromkeys(line.regime for line in own))
        blocks = (regimes[j : j + PANELS] for j in range(0, len(regimes), PANELS))
        parts += [[line for line in own if line.regime in some] for some in blocks]
    return parts


def _chart(lines: Sequence[Line], frame: Frame) -> alt.FacetChart:
    """The curves, with the dashed line that they are to be held against."""
    models, regimes = names((line.model for line in lines), 40), names((line.regime for line in lines), 34)
    short = names((line.model for line in lines), round((SIDE - 24) / LETTER) - 22)
    rows: list[dict[str, Any]] = []
    low, high = frame.across
    below = (12 + LINE * max(Counter(line.regime for line in lines).values())) / SIDE if frame.words_below else 0.0
    for regime, panel in regimes.items():
        own = [line for line in lines if line.regime == regime]
        rows += [{"regime": panel, "part": "frame", "x": end, "y": end} for end in (low, high)]
        for i, line in enumerate(own):
            same = {"regime": panel, "series": models[line.model]}
            points = [{"x": x, "y": y} for x, y in zip(*_rounded(line.curve), strict=True)]
            rows += [same | point | {"part": "curve", "says": line.says} for point in points]
            rows += [same | point | {"part": "dot", "size": size} for point, size in zip(points, line.sizes, strict=False)]
            up = (12 + (len(own) - 1 - i) * LINE) / SIDE - below
            rows.append(same | {"part": "words", "words": f"{short[line.model]} {line.worth}", "y": up, "says": line.says})
    ranked = [row | {"rank": rank} for rank, row in enumerate(rows)]
    base = alt.Chart(width=SIDE, height=round(SIDE * (1 + below)))
    scale_x = alt.Scale(domain=[low, high], nice=False)
    x = alt.X("x:Q", title=frame.x, scale=scale_x, axis=alt.Axis(tickCount=5))
    scale_y = alt.Scale(domain=[-below, 1], nice=False)
    y = alt.Y("y:Q", title=frame.y, scale=scale_y, axis=alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1]))
    colour, dash = series_colour(list(models.values()), LINES), series_dash(list(models.values()))
    curves = part(base, "curve").mark_line(strokeWidth=2)
    words = part(base, "words").mark_text(align="right", fontSize=11, stroke="var(--card)", strokeWidth=3)
    layers = [
        part(base, "frame").mark_line(color="var(--soft)", strokeDash=[3, 3], strokeWidth=1.2, aria=False).encode(x=x, y=y),
        curves.encode(x=x, y=y, color=colour, strokeDash=dash, order=alt.Order("rank:Q"), description="says:N"),
        words.encode(x=alt.value(SIDE - 6), y=y, color=colour, text="words:N", description="says:N"),
    ]
    if any(line.sizes for line in lines):
        size = alt.Size("size:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[12, 260]))
        points_at = part(base, "dot").mark_point(filled=True, opacity=1, aria=False)
        layers.append(points_at.encode(x=x, y=y, color=colour, size=size))
    facet, columns = panels("regime", COLUMNS)
    whole = alt.layer(*layers, data=inline(ranked)).facet(facet=facet, columns=columns, spacing=24)
    return whole.resolve_axis(x="independent")


def _rounded(curve: Curve) -> tuple[list[float], list[float]]:
    return [round(float(x), 5) for x in curve.x], [round(float(y), 5) for y in curve.y]
