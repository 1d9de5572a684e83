"""Ends what a process has started when it dies without a word: an engine would hold on to its GPU for ever.

`python -m medrival.models.orphans PID` watches the process PID until its own standard input ends, which PID holds open.
"""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

SECONDS_BETWEEN_LOOKS = 2.0


@contextmanager
def none_left(pid: int) -> Iterator[None]:
    """Have another process end the descendants of this one, should it be killed before the context ends."""
    command = [sys.executable, "-m", __name__, str(pid)]
    watching = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603 - this interpreter, this module and a number
    try:
        yield
    finally:
        watching.kill()
        watching.communicate()


def watch(pid: int) -> None:
    """Note the descendants of a process until standard input ends, and kill those that are still there."""
    watched, known, own = psutil.Process(pid), set[psutil.Process](), psutil.Process()
    while not select.select([sys.stdin], [], [], SECONDS_BETWEEN_LOOKS)[0]:
        with suppress(psutil.NoSuchProcess):
            known |= {one for one in watched.children(recursive=True) if one != own}
    for one in known:
        with suppress(psutil.NoSuchProcess):
            one.kill()  # which a process that has its number by now is safe from


if __name__ == "__main__":
    watch(int(sys.argv[1]))
