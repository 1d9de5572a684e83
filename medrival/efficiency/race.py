"""A race: our way of doing something against the plain loop that a reader would write, on one machine, in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import eq
from typing import Any


@dataclass(frozen=True)
class Race:
    """The same work done twice.

    Attributes:
        name: what is done, for the record.
        ours, bare: each does all of the work and gives what it made of it.
        items: how many things the work is about; `unit` says what they are.
        wanted: the bare loop's time over ours must be at least this; None where nothing is promised.
        ready: before every round of either: leaves nothing of the round before.
        same: whether both made the same of it, so that none is quick by doing less.
        figures: further figures, of ours, from the seconds that it took and what it made.
    """

    name: str
    ours: Callable[[], Any]
    bare: Callable[[], Any]
    items: int
    unit: str
    wanted: float | None
    ready: Callable[[], object] = lambda: None
    same: Callable[[Any, Any], bool] = eq
    figures: Callable[[float, Any], Mapping[str, float]] = lambda *_: {}


@dataclass(frozen=True)
class Raced:
    """How a race went: the fastest round of each, as noise only ever slows down.

    Attributes:
        ratio: bare seconds over our seconds; more is better.
        figures: our items a second, peak memory in bytes, energy in joules where the GPU tells it, and the race's own.
    """

    name: str
    subject: str
    seconds: float
    bare_seconds: float
    wanted: float | None
    figures: Mapping[str, float]

    @property
    def ratio(self) -> float:
        """Of the bare loop's time to ours."""
        return self.bare_seconds / self.seconds

    @property
    def holds(self) -> bool:
        """Whether what is wanted was reached."""
        return self.wanted is None or self.ratio >= self.wanted

    @property
    def sentence(self) -> str:
        """Such as "feature extraction, pocket-clip: 0.97 times the speed of a bare loop (wanted: 0.90)"."""
        wanted = "" if self.wanted is None else f" (wanted: {self.wanted:.2f})"
        return f"{self.name}, {self.subject}: {self.ratio:.2f} times the speed of a bare loop{wanted}"
