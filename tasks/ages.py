"""Ages as a subgroup: bands of twenty years, of those that a human can have."""

from __future__ import annotations

import re

from medrival.tasks.tables import Record

UNKNOWN = "unknown"
IMPOSSIBLE = "of no human"
"""Stands for an age below 0 or above `OLDEST` until such are counted; they are then unknown."""
OLDEST = 120


def age(record: Record, column: str) -> str:
    """A column's age as a subgroup, or "unknown" where nothing stands there: 58, "90+", or as DICOM has it ("058Y", "006M").

    Raises:
        BrokenData: there is no such column, or it holds no age.
    """
    said = record.text(column, default=UNKNOWN) if record.get(column) is not None else UNKNOWN
    if said == UNKNOWN:
        return said
    marked = re.fullmatch(r"(\d{1,3})([YMWD+])", said)
    years = record.number(column) if marked is None else float(marked[1]) if marked[2] in "Y+" else 0.0
    if not 0 <= years <= OLDEST:
        return IMPOSSIBLE
    start = 20 * int(years // 20)
    return f"{start}-{start + 19}"
