"""How the cases of a run are evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medrival.lock import Lock


@dataclass(frozen=True)
class Settings:
    """How cases are evaluated.

    Attributes:
        device: "cpu", "cuda", "cuda:1", "mps".
        dtype: of the weights: "float32", "bfloat16", "float16", "4bit".
        batch_size: of prediction; a training batch is part of a regime's budget.
        limit: at most so many samples of each split, or None.
        assets: the user's folder of data and models.
        measured_after: outcomes stored before (seconds since 1970) are measured anew.
        started: when the run began; outcomes stored before in which an endpoint left samples unanswered are measured anew, too.
        lock: what the weights must be, or None.
        seeds: all of the run.
        adapters: the folder for what was trained, or None.
    """

    device: str = "cpu"
    dtype: str = "float32"
    batch_size: int = 64
    limit: int | None = None
    assets: Path | None = None
    measured_after: float = 0.0
    started: float = 0.0
    lock: Lock | None = None
    seeds: tuple[int, ...] = (0,)
    adapters: Path | None = None
