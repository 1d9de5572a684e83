"""The views of a report: what report.json holds, a table each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, get_args

from medrival.errors import UnknownName
from medrival.reports.exports import changes
from medrival.reports.exports.results import INDEX, results
from medrival.reports.exports.table import Row, View
from medrival.reports.published import Published
from medrival.reports.record import Run, document
from medrival.statistics import Verdict

Record = Mapping[str, Any]

SPAN = ("value", "low", "high")
ESTIMATE = (*SPAN, "n", "missing", "method", "caution")
WHICH = ("case", "model", "kind", "task", "task_kind", "domain", "regime", "seed")
FATE = ("status", "reason")
COST = (
    *("seconds", "train_seconds", "trainable_parameters", "total_parameters", "peak_memory_bytes", "samples_per_second"),
    *("steps", "samples_seen"),
)
SPLITS = ("train", "validation", "test")


def view(run: Run, name: str, metrics: Sequence[str] = (), cases: Mapping[str, Sequence[str]] | None = None) -> View:
    """One view of a run.

    Args:
        run: what was measured.
        name: a name in VIEWS.
        metrics: of a view of metrics, those to show; none means the primary one of each task in `results`, all elsewhere.
        cases: of a view of cases, which to show: by model, task and regime, names or patterns; none of an axis means all.

    Raises:
        UnknownName: no case has such a metric, model, task or regime, or the view has none to choose.
    """
    chosen, told = VIEWS[name], document(run)
    for axis, patterns in (cases or {}).items():
        if patterns and not chosen.of_cases:
            raise UnknownName(f"the view {name!r} is not of cases: --{axis}s does not go with it")
        told["cases"] = _matching(told["cases"], axis, patterns)
    if metrics:
        if not chosen.of_metrics:
            raise UnknownName(f"the view {name!r} is not of metrics: --metrics does not go with it")
        _known("metric", metrics, {metric for case in told["cases"] for held in _holders(case) for metric in held})
    if name == "results":
        columns, rows, said = results(told["cases"], metrics)
        return View.of(name, columns, rows, f"{said} {_about(run)}")
    return View.of(name, chosen.columns, chosen.rows(told, metrics), f"{chosen.says} {_about(run)}")


@dataclass(frozen=True)
class Kind:
    """How a view is made.

    Attributes:
        says: what its caption begins with.
        rows: from report.json's content and the chosen metrics.
        of_cases: whether cases can be chosen; `of_metrics`: metrics.
    """

    says: str
    columns: tuple[str, ...]
    rows: Callable[[Record, Sequence[str]], Iterable[Row]]
    of_cases: bool = False
    of_metrics: bool = False


def _matching(cases: list[Any], axis: str, patterns: Sequence[str]) -> list[Any]:
    there = {case[axis] for case in cases}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in there):
            _known(axis, [pattern], there)
    return [case for case in cases if not patterns or any(fnmatchcase(case[axis], pattern) for pattern in patterns)]


def _known(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    there = sorted(known)
    if missing := [name for name in given if name not in there]:
        raise UnknownName(f"no case of this view has the {what} {missing[0]!r}; there are {', '.join(there) or 'none'}")


def _holders(case: Record) -> Iterator[Iterable[str]]:
    yield case["metrics"]
    yield case["per_class"]
    yield (held["metric"] for held in case["subgroups"].values())


def _about(run: Run) -> str:
    """Whose figures they are, and what must be known of all of them."""
    version = run.environment.get("packages", {}).get("medrival")
    commit = run.environment.get("git", {}).get("commit")
    made = f"medrival {version or 'of unknown version'}" + (f", commit {commit[:10]}" if commit else "")
    limit = max((case.notes.get("limit", 0) for case in run.cases), default=0)
    quick = f" Limited to {limit:,} samples of each split: a quick look, not a result." if limit else ""
    return f"Suite {run.suite}, {made}, run of {run.started}.{quick}"


def _which(case: Record) -> dict[str, Any]:
    return {name: case[name] for name in WHICH[1:]} | {"case": case["id"]} | {name: case[name] for name in FATE}


def _estimate(found: Record) -> dict[str, Any]:
    return {**found, "missing": found.get("reason")}


def _answers(told: Record, _: Sequence[str]) -> Iterator[Row]:
    yield from ({**answer, **answer["verdicts"]} for answer in told["questions"])


def _pairs(told: Record, _: Sequence[str]) -> Iterator[Row]:
    for pair in told["pairs"]:
        sides = {
            f"{side}_{what}": value
            for what, values in (("regime", pair["regimes"]), ("seeds", pair["seeds"]))
            for side, value in zip(SIDES, values, strict=True)
        }
        yield {**pair, "pair": pair["id"], **sides}


def _cases(told: Record, _: Sequence[str]) -> Iterator[Row]:
    for case in told["cases"]:
        unleaked = case["unleaked"] or {"n": None, "metrics": {}}
        yield {
            **{name: case["metrics"].get(case["primary"], {}).get(name) for name in SPAN},
            **{name: case["cost"].get(name) for name in COST},
            **{f"blind_{name}": value for name, value in case["blind"].items()},
            "unleaked_n": unleaked["n"],
            "unleaked_value": unleaked["metrics"].get(case["primary"], {}).get("value"),
            "limit": case["notes"].get("limit"),
            **{name: case[name] for name in ("n", "failed_samples", "primary", "predictions")},
            **_which(case),
        }


def _metrics(told: Record, metrics: Sequence[str]) -> Iterator[Row]:
    """One row a case and metric; one for a case that was not measured."""
    for case in told["cases"]:
        if case["status"] != "measured":
            yield _which(case)
        for metric, found in case["metrics"].items():
            if not metrics or metric in metrics:
                yield {**_estimate(found), **_which(case), "metric": metric, "primary": metric == case["primary"]}


def _per_class(told: Record, metrics: Sequence[str]) -> Iterator[Row]:
    for case in told["cases"]:
        if case["status"] != "measured":
            yield _which(case)
        for metric, classes in case["per_class"].items():
            if not metrics or metric in metrics:
                yield from (
                    {**_estimate(found), **_which(case), "metric": metric, "class": of} for of, found in classes.items()
                )


def _subgroups(told: Record, metrics: Sequence[str]) -> Iterator[Row]:
    for case in told["cases"]:
        if case["status"] != "measured":
            yield _which(case)
        for attribute, held in case["subgroups"].items():
            if metrics and held["metric"] not in metrics:
                continue
            about = {**_which(case), "attribute": attribute, "metric": held["metric"]}
            yield from ({**_estimate(found), **about, "group": group} for group, found in held["groups"].items())
            yield {**_estimate(held["gap"]), **about, "is_gap": True}


def _rows_of(part: str) -> Callable[[Record, Sequence[str]], Iterable[Row]]:
    return lambda told, _: told[part]


def _data(told: Record, _: Sequence[str]) -> Iterator[Row]:
    """One row a task: what its audit found; where it was not audited, what its cases say of its sizes."""
    audited = {record["task"] for record in told["integrity"]}
    for record in told["integrity"]:
        yield _audited(record) if "fingerprint" in record else record
    for case in told["cases"]:
        if case["task"] not in audited and case["status"] == "measured":
            audited.add(case["task"])
            sizes = {name: case["notes"].get(name) for name in ("fingerprint", "limit", *SPLITS)}
            yield {"task": case["task"], "status": "not audited", **sizes}


def _audited(record: Record) -> Row:
    duplicates, leakage, images = record["duplicates"], record["leakage"], record["images"]
    graded = {grade: [f["text"] for f in record["findings"] if f["severity"] == grade] for grade in GRADES}
    return {
        **{name: record[name] for name in ("task", "status", "reason", "fingerprint", "limit")},
        **{split: record["counts"].get(split) for split in SPLITS},
        **{f"published_{split}": record["published"].get(split) for split in SPLITS},
        **{name: "; ".join(texts) for name, texts in graded.items()},
        **{f"{kind}_duplicates": sum(duplicates[kind].values()) for kind in COPIES},
        "distinct_images": images["distinct"].get("all"),
        "unreadable_images": len(images["unreadable"]),
        "leaked": len(leakage["leaked"]),
        "leaked_share": leakage["share"],
        **{f"blind_{name}": _blind(record[name]) for name in BLIND},
    }


def _blind(found: Record | None) -> float | None:
    return found["metrics"].get(found["primary"]) if found else None


SIDES = ("general", "medical")
GRADES = ("broken", "warning", "note")
COPIES = ("exact", "near", "turned")
BLIND = ("constant", "question_only")
INTERVALS = "Intervals (low, high) are 95%; n: samples."

VIEWS: Mapping[str, Kind] = {
    "results": Kind("", INDEX, _rows_of("cases"), of_cases=True, of_metrics=True),
    "answers": Kind(
        "Does the general model rival the medical one? Counts of measured pairs; no family: all pairs.",
        ("question", "title", "domain", "family", *get_args(Verdict), "wins_after_correction", "missing", "sentence"),
        _answers,
    ),
    "pairs": Kind(
        f"Differences are general minus medical. {INTERVALS} p_adjusted: after Holm's correction across the run's pairs.",
        (
            *("pair", "general", "medical", "task", "task_kind", "family", "domain", "question"),
            *(f"{side}_{what}" for what in ("regime", "seeds") for side in SIDES),
            *("metric", "difference", "low", "high", "p_value", "p_adjusted", "verdict", "n", "margin"),
            *(*FATE, "caution"),
        ),
        _pairs,
    ),
    "cases": Kind(
        f"The primary metric of each case, and its cost. {INTERVALS}",
        (
            *(*WHICH, *FATE, "primary", *SPAN, "n", "failed_samples", *COST),
            *("blind_constant", "blind_question_only", "unleaked_n", "unleaked_value", "limit", "predictions"),
        ),
        _cases,
        of_cases=True,
    ),
    "metrics": Kind(
        f"Every metric of each case. {INTERVALS}",
        (*WHICH, *FATE, "metric", "primary", *ESTIMATE),
        _metrics,
        of_cases=True,
        of_metrics=True,
    ),
    "per-class": Kind(
        f"By class. {INTERVALS}",
        (*WHICH, *FATE, "metric", "class", *ESTIMATE),
        _per_class,
        of_cases=True,
        of_metrics=True,
    ),
    "subgroups": Kind(
        f"By group of each attribute, and the largest gap between two groups. {INTERVALS}",
        (*WHICH, *FATE, "attribute", "metric", "group", "is_gap", *ESTIMATE),
        _subgroups,
        of_cases=True,
        of_metrics=True,
    ),
    "gates": Kind(
        "One row a gate and what it is about; on the run as a whole where nothing is named.",
        ("name", "case", "pair", "task", "status", "holds", "measured", "required", "explanation"),
        _rows_of("gates"),
    ),
    "baseline": Kind(
        f"This run minus its --baseline. {INTERVALS} p_adjusted: after Holm's correction across the cases.",
        changes.COLUMNS,
        changes.changes,
    ),
    "published": Kind(
        f"Published figures beside what was measured; differences are measured minus published. {INTERVALS}",
        tuple(field.name for field in fields(Published)),
        _rows_of("published"),
    ),
    "data": Kind(
        "The data of each task, as its audit found it. Blind: the primary metric without a look at the image.",
        (
            *("task", *FATE, "fingerprint", "limit", *SPLITS, *(f"published_{split}" for split in SPLITS)),
            *("distinct_images", "unreadable_images", *(f"{kind}_duplicates" for kind in COPIES), "leaked", "leaked_share"),
            *(*(f"blind_{name}" for name in BLIND), *GRADES),
        ),
        _data,
    ),
}
