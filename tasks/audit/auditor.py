"""The audit of a task: a pure function of what its loader gives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from medrival import integrity
from medrival.batches import Progress
from medrival.contracts import Image, Task
from medrival.integrity import LEAKED_SHARE, Audit, Concern, Duplicates, Images, Leakage
from medrival.tasks.audit.balance import balance
from medrival.tasks.audit.blind import constant, question_only
from medrival.tasks.audit.faults import faults
from medrival.tasks.audit.looks import looks
from medrival.tasks.audit.overlaps import duplicates, leakage, lookalikes, repeats
from medrival.tasks.audit.splits import splits

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
    readable = {name: part.without({digests[row] for row in seen.unreadable}) for name, part in parts.items()}
    alike = lookalikes(readable, {digests[row]: own for row, own in zip(seen.rows.tolist(), seen.hashes, strict=True)})
    distinct = {name: len(part.images) for name, part in parts.items()} | {"all": len(images)}
    pictured = Images(distinct, tuple(seen.unreadable.values()), len(images) - len(seen.rows) - len(seen.unreadable))
    counts = {name: len(part.samples) for name, part in parts.items()}
    copies, leaks = duplicates(task.kind, readable, alike), leakage(readable, alike["test-train"])
    found = [*faults(task), *_miscounted(counts, {} if limit else published), *_unreadable(pictured)]
    sound = not any(concern.severity == "broken" for concern in found)
    repeated = repeats(readable) if task.kind == "vqa" else {}
    found += _unshown(task)
    found += [*_leaking(leaks, repeated["test-train"]["same image"] if repeated else 0), *_duplicated(copies)]
    return Audit(
        task=task.name,
        fingerprint=task.fingerprint,
        limit=limit,
        counts=counts,
        published=dict(published),
        images=pictured,
        duplicates=copies,
        leakage=leaks,
        repeats=repeated,
        balance={name: balance(part.samples) for name, part in parts.items()},
        constant=constant(task) if sound else None,
        question_only=question_only(task) if sound and task.kind == "vqa" else None,
        findings=tuple(sorted(found, key=lambda concern: GRAVITY.index(concern.severity))),
    )


@cache
def code_digest() -> str:
    """sha256 of this package's code and of the values that it fills: what decides audits, but no outcomes."""
    sources = [Path(integrity.__file__), *sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()


def _miscounted(counts: Mapping[str, int], published: Mapping[str, int]) -> Iterator[Concern]:
    """Where no validation split is published it was cut from the training split, and counts with it."""
    cut = 0 if "validation" in published else counts["validation"]
    for split, stated in published.items():
        there = counts.get(split, 0) + (cut if split == "train" else 0)
        if there != stated:
            yield Concern("warning", f"{split} has {there:,} samples, not the {stated:,} that are published")


def _unreadable(pictured: Images) -> Iterator[Concern]:
    if pictured.unreadable:
        what = f"{len(pictured.unreadable):,} of {pictured.distinct['all']:,} images cannot be read"
        yield Concern("warning", f"{what}; the first: {pictured.unreadable[0]}")


def _unshown(task: Task) -> Iterator[Concern]:
    if without := task.notes.get("image_files_without_sample"):
        yield Concern("note", f"{without:,} of {task.notes['image_files']:,} image files in its folders have no sample")


def _leaking(leaks: Leakage, known: int) -> Iterator[Concern]:
    of = f"of {leaks.test_samples:,} test samples"
    if leaks.leaked:
        why = f"{leaks.on_training_images:,} show a training image, {leaks.of_training_groups:,} are of a training patient"
        severe = leaks.share > LEAKED_SHARE
        yield Concern(
            "warning" if severe else "note", f"{len(leaks.leaked):,} {of} ({leaks.share:.1%}) are leaked: {why} or image"
        )
    if known:
        yield Concern("warning", f"{known:,} {of} stand in the training split with image, question and answer")
    if leaks.like_training_images:
        severe = leaks.like_training_images > LEAKED_SHARE * leaks.test_samples
        text = f"{leaks.like_training_images:,} {of} show an image that looks like another training image (a suspicion)"
        yield Concern("warning" if severe else "note", text)


def _duplicated(copies: Duplicates) -> Iterator[Concern]:
    for split in ("train", "validation", "test"):
        if copies.exact[split]:
            yield Concern("note", f"{copies.exact[split]:,} images of {split} are there more than once")
    if shared := copies.exact["test-validation"]:
        yield Concern("warning", f"{shared:,} test images are validation images, on which regimes choose")
    if shared := copies.exact["validation-train"]:
        yield Concern("note", f"{shared:,} validation images are training images: what is chosen on them is too hopeful")
