"""What must be known before scores are believed: what the figures of an audit amount to, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from medrival.contracts import Task
from medrival.integrity import LEAKED_SHARE, UNREADABLE_SHARE, Audit, Concern, Severity
from medrival.tasks.ages import OLDEST
from medrival.tasks.audit.counts import counted

CONSTANT = 0.9
"""From this on, what one answer to everything scores is a warning: a model's score can hardly be told from it."""


def leaking(task: Task, audit: Audit) -> Iterator[Concern]:
    """What of the test split is given away: facts, then suspicions. What is taken for patients is in the task's notes."""
    leaks = audit.leakage
    of = f"of {counted(leaks.test_samples, 'test sample', 'test samples')}{_limited(audit)}"
    if leaks.leaked:
        group = task.notes.get("groups", "patient or image")
        ways = (
            (leaks.on_training_images, "shows a training image", "show a training image"),
            (leaks.on_turned_images, "shows a training image mirrored or turned", "show a training image mirrored or turned"),
            (leaks.of_training_groups, f"is of a training {group}", f"are of a training {group}"),
        )
        why = ", ".join(counted(*way) for way in ways if way[0])
        are = "is" if len(leaks.leaked) == 1 else "are"
        text = f"{len(leaks.leaked):,} {of} ({leaks.share:.1%}) {are} leaked: {why}"
        yield Concern(_above(len(leaks.leaked), leaks.test_samples), text)
    if audit.repeats and (known := audit.repeats["test-train"]["same image"]):
        stand = "stands" if known == 1 else "stand"
        yield Concern("warning", f"{known:,} {of} {stand} in the training split with image, question and answer")
    if shared := audit.duplicates.exact["test-validation"]:
        images = counted(shared, "test image is a validation image", "test images are validation images")
        yield Concern("warning", f"{images}, on which regimes choose")
    tested = audit.images.distinct["test"]
    if shared := audit.duplicates.turned["test-validation"]:
        are = "is a validation image" if shared == 1 else "are validation images"
        text = f"{shared:,} of {tested:,} test images {are} mirrored or turned, on which regimes choose"
        yield Concern(_above(shared, tested), text)
    if alike := leaks.like_training_images:
        shows = "shows" if alike == 1 else "show"
        text = f"{alike:,} {of} {shows} an image that looks like another training image (a suspicion)"
        yield Concern(_above(alike, leaks.test_samples), text)
    if alike := audit.duplicates.near["test-validation"]:
        look = "looks" if alike == 1 else "look"
        text = f"{alike:,} of {tested:,} test images {look} like a validation image, on which regimes choose (a suspicion)"
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
            samples = counted(there, "sample", "samples")
            yield Concern("warning", f"{what} has {samples}, not the {stated:,} that are published")


def skewed(task: Task, audit: Audit) -> Iterator[Concern]:
    """Classes and answers that are so frequent, or so rare, that scores say little of the others."""
    learnt, tested = (audit.balance[split].get("class", {}) for split in ("train", "test"))
    if "test" not in audit.cut and (untested := [name for name in task.classes if name not in tested]):
        yield Concern("warning", f"no test sample is of class {_named(untested)}: no score says anything of it")
    unknown = [name for name in task.classes if name in tested and name not in learnt]
    if "train" not in audit.cut and learnt and unknown:
        yield Concern("warning", f"no training sample is of class {_named(unknown)}, which the test has: nothing can learn it")
    if audit.constant:
        metric, value = max(audit.constant.metrics.items(), key=lambda one: one[1] or 0.0)
        if value and value >= CONSTANT:
            scores = f"scores {value:.3f} {metric}{_limited(audit)}"
            yield Concern("warning", f"one answer to everything {scores} ({audit.constant.answers})")


def repeated(audit: Audit) -> Iterator[Concern]:
    """Images that are there more than once, and give away nothing of the test."""
    for split in ("train", "validation", "test"):
        if audit.duplicates.exact[split]:
            images = counted(audit.duplicates.exact[split], f"image of {split} is", f"images of {split} are")
            yield Concern("note", f"{images} there more than once")
        if audit.duplicates.turned[split]:
            other = f"image of {split} is another one", f"images of {split} are other ones"
            yield Concern("note", f"{counted(audit.duplicates.turned[split], *other)} mirrored or turned")
    if shared := audit.duplicates.exact["validation-train"]:
        images = counted(shared, "validation image is a training image", "validation images are training images")
        yield Concern("note", f"{images}: what is chosen on {'it' if shared == 1 else 'them'} is too hopeful")
    if shared := audit.duplicates.turned["validation-train"]:
        images = counted(shared, "validation image is a training image", "validation images are training images")
        yield Concern("note", f"{images} mirrored or turned")


def uncompared(audit: Audit) -> Iterator[Concern]:
    """Images of which no copies could be found but exact ones."""
    if audit.images.plain:
        of = f"{audit.images.plain:,} of {audit.images.distinct['all']:,} images"
        show, their = ("shows", "its") if audit.images.plain == 1 else ("show", "their")
        little = f"too little to be compared by {their} looks: of {their} copies only exact ones are found"
        yield Concern("note", f"{of} {show} {little}")


def unshown(task: Task) -> Iterator[Concern]:
    """Image files that no sample shows."""
    if without := task.notes.get("image_files_without_sample"):
        have = "has" if without == 1 else "have"
        yield Concern("note", f"{without:,} of {task.notes['image_files']:,} image files in its folders {have} no sample")
    if others := task.notes.get("files_without_sample"):
        told = ", ".join(f"{count:,} {suffix}" for suffix, count in others.items())
        yield Concern("note", f"files below its folder that are no sample, by suffix: {told}")


def unaged(task: Task) -> Iterator[Concern]:
    """Ages that no human has."""
    if impossible := task.notes.get("impossible_ages"):
        ages = counted(impossible, "age is", "ages are")
        yield Concern("note", f"{ages} below 0 or above {OLDEST}, and {'counts' if impossible == 1 else 'count'} as unknown")


def _limited(audit: Audit) -> str:
    """What stands beside a figure that the whole task may not have."""
    return " of the limited task" if audit.cut & {"train", "test"} else ""


def _above(some: int, of: int) -> Severity:
    return "warning" if some > LEAKED_SHARE * of else "note"


def _named(names: list[str], shown: int = 5) -> str:
    return ", ".join(map(repr, names[:shown])) + (f" and {len(names) - shown:,} more" if len(names) > shown else "")
