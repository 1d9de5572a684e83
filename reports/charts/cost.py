"""Quality against cost, with the Pareto front: what no other model and regime beats at the same or a lower cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from statistics import fmean
from typing import Any

import altair as alt

from medrival.reports.charts.drawing import Figure, figure, inline
from medrival.reports.charts.measured import Measure, by_seed, finite, measures
from medrival.reports.charts.scales import around
from medrival.reports.charts.scatter import marks, named
from medrival.reports.charts.words import listed, metric_name, names
from medrival.reports.figures import count, large, number
from medrival.reports.record import CaseRecord, Kind

SIZE = (330, 290)  # pixels
COSTS = {
    "trainable_parameters": ("trainable parameters", ""),
    "seconds": ("seconds to adapt and test", " s"),
    "peak_memory_bytes": ("peak memory, bytes", "B"),
}


@dataclass(frozen=True)
class Way:
    """A model after a regime: the mean of what it is worth and of what it costs over some tasks."""

    model: str
    kind: Kind
    regime: str
    value: float
    costs: Mapping[str, float]


def paretos(cases: Sequence[CaseRecord]) -> list[Figure]:
    """A chart for each primary metric, of the models and regimes that were measured on the same tasks."""
    known, spent = measures(cases), by_seed(cases)
    plots = []
    for metric in dict.fromkeys(one.metric for one in known):
        asked: dict[tuple[str, str], dict[str, Measure]] = {}
        for one in known:
            if one.metric == metric:
                asked.setdefault((one.model, one.regime), {})[one.task] = one
        tasks = shared(asked)
        ways = [_way(by_task, tasks, spent) for by_task in asked.values() if tasks <= set(by_task)]
        left_out = [f"{model} ({regime})" for (model, regime), by_task in asked.items() if not tasks <= set(by_task)]
        if len(ways) > 1 and any(way.costs for way in ways):
            order = [one.task for one in known if one.task in tasks]
            plots.append(_pareto(metric, ways, list(dict.fromkeys(order)), left_out))
    return plots


def shared(asked: Mapping[Any, Mapping[str, Any]]) -> frozenset[str]:
    """The tasks on which most is comparable: points that were measured on all of them, times tasks; of equals, most tasks."""
    sets = [frozenset(tasks) for tasks in asked.values()]
    return max(
        sets, key=lambda chosen: (len(chosen) * sum(chosen <= other for other in sets), len(chosen)), default=frozenset()
    )


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which (cost, value) no other beats, cheapest first."""
    chosen: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not chosen or points[i][1] > points[chosen[-1]][1]:
            chosen.append(i)
    return chosen


def _way(by_task: Mapping[str, Measure], tasks: frozenset[str], spent: Mapping[Any, Sequence[CaseRecord]]) -> Way:
    some = [one for task, one in by_task.items() if task in tasks]
    costs = {}
    for cost in COSTS:
        each = [[finite(case.cost.get(cost)) for case in spent[one.model, one.task, one.regime]] for one in some]
        paid = [spent_on for seeds in each for spent_on in seeds]
        if all(p is not None and p >= 0 for p in paid):
            costs[cost] = fmean(fmean(p for p in seeds if p is not None) for seeds in each)
    return Way(some[0].model, some[0].kind, some[0].regime, fmean(one.value for one in some), costs)


def _pareto(metric: str, ways: Sequence[Way], tasks: Sequence[str], left_out: Sequence[str]) -> Figure:
    called = names((f"{way.model} · {way.regime}" for way in ways), 44)
    ends = around([way.value for way in ways], 0.08)
    plots = [_plot(cost, metric, ways, called, ends, i) for i, cost in enumerate(COSTS)]
    drawn = [plot for plot in plots if plot is not None]
    unknown = {COSTS[cost][0]: sum(cost not in way.costs for way in ways) for cost in COSTS}
    says = [
        f"Means over {count(len(tasks), 'task')}: {listed(tasks)}.",
        "Filled, on the line: no other is as good at the same or a lower cost.",
        *(f"Not known: {cost} of {count(n, 'point')}." for cost, n in unknown.items() if n),
    ]
    if left_out:
        says.append(f"Left out, as not measured on all of these tasks: {listed(left_out)}.")
    chart = alt.hconcat(*drawn, spacing=44)
    return figure(f"{metric_name(metric)} against cost", " ".join(says), chart)


def _plot(
    cost: str, metric: str, ways: Sequence[Way], called: Mapping[str, str], ends: Sequence[float], index: int
) -> alt.LayerChart | alt.FacetChart | None:
    """A scale of powers of ten, with a place of its own for zero."""
    some = [way for way in ways if cost in way.costs]
    if not some:
        return None
    title, unit = COSTS[cost]
    paid = [way.costs[cost] for way in some]
    logs = [log10(p) for p in paid if p > 0]
    first, last = (floor(min(logs) - 0.1), ceil(max(logs) + 0.1)) if logs else (0, 1)
    zero = first - 1 if not all(paid) else None
    xs = [log10(p) if p > 0 else float(first - 1) for p in paid]
    ticks = [*([] if zero is None else [zero]), *range(first, last + 1)]
    across = (ticks[0] - 0.15, float(last) + 0.15)
    best = front([(x, way.value) for x, way in zip(xs, some, strict=True)])
    order = [*best, *(i for i in range(len(some)) if i not in best)]
    rows = [
        {
            "x": xs[i],
            "y": some[i].value,
            "kind": some[i].kind,
            "filled": i in best,
            "words": called[f"{some[i].model} · {some[i].regime}"],
            "says": f"{called[f'{some[i].model} · {some[i].regime}']}: {metric_name(metric)} {number(some[i].value)}, "
            f"{title} {_amount(paid[i], unit)}{', on the front' if i in best else ''}",
        }
        for i in order
    ]
    steps = [{"x": xs[i], "y": some[i].value} for i in best] + [{"x": across[1], "y": some[best[-1]].value}]
    none = alt.param(name=f"none{index}", value=-1000 if zero is None else zero)
    axis = alt.Axis(
        values=ticks,
        labelExpr=f"datum.value == none{index} ? '0' : format(pow(10, datum.value), '~s')",
        labelOverlap=True,
    )

    def x(field: str) -> alt.X:
        return alt.X(f"{field}:Q", title=title, scale=alt.Scale(domain=list(across), nice=False, zero=False), axis=axis)

    def y(field: str) -> alt.Y:
        scale = alt.Scale(domain=list(ends), nice=False, zero=False)
        return alt.Y(f"{field}:Q", title=metric_name(metric), scale=scale, axis=alt.Axis(tickCount=6))

    line = alt.Chart(inline(steps)).mark_line(
        interpolate="step-after", color="var(--soft)", strokeWidth=1.5, strokeDash=[4, 3], aria=False
    )
    base = alt.Chart(inline(named(rows, across, (ends[0], ends[1]), SIZE)))
    layers = alt.layer(line.encode(x=x("x"), y=y("y")), *marks(base, x, y)).add_params(none)
    return layers.properties(width=SIZE[0], height=SIZE[1])


def _amount(value: float, unit: str) -> str:
    return f"{value:,.1f} s" if unit == " s" else large(value, unit)
