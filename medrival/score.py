"""Scores predictions that any program made, without a model: for a task of the catalog, or as a file states them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrival.contracts import Prediction, Task, TaskKind
from medrival.errors import BrokenData, MedrivalError, UnknownName
from medrival.predictions import Columns, Row, joined, read, stated
from medrival.reports.figures import count, estimate, visible
from medrival.reports.record import plain
from medrival.statistics import Estimate

if TYPE_CHECKING:
    from medrival.tasks.metrics import Measured

SHOWN = 10
"""Failed samples that the terminal lists; the JSON has them all."""


@dataclass(frozen=True)
class Scored:
    """What some predictions are worth.

    Attributes:
        predictions: one a sample; those with an error failed, and count as wrong.
        validation: one a sample on which the decision threshold was chosen; those that failed are left out of that.
        measured: all metrics with 95% intervals, clustered by group.
    """

    kind: TaskKind
    predictions: tuple[Prediction, ...]
    measured: Measured
    validation: tuple[Prediction, ...] = ()

    @property
    def failed(self) -> tuple[Prediction, ...]:
        """The samples that failed, or that a file lacks; they count as wrong."""
        return tuple(p for p in self.predictions if p.error)


def score(
    source: Path | Iterable[Row],
    *,
    task: Task | None = None,
    kind: TaskKind | None = None,
    classes: Sequence[str] = (),
    columns: Columns | None = None,
    validation: Path | Iterable[Row] | None = None,
) -> Scored:
    """Score a file of predictions, or rows of one.

    Args:
        source: a .json, .jsonl or .csv file, or its rows.
        task: what states truths, forms, options and groups; predictions are joined to its test samples by id.
        kind: "diagnosis" or "vqa", where there is no task: the rows state all that themselves.
        classes: in the order of the scores, for a diagnosis without a task.
        columns: where the rows have what, those of `validation` too.
        validation: predictions for other samples (of a task: its validation samples), as `source`; on them the decision
            threshold of a diagnosis is chosen, which sensitivity and specificity need.

    Raises:
        BrokenData: naming row and column, or the sample; a score that is no number is refused, and so is a sample that is both
            tested and in `validation`.
        MedrivalError: neither a task nor a kind is given, a diagnosis without a task and without classes, classes that are
            twice there or for what states its own or has none, or `validation` for what has no threshold.
    """
    from medrival.tasks.metrics import measure

    _check_classes(classes, task, kind)
    if task is not None:
        kind, classes = task.kind, task.classes
    elif kind is None or (kind == "diagnosis" and not classes):
        raise MedrivalError("predictions are scored for a task, or for a kind: vqa, or diagnosis with the names of its classes")
    rows = _rows(source, columns)
    predictions = stated(rows, kind, classes, columns) if task is None else joined(rows, task, columns)
    tuned: list[Prediction] = []
    if validation is not None:
        if kind != "diagnosis":
            raise MedrivalError(
                f"validation predictions choose the threshold of a diagnosis; for {kind} there is none to choose"
            )
        tuned = _tuned(_rows(validation, columns), task, classes, columns)
        _apart(predictions, tuned)
        if task is None:  # a task answers for its own split
            _groups_apart(predictions, tuned)
    return Scored(kind, tuple(predictions), measure(kind, predictions, classes, validation=tuned), tuple(tuned))


def chosen(known: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """The names of metrics that were asked for, or all.

    Raises:
        UnknownName: for one that there is not.
    """
    if unknown := sorted(set(names) - set(known)):
        raise UnknownName(f"unknown metric {unknown[0]!r}; there are {', '.join(known)}")
    return list(names or known)


def lines(scored: Scored, metrics: Sequence[str] = ()) -> Iterator[str]:
    """For the terminal: each metric with its interval, then the first samples that failed."""
    names = chosen(scored.measured.metrics, metrics)
    width = max(map(len, names))
    yield f"{count(len(scored.predictions), 'sample')}, {len(scored.failed)} failed and counted as wrong"
    for name in names:
        yield _line(name, scored.measured.metrics[name], width)
    if scored.validation:
        yield _threshold(scored)
    for p in scored.failed[:SHOWN]:
        yield f"failed: {visible(p.id)}: {visible(p.error)}"
    if hidden := len(scored.failed[SHOWN:]):
        yield f"and {count(hidden, 'more failed sample')}"


def document(scored: Scored, metrics: Sequence[str] = ()) -> dict[str, Any]:
    """The same as data, with every failed sample, the metrics of each class, subgroups, and the decision threshold."""
    measured = scored.measured
    names = chosen(measured.metrics, metrics)
    report: dict[str, Any] = plain(
        {
            "kind": scored.kind,
            "n": len(scored.predictions),
            "failed_samples": _failures(scored.predictions),
            "validation": {"n": len(scored.validation), "failed_samples": _failures(scored.validation)},
            "notes": measured.notes,
            "metrics": {name: asdict(measured.metrics[name]) for name in names},
            "per_class": {
                name: {label: asdict(one) for label, one in classes.items()}
                for name, classes in measured.per_class.items()
                if name in names
            },
            "subgroups": {name: asdict(groups) for name, groups in measured.subgroups.items() if groups.metric in names},
        }
    )
    return report


def _rows(source: Path | Iterable[Row], columns: Columns | None) -> list[Row]:
    return read(source, columns) if isinstance(source, Path) else list(source)


def _tuned(rows: list[Row], task: Task | None, classes: Sequence[str], columns: Columns | None) -> list[Prediction]:
    try:
        return stated(rows, "diagnosis", classes, columns) if task is None else joined(rows, task, columns, "validation")
    except BrokenData as error:
        raise BrokenData(f"validation predictions: {error}") from None


def _apart(predictions: Iterable[Prediction], validation: Iterable[Prediction]) -> None:
    """Refuse samples on which a threshold would be both chosen and tested."""
    if both := sorted({p.id for p in predictions} & {p.id for p in validation}):
        raise BrokenData(
            f"validation predictions: {count(len(both), 'id')} of the tested samples, such as {both[0]!r}; "
            "a threshold must be chosen on other samples"
        )


def _groups_apart(predictions: Sequence[Prediction], validation: Sequence[Prediction]) -> None:
    """Refuse patients of whom some samples are tested and others choose the threshold; groups that no file gives are ids."""
    if not all(any(p.group != p.id for p in each) for each in (predictions, validation)):
        return
    if both := sorted({p.group for p in predictions} & {p.group for p in validation}):
        raise BrokenData(
            f"validation predictions: {count(len(both), 'group')} of the tested samples, such as {both[0]!r}; "
            "a threshold must be chosen on other patients"
        )


def _check_classes(classes: Sequence[str], task: Task | None, kind: TaskKind | None) -> None:
    if classes and task is not None:
        raise MedrivalError(f"{task.name} states its own classes; leave them out (--classes)")
    if classes and kind == "vqa":
        raise MedrivalError("classes are of a diagnosis; vqa has none, leave them out (--classes)")
    if len(set(classes)) != len(classes):
        raise MedrivalError(f"classes {', '.join(classes)}: one is there twice; name each once, in the order of the scores")


def _failures(predictions: Iterable[Prediction]) -> list[dict[str, str]]:
    return [{"id": p.id, "error": p.error} for p in predictions if p.error]


def _threshold(scored: Scored) -> str:
    chosen_on = count(len(scored.validation), "validation sample")
    value = scored.measured.notes.get("decision_threshold")
    found = "no decision threshold" if value is None else f"decision threshold {value:.4g}"
    return f"{found}, from {chosen_on}, {len(_failures(scored.validation))} failed and left out"


def _line(name: str, found: Estimate, width: int) -> str:
    value = estimate(vars(found)) if found.value is not None else f"n/a: {found.reason}"
    caution = f"  ({found.caution})" if found.caution else ""
    return f"  {name:<{width}}  {value}" + (f"  n={found.n:,}" if found.value is not None else "") + caution
