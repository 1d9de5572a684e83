"""A seeded, stratified part of a task, the same for every model."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from medrival.contracts import Sample, Task

CLASSED = ("label", "findings")
"""Forms of samples that have classes."""


def limited(task: Task, most: int) -> Task:
    """At most `most` samples of each split, in their order."""
    return replace(
        task,
        train=part(task.train, most),
        validation=part(task.validation, most),
        test=part(task.test, most),
    )


def part(samples: Sequence[Sample], most: int) -> tuple[Sample, ...]:
    """At most `most` samples in the proportions of all: of the classes, or of the forms of question, whatever their options.

    Each class is there at least once where `most` allows it; of several findings the rarest is the sample's class. Within a
    stratum the order is that of a hash of the id: independent of the data's order. A smaller part is contained in a larger one.
    """
    strata: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    class_of = rarest(samples)
    for sample in sorted(samples, key=lambda s: hashlib.sha256(s.id.encode()).digest()):
        strata[(sample.form, class_of[sample.id])].append(sample)
    ranked = sorted(
        (0.0 if rank == 0 and stratum[0] in CLASSED else (rank + 0.5) / len(members), stratum, sample.id)
        for stratum, members in strata.items()
        for rank, sample in enumerate(members)
    )
    taken = {identity for _, _, identity in ranked[:most]}
    return tuple(sample for sample in samples if sample.id in taken)


def rarest(samples: Sequence[Sample]) -> dict[str, str]:
    """The class of each sample, by id: of several findings the one that fewest samples have; "" of none, and of a question."""
    classes = {sample.id: [name for name in sample.truth.split("|") if name] for sample in samples if sample.form in CLASSED}
    frequent = Counter(name for names in classes.values() for name in names)
    return {
        sample.id: min(classes.get(sample.id, ()), key=lambda name: (frequent[name], name), default="") for sample in samples
    }
