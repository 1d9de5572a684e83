"""A seeded, stratified part of a task, the same for every model."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from medrival.contracts import Sample, Task


def limited(task: Task, most: int) -> Task:
    """At most `most` samples of each split, in their order."""
    return replace(
        task,
        train=part(task.train, most),
        validation=part(task.validation, most),
        test=part(task.test, most),
    )


def part(samples: Sequence[Sample], most: int) -> tuple[Sample, ...]:
    """At most `most` samples, taken in turn from each stratum (class, or form of question).

    Within a stratum the order is that of a hash of the id: independent of the data's order, and a smaller part is
    contained in a larger one.
    """
    strata: dict[str, list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda s: hashlib.sha256(s.id.encode()).digest()):
        strata[sample.truth if sample.form in ("label", "closed") else sample.form].append(sample)
    ranked = sorted((rank, name, s.id) for name, members in strata.items() for rank, s in enumerate(members))
    taken = {identity for _, _, identity in ranked[:most]}
    return tuple(sample for sample in samples if sample.id in taken)
