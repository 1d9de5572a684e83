"""Files that are whole or absent, whenever a process dies or a disk is full."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO

UNFINISHED = ".writing-"
"""How the names begin of files that are not whole, or never became so."""


def unfinished(path: Path) -> Path:
    """Beside a file, a name that no other writer has."""
    return path.with_name(f"{UNFINISHED}{os.getpid()}-{secrets.token_hex(4)}")


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file that is either whole or absent, whenever the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = unfinished(path)
    try:
        with temporary.open("xb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
