"""What must be known before scores are believed: what the figures of an audit amount to, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from medrival.contracts import Task
from medrival.integrity import LEAKED_SHARE, UNREADABLE_SHARE, Audit, Concern, Severity

CONSTANT = 0.9
"""From this on, what one answer to everything scores is a warning: a model's score can hardly be told from it."""


def leaking(task: Task, audit: Audit) -> Iterator[Concern]:
    """What of the test split is given away: facts, then suspicions. What is taken for patients is in the task's notes."""
    leaks = audit.leakage
    of = f"of {leaks.test_samples:,} test samples"
    if leaks.leaked:
        why = f"{leaks.on_training_images:,} show a training image, "
        why += f"{leaks.on_turned_images:,} one mirrored or turned, " if leaks.on_turned_images else ""
        why += f"{leaks.of_training_groups:,} are of a training {task.notes.get('groups', 'patient or image')}"
        text = f"{len(leaks.leaked):,} {of} ({leaks.share:.1%}) are leaked: {why}"
        yield Concern(_above(len(leaks.leaked), leaks.test_samples), text)
    if audit.repeats and (known := audit.repeats["test-train"]["same image"]):
        yield Concern("warning", f"{known:,} {of} stand in the training split with image, question and answer")
    if shared := audit.duplicates.exact["test-validation"]:
        yield Concern("warning", f"{shared:,} test images are validation images, on which regimes choose")
    tested = audit.images.distinct["test"]
    if shared := audit.duplicates.turned["test-validation"]:
        text = f"{shared:,} of {tested:,} test images are validation images mirrored or turned, on which regimes choose"
        yield Concern(_above(shared, tested), text)
    if alike := leaks.like_training_images:
        text = f"{alike:,} {of} show an image that looks like another training image (a suspicion)"
        yield Concern(_above(alike, leaks.test_samples), text)
    if alike := audit.duplicates.near["test-validation"]:
        text = f"{alike:,} of {tested:,} test images look like a validation image, on which regimes choose (a suspicion)"
        yield Concern(_above(alike, tested), text)


def unreadable(torn: Mapping[str, Collection[str]], distinct: Mapping[str, int]) -> Iterator[Concern]:
    """Images that cannot be read: a warning, unless they are so many of a split that it is not the data set any more.

    Args:
        torn: why, of each that cannot be read, by split and of "all".
        distinct: how many images there are, likewise.
    """
    lost = [name for name in torn if name != "all" and len(torn[name]) > UNREADABLE_SHARE * distinct[name]]
    for name in lost or ["all"]:
        if torn[name]:
            of = "" if name == "all" else f" of {name}"
            what = f"{len(torn[name]):,} of {distinct[name]:,} images{of} cannot be read"
            yield Concern("broken" if lost else "warning", f"{what}; the first: {next(iter(torn[name]))}")


def miscounted(audit: Audit) -> Iterator[Concern]:
    """Where no validation split is published it was cut from the training split, and counts with it."""
    published = {} if audit.limit else audit.published
    cut = 0 if "validation" in published else audit.counts["validation"]
    counts = {**audit.counts, "train": audit.counts["train"] + cut, "all": sum(audit.counts.values())}
    for split, stated in published.items():
        if (there := counts.get(split, 0)) != stated:
            what = "the whole set" if split == "all" else split
            yield Concern("warning", f"{what} has {there:,} samples, not the {stated:,} that are published")


def skewed(task: Task, audit: Audit) -> Iterator[Concern]:
    """Classes and answers that are so frequent, or so rare, that scores say little of the others.

    What a part of a split lacks, for it was cut to a limit, the whole may have.
    """
    learnt, tested = (audit.balance[split].get("class", {}) for split in ("train", "test"))
    cut = {split for split, count in audit.counts.items() if audit.limit is not None and count >= audit.limit}
    if "test" not in cut and (untested := [name for name in task.classes if name not in tested]):
        yield Concern("warning", f"no test sample is of class {_named(untested)}: no score says anything of it")
    if "train" not in cut and learnt and (unknown := [name for name in task.classes if name in tested and name not in learnt]):
        yield Concern("warning", f"no training sample is of class {_named(unknown)}, which the test has: nothing can learn it")
    if audit.constant:
        metric, value = max(audit.constant.metrics.items(), key=lambda one: one[1] or 0.0)
        if value and value >= CONSTANT:
            yield Concern("warning", f"one answer to everything scores {value:.3f} {metric} ({audit.constant.answers})")


def repeated(audit: Audit) -> Iterator[Concern]:
    """Images that are there more than once, and give away nothing of the test."""
    for split in ("train", "validation", "test"):
        if audit.duplicates.exact[split]:
            yield Concern("note", f"{audit.duplicates.exact[split]:,} images of {split} are there more than once")
        if audit.duplicates.turned[split]:
            yield Concern("note", f"{audit.duplicates.turned[split]:,} images of {split} are other ones mirrored or turned")
    if shared := audit.duplicates.exact["validation-train"]:
        yield Concern("note", f"{shared:,} validation images are training images: what is chosen on them is too hopeful")
    if shared := audit.duplicates.turned["validation-train"]:
        yield Concern("note", f"{shared:,} validation images are training images mirrored or turned")


def uncompared(audit: Audit) -> Iterator[Concern]:
    """Images of which no copies could be found but exact ones."""
    if audit.images.plain:
        of = f"{audit.images.plain:,} of {audit.images.distinct['all']:,} images"
        yield Concern("note", f"{of} show too little to be compared by their looks: of their copies only exact ones are found")


def unshown(task: Task) -> Iterator[Concern]:
    """Image files that no sample shows."""
    if without := task.notes.get("image_files_without_sample"):
        yield Concern("note", f"{without:,} of {task.notes['image_files']:,} image files in its folders have no sample")
    if others := task.notes.get("files_without_sample"):
        told = ", ".join(f"{count:,} {suffix}" for suffix, count in others.items())
        yield Concern("note", f"files below its folder that are no sample, by suffix: {told}")


def _above(some: int, of: int) -> Severity:
    return "warning" if some > LEAKED_SHARE * of else "note"


def _named(names: list[str], shown: int = 5) -> str:
    return ", ".join(map(repr, names[:shown])) + (f" and {len(names) - shown:,} more" if len(names) > shown else "")
