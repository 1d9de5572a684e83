"""Frozen image features of a dual encoder: prepared while it computes, and put where there is room, batch by batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from medrival.batches import Pictures, Progress, at_once, readers, streamed
from medrival.contracts import DualEncoder, Failed, Features, Sample
from medrival.settings import Settings

if TYPE_CHECKING:
    import torch

Room = Callable[[tuple[int, int]], np.ndarray]
"""Gives an array of a shape, float32, to be filled in."""


def extracted(
    model: DualEncoder, samples: Sequence[Sample], room: Room, settings: Settings, progress: Progress, label: str
) -> Features:
    """The features of each sample's first image; no more of them than a batch is held beside what `room` gives.

    Raises:
        OutOfMemory: not even one sample fits.
    """
    started = time.perf_counter()
    prepare, encode = partial(_pixels, model, settings.device), partial(_features, model, settings.device)
    ahead, threads = _cores_to_spare(settings.device), _decoders(settings.device)
    values: np.ndarray | None = None
    failed: dict[int, str] = {}
    with closing(
        streamed(samples, prepare, encode, settings.batch_size, progress, label, ahead=ahead, threads=threads)
    ) as found:
        for i, row in found:
            if isinstance(row, Failed):
                failed[i] = row.reason
                continue
            if values is None:
                values = room((len(samples), len(row)))
            values[i] = row
    if values is None:
        values = room((len(samples), 0))
    values[list(failed)] = np.nan
    values.setflags(write=False)
    return Features(values, dict(sorted(failed.items())), time.perf_counter() - started)


def _cores_to_spare(device: str) -> bool:
    """Whether a second thread that computes has something to compute on."""
    import torch

    return device != "cpu" or 2 * torch.get_num_threads() <= readers()


def _decoders(device: str) -> int:
    """How many threads decode beside the model: on a CPU as many as it leaves cores, for a sum waits for its slowest thread."""
    import torch

    return readers() if device != "cpu" else max(1, readers() - torch.get_num_threads())


def _pixels(model: DualEncoder, device: str, images: list[Pictures]) -> torch.Tensor:
    """What the tower is given: for a GPU in memory that it can copy by itself, images in the layout of its convolutions."""
    import torch

    with torch.inference_mode():
        pixels = model.prepare([first for first, *_ in images])
        if not device.startswith("cuda"):
            return pixels
        return (pixels.contiguous(memory_format=torch.channels_last) if pixels.ndim == 4 else pixels).pin_memory()


def _features(model: DualEncoder, device: str, pixels: torch.Tensor, _: list[Sample]) -> list[np.ndarray]:
    """One row a sample; a GPU is waited for once."""
    import torch

    with torch.inference_mode():
        moved = pixels.to(device, non_blocking=device.startswith("cuda"))
        parts = [model.image_features(moved[some]) for some in at_once(len(moved), device)]
        return list(torch.cat(parts).float().cpu().numpy())
