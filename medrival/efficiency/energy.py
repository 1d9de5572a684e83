"""Energy of a GPU, from NVML's own counter."""

from __future__ import annotations

from collections.abc import Callable

MILLI = 1e-3


def meter(device: str) -> Callable[[], float] | None:
    """Reads the joules that a GPU has used since its driver was loaded; None for a CPU, or where NVML does not tell.

    The counter is the whole GPU's: whatever else runs on it counts too.
    """
    if not device.startswith("cuda"):
        return None
    try:
        import pynvml
        import torch

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception:  # no pynvml, no driver, a GPU without the counter: each in an error of its own library
        return None
    return lambda: float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) * MILLI
