"""The view `results`: models by tasks, a cell such as "0.842 [0.821, 0.861]", as a paper has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medrival.reports.exports.table import Cell, Row, Value
from medrival.reports.figures import estimate, number

Case = Mapping[str, Any]
INDEX = ("regime", "model", "kind")


def results(cases: Sequence[Case], metrics: Sequence[str] = ()) -> tuple[tuple[str, ...], list[Row], str]:
    """The table's columns, its rows and what its caption says.

    A row is a regime and a model, and a seed where there are several; a column a task and a metric. Best are the cells that
    show the best figure of their column among the rows of one regime and seed.

    Args:
        cases: as report.json has them.
        metrics: to show; none means the primary ones.
    """
    asked = {task: _metrics([case for case in cases if case["task"] == task], metrics) for task in _tasks(cases)}
    columns = {(task, metric): f"{task} ({metric or 'not measured'})" for task, names in asked.items() for metric in names}
    seeded = len({case["seed"] for case in cases}) > 1
    rows: dict[tuple[Any, ...], dict[str, Value]] = {}
    best = _best(cases, columns)
    regimes = list(dict.fromkeys(case["regime"] for case in cases))
    for case in sorted(cases, key=lambda case: (regimes.index(case["regime"]), case["seed"])):
        key = (case["regime"], case["seed"], case["model"])
        row = rows.setdefault(key, {name: case[name] for name in (*INDEX, "seed")})
        for task, metric in columns:
            if task == case["task"]:
                row[columns[task, metric]] = _cell(case, metric, best)
    index = (*INDEX, "seed") if seeded else INDEX
    without = [task for task, names in asked.items() if not names]
    return (*index, *columns.values()), list(rows.values()), _says(cases, columns, without)


def _tasks(cases: Iterable[Case]) -> list[str]:
    return list(dict.fromkeys(case["task"] for case in cases))


def _metrics(cases: Sequence[Case], wanted: Sequence[str]) -> list[str]:
    """Those of a task to show; of a task where nothing was measured, one column says so."""
    measured = [case for case in cases if case["status"] == "measured"]
    if not measured:
        return list(wanted) or [""]
    if wanted:
        return [metric for metric in wanted if any(metric in case["metrics"] for case in measured)]
    return list(dict.fromkeys(case["primary"] for case in measured))


def _cell(case: Case, metric: str, best: Mapping[tuple[Any, ...], str]) -> Cell:
    if case["status"] != "measured":
        return Cell(case["status"], note=case["reason"] or "no reason given")
    found = case["metrics"].get(metric)
    if found is None or found["value"] is None:
        return Cell("n/a", note=(found or {}).get("reason") or f"no {metric} was measured")
    place = (case["task"], metric, case["regime"], case["seed"])
    return Cell(estimate(found), best=best.get(place) == number(found["value"]))


def _best(cases: Iterable[Case], columns: Iterable[tuple[str, str]]) -> dict[tuple[Any, ...], str]:
    """By task, metric, regime and seed the best figure as it is shown, where two were measured or more.

    A metric of which it is not known whether more is better has none.
    """
    from medrival.tasks.metrics import METRICS

    held: dict[tuple[Any, ...], list[float]] = {}
    wanted = set(columns)
    for case in cases:
        known = METRICS[case["task_kind"]]
        for metric, found in case["metrics"].items():
            if metric in known and (case["task"], metric) in wanted and found["value"] is not None:
                place = (case["task"], metric, case["regime"], case["seed"], known[metric].lower_is_better)
                held.setdefault(place, []).append(found["value"])
    best = {place: (min if place[-1] else max)(values) for place, values in held.items() if len(values) > 1}
    return {place[:-1]: number(value) for place, value in best.items()}


def _says(cases: Sequence[Case], columns: Iterable[tuple[str, str]], without: Sequence[str]) -> str:
    said = "Values with 95% intervals in brackets. Bold: the best value of a regime, whatever the intervals."
    counts = []
    for task, metric in columns:
        sizes = {case["metrics"][metric].get("n") for case in cases if case["task"] == task and metric in case["metrics"]}
        known = sorted(size for size in sizes if size is not None)
        if known:
            span = f"{known[0]:,}" if len(known) == 1 else f"{known[0]:,} to {known[-1]:,}"
            counts.append(f"{task} {span}")
    said += f" n: {', '.join(dict.fromkeys(counts))}." if counts else ""
    return said + (f" Without this metric: {', '.join(without)}." if without else "")
