"""Writes a report's files, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from medrival.errors import ReportNotWritten
from medrival.files import write_atomically


def write(path: Path, text: str) -> Path:
    """Write the text as UTF-8 and return the path. A reader sees the old file or the new one, never a part.

    Raises:
        ReportNotWritten: naming the file, what is wrong and what to do.
    """
    try:
        write_atomically(path, lambda stream: stream.write(text.encode("utf-8", "replace")))
    except OSError as error:
        raise ReportNotWritten(
            f"cannot write {path}: {error.strerror or error}. Outcomes that the store holds "
            "are not lost: run again with --report-dir and a folder that can be written"
        ) from error
    return path
