"""Content-addressed results on disk: atomic, locked, resumable.

Everything lies under a key that is the hash of all that can change it, so nothing is ever stale and any file may be
deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from medrival.case import Cost, Outcome, Subgroups
from medrival.contracts import Features, Prediction
from medrival.files import UNFINISHED, unfinished, write_atomically
from medrival.statistics import Estimate

DEFAULT_LIMIT_BYTES = 20 * 2**30
SECONDS_OF_A_DAY = 86_400


def key_of(parts: Mapping[str, Any]) -> str:
    """Sha256 over a JSON-able mapping, whatever its order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


class Store:
    """Outcomes and image features in one folder, safe for many processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def scratch(self) -> Path:
        """Where tasks may keep what they draw or unpack."""
        return self.folder / "tasks"

    def training(self, key: str) -> Path:
        """Where the training of the outcome with this key may keep how far it is."""
        return self.folder / "training" / key

    def adapters(self, key: str) -> Path:
        """Where what was trained for the outcome with this key lies, if it was kept."""
        return self.folder / "adapters" / key

    @property
    def locks(self) -> Path:
        """Where locks lie."""
        folder = self.folder / "locks"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold a key: one process computes, the others wait. A killed process lets go.

        Where the store cannot be written nothing is shared, and nothing is locked.
        """
        held = FileLock(self.locks / f"{key}.lock")
        with suppress(OSError):
            held.acquire()
        try:
            yield
        finally:
            held.release()

    def outcome(self, key: str, newer_than: float = 0.0) -> Outcome | None:
        """The stored outcome, or None where there is none, it is older than a time, or it cannot be read."""
        path = self._outcome_path(key)
        try:
            if path.stat().st_mtime < newer_than:
                return None
            outcome = outcome_from(json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        self._touch(path)
        return outcome

    def measured_at(self, key: str) -> float:
        """When an outcome was measured, in seconds since 1970; now, where it is not there."""
        try:
            return self._outcome_path(key).stat().st_mtime
        except OSError:
            return time.time()

    def keep_outcome(self, outcome: Outcome) -> Path:
        """Store an outcome under its key."""
        path = self._outcome_path(outcome.key)
        content = json.dumps(outcome, default=_taken_apart, allow_nan=False).encode()
        write_atomically(path, lambda stream: stream.write(content))
        return path

    def features(self, key: str, newer_than: float = 0.0) -> Features | None:
        """The stored features, or None where there are none, they are older than a time, or they cannot be read.

        Their values stay on disk until they are looked at, and cannot be written to.
        """
        path = self._features_path(key)
        beside = path.with_suffix(".json")
        try:
            if path.stat().st_mtime < newer_than:
                return None
            values = np.asarray(np.lib.format.open_memmap(path, mode="r"))
            record = json.loads(beside.read_bytes())
            failed = {int(row): reason for row, reason in record["failed"]}
            features = Features(values, failed, float(record["seconds"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        self._touch(path)
        self._touch(beside)
        return features

    @contextmanager
    def new_features(self, key: str) -> Iterator[NewFeatures]:
        """Where features are written while they are computed; gone at the end unless they were kept."""
        path = self._features_path(key)
        new = NewFeatures(path, unfinished(path))
        try:
            yield new
        finally:
            with suppress(OSError):
                new.unfinished.unlink(missing_ok=True)

    def prune(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> int:
        """Delete what was used longest ago until the rest fits, locks nobody holds, and what killed runs left unfinished.

        Returns:
            The number of bytes freed.
        """
        freed = 0
        locks = self.locks.glob("[!g]*.lock")  # a run may hold a GPU (gpu-*) for days; keys are hexadecimal
        for left in (*locks, *self.folder.rglob(f"{UNFINISHED}*")):
            with suppress(OSError):
                told = left.stat()
                if time.time() - told.st_mtime > SECONDS_OF_A_DAY:
                    left.unlink()
                    freed += told.st_size
        used = sorted(self._usage())
        excess = freed + sum(size for _, size, _ in used) - limit_bytes
        for _, size, path in used:
            if freed >= excess:
                break
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            freed += size
        return freed

    def _usage(self) -> Iterator[tuple[float, int, Path]]:
        """When each file was used last, its size and path; a file that another process just deleted is passed over.

        Adapters are no adapters without one of their files: a folder of them counts as one.
        """
        for part in ("outcomes", "features", "tasks", "training"):
            for path in (self.folder / part).rglob("*"):
                with suppress(FileNotFoundError):
                    if path.is_file():
                        yield path.stat().st_atime, path.stat().st_size, path
        for folder in (self.folder / "adapters").glob("*"):
            with suppress(FileNotFoundError):
                told = [path.stat() for path in folder.rglob("*") if path.is_file()]
                yield max((one.st_atime for one in told), default=0.0), sum(one.st_size for one in told), folder

    def _outcome_path(self, key: str) -> Path:
        return self.folder / "outcomes" / key[:2] / f"{key}.json"

    def _features_path(self, key: str) -> Path:
        return self.folder / "features" / key[:2] / f"{key}.npy"

    @staticmethod
    def _touch(path: Path) -> None:
        """Mark as used now, for pruning, without changing when it was measured; a read-only store stays usable."""
        with suppress(OSError):
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


@dataclass(frozen=True)
class NewFeatures:
    """Features on their way into the store: their values lie in a file that counts for nothing until they are kept."""

    path: Path
    unfinished: Path

    def room(self, shape: tuple[int, int]) -> np.ndarray:
        """Values to be filled in, float32, which the disk keeps rather than the memory.

        Raises:
            OSError: the store cannot be written, or has no such room.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            values = np.lib.format.open_memmap(self.unfinished, "w+", np.float32, shape)
            if hasattr(os, "posix_fallocate"):  # a disk that is full by the time a map is written to kills the process
                with self.unfinished.open("r+b") as stream:
                    os.posix_fallocate(stream.fileno(), 0, self.unfinished.stat().st_size)
        except BaseException:
            self.unfinished.unlink(missing_ok=True)
            raise
        return np.asarray(values)

    def keep(self, features: Features) -> None:
        """Give what has been filled in its place in the store.

        Raises:
            OSError: there was no room for it, or none is left for what stands beside it.
        """
        with self.unfinished.open("r+b") as stream:
            os.fsync(stream.fileno())
        record = json.dumps({"failed": [*features.failed.items()], "seconds": features.seconds}).encode()
        beside = self.path.with_suffix(".json")
        beside.unlink(missing_ok=True)  # what stands beside values is never that of older ones
        self.unfinished.replace(self.path)
        write_atomically(beside, lambda stream: stream.write(record))


def _taken_apart(one: Any) -> dict[str, Any]:
    """A dataclass as JSON has it: what `dataclasses.asdict` gives, without the copies that it makes of all that is in it.

    Raises:
        TypeError: it is none.
    """
    return {field.name: getattr(one, field.name) for field in fields(one)}


def outcome_from(record: Mapping[str, Any]) -> Outcome:
    """The outcome that was taken apart, as `dataclasses.asdict` does it."""
    return Outcome(
        key=record["key"],
        classes=tuple(record["classes"]),
        metrics=_read_estimates(record["metrics"]),
        predictions=tuple(map(_read_prediction, record["predictions"])),
        cost=Cost(**record["cost"]),
        notes=record["notes"],
        validation=tuple(map(_read_prediction, record["validation"])),
        per_class={name: _read_estimates(classes) for name, classes in record["per_class"].items()},
        subgroups={
            name: Subgroups(one["metric"], _read_estimates(one["groups"]), Estimate(**one["gap"]))
            for name, one in record["subgroups"].items()
        },
    )


def _read_estimates(record: Mapping[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate(**estimate) for name, estimate in record.items()}


def _read_prediction(record: Mapping[str, Any]) -> Prediction:
    return Prediction(**{**record, "scores": tuple(record["scores"]), "options": tuple(record["options"])})
