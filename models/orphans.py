"""Ends what a process has started when it dies without a word: an engine would hold on to its GPU for ever.

`python -m medrival.models.orphans PID` watches the process PID until its own standard input ends, which PID holds open.
"""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil

SECONDS_BETWEEN_LOOKS = 2.0


@contextmanager
def none_left(pid: int) -> Iterator[None]:
    """Have another process end the descendants of this one, should it be killed before the context ends."""
    command = [sys.executable, "-m", __name__, str(pid)]
    # In a session of its own, or Ctrl-C would end it before it is needed.
    watching = subprocess.Popen(  # noqa: S603 - this interpreter, this module and a number
        command, stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield
    finally:
        watching.kill()
        watching.communicate()


def descendants(process: psutil.Process) -> set[psutil.Process]:
    """What a process has started, but for what multiprocessing keeps to clean up after all of it, which ends by itself."""
    return {one for one in process.children(recursive=True) if not _cleans_up(one)}


def end(processes: Iterable[psutil.Process]) -> None:
    """Kill those that are still there; a process that has the number of one by now is safe."""
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.kill()


def watch(pid: int) -> None:
    """Note the descendants of a process until standard input ends, and kill those that are still there."""
    watched, known, own = psutil.Process(pid), set[psutil.Process](), psutil.Process()
    while not select.select([sys.stdin], [], [], SECONDS_BETWEEN_LOOKS)[0]:
        with suppress(psutil.NoSuchProcess):
            known |= descendants(watched) - {own}
    end(known)


def _cleans_up(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return any("resource_tracker" in word for word in process.cmdline())
    return False


if __name__ == "__main__":
    watch(int(sys.argv[1]))
