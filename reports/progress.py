"""Live progress of a run, and inside its long cases."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Iterator, Sized
from typing import Protocol, TypeVar

import pytest

from medrival.plan import identity, ours
from medrival.reports.course import Course
from medrival.reports.status_line import Lines, StatusLine
from medrival.store import Store

T = TypeVar("T")


class Display(Protocol):
    """Where progress is shown; `tick` is called whenever something has changed."""

    def start(self) -> None:
        """Begin."""

    def tick(self) -> None:
        """Something has changed."""

    def stop(self) -> None:
        """Leave nothing behind that moves."""

    def close(self) -> None:
        """Give back what was taken."""


class Progress:
    """The pytest plugin that follows the session, and the wrapper of long loops inside cases.

    Args:
        course: what it knows of the run.
        store: where outcomes are kept.
        started: when the session began, in seconds since 1970; an outcome that is older was not waited for.
    """

    def __init__(self, course: Course, store: Store, started: float) -> None:
        self._course = course
        self._display: Display | None = None
        self._store = store
        self._started = started
        self._stored: set[str] = set()

    def __call__(self, items: Iterable[T], label: str) -> Iterable[T]:
        """The same items."""
        return items if self._display is None else self._followed(items, label, self._display)

    def _followed(self, items: Iterable[T], label: str, display: Display) -> Iterator[T]:
        total = len(items) if isinstance(items, Sized) else None
        for done, item in enumerate(items):
            self._course.at(label, done, total)
            display.tick()
            yield item

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what is going to run."""
        self._course.collected(identity(item.nodeid) for item in session.items if ours(item))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: list[str]) -> None:  # noqa: ARG002 - pytest names them
        """Note what is going to run in workers."""
        self._course.collected(identity(nodeid) for nodeid in ids if nodeid.partition("::")[2].startswith("test_"))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Show progress while tests run."""
        self._display = display = shown(session.config, self._course)
        if display is None:
            return (yield)
        display.start()
        try:
            return (yield)
        finally:
            self._display = None
            display.stop()
            display.close()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Note what runs."""
        self._course.began(identity(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what failed, and what was in the store; a crashed worker's case arrives here last."""
        name = identity(report.nodeid)
        if report.failed:
            self._course.failed(name)
        key = getattr(report, "medrival", {}).get("key")
        if key and self._store.measured_at(key) < self._started:
            self._stored.add(name)
        if report.when not in ("setup", "call", "teardown"):
            self._course.ended(name, stored=False)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Note what is done."""
        name = identity(nodeid)
        self._course.ended(name, stored=name in self._stored)
        if self._display is not None:
            self._display.tick()

    @pytest.hookimpl(tryfirst=True)
    def pytest_enter_pdb(self) -> None:
        """The terminal is the debugger's."""
        if self._display is not None:
            self._display.stop()

    def pytest_leave_pdb(self) -> None:
        """It is ours again."""
        if self._display is not None:
            self._display.start()


def shown(config: pytest.Config, course: Course) -> Display | None:
    """Where progress is shown; to be asked while standard error is not captured.

    A line at the bottom of a terminal is for a person who watches. Elsewhere, in CI, and under -s, where what tests print would
    run into it, a plain line is written now and then. Under -q and in xdist's workers, which nobody sees, it is silent.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if hasattr(config, "workerinput") or config.get_verbosity() < 0 or reporter is None:
        return None
    plain = os.environ.get("CI") or os.environ.get("TERM") == "dumb" or sys.platform == "win32"
    if plain or config.getoption("capture") not in ("fd", "sys") or not os.isatty(2):
        capture = config.pluginmanager.get_plugin("capturemanager")
        return Lines(reporter, config.get_terminal_writer(), capture, course.line)
    terminal = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", newline="")
    return StatusLine(terminal, config.get_terminal_writer(), course.status)
