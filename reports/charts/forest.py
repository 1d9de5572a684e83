"""Forest plots: the paired difference of every pair with its interval, beside the band within which it counts as none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from medrival.reports.charts.drawing import HUES, SHAPES, Figure, figure, inline
from medrival.reports.charts.scales import RANK
from medrival.reports.charts.words import metric_name, name, names
from medrival.reports.figures import count, number, signed
from medrival.reports.questions import QUESTIONS
from medrival.reports.record import PairRecord

WIDTH, ROW = 400, 34  # pixels; on a phone, too, both sides of zero are seen
MOST = 100  # pairs in a plot


def forests(pairs: Sequence[PairRecord]) -> list[Figure]:
    """A plot a research question, so that in-domain and out of domain stand apart; rows grouped by family and rivals."""
    plots = []
    for question, (_, title) in QUESTIONS.items():
        asked = sorted((pair for pair in pairs if pair.question == question), key=lambda pair: (pair.family, _rivals(pair)))
        shown = [pair for pair in asked if pair.status == "measured" and pair.difference is not None]
        parts = [shown[i : i + MOST] for i in range(0, len(shown), MOST)]
        reach = max((_reach(pair) for pair in shown), default=0.0)
        for i, part in enumerate(parts, 1):
            numbered = f" ({i} of {len(parts)})" if len(parts) > 1 else ""
            heading = (f"{question}. {title}" if question else title) + numbered
            plots.append(_forest(heading, part, reach, len(asked) - len(shown)))
    return plots


def _reach(pair: PairRecord) -> float:
    return max(abs(end) for end in (pair.low, pair.high, pair.difference, pair.margin) if end is not None)


def _forest(title: str, order: Sequence[PairRecord], reach: float, absent: int) -> Figure:
    rivals, labels = names(map(_rivals, order), 110), names(map(_label, order), 90)
    grouped = [pair for both in rivals for pair in order if _rivals(pair) == both]
    rows = [_row(pair, rivals[_rivals(pair)], labels[_label(pair)]) | {"rank": rank} for rank, pair in enumerate(grouped)]
    y = alt.Y("label:N", sort=RANK, axis=None, scale=alt.Scale(padding=0))
    x = alt.X(
        "difference:Q",
        title="← medical better · general minus medical · general better →",
        axis=alt.Axis(tickCount=5),
        scale=alt.Scale(domain=[-reach * 1.05, reach * 1.05], nice=True),
    )
    legend = alt.Legend(orient="top", title=None)
    verdict = alt.Color("verdict:N", legend=legend, scale=alt.Scale(domain=list(HUES), range=list(HUES.values())))
    shape = alt.Shape("verdict:N", legend=legend, scale=alt.Scale(domain=list(SHAPES), range=list(SHAPES.values())))
    plot = alt.Chart(inline(rows), width=WIDTH, height=alt.Step(ROW))
    base = plot.encode(y=y)
    chart = alt.layer(
        base.mark_bar(color="var(--line)", opacity=0.55, height=alt.RelativeBandSize(1), aria=False).encode(
            x=alt.X("from:Q"), x2="margin:Q"
        ),
        plot.mark_rule(color="var(--soft)", strokeDash=[3, 3], aria=False).encode(x=alt.XDatum(0, type="quantitative")),
        base.mark_text(align="left", baseline="bottom", dy=-4, color="var(--soft)", aria=False).encode(
            x=alt.value(2), text="label:N"
        ),
        base.mark_rule(strokeWidth=2.5, yOffset=6, aria=False).encode(x=alt.X("low:Q"), x2="high:Q", color=verdict),
        base.mark_point(filled=True, size=75, opacity=1, yOffset=6).encode(
            x=x, color=verdict, shape=shape, description="says:N"
        ),
    )
    header = alt.Header(labelAngle=0, labelAnchor="start", labelOrient="top", labelFontWeight="bold")
    chart = chart.facet(row=alt.Row("rivals:N", sort=RANK, title=None, header=header)).resolve_scale(y="independent")
    margins = sorted({pair.margin for pair in order})
    band = f"±{number(margins[0])}" if len(margins) == 1 else "each pair's margin"
    says = f"Points: difference with its 95% interval. Grey band: {band}, within which a difference counts as none."
    if absent:
        says += f" {count(absent, 'pair')} without a difference {'is' if absent == 1 else 'are'} not drawn."
    return figure(title, says, chart)


def _rivals(pair: PairRecord) -> str:
    return f"{pair.general} ~ {pair.medical}"


def _label(pair: PairRecord) -> str:
    return f"{pair.task} · {' ~ '.join(dict.fromkeys(pair.regimes))}"


def _row(pair: PairRecord, rivals: str, label: str) -> dict[str, Any]:
    task, general, medical = map(name, (pair.task, pair.general, pair.medical))
    regimes = tuple(map(name, pair.regimes))
    return {
        "label": label,
        "rivals": rivals,
        "difference": pair.difference,
        "low": pair.difference if pair.low is None else pair.low,
        "high": pair.difference if pair.high is None else pair.high,
        "from": -pair.margin,
        "margin": pair.margin,
        "verdict": pair.verdict,
        "says": f"{task}, {general} ({regimes[0]}) minus {medical} ({regimes[1]}): "
        f"{metric_name(pair.metric)} {signed(pair.difference)} [{signed(pair.low)}, {signed(pair.high)}], {pair.verdict}, "
        f"n = {pair.n:,}",
    }
