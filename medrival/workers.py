"""Parallel runs: which worker gets which case, which device, and how many threads."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from filelock import BaseFileLock, FileLock, Timeout
from threadpoolctl import threadpool_limits
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from medrival.errors import MissingDevice
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

    def remove_node(self, node: WorkerController) -> str | None:
        """Take a worker out; what it had not begun goes to others, but not the case that it died of."""
        units = self.assigned_work[node].values()
        waiting = [(unit, name) for unit in units for name, done in unit.items() if not done]
        for unit, name in waiting[:1]:
            unit[name] = True
        super().remove_node(node)
        return waiting[0][1] if waiting else None

    def _reschedule(self, node: WorkerController) -> None:
        """Give a worker more work.

        It begins a test only when it knows the next, or that there is none: one that replaces a crashed worker would wait
        forever for a second.
        """
        super()._reschedule(node)
        while not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)


def limit_threads() -> None:
    """One computing thread a process unless the user set OMP_NUM_THREADS: for BLAS now, for torch when it is imported.

    How many threads share a sum decides its last digits. With one each, `-n 2` gives the same numbers as `-n 0`;
    more workers, not more threads, make use of more cores.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    for variable in THREAD_VARIABLES:
        os.environ.setdefault(variable, threads)
    if threads.isdecimal():
        threadpool_limits(int(threads))  # numpy may have been imported before the environment was set


def repeatable_cuda() -> None:
    """Kernels that give the same digits each time, and float32 that is float32, before the first of them runs.

    torch convolves float32 in TF32, of 10 bits, unless it is told not to; some containers have it multiply so, too.
    """
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def refuse_absent(wish: str) -> None:
    """Refuse a device that is asked for by name and is not there; torch is imported only for one that is not the CPU.

    Raises:
        MissingDevice: naming the devices that there are.
    """
    if wish in ("auto", "cpu"):
        return
    import torch

    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    found = ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]
    if wish not in found and not (wish == "cuda" and gpus):
        raise MissingDevice(f"--device {wish}: this machine has no such device; torch finds {', '.join(found)}")


def choose_device(wish: str, leases: Path) -> str:
    """The device that is asked for, or that "auto" means here; of several GPUs, one that no other worker holds.

    torch is asked only where there are signs of an accelerator.

    Raises:
        MissingDevice: there is no such device, or more workers want a GPU than there are.
    """
    signs = shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists() or sys.platform == "darwin"
    if wish == "cpu" or (wish == "auto" and not signs):
        return "cpu"
    refuse_absent(wish)
    import torch

    if wish in ("auto", "cuda") and torch.cuda.is_available():
        return _leased_gpu(torch.cuda.device_count(), leases)
    if wish == "auto":
        return "mps" if torch.backends.mps.is_available() else "cpu"
    return wish


def gpus_beside(device: str) -> list[int]:
    """The other GPUs that a model may be spread over: those that no other worker holds, which are this process's from now on.

    Where the user named the device there are no leases, and beside other workers there is no other GPU.
    """
    if not device.startswith("cuda"):
        return []
    import torch

    others = [index for index in range(torch.cuda.device_count()) if index != (torch.device(device).index or 0)]
    if _held:
        leases = Path(next(iter(_held.values())).lock_file).parent
        return [index for index in others if _lease(index, leases)]
    return others if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) == 1 else []


def _leased_gpu(count: int, leases: Path) -> str:
    """A GPU that is this process's until it ends, however it ends."""
    for index in range(count):
        if _lease(index, leases):
            return f"cuda:{index}"
    raise MissingDevice(f"all GPUs of this machine ({count}) are in use by other workers; run with -n {count}, or --device cpu")


def _lease(index: int, leases: Path) -> bool:
    """Whether a GPU is this process's, from before or from now on."""
    if index not in _held:
        lease = FileLock(leases / f"gpu-{index}.lock")
        with suppress(Timeout):
            lease.acquire(timeout=0)
            _held[index] = lease
    return index in _held


_held: dict[int, BaseFileLock] = {}
"""Leases of this process, by GPU; a lock that nobody refers to is let go."""


def choose_dtype(wish: str, device: str) -> str:
    """The precision of weights that "auto" means on a device: bfloat16 on CUDA, else float32."""
    if wish != "auto":
        return wish
    return "bfloat16" if device.startswith("cuda") else "float32"
