"""On what a run was made: the checkout, the packages and the hardware. Imports no torch."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    *("medrival", "torch", "torchvision", "transformers", "peft", "open_clip_torch", "datasets"),
    *("numpy", "scikit-learn", "pillow", "nltk", "rouge-score", "pytest", "pytest-xdist"),
)


def environment() -> dict[str, Any]:
    """What decides a run besides its arguments.

    Returns:
        "git": commit and whether the checkout in the current folder is dirty, None each where there is none;
        "packages": version by name, of those that are installed; "hardware": cpu, cores, memory_bytes and gpus.
    """
    return {"git": _git(), "packages": _packages(), "hardware": dict(_hardware())}


def _git() -> dict[str, str | bool | None]:
    commit = _ask("git", "rev-parse", "--verify", "HEAD")
    changes = _ask("git", "--no-optional-locks", "status", "--porcelain") if commit else None
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _packages() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@cache  # the machine stays the same while the process lives, and asking a GPU's driver takes its time
def _hardware() -> dict[str, Any]:
    gpus = _ask("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or ""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None,
        "gpus": gpus.splitlines(),
        "system": platform.platform(),
    }


def _cpu() -> str:
    try:
        model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        model = None
    return model[1] if model else platform.processor() or platform.machine()


def _ask(*command: str) -> str | None:
    """What the command prints; None where it is missing, fails or takes more than 5 seconds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603 - the command is ours
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()
