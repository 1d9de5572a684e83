"""Writes a report's files, whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from medrival.errors import ReportNotWritten


def write(path: Path, text: str) -> Path:
    """Write the text as UTF-8 and return the path. A reader sees the old file or the new one, never a part.

    Raises:
        ReportNotWritten: naming the file, what is wrong and what to do.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(text.encode("utf-8", "replace"))
        temporary.replace(path)
    except OSError as error:
        raise ReportNotWritten(
            f"cannot write {path}: {error.strerror or error}. What was measured is kept: "
            "run again with --report-dir and a folder that can be written"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return path
