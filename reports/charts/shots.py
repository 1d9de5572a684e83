"""Learning curves: what a model makes of so many solved examples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import altair as alt

from medrival.reports.charts.drawing import Figure, figure, inline
from medrival.reports.charts.measured import Measure, in_order, measures
from medrival.reports.charts.placing import LETTER, LINE, spread
from medrival.reports.charts.scales import around, kind_colour, kind_dash, kind_shape, panels, part
from medrival.reports.charts.words import metric_name, names
from medrival.reports.figures import count
from medrival.reports.record import CaseRecord

START = "zero-shot"
WITHOUT = 0.5  # where no shots stand on a scale of powers of two
METHODS = {
    "few-shot-probe": "samples a class",
    "few-shot-mean": "samples a class",
    "tip-adapter": "samples a class",
    "in-context": "solved questions",
}
"""The regimes that there are for several numbers of shots, and what a shot is in each."""
COLUMNS, TASKS = 2, 16
WIDTH, HEIGHT = 300, 190  # pixels of a panel
LETTERS = 26

_SHOTS = re.compile(rf"({'|'.join(METHODS)})-(\d{{1,6}})")


def shots_of(regime: str) -> tuple[str, int] | None:
    """Method and number of a few-shot regime: "tip-adapter-16" is ("tip-adapter", 16)."""
    found = _SHOTS.fullmatch(regime)
    return (found[1], int(found[2])) if found and int(found[2]) else None


def learning_curves(cases: Sequence[CaseRecord]) -> list[Figure]:
    """A chart for each method and primary metric, a panel for each task; none where one number of shots is all there is."""
    known = measures(cases)
    plots = []
    for method in METHODS:
        shot = [(found[1], one) for one in known if (found := shots_of(one.regime)) and found[0] == method]
        for metric in dict.fromkeys(one.metric for _, one in shot):
            alike = [(shots, one) for shots, one in shot if one.metric == metric]
            started = {(one.model, one.task) for _, one in alike}
            starts = [
                (0, one) for one in known if one.regime == START and (one.model, one.task) in started and one.metric == metric
            ]
            points = sorted([*starts, *alike], key=lambda point: point[0])
            if len({shots for shots, _ in points}) < 2:
                continue
            tasks = in_order((one.task for _, one in points), cases)
            for i in range(0, len(tasks), TASKS):
                numbered = f" ({i // TASKS + 1} of {-(-len(tasks) // TASKS)})" if len(tasks) > TASKS else ""
                title = f"{method}: {metric_name(metric)} over shots{numbered}"
                plots.append(
                    _curves(title, method, metric, [p for task in tasks[i : i + TASKS] for p in points if p[1].task == task])
                )
    return plots


def _curves(title: str, method: str, metric: str, points: Sequence[tuple[int, Measure]]) -> Figure:
    ends = [one.value if end is None else end for _, one in points for end in (one.low, one.high)]
    low, high = around(ends, 0.03)
    models, tasks = names((one.model for _, one in points), LETTERS), names((one.task for _, one in points), 40)
    rows: list[dict[str, Any]] = []
    for task, called in tasks.items():
        own = [(shots, one) for shots, one in points if one.task == task]
        last = {one.model: (shots, one) for shots, one in own}
        places = spread([one.value for _, one in last.values()], LINE * (high - low) / HEIGHT)
        words = dict(zip(last, places, strict=True))
        for shots, one in own:
            said = f"{models[one.model]}, {called}, {count(shots, 'shot') if shots else START}: {one.says}"
            row = {
                "task": called,
                "model": models[one.model],
                "kind": one.kind,
                "shots": shots or WITHOUT,
                "value": one.value,
                "low": one.value if one.low is None else one.low,
                "high": one.value if one.high is None else one.high,
                "says": said,
                "rank": len(rows),
                "part": "point",
            }
            rows.append(row)
            if last[one.model][0] == shots:
                rows.append(row | {"part": "words", "value": words[one.model], "words": models[one.model]})
    numbers = sorted({shots or WITHOUT for shots, _ in points})
    axis = alt.Axis(
        values=numbers,
        grid=True,
        labelOverlap=False,
        labelExpr="datum.value < 1 ? 'zero-shot' : format(datum.value, 'd')",
        format="d",
    )
    base = alt.Chart(width=WIDTH, height=HEIGHT).encode(
        x=alt.X(
            "shots:Q",
            title=f"shots ({METHODS[method]})",
            axis=axis,
            scale=alt.Scale(type="log", base=2, domain=[numbers[0] / 1.15, numbers[-1] * 1.1], nice=False),
        ),
        color=kind_colour(),
        detail="model:N",
    )

    def y(field: str) -> alt.Y:
        scale = alt.Scale(domain=[low, high], nice=False, zero=False)
        return alt.Y(f"{field}:Q", title=metric_name(metric), scale=scale, axis=alt.Axis(tickCount=5))

    measured = part(base, "point")
    layers = alt.layer(
        measured.mark_area(opacity=0.12, aria=False).encode(y=y("low"), y2="high:Q"),
        measured.mark_line(strokeWidth=2, aria=False).encode(y=y("value"), strokeDash=kind_dash()),
        measured.mark_point(filled=True, size=60, opacity=1).encode(y=y("value"), shape=kind_shape(), description="says:N"),
        part(base, "words")
        .mark_text(align="left", dx=10, fontSize=11, aria=False, stroke="var(--card)", strokeWidth=3)
        .encode(y=y("value"), text="words:N"),
        data=inline(rows),
    )
    facet, columns = panels("task", COLUMNS)
    room = round(LETTER * max(map(len, models.values()))) + 28
    averaged = " Of several seeds, the mean and what their intervals span." if any(one.seeds > 1 for _, one in points) else ""
    says = f"One line a model, with its 95% intervals as a band. {averaged}".strip()
    chart = layers.facet(facet=facet, columns=columns, spacing={"column": room, "row": 24})
    return figure(title, says, chart.resolve_axis(x="independent"))
