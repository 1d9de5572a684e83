"""Slope charts: what adapting a model brings it, on each task."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from medrival.reports.charts.drawing import Figure, figure, inline
from medrival.reports.charts.measured import Measure, in_order, measures
from medrival.reports.charts.placing import LETTER, LINE, spread
from medrival.reports.charts.scales import RANK, around, kind_colour, kind_dash, kind_shape, panels, part
from medrival.reports.charts.shots import shots_of
from medrival.reports.charts.words import listed, metric_name, name, names
from medrival.reports.figures import signed
from medrival.reports.record import CaseRecord

START = "zero-shot"
OFF_THE_SHELF = (START, "zero-shot-ensemble", "chain-of-thought")
COLUMNS, TASKS = 3, 24  # panels side by side, and of one figure
WIDTH, LEAST = 150, 130  # pixels of a panel
LETTERS = 26  # of a model's name at the end of its line


def slopes(cases: Sequence[CaseRecord]) -> list[Figure]:
    """A chart for each regime and primary metric; few-shot regimes have their learning curves."""
    known = measures(cases)
    before = {(one.model, one.task): one for one in known if one.regime == START}
    plots = []
    for regime in dict.fromkeys(one.regime for one in known if one.regime not in OFF_THE_SHELF and not shots_of(one.regime)):
        adapted = [one for one in known if one.regime == regime]
        ways = [(before[key], one) for one in adapted if (key := (one.model, one.task)) in before]
        without = [f"{one.model} on {one.task}" for one in adapted if (one.model, one.task) not in before]
        for metric in dict.fromkeys(after.metric for _, after in ways):
            alike = [way for way in ways if way[1].metric == metric]
            tasks = in_order((after.task for _, after in alike), cases)
            for i in range(0, len(tasks), TASKS):
                some = tasks[i : i + TASKS]
                numbered = f" ({i // TASKS + 1} of {-(-len(tasks) // TASKS)})" if len(tasks) > TASKS else ""
                title = f"From {START} to {name(regime, 40)}: {metric_name(metric)}{numbered}"
                chosen = [way for task in some for way in alike if way[1].task == task]
                plots.append(_slopes(title, metric, regime, chosen, without))
    return plots


def _slopes(title: str, metric: str, regime: str, ways: Sequence[tuple[Measure, Measure]], without: Sequence[str]) -> Figure:
    most = max(sum(after.task == task for _, after in ways) for task in {after.task for _, after in ways})
    height = max(LEAST, LINE * most)
    low, high = around([one.value for way in ways for one in way], 0.1)
    models, tasks = names((after.model for _, after in ways), LETTERS), names((after.task for _, after in ways), 40)
    stages = names((START, regime), 24)
    rows: list[dict[str, object]] = []
    for task, called in tasks.items():
        own = [way for way in ways if way[1].task == task]
        ends = spread([after.value for _, after in own], LINE * (high - low) / height)
        for (one, other), end in zip(own, ends, strict=True):
            model, gained = models[other.model], signed(other.value - one.value)
            same = {"task": called, "model": model, "kind": other.kind, "part": "point"}
            rows.append(same | {"stage": stages[START], "value": one.value, "says": f"{model}, {called}, {START}: {one.says}"})
            said = f"{model}, {called}, {stages[regime]}: {other.says}, {gained} to {START}"
            rows.append(same | {"stage": stages[regime], "value": other.value, "says": said})
            rows.append(same | {"part": "words", "stage": stages[regime], "value": end, "words": model})
    rows = [row | {"rank": rank} for rank, row in enumerate(rows)]
    base = alt.Chart(width=WIDTH, height=height).encode(
        x=alt.X("stage:N", sort=RANK, title=None, axis=alt.Axis(labelAngle=0, grid=True, domain=False, ticks=False)),
        y=alt.Y(
            "value:Q", title=metric_name(metric), scale=alt.Scale(domain=[low, high], nice=False), axis=alt.Axis(tickCount=5)
        ),
        color=kind_colour(),
    )
    points = part(base, "point")
    layers = alt.layer(
        points.mark_line(strokeWidth=2, aria=False).encode(detail="model:N", strokeDash=kind_dash()),
        points.mark_point(filled=True, size=60, opacity=1).encode(shape=kind_shape(), description="says:N"),
        part(base, "words")
        .mark_text(align="left", dx=10, fontSize=11, aria=False, stroke="var(--card)", strokeWidth=3)
        .encode(text="words:N"),
        data=inline(rows),
    )
    facet, columns = panels("task", COLUMNS)
    room = round(LETTER * max(map(len, models.values()))) + 24
    chart = layers.facet(facet=facet, columns=columns, spacing={"column": room, "row": 24}).resolve_axis(x="independent")
    says = "One line a model. Rising: adapted, it is better than as it is. The scale is the same for all tasks."
    missing = f" Not drawn, as there is no {START} of it: {listed(without)}." if without else ""
    return figure(title, says + missing, chart)
