"""Heat maps: every model on every task, one map for each regime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import ceil, floor
from typing import Any

import altair as alt

from medrival.reports.charts.drawing import HEAT, ON_HEAT, Figure, figure, inline
from medrival.reports.charts.measured import Measure, estimated, measures
from medrival.reports.charts.scales import RANK
from medrival.reports.charts.words import metric_name, name, names
from medrival.reports.figures import number
from medrival.reports.record import CaseRecord

CELL = (66, 30)  # pixels
COLUMNS, ROWS = 16, 40  # of one map; further tasks and models get further maps
EMPTY = "no value"


def heat_maps(cases: Sequence[CaseRecord]) -> list[Figure]:
    """A map for each regime and primary metric; those of one metric share their scale."""
    known = measures(cases)
    decided = {one.task: one.metric for one in known}
    regimes = list(dict.fromkeys(case.regime for case in cases))
    plots: list[Figure] = []
    for metric in dict.fromkeys(one.metric for one in known):
        alike = [one for one in known if one.metric == metric]
        bins = Bins.over([one.value for one in alike])
        for regime in sorted({one.regime for one in alike}, key=regimes.index):
            asked = [case for case in cases if case.regime == regime and decided.get(case.task) == metric]
            plots += _of_regime(regime, metric, asked, [one for one in alike if one.regime == regime], bins)
    return plots


class Bins:
    """Equally wide steps of a metric, one for each hue."""

    def __init__(self, first: int, step: float) -> None:
        self._first = first
        self._step = step

    @classmethod
    def over(cls, values: Sequence[float]) -> Bins:
        """The narrowest round steps that hold all values."""
        for step in _round_steps():
            first = floor(min(values) / step + 1e-9)
            if ceil(max(values) / step - 1e-9) - first <= len(HEAT):
                return cls(first, step)
        raise AssertionError("there is always a wider step")

    def index(self, value: float) -> int:
        """Which step holds the value."""
        return max(0, min(floor(value / self._step + 1e-9) - self._first, len(HEAT) - 1))

    def label(self, index: int) -> str:
        """Such as "0.70 to 0.75"."""
        return f"{(self._first + index) * self._step:.2f} to {(self._first + index + 1) * self._step:.2f}"


def _round_steps() -> Iterator[float]:
    power = 0.01
    while True:
        yield from (2 * power, 5 * power, 10 * power)
        power *= 10


def _of_regime(regime: str, metric: str, cases: Sequence[CaseRecord], known: Sequence[Measure], bins: Bins) -> Iterator[Figure]:
    kinds = {case.model: case.kind for case in sorted(cases, key=lambda case: case.kind != "general")}
    tasks, models = list(dict.fromkeys(case.task for case in cases)), list(kinds)
    parts = list(product(_split(models, ROWS), _split(tasks, COLUMNS)))
    values = {(one.model, one.task): one for one in known}
    reasons = {(case.model, case.task): reason for case in cases if (reason := _lacks(case))}
    rows_called = {model: f"{text} · {kinds[model]}" for model, text in names(models, 44).items()}
    columns_called = names(tasks, 32)
    averaged = " Of several seeds, the mean." if any(one.seeds > 1 for one in known) else ""
    for i, (rows, columns) in enumerate(parts, 1):
        cells = [
            _cell(rows_called[model], columns_called[task], values.get((model, task)), reasons.get((model, task)), bins)
            for model in rows
            for task in columns
        ]
        part = f" ({i} of {len(parts)})" if len(parts) > 1 else ""
        missing = " Dashed: no value, for the reason that the cell tells." if any(c["bin"] == EMPTY for c in cells) else ""
        says = f"Point at a cell for its 95% interval.{averaged}{missing}"
        yield figure(f"{name(regime, 40)}: {metric_name(metric)}{part}", says, _map(cells, bins, metric))


def _lacks(case: CaseRecord) -> str:
    """Why a case has no value, or ""."""
    if case.status != "measured":
        return f"{case.status}: {case.reason}"
    found = case.metrics.get(case.primary, {})
    return "" if estimated(found) else f"undefined: {found.get('reason') or 'no reason given'}"


def _split(texts: Sequence[str], most: int) -> list[Sequence[str]]:
    return [texts[i : i + most] for i in range(0, len(texts), most)]


def _cell(model: str, task: str, one: Measure | None, reason: str | None, bins: Bins) -> dict[str, object]:
    if one is None:
        told = name(reason or "not part of this run", 200)
        sign = "\N{MULTIPLICATION SIGN}" if reason else "\N{EN DASH}"
        return {"model": model, "task": task, "bin": EMPTY, "text": sign, "says": f"{model}, {task}: {told}"}
    said = f"{model}, {task}: {one.says}" + (f"; another seed {name(reason, 200)}" if reason else "")
    return {"model": model, "task": task, "bin": bins.label(bins.index(one.value)), "text": number(one.value), "says": said}


def _map(cells: list[dict[str, object]], bins: Bins, metric: str) -> alt.LayerChart:
    used = {cell["bin"] for cell in cells}
    steps = [i for i in range(len(HEAT)) if bins.label(i) in used]
    shown = {bins.label(i): i for i in range(min(steps, default=0), max(steps, default=-1) + 1)}
    domain = [*shown, *([EMPTY] if EMPTY in used else [])]
    fills = [*(HEAT[i] for i in shown.values()), "transparent"][: len(domain)]
    letters = [*(ON_HEAT[i] for i in shown.values()), "var(--soft)"][: len(domain)]
    legend = alt.Legend(title=metric_name(metric), symbolType="square", symbolSize=180, symbolStrokeColor="var(--line)")
    rows = [cell | {"rank": rank} for rank, cell in enumerate(cells)]
    base = alt.Chart(inline(rows), width=alt.Step(CELL[0]), height=alt.Step(CELL[1])).encode(
        x=alt.X("task:N", sort=RANK, title=None, axis=alt.Axis(orient="top", labelAngle=-32, labelAlign="left", **_BARE)),
        y=alt.Y("model:N", sort=RANK, title=None, axis=alt.Axis(**_BARE)),
    )
    boxes = base.mark_rect(stroke="var(--card)", strokeWidth=2).encode(
        fill=alt.Fill("bin:N", scale=alt.Scale(domain=domain, range=fills), legend=legend, sort=None),
        description="says:N",
    )
    holes = base.transform_filter(alt.FieldEqualPredicate(field="bin", equal=EMPTY)).mark_rect(
        filled=False, stroke="var(--soft)", strokeDash=[3, 3], strokeWidth=1, aria=False, width=CELL[0] - 8, height=CELL[1] - 8
    )
    words = base.mark_text(fontSize=12, aria=False).encode(
        text="text:N", color=alt.Color("bin:N", scale=alt.Scale(domain=domain, range=letters), legend=None)
    )
    return alt.layer(boxes, *([holes] if EMPTY in used else []), words).resolve_scale(fill="independent", color="independent")


_BARE: Mapping[str, Any] = {"grid": False, "ticks": False, "domain": False}
