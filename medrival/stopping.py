"""A run that is told to end, as when a CI job's time is up, ends as by Ctrl-C: with reports of what it has."""

from __future__ import annotations

import signal
import threading

import pytest


class Stopping:
    """The pytest plugin of the process that reports; a handler of SIGTERM that is there already stays."""

    def __init__(self) -> None:
        self._ours = False

    def pytest_sessionstart(self) -> None:
        """Handle SIGTERM, which only a main thread may."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _interrupt)
            self._ours = True

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Leave the process as it was."""
        if self._ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # another one would end the writing of the reports
    raise KeyboardInterrupt
