"""Parallel runs: which worker gets which case, which device, and how many threads."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from medrival.plan import identity

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class ByModel(LoadScopeScheduling):
    """Hands out cases by group, in the order of collection, so that one worker loads a model once.

    xdist's own `--dist loadgroup` does nothing under pytest 9.2 with xdist 3.8.
    """

    def __init__(self, config: pytest.Config, log: Any, groups: Mapping[str, str]) -> None:
        super().__init__(config, log)
        self._groups = groups
        config.option.loadscopereorder = False  # pairs come last, however many there are

    def _split_scope(self, nodeid: str) -> str:
        return self._groups.get(identity(nodeid), nodeid)


def limit_threads() -> None:
    """One computing thread a process, before torch is imported, unless the user set a number.

    How many threads share a sum decides its last digits. With one each, `-n 2` gives the same numbers as `-n 0`;
    more workers, not more threads, make use of more cores.
    """
    for variable in THREAD_VARIABLES:
        os.environ.setdefault(variable, os.environ.get("OMP_NUM_THREADS", "1"))


def choose_device(wish: str) -> str:
    """The device that "auto" means here; torch is asked only where there are signs of an accelerator."""
    if wish != "auto":
        return wish
    if shutil.which("nvidia-smi") or os.path.exists("/proc/driver/nvidia") or sys.platform == "darwin":
        import torch

        if torch.cuda.is_available():
            return "cuda"
        if torch.backends.mps.is_available():
            return "mps"
    return "cpu"


def choose_dtype(wish: str, device: str) -> str:
    """The precision of weights that "auto" means on a device: bfloat16 on CUDA, else float32."""
    if wish != "auto":
        return wish
    return "bfloat16" if device.startswith("cuda") else "float32"
