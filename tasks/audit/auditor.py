"""The audit of a task: a pure function of what its loader gives."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from medrival import integrity
from medrival.batches import Progress
from medrival.contracts import Image, Task
from medrival.errors import UnreadableImage
from medrival.integrity import Audit, Images
from medrival.tasks.audit.balance import balance
from medrival.tasks.audit.blind import constant, question_only
from medrival.tasks.audit.contradictions import contradictions
from medrival.tasks.audit.faults import faults, without_flawed
from medrival.tasks.audit.findings import leaking, miscounted, repeated, skewed, unaged, uncompared, unreadable, unshown
from medrival.tasks.audit.looks import looks
from medrival.tasks.audit.overlaps import duplicates, leakage, lookalikes, repeats, turned
from medrival.tasks.audit.splits import Split, splits

GRAVITY = ("broken", "warning", "note")


def audit(task: Task, published: Mapping[str, int], progress: Progress, limit: int | None = None) -> Audit:
    """Everything that can be known of a data set without a model; each distinct image is decoded once.

    Args:
        published: numbers of samples by split, where they are known.
        limit: how many samples of each split the task was cut to; published numbers are then not compared.

    Raises:
        BrokenData: the disk did not give an image, which says nothing about it.
    """
    parts = splits(task)
    images: dict[str, Image] = {digest: image for part in parts.values() for digest, image in part.images.items()}
    digests, seen = list(images), looks(list(images.values()), progress, f"{task.name}: audit")
    lost = {digests[row] for row in seen.unreadable}
    readable = {name: part.without(lost) for name, part in parts.items()}
    torn = _torn(parts, lost)
    distinct = {name: len(part.images) + len(torn[name]) for name, part in readable.items()}
    distinct["all"] = len(images) - len(lost) + len(torn["all"])
    hashes = {digests[row]: own for row, own in zip(seen.rows.tolist(), seen.hashes, strict=True)}
    alike, after_turn = lookalikes(readable, hashes), turned(readable, hashes)
    faulty = [*faults(task), *unreadable(torn, distinct)]
    sound = not any(concern.severity == "broken" for concern in faulty)
    scored = without_flawed(task)
    found = Audit(
        task=task.name,
        fingerprint=task.fingerprint,
        limit=limit,
        counts={name: len(part.samples) for name, part in parts.items()},
        published=dict(published),
        images=Images(distinct, tuple(torn["all"]), len(images) - len(seen.rows) - len(lost)),
        duplicates=duplicates(task.kind, readable, alike, after_turn),
        leakage=leakage(readable, alike["test-train"], after_turn["test-train"]),
        repeats=repeats(readable) if task.kind == "vqa" else {},
        balance={name: balance(part.samples) for name, part in parts.items()},
        constant=constant(scored) if sound else None,
        question_only=question_only(scored) if sound and task.kind == "vqa" else None,
        findings=(),
    )
    told = [*leaking(task, found), *contradictions(task.kind, readable), *faulty]
    told += [*miscounted(found), *skewed(task, found), *repeated(found), *uncompared(found), *unshown(task), *unaged(task)]
    return replace(found, findings=tuple(sorted(told, key=lambda concern: GRAVITY.index(concern.severity))))


@cache
def code_digest() -> str:
    """sha256 of this package's code and of the values that it fills: what decides audits, but no outcomes."""
    sources = [Path(integrity.__file__), *sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()


def _torn(parts: Mapping[str, Split], lost: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Why images cannot be read, by split and of "all"; two empty files have one digest, and each its own name."""
    torn = {name: tuple(dict.fromkeys(_reasons(part, lost))) for name, part in parts.items()}
    return torn | {"all": tuple(dict.fromkeys(why for reasons in torn.values() for why in reasons))}


def _reasons(part: Split, lost: Collection[str]) -> Iterator[str]:
    for sample in part.samples:
        for image in sample.images:
            if image.digest in lost:
                try:
                    image.open()
                except UnreadableImage as error:
                    yield str(error)
