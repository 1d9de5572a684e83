"""What each case's model said of each sample, how that was scored, and on which samples models disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from typing import Any

from medrival.reports.figures import clip
from medrival.reports.record import CaseRecord
from medrival.reports.samples.marks import Mark, marks
from medrival.reports.samples.shelf import column

LONGEST = 300  # characters of an answer
LONGEST_REASON = 400
NOT_ASKED = "."


@dataclass(frozen=True)
class Answered:
    """The answers of a case.

    Attributes:
        letters: of each of the task's samples how it was scored (`marks.Letter`), or that it was not asked.
        part: what the page loads when it shows the case.
    """

    letters: str
    part: Mapping[str, Any]


def answered(case: CaseRecord, rows: Mapping[str, int]) -> Answered:
    """What became of the task's samples; `rows` is the place of each."""
    found: list[Mark | None] = [None] * len(rows)
    for prediction, mark in zip(case.predictions, marks(case), strict=True):
        found[rows[prediction.id]] = mark
    part = {
        "answer": column([clip(mark.answer, LONGEST) if mark else "" for mark in found]),
        "why": column([clip(mark.why, LONGEST_REASON) if mark else "" for mark in found]),
        "probability": [_thousandths(mark) for mark in found],
    }
    return Answered("".join(mark.letter if mark else NOT_ASKED for mark in found), part)


def telling(ids: Sequence[str], letters: Sequence[str]) -> list[int]:
    """The rows of samples: first those on which the cases disagree most, of equals in an order that only the id decides."""
    right, scored = [0] * len(ids), [0] * len(ids)
    for case in letters:
        for row, letter in enumerate(case):
            right[row] += letter == "r"
            scored[row] += letter in "rwf"

    def split(row: int) -> tuple[float, str]:
        even = abs(right[row] / scored[row] - 0.5) if scored[row] else 0.5
        return even, sha256(repr(ids[row]).encode()).hexdigest()

    return sorted(range(len(ids)), key=split)


def _thousandths(mark: Mark | None) -> int | None:
    probability = mark.probability if mark else None
    return None if probability is None or not isfinite(probability) else round(1000 * float(probability))
