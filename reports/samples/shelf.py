"""Where the parts of the sample browser lie: in the page while they are few, else in files beside it.

A part is JSON. Beside the page it is a script that hands its JSON to the page's own, which a browser loads from a file, too,
where it would refuse to read JSON. What must not be passed on lies in a folder of its own, which a report is whole without.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from medrival.reports.files import write

INLINE = 3_000_000
"""Bytes of all parts together that the page itself holds."""
FOLDER = "samples"
LOCAL = "samples/local"
"""What stays on this machine."""
_OURS = re.compile(r"part-[a-z]+(-\d+)*\.js")


@dataclass(frozen=True)
class Part:
    """One that the page holds; `text` is JSON that may stand inside a script element."""

    name: str
    text: Markup


@dataclass
class Shelf:
    """Takes parts one by one.

    Attributes:
        folder: of the report.
        stamp: which report the parts are of; the page takes none of another.
        parts: those that the page holds.
    """

    folder: Path
    stamp: str
    parts: list[Part] = field(default_factory=list)
    _written: set[Path] = field(default_factory=set)
    _size: int = 0

    def hold(self, name: str, content: Any) -> None:
        """Keep a part in the page, whatever its size."""
        self._hold(name, embedded(content))

    def put(self, name: str, content: Any, *, local: bool = False) -> None:
        """Keep a part, in the page if it fits and may be passed on.

        Raises:
            ReportNotWritten: the folder cannot be written.
        """
        text = embedded(content)
        if not local and self._size + len(text) <= INLINE:
            self._hold(name, text)
            return
        path = self.folder / (LOCAL if local else FOLDER) / f"part-{name}.js"
        self._written.add(write(path, f"medrival.take({embedded(self.stamp)},{embedded(name)},{text});\n"))

    def clear(self) -> None:
        """Remove what an earlier report left beside the page."""
        for folder in (self.folder / LOCAL, self.folder / FOLDER):
            for path in folder.glob("part-*.js"):
                if path not in self._written and _OURS.fullmatch(path.name):
                    path.unlink(missing_ok=True)

    def _hold(self, name: str, text: str) -> None:
        self._size += len(text)
        self.parts.append(Part(name, Markup(text)))  # noqa: S704 - `embedded` leaves nothing that ends a script


def embedded(content: Any) -> str:
    """ASCII JSON that neither ends a script element nor opens a comment in one."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def column(values: Sequence[Any]) -> dict[str, list[Any]]:
    """Values that repeat, each told once: `values`, and for each row which of them it has."""
    places: dict[Any, int] = {}
    rows = [places.setdefault(value, len(places)) for value in values]
    return {"values": list(places), "rows": rows}
