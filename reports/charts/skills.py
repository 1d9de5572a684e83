"""Understanding against reasoning: accuracy on what is seen, and on what takes more than seeing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from medrival.reports.charts.drawing import Figure, figure, inline
from medrival.reports.charts.measured import Measure, measures
from medrival.reports.charts.scales import around, kind_colour, panels, part
from medrival.reports.charts.scatter import marks, named
from medrival.reports.charts.words import names
from medrival.reports.record import CaseRecord

SIDE = 290  # pixels of a panel
COLUMNS, TASKS = 3, 12


def skills(cases: Sequence[CaseRecord]) -> list[Figure]:
    """A panel for each task whose questions have skills."""
    seen, thought = (measures(cases, f"accuracy_{skill}") for skill in ("understanding", "reasoning"))
    reasoned = {(one.model, one.task, one.regime): one for one in thought}
    both = [(one, reasoned[key]) for one in seen if (key := (one.model, one.task, one.regime)) in reasoned]
    tasks = list(dict.fromkeys(one.task for one, _ in both))
    return [
        _skills([pair for pair in both if pair[0].task in tasks[i : i + TASKS]], i, len(tasks))
        for i in range(0, len(tasks), TASKS)
    ]


def _skills(pairs: Sequence[tuple[Measure, Measure]], first: int, every: int) -> Figure:
    ends = around([end for pair in pairs for one in pair for end in (one.value, one.low, one.high) if end is not None], 0.04)
    called = names((f"{one.model} · {one.regime}" for one, _ in pairs), 40)
    tasks = names((one.task for one, _ in pairs), 40)
    rows: list[dict[str, Any]] = []
    for task, title in tasks.items():
        own = [pair for pair in pairs if pair[0].task == task]
        points = [_point(title, called[f"{one.model} · {one.regime}"], one, other) for one, other in own]
        rows += named(points, (ends[0], ends[1]), (ends[0], ends[1]), (SIDE, SIDE))
        rows += [{"task": title, "part": "equal", "x": end, "y": end} for end in ends]
    rows = [row | {"rank": rank} for rank, row in enumerate(rows)]
    scale, axis = alt.Scale(domain=ends, nice=False, zero=False), alt.Axis(tickCount=5)

    def x(field: str) -> alt.X:
        return alt.X(f"{field}:Q", title="accuracy, understanding", scale=scale, axis=axis)

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title="accuracy, reasoning", scale=scale, axis=axis)

    base = alt.Chart(width=SIDE, height=SIDE)
    measured = part(base, "point")
    bars = measured.encode(color=kind_colour()).mark_rule(opacity=0.45, aria=False)
    diagonal = part(base, "equal").mark_line(color="var(--soft)", strokeDash=[3, 3], strokeWidth=1.2, aria=False)
    layers = alt.layer(
        diagonal.encode(x=x("x"), y=y("y")),
        bars.encode(x=x("x_low"), x2="x_high:Q", y=y("y")),
        bars.encode(x=x("x"), y=y("y_low"), y2="y_high:Q"),
        *marks(measured, x, y),
        data=inline(rows),
    )
    facet, columns = panels("task", COLUMNS)
    says = "Below the dashed line: better at what is seen than at what takes reasoning. Thin lines: 95% intervals."
    numbered = f" ({first // TASKS + 1} of {-(-every // TASKS)})" if every > TASKS else ""
    return figure(f"Understanding against reasoning{numbered}", says, layers.facet(facet=facet, columns=columns, spacing=32))


def _point(task: str, called: str, seen: Measure, thought: Measure) -> dict[str, Any]:
    return {
        "task": task,
        "part": "point",
        "kind": seen.kind,
        "words": called,
        "filled": True,
        "x": seen.value,
        "y": thought.value,
        "x_low": seen.value if seen.low is None else seen.low,
        "x_high": seen.value if seen.high is None else seen.high,
        "y_low": thought.value if thought.low is None else thought.low,
        "y_high": thought.value if thought.high is None else thought.high,
        "says": f"{called}, {task}: {seen.says}; {thought.says}",
    }
