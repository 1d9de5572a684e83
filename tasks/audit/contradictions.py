"""Samples of which one at most is right: an image with two classes, or a question about it with two answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from textwrap import shorten

from medrival.contracts import Sample, TaskKind
from medrival.integrity import Concern
from medrival.tasks.answers import normalise
from medrival.tasks.audit.balance import classes_of
from medrival.tasks.audit.counts import counted
from medrival.tasks.audit.splits import Split

SHOWN = 3
WIDTH = 40
"""Letters of an answer that are told."""


def contradictions(kind: TaskKind, splits: Mapping[str, Split]) -> Iterator[Concern]:
    """How many images, or questions about an image, are answered in several ways, whatever the splits; and the first few."""
    said: dict[Hashable, dict[Hashable, Sample]] = defaultdict(dict)
    for split in splits.values():
        for sample, images in split:
            if images:  # what cannot be read is like nothing else
                said[images, _asked(sample)].setdefault(_answered(kind, sample), sample)
    disputed = [list(answers.values()) for answers in said.values() if len(answers) > 1]
    if disputed:
        several = "more than one class" if kind == "diagnosis" else "more than one answer on one image"
        noun = "image" if kind == "diagnosis" else "question"
        text = f"{counted(len(disputed), f'{noun} has', f'{noun}s have')} {several}"
        more = "; ..." if len(disputed) > SHOWN else ""
        yield Concern("warning", f"{text}: {'; '.join(map(_told, disputed[:SHOWN]))}{more}")


def _asked(sample: Sample) -> Hashable:
    """The same words with other options are another question."""
    return normalise(sample.question), frozenset(map(normalise, sample.options))


def _answered(kind: TaskKind, sample: Sample) -> Hashable:
    return frozenset(classes_of(sample)) if kind == "diagnosis" else normalise(str(sample.truth))


def _told(answers: Sequence[Sample]) -> str:
    return " and ".join(f"{one.id!r} ({shorten(str(one.truth), WIDTH, placeholder='...') or 'none'})" for one in answers[:2])
