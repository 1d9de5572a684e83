"""What was asked: the samples of each task and the cases that answered them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medrival.contracts import Prediction
from medrival.reports.figures import clip
from medrival.reports.record import CaseRecord, PairRecord, Run
from medrival.reports.samples.shelf import column

LONGEST_QUESTION = 2_000  # characters
LONGEST_NAME = 200  # of an attribute, an option, a truth


@dataclass(frozen=True)
class Asked:
    """A task that was measured.

    Attributes:
        number: its place in the run.
        cases: those that were measured, by their place in the run.
        rows: the place of each sample, by id: the order of the data set.
        questions: of each sample the first prediction, which says what was asked.
    """

    number: int
    name: str
    cases: Mapping[int, CaseRecord]
    rows: Mapping[str, int]
    questions: Sequence[Prediction]


def asked(run: Run) -> list[Asked]:
    """The tasks of which there are predictions, in the run's order."""
    tasks: dict[str, dict[int, CaseRecord]] = {}
    for number, case in enumerate(run.cases):
        if case.status == "measured" and case.predictions:
            tasks.setdefault(case.task, {})[number] = case
    found = []
    for number, (name, cases) in enumerate(tasks.items()):
        questions: dict[str, Prediction] = {}
        for case in cases.values():
            for prediction in case.predictions:
                questions.setdefault(prediction.id, prediction)
        rows = {sample: row for row, sample in enumerate(questions)}
        found.append(Asked(number, name, cases, rows, list(questions.values())))
    return found


def entry(task: Asked, pairs: Sequence[PairRecord], notes: Mapping[str, Any], *, local: bool) -> dict[str, Any]:
    """What the page knows of a task before it is chosen."""
    return {
        "name": task.name,
        "part": f"task-{task.number}",
        "pictures": f"pictures-{task.number}",
        "samples": len(task.rows),
        "local": local,
        "notes": [[clip(name.replace("_", " "), LONGEST_NAME), clip(str(note))] for name, note in notes.items()],
        "pair": _pair(task, pairs),
        "cases": [
            {
                "id": case.id,
                "part": f"case-{number}",
                **{key: getattr(case, key) for key in ("model", "kind", "regime", "seed")},
            }
            for number, case in task.cases.items()
        ],
    }


def questions(task: Asked) -> dict[str, Any]:
    """The samples of a task, a column a property."""
    first = next(iter(task.cases.values()))
    names = dict.fromkeys(name for p in task.questions for name in p.attributes)
    return {
        "id": list(task.rows),
        "question": column([clip(p.question, LONGEST_QUESTION) for p in task.questions]),
        "truth": column([clip(p.truth, LONGEST_NAME) for p in task.questions]),
        "options": _options(task, first),
        "form": column([p.form for p in task.questions]),
        "skill": column([p.skill for p in task.questions]),
        "group": column([clip(p.group, LONGEST_NAME) for p in task.questions]),
        "attributes": [
            [clip(name, LONGEST_NAME), column([clip(str(p.attributes.get(name, "")), LONGEST_NAME) for p in task.questions])]
            for name in names
        ],
    }


def _options(task: Asked, first: CaseRecord) -> dict[str, Any]:
    """What could be answered; the right answers of an open question are no options."""
    classes = first.classes
    offered = column([() if p.form == "open" else p.options or classes for p in task.questions])
    return offered | {"values": [[clip(option, LONGEST_NAME) for option in options] for options in offered["values"]]}


def _pair(task: Asked, pairs: Sequence[PairRecord]) -> list[int]:
    """Which two of the task's cases are held against each other at first: a pair of the run, if there is one."""
    cases = list(task.cases.values())
    places = {(case.model, case.regime): place for place, case in reversed(list(enumerate(cases)))}
    for pair in pairs:
        both = [places.get(side) for side in zip((pair.general, pair.medical), pair.regimes, strict=True)]
        if pair.task == task.name and None not in both:
            return [place for place in both if place is not None]
    general, medical = ([i for i, case in enumerate(cases) if case.kind == kind] for kind in ("general", "medical"))
    return [general[0], medical[0]] if general and medical else [0, min(1, len(cases) - 1)]
