"""How many questions an endpoint is asked at a time: as many as it bears."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Pace:
    """One question more at a time after each round of answers, half as many after a refusal; safe for many threads.

    Additive increase and multiplicative decrease (Chiu and Jain, Computer Networks and ISDN Systems 17 (1989) 1-14), as in TCP:
    those who share an endpoint come to equal shares of what it bears.
    """

    def __init__(self, start: int = 8, most: int = 32) -> None:
        self.most = most
        self._room = float(start)
        self._under_way = 0
        self._turn = 0
        self._changed = threading.Condition()

    @property
    def room(self) -> int:
        """How many may be under way now."""
        return int(self._room)

    @property
    def turn(self) -> int:
        """Grows with each decrease: whoever is refused says when they had begun."""
        return self._turn

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those under way, waited for where there is none."""
        with self._changed:
            self._changed.wait_for(lambda: self._under_way < self.room)
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify()

    def answered(self) -> None:
        """Make room for one more, once as many have been answered as there is room for."""
        with self._changed:
            self._room = min(self._room + 1 / self._room, float(self.most))
            self._changed.notify()

    def refused(self, begun: int) -> None:
        """Halve the room; once for all that had begun before, as they are refused together."""
        with self._changed:
            if begun == self._turn:
                self._turn += 1
                self._room = max(1.0, self._room / 2)
