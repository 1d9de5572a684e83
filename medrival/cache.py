"""What is dear and comes in small pieces, such as judgements and answers that were paid for: JSON objects on disk."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrival.errors import MedrivalWarning
from medrival.files import write_atomically


@dataclass(frozen=True)
class Cache:
    """JSON objects on disk, each under a hash of all that decides it.

    Attributes:
        newer_than: what was kept before (seconds since 1970) is not used.
    """

    folder: Path
    newer_than: float = 0.0

    def get(self, key: str) -> dict[str, Any] | None:
        """What was kept under the key, or None where there is nothing, nothing new enough, or nothing whole."""
        path = self._path(key)
        try:
            kept_at = path.stat().st_mtime
            kept = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        if kept_at < self.newer_than or not isinstance(kept, dict):
            return None
        with suppress(OSError):
            os.utime(path, (time.time(), kept_at))  # used now: the store deletes what was used longest ago
        return kept

    def keep(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep an object; where the disk is full or read-only, the next run has to compute it again."""
        content = json.dumps(value, allow_nan=False).encode()
        try:
            write_atomically(self._path(key), lambda stream: stream.write(content))
        except OSError as error:
            warnings.warn(
                f"{self.folder} cannot be written ({error}); what was computed or paid for is not kept",
                MedrivalWarning,
                stacklevel=2,
            )

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"
