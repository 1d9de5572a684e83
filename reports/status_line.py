"""Where progress is shown: in one line below what pytest writes in a terminal, or now and then in a line of a log."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Event, RLock, Thread
from typing import Any, TextIO

SECONDS_OF_PATIENCE = 1.0
"""A run that ends sooner shows nothing."""
SECONDS_BETWEEN_FRAMES = 0.25
SECONDS_BETWEEN_LINES = 60.0

CLEAR_BELOW = "\x1b[J"
ROOM_BELOW = "\x1bD\x1bM"  # index and reverse index: at the bottom of the screen, all moves up by a line
KEEP_PLACE, BACK = "\x1b7", "\x1b8"
CUT, WRAP = "\x1b[?7l", "\x1b[?7h"  # a name of wide letters would else go on in the next line


class StatusLine:
    """One line below pytest's own, in a terminal.

    Whatever pytest writes goes where it would go without it: the line is cleared before and drawn below after, and the
    terminal itself remembers the place, in a line that is not finished, too.

    Args:
        stream: the terminal, not captured; closed at the end.
        writer: pytest's.
        text: what to show in so many columns; "" for nothing.
    """

    def __init__(self, stream: TextIO, writer: Any, text: Callable[[int], str]) -> None:
        self._stream = stream
        self._writer = writer
        self._text = text
        self._lock = RLock()
        self._stopped = Event()
        self._shown = False

    def start(self) -> None:
        """Show it from now on."""
        self._stopped.clear()
        self._writer.write = partial(self._written, self._writer.write)  # as pytest's own pastebin does
        self._thread = Thread(target=self._follow, name="medrival-progress", daemon=True)
        self._thread.start()

    def tick(self) -> None:
        """Nothing: it follows by itself."""

    def stop(self) -> None:
        """Clear it."""
        if "write" not in vars(self._writer):
            return
        self._stopped.set()
        self._thread.join()
        with self._lock:
            self._clear()
            self._stream.flush()
        del self._writer.write

    def close(self) -> None:
        """Close our copy of the terminal."""
        self.stop()
        self._stream.close()

    def _follow(self) -> None:
        patience = SECONDS_OF_PATIENCE
        while not self._stopped.wait(patience):
            patience = SECONDS_BETWEEN_FRAMES
            with self._lock, suppress(OSError):  # the terminal was closed
                self._draw()

    def _written(self, write: Callable[..., None], text: str, **markup: Any) -> None:
        """Write for pytest."""
        with self._lock:
            shown = self._shown
            self._clear()
            self._stream.flush()
            write(text, **markup)
            self._writer.flush()
            if shown:
                self._draw()

    def _draw(self) -> None:
        columns = self._columns
        at_the_edge = self._writer.width_of_current_line and self._writer.width_of_current_line % columns == 0
        text = "" if at_the_edge else self._text(columns - 1)
        self._clear()
        if text:
            self._stream.write(f"{ROOM_BELOW}{KEEP_PLACE}\r\n{CUT}{text}{WRAP}{BACK}")
            self._shown = True
        self._stream.flush()

    def _clear(self) -> None:
        if self._shown:
            self._stream.write(CLEAR_BELOW)
            self._shown = False

    @property
    def _columns(self) -> int:
        """Of the terminal, or fewer where COLUMNS says so."""
        real = os.get_terminal_size(self._stream.fileno()).columns or 80
        return max(2, min(real, shutil.get_terminal_size((real, 24)).columns))


class Lines:
    """A whole line among pytest's own now and then, without any code of a terminal's: for logs.

    Args:
        reporter: pytest's, of the terminal.
        writer: pytest's.
        capture: pytest's, of what tests print.
        text: what to say; "" for nothing.
        clock: in seconds.
    """

    def __init__(
        self,
        reporter: Any,
        writer: Any,
        capture: Any,
        text: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reporter = reporter
        self._writer = writer
        self._capture = capture
        self._text = text
        self._clock = clock
        self._last = clock()

    def start(self) -> None:
        """Wait from now on."""
        self._last = self._clock()

    def tick(self) -> None:
        """Say it, if the last time was long ago."""
        now = self._clock()
        if now - self._last < SECONDS_BETWEEN_LINES or not (text := self._text()):
            return
        self._last = now
        with self._capture.global_and_fixture_disabled():
            self._reporter.ensure_newline()
            if self._writer.width_of_current_line:  # of dots of xdist, which the reporter does not know of
                self._writer.line()
            self._reporter.write_line(text)
            self._reporter.flush()

    def stop(self) -> None:
        """Nothing: what was said stays."""

    def close(self) -> None:
        """Nothing: all is pytest's."""
