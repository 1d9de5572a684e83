"""Samples that no model could be scored on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from medrival.contracts import Sample, Task
from medrival.integrity import Concern
from medrival.tasks.answers import normalise
from medrival.tasks.audit.balance import classes_of

SHOWN = 3


def faults(task: Task) -> Iterator[Concern]:
    """What makes scores wrong whatever the model, and what makes their intervals so."""
    samples = (*task.train, *task.validation, *task.test)
    ids = Counter(sample.id for sample in samples)
    if twice := [name for name, times in ids.items() if times > 1]:
        yield Concern("broken", f"{len(twice):,} ids are there more than once: {_named(twice)}")
    for says, wrong in FAULTS.items():
        if found := [sample.id for sample in samples if wrong(sample, task.classes)]:
            yield Concern("broken", f"{len(found):,} samples {says}: {_named(found)}")
    if alone := [sample.id for sample in samples if not sample.group]:
        text = f"{len(alone):,} samples have no patient or image that they belong to, so that intervals are too narrow"
        yield Concern("warning", f"{text}: {_named(alone)}")


def _no_text(sample: Sample, _: Sequence[str]) -> bool:
    return any(type(value) is not str for value in (sample.truth, sample.question))


def _empty(sample: Sample, _: Sequence[str]) -> bool:
    return sample.form != "findings" and not str(sample.truth).strip()


def _missed(sample: Sample, _: Sequence[str]) -> bool:
    if sample.form == "choice":
        return sample.truth not in sample.options
    return bool(sample.options) and normalise(str(sample.truth)) not in map(normalise, sample.options)


def _ambiguous(sample: Sample, _: Sequence[str]) -> bool:
    return len(set(sample.options)) < len(sample.options)


def _unknown(sample: Sample, classes: Sequence[str]) -> bool:
    if sample.form == "label":
        return sample.truth not in classes
    return sample.form == "findings" and not set(classes_of(sample)) <= set(classes)


FAULTS: dict[str, Callable[[Sample, Sequence[str]], bool]] = {
    "have a question or an answer that is no text": _no_text,
    "have an empty answer": _empty,
    "have options that miss the answer": _missed,
    "have the same option twice": _ambiguous,
    "are of a class that the task does not have": _unknown,
}
"""By what is said of them, whether a sample of a task with such classes is one."""


def _named(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids[:SHOWN])) + (", ..." if len(ids) > SHOWN else "")
