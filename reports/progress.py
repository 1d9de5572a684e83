"""Live progress inside long cases, where a person is watching."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TextIO, TypeVar

import pytest
from tqdm import tqdm

T = TypeVar("T")

SECONDS_OF_PATIENCE = 1.0
"""A loop that ends sooner shows nothing."""


class Progress:
    """A line that says which case is at which epoch and batch; silent under -q, in CI, in xdist workers and in files."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._line_is_ours = False

    @classmethod
    def of(cls, config: pytest.Config) -> Progress:
        """Progress for a session; to be made in `pytest_configure`, while standard error is not captured."""
        quiet = hasattr(config, "workerinput") or config.get_verbosity() < 0 or bool(os.environ.get("CI"))
        if quiet or not os.isatty(2):
            return cls(None)
        return cls(os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace"))

    def __call__(self, items: Iterable[T], label: str) -> Iterable[T]:
        """The same items."""
        if self._stream is None:
            return items
        known = os.get_terminal_size(self.fileno()).columns > 0
        width = {"dynamic_ncols": True} if known else {"ncols": 80}
        shown: Iterable[T] = tqdm(
            items, desc=label, file=self, leave=False, delay=SECONDS_OF_PATIENCE, mininterval=0.2, **width
        )
        return shown

    def write(self, text: str) -> None:
        """Write for tqdm, below what pytest has written in its own line."""
        if self._stream is None:
            return
        if not self._line_is_ours:
            self._stream.write("\n")
            self._line_is_ours = True
        self._stream.write(text)

    def flush(self) -> None:
        """Show at once what was written."""
        if self._stream is not None:
            self._stream.flush()

    def fileno(self) -> int:
        """The terminal, so that tqdm can ask for its width."""
        return self._stream.fileno() if self._stream is not None else 2

    def pytest_runtest_logstart(self) -> None:
        """The line belongs to pytest again."""
        self._line_is_ours = False

    def pytest_unconfigure(self) -> None:
        """Close our copy of the terminal."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
