"""Writes a report's files, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from medrival.errors import ReportNotWritten
from medrival.files import write_atomically


def write(path: Path, text: str, option: str = "--report-dir") -> Path:
    """Write the text as UTF-8 and return the path. A reader sees the old file or the new one, never a part.

    Args:
        path: of the file; folders are made.
        text: what it holds afterwards.
        option: by which a user names the place.

    Raises:
        ReportNotWritten: naming the file, what is wrong and what to do.
    """
    try:
        write_atomically(path, lambda stream: stream.write(encoded(text)))
    except OSError as error:
        raise ReportNotWritten(
            f"cannot write {path}: {error.strerror or error}. Outcomes that the store holds "
            f"are not lost: run again with {option} and a folder that can be written"
        ) from error
    return path


def encoded(text: str) -> bytes:
    """The bytes that `write` writes; a lone surrogate, which UTF-8 cannot hold, is "?"."""
    return text.encode("utf-8", "replace")
