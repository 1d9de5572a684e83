"""How much memory a weight takes in 4 bits, how much a case took, and giving it back."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

NF4_BITS = 4.5
"""A weight in 4 bits, and a 32-bit scale for each block of 64: Dettmers et al. 2023, QLoRA, without double quantisation."""


def reset_peak(device: str) -> None:
    """Start measuring anew, where the device or the system lets one."""
    if device.startswith("cuda"):
        import torch

        for gpu in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(gpu)
    else:
        with suppress(OSError):  # Linux alone
            Path("/proc/self/clear_refs").write_text("5")


def peak(device: str) -> int | None:
    """Bytes at most since `reset_peak`, of this process; None where that cannot be known.

    On GPUs it is the sum over those that are visible, each at its own peak: one that the model is not spread over adds nothing.
    """
    if device.startswith("cuda"):
        import torch

        return sum(torch.cuda.max_memory_allocated(gpu) for gpu in range(torch.cuda.device_count()))
    with suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return next((1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), None)
    return None


def available(devices: Iterable[torch.device]) -> float | None:
    """Bytes free on devices together; None where that cannot be known."""
    import torch

    free = 0.0
    for device in devices:
        if device.type == "cuda":
            free += torch.cuda.mem_get_info(device)[0]
        elif device.type == "cpu" and (told := Path("/proc/meminfo")).is_file():  # Linux alone tells
            free += 1024.0 * int(dict(line.split(":") for line in told.read_text().splitlines())["MemAvailable"].split()[0])
        else:
            return None
    return free


def name(device: str) -> str:
    """What the device is: a GPU's model, else the kind of device."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return device


def release() -> None:
    """Collect garbage and hand cached GPU memory back to the driver."""
    gc.collect()
    if "torch" in sys.modules:
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
