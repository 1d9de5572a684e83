"""What a process has started ends with it, even where it is killed."""

import os
import subprocess
import sys
from time import sleep

import psutil
import pytest

# The prints below are how the processes tell this test, through pipes, who they are.
KILLED = """
import os, subprocess, sys, time
from medrival.models.orphans import none_left

with none_left(os.getpid()):
    child = subprocess.Popen([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE, text=True)
    print(child.pid, child.stdout.readline().strip(), flush=True)
    {then}
"""
WITH_A_CHILD = (
    "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print(p.pid, flush=True); time.sleep(600)"
)


def started(then: str) -> tuple[subprocess.Popen, list[psutil.Process]]:
    code = KILLED.format(child=WITH_A_CHILD, then=then)
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]


@pytest.mark.skipif(os.name != "posix", reason="no engine runs there")
def test_descendants_of_a_killed_process_are_ended():
    process, descendants = started("time.sleep(600)")
    sleep(10)  # the watcher looks every two seconds
    process.kill()
    process.communicate()
    gone, alive = psutil.wait_procs(descendants, timeout=60)
    assert (len(gone), alive) == (2, [])


@pytest.mark.skipif(os.name != "posix", reason="no engine runs there")
def test_a_process_that_ends_as_it_should_leaves_what_it_wants_to_leave():
    process, descendants = started("time.sleep(5)")
    process.communicate()
    try:
        assert process.returncode == 0
        assert all(one.is_running() for one in descendants)
    finally:
        for one in descendants:
            one.kill()
