"""How much memory a case took, and giving it back."""

from __future__ import annotations

import gc
import sys


def reset_peak(device: str) -> None:
    """Start measuring anew. A process's own peak cannot be reset; a GPU's can."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def peak(device: str) -> int:
    """Bytes: the GPU's peak since `reset_peak`, or the process's since it started."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def release() -> None:
    """Collect garbage and hand cached GPU memory back to the driver."""
    gc.collect()
    if "torch" in sys.modules:
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
