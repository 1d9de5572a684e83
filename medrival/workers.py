"""Parallel runs: which worker gets which case, which device, and how many threads."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import BaseFileLock, FileLock, Timeout
from threadpoolctl import threadpool_limits
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from medrival.errors import MissingDevice
from medrival.plan import Plan, identity

SECONDS_AT_ENTRANCE = 1.0
"""How long a worker waits for others to take their part of a GPU; one that has it whole keeps everybody out for longer."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class ByModel(LoadScopeScheduling):
    """Hands out cases by group, in the order of collection, so that one worker loads a model once.

    xdist's own `--dist loadgroup` does nothing under pytest 9.2 with xdist 3.8.
    """

    def __init__(self, config: pytest.Config, log: Any, plan: Plan) -> None:
        super().__init__(config, log)
        self._plan = plan
        self._groups: Mapping[str, str] = {}
        config.option.loadscopereorder = False  # pairs come last, however many there are

    def schedule(self) -> None:
        """Begin, knowing by now what was collected; a shard, or a selection, may have fewer models than the plan."""
        if self.collection is None:
            collected = {identity(name) for names in self.registered_collections.values() for name in names}
            self._groups = self._plan.groups(self.numnodes, collected)
        super().schedule()

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


def choose_device(wish: str, leases: Path, workers_per_gpu: int = 1) -> str:
    """The device that is asked for, or that "auto" means here; of several GPUs, one that no other worker holds.

    torch is asked only where there are signs of an accelerator.

    Args:
        wish: such as "auto" or "cuda:1"; of a GPU that is named no lease is taken, unless it is to be shared.
        leases: the folder in which workers see what others hold.
        workers_per_gpu: how many may share a GPU; each is given that part of its memory.

    Raises:
        MissingDevice: there is no such device, or more workers want a GPU than may.
    """
    signs = shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists() or sys.platform == "darwin"
    if wish == "cpu" or (wish == "auto" and not signs):
        return "cpu"
    refuse_absent(wish)
    import torch

    if wish in ("auto", "cuda") and torch.cuda.is_available():
        return _leased_gpu(torch.cuda.device_count(), leases, workers_per_gpu)
    if wish == "auto":
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if wish.startswith("cuda"):
        _check_named(wish, leases, workers_per_gpu)
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
        lease = next(iter(_held.values()))
        folder = Path(lease.lock.lock_file).parent
        return [index for index in others if _lease(index, folder, lease.workers)]
    return others if _workers() == 1 else []


def free_memory(gpu: int) -> float:
    """Bytes of a GPU that this process may still take: what is free, and no more than its part where it is shared."""
    import torch

    free, total = torch.cuda.mem_get_info(gpu)
    return float(min(free, total // _held[gpu].workers) if gpu in _held else free)


def _workers() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def _check_named(device: str, leases: Path, workers_per_gpu: int) -> None:
    """Let no more workers have the GPU that the user named than may share it."""
    import torch

    if workers_per_gpu == 1 and _workers() == 1:
        return
    if workers_per_gpu == 1 or not _lease(torch.device(device).index, leases, workers_per_gpu):
        raise MissingDevice(
            f"--device {device}: {_workers()} workers would share it; run with -n {workers_per_gpu}, "
            "allow more with --workers-per-gpu, or let --device auto choose"
        )


def _leased_gpu(count: int, leases: Path, workers_per_gpu: int = 1) -> str:
    """A GPU, or a part of one, that is this process's until it ends, however it ends."""
    for index in range(count):
        if _lease(index, leases, workers_per_gpu):
            return f"cuda:{index}"
    raise MissingDevice(
        f"all GPUs of this machine ({count}) are in use by other workers; run with -n {count * workers_per_gpu}, "
        "let more share one with --workers-per-gpu, or take --device cpu"
    )


@dataclass(frozen=True)
class Lease:
    """A GPU that is this process's: whole, or where several `workers` share it, a part."""

    lock: BaseFileLock
    workers: int


def _lease(index: int, leases: Path, workers: int) -> bool:
    """Whether a GPU, or one of so many parts of it, is this process's, from before or from now on."""
    if index in _held:
        return True
    name = leases / f"gpu-{visible_gpu(index).replace('/', '_')}"
    lock = _whole(name) if workers == 1 else _part(name, workers)
    if lock is None:
        return False
    _held[index] = Lease(lock, workers)
    if workers > 1:
        import torch

        torch.cuda.set_per_process_memory_fraction(1 / workers, index)
    return True


def visible_gpu(index: int) -> str:
    """What the driver calls a GPU: its own number, or what stands in CUDA_VISIBLE_DEVICES, which numbers GPUs anew."""
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return visible[index] if index < len(visible) else str(index)


def _whole(name: Path) -> BaseFileLock | None:
    """The lock of a GPU of which no other process has even a part."""
    lock = _acquired(Path(f"{name}.lock"))
    if lock and any(_is_held(part) for part in name.parent.glob(f"{name.name}.*of*.lock")):
        lock.release()
        return None
    return lock


def _part(name: Path, workers: int) -> BaseFileLock | None:
    """The lock of one of so many parts; a GPU that others divide in another way, or that one has whole, is not divided."""
    entrance = _acquired(Path(f"{name}.lock"), SECONDS_AT_ENTRANCE)
    if entrance is None:
        return None
    try:
        parts = [name.with_name(f"{name.name}.{part}of{workers}.lock") for part in range(1, workers + 1)]
        if any(_is_held(other) for other in name.parent.glob(f"{name.name}.*of*.lock") if other not in parts):
            return None
        return next(filter(None, map(_acquired, parts)), None)
    finally:
        entrance.release()


def _acquired(path: Path, patience: float = 0.0) -> BaseFileLock | None:
    lock = FileLock(path)
    with suppress(Timeout):
        lock.acquire(timeout=patience)
        return lock
    return None


def _is_held(path: Path) -> bool:
    lock = _acquired(path)
    if lock:
        lock.release()
    return lock is None


_held: dict[int, Lease] = {}
"""Leases of this process, by GPU; a lock that nobody refers to is let go."""


def choose_dtype(wish: str, device: str) -> str:
    """The precision of weights that "auto" means on a device: bfloat16 on CUDA, else float32."""
    if wish != "auto":
        return wish
    return "bfloat16" if device.startswith("cuda") else "float32"
