"""The lock file: which weights each model and which samples each task had when the user last said so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrival.errors import BrokenLock
from medrival.files import write_atomically
from medrival.weights import Resolved

Entry = Mapping[str, Any]
"""What is known of a model's weights: `Resolved.known`."""


@dataclass(frozen=True)
class Lock:
    """A lock file.

    Attributes:
        tasks: the fingerprint of each task's data: samples, their order and split, images, classes and prompts.
    """

    path: Path
    models: Mapping[str, Entry]
    tasks: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Lock:
        """Read a file that `updated` wrote.

        Raises:
            BrokenLock: it is missing or damaged.
        """
        try:
            locked = json.loads(path.read_text(encoding="utf-8"))
            models, tasks = locked["models"], locked.get("tasks", {})
            hashes = [entry["sha256"] for entry in models.values()] + list(tasks.values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BrokenLock(f"--lock {path}: no readable lock file ({error}); --update-lock writes one") from error
        if not all(isinstance(one, str) for one in hashes):
            raise BrokenLock(f"--lock {path}: no readable lock file (a sha256 is no text); --update-lock writes one")
        return cls(path, models, tasks)

    def check(self, name: str, found: Resolved) -> None:
        """Hold a model to the file.

        Raises:
            BrokenLock: the model has other weights, or the file does not have it.
        """
        locked = self.models.get(name)
        if locked is None:
            raise BrokenLock(f"{name}: {self.path} does not have this model; --update-lock adds it")
        here, there = _parts(name, found.known), _parts(name, locked)
        for about in {**here, **there}:
            one, other = here.get(about), there.get(about)
            if _hash(one) != _hash(other):
                raise BrokenLock(
                    f"{about}: its weights are not those that {self.path} has: {_told(one)} here, {_told(other)} there; "
                    "restore them, or accept what is here with --update-lock"
                )

    def check_task(self, name: str, fingerprint: str) -> None:
        """Hold a task's data to the file.

        Raises:
            BrokenLock: the task has other data, or the file does not have it.
        """
        locked = self.tasks.get(name)
        if locked is None:
            raise BrokenLock(f"{name}: {self.path} does not have this task; --update-lock adds it")
        if locked != fingerprint:
            raise BrokenLock(
                f"{name}: its samples, split, images, classes or prompts are not those that {self.path} has: fingerprint "
                f"{fingerprint[:12]}... here, {locked[:12]}... there; restore them, or accept what is here with --update-lock"
            )


def updated(path: Path, models: Mapping[str, Entry], tasks: Mapping[str, str]) -> None:
    """Write what was found into a lock file; what is in the file and was not looked at stays as it is.

    Raises:
        BrokenLock: the file is damaged, or cannot be written.
    """
    before = Lock.read(path) if path.exists() else Lock(path, {}, {})
    found = {"models": {**before.models, **models}, "tasks": {**before.tasks, **tasks}}
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    try:
        write_atomically(path, lambda stream: stream.write(text.encode()))
    except OSError as error:
        raise BrokenLock(f"--lock {path}: it cannot be written ({error})") from error


def _parts(about: str, entry: Entry) -> dict[str, Entry]:
    """The model's own entry, those of other models that it reads a part of, and its base model's, by what they are."""
    found = {about: entry}
    for name, other in entry.get("beside", {}).items():
        found[f"{about}'s {name}"] = other
    return found | (_parts(f"{about}'s base model", entry["base"]) if entry.get("base") else {})


def _hash(entry: Entry | None) -> str:
    return str((entry or {}).get("sha256", ""))


def _told(entry: Entry | None) -> str:
    if not entry:
        return "none"
    revision = f", revision {entry['revision'][:12]}" if entry.get("revision") else ""
    return f"sha256 {_hash(entry)[:12]}... ({entry.get('bytes', 0):,} bytes{revision})"
