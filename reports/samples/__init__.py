"""The report's sample browser: every sample with each model's answer, in parts that the page loads when they are asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any

from medrival.reports.record import Run
from medrival.reports.samples.answers import answered, telling
from medrival.reports.samples.asked import Asked, asked, entry, questions
from medrival.reports.samples.shelf import Shelf
from medrival.reports.samples.thumbnails import EACH, MOST, Images, thumbnails

__all__ = ["Images", "Shelf", "shelve", "stamp"]


def shelve(
    shelf: Shelf, run: Run, images: Images, shareable: Collection[str], notes: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Put every part of the browser on the shelf: words first, then images, those of each task that tell most ahead.

    Args:
        shelf: takes the parts.
        run: what was measured.
        images: where thumbnails come from.
        shareable: tasks whose licence lets their images be passed on.
        notes: by task, what is to be known of all of its numbers.

    Returns:
        The tasks whose images stay on this machine.

    Raises:
        ReportNotWritten: the report's folder cannot be written.
    """
    tasks = asked(run)
    local = [task.name for task in tasks if task.name not in shareable]
    entries = [entry(task, run.pairs, notes.get(task.name, {}), local=task.name in local) for task in tasks]
    shelf.hold("index", {"stamp": shelf.stamp, "each": EACH, "tasks": entries})
    chosen = [_words(shelf, task) for task in tasks]
    for start in range(0, MOST, EACH):
        for task, samples in zip(tasks, chosen, strict=True):
            if some := samples[start : start + EACH]:
                name = f"pictures-{task.number}-{start // EACH}"
                shelf.put(name, thumbnails(task.name, some, images), local=task.name in local)
    return local


def stamp(run: Run) -> str:
    """A word that tells this report's parts from those of others."""
    cases = [(case.id, case.status, len(case.predictions)) for case in run.cases]
    return sha256(repr((run.started, run.suite, cases)).encode()).hexdigest()[:16]


def _words(shelf: Shelf, task: Asked) -> list[str]:
    """Put what was asked and answered on the shelf; return the samples of which there are to be thumbnails."""
    letters = []
    for number, case in task.cases.items():
        found = answered(case, task.rows)
        shelf.put(f"case-{number}", found.part)
        letters.append(found.letters)
    ids = list(task.rows)
    order = telling(ids, letters)[:MOST]
    places = {row: place for place, row in enumerate(order)}
    pictures = [places.get(row) for row in range(len(ids))]
    shelf.put(f"task-{task.number}", questions(task) | {"letters": letters, "picture": pictures})
    return [ids[row] for row in order]
