"""Samples that no model could be scored on, or that their own options contradict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from medrival.contracts import Sample, Task
from medrival.integrity import Concern
from medrival.tasks.answers import normalise
from medrival.tasks.audit.balance import classes_of
from medrival.tasks.audit.counts import counted

SHOWN = 3
FLAWED_SHARE = 0.01
"""Of a test split with more than this share of one flaw, scores would be wrong: its data is broken."""


def faults(task: Task) -> Iterator[Concern]:
    """What makes scores wrong whatever the model, and what makes their intervals so."""
    samples = (*task.train, *task.validation, *task.test)
    ids = Counter(sample.id for sample in samples)
    if twice := [name for name, times in ids.items() if times > 1]:
        yield Concern("broken", f"{counted(len(twice), 'id is', 'ids are')} there more than once: {_named(twice)}")
    for what, wrong in IMPOSSIBLE.items():
        if found := [sample.id for sample in samples if wrong(sample, task.classes)]:
            yield Concern("broken", f"{counted(len(found), 'sample has', 'samples have')} {what}: {_named(found)}")
    yield from _flawed(task)
    if alike := [sample.id for sample in samples if len(set(sample.options)) < len(sample.options)]:
        yield Concern("warning", f"{counted(len(alike), 'sample has', 'samples have')} the same option twice: {_named(alike)}")
    if alone := [sample.id for sample in samples if not sample.group]:
        text = (
            f"{counted(len(alone), 'sample has', 'samples have')} no group (patient or image), so that intervals are too narrow"
        )
        yield Concern("warning", f"{text}: {_named(alone)}")


def without_flawed(task: Task) -> Task:
    """The task without the samples whose own answer is flawed."""
    train, validation, test = (
        tuple(sample for sample in part if not any(wrong(sample) for wrong in FLAWS.values()))
        for part in (task.train, task.validation, task.test)
    )
    return replace(task, train=train, validation=validation, test=test)


def _flawed(task: Task) -> Iterator[Concern]:
    """A few are to be expected of a large set whose questions were generated: only a test split of them is worth nothing."""
    for split, part in (("train", task.train), ("validation", task.validation), ("test", task.test)):
        for what, wrong in FLAWS.items():
            if found := [sample.id for sample in part if wrong(sample)]:
                have = "has" if len(found) == 1 else "have"
                text = f"{len(found):,} of {len(part):,} samples of {split} {have} {what}: {_named(found)}"
                if split == "test" and len(found) > FLAWED_SHARE * len(part):
                    yield Concern("broken", text)
                else:
                    yield Concern("warning", f"{text}; figures without the image leave them out")


def _no_text(sample: Sample, _: Sequence[str]) -> bool:
    return any(type(value) is not str for value in (sample.truth, sample.question))


def _empty(sample: Sample) -> bool:
    return sample.form != "findings" and not str(sample.truth).strip()


def _missed(sample: Sample) -> bool:
    if sample.form == "choice":
        return sample.truth not in sample.options
    return bool(sample.options) and normalise(str(sample.truth)) not in map(normalise, sample.options)


def _unknown(sample: Sample, classes: Sequence[str]) -> bool:
    if sample.form == "label":
        return sample.truth not in classes
    return sample.form == "findings" and not set(classes_of(sample)) <= set(classes)


IMPOSSIBLE: dict[str, Callable[[Sample, Sequence[str]], bool]] = {
    "a question or an answer that is no text": _no_text,
    "a class that the task does not have": _unknown,
}
"""By what is wrong, whether a sample of a task with such classes has it; of a loader that works none does."""

FLAWS: dict[str, Callable[[Sample], bool]] = {
    "an empty answer": _empty,
    "options that miss the answer": _missed,
}
"""By what is wrong, whether a sample has it: as a few do of a large data set."""


def _named(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids[:SHOWN])) + (", ..." if len(ids) > SHOWN else "")
