"""How far a training is, kept after epochs, so that a run that was killed goes on from there."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from medrival.errors import MedrivalWarning, first_line
from medrival.files import write_atomically

Values = dict[str, torch.Tensor]

SHARE = 0.05
"""Of a training's time that may go into keeping how far it is: an epoch on stored features is quicker than a file."""


@dataclass
class State:
    """How far a training is. Whatever is here can be read from a file without running code of it.

    Attributes:
        trials: what is known of the learning rates that are done with.
        winner: the parameters that the best of them left.
        scores: of the learning rate at work, by epoch.
        steps: it made.
        epoch: the one that is kept of it.
        best: its parameters.
        parameters: where it is.
        optimiser: its state, as `state_dict` tells it.
        touched: names of the parameters that received a gradient.
        chance: states of torch's random numbers, by device.
    """

    trials: list[dict[str, Any]] = field(default_factory=list)
    winner: Values = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)
    steps: int = 0
    epoch: int = 0
    best: Values = field(default_factory=dict)
    parameters: Values = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)
    touched: list[str] = field(default_factory=list)
    chance: Values = field(default_factory=dict)


@dataclass
class Checkpoint:
    """The file of a training, which only the same training reads again.

    Attributes:
        fits: what identifies it: see `identity`.
    """

    path: Path
    fits: str
    _written: float = -math.inf
    _took: float = 0.0

    def read(self) -> State:
        """How far it was, or the very beginning. A damaged file, or another training's, is passed over with a warning."""
        try:
            found = torch.load(self.path, map_location="cpu", weights_only=True)
            if found["fits"] == self.fits:
                return State(**found["state"])
            why = "is of another training"
        except FileNotFoundError:
            return State()
        except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError) as error:
            why = f"cannot be read ({first_line(error)})"
        warnings.warn(f"{self.path} {why}; the training begins anew", MedrivalWarning, stacklevel=2)
        return State()

    def write(self, state: State) -> None:
        """Whole or not at all, and not at all where the last time is too short ago (see `SHARE`).

        A full or read-only disk costs the possibility to go on, not the training.
        """
        started = time.monotonic()
        if started - self._written < self._took / SHARE:
            return
        try:
            write_atomically(self.path, lambda stream: torch.save({"fits": self.fits, "state": vars(state)}, stream))
        except (OSError, RuntimeError) as error:  # torch says of a full disk that its writer failed
            why = f"{self.path} cannot be written ({first_line(error)}); a run that is killed begins this training anew"
            warnings.warn(why, MedrivalWarning, stacklevel=2)
        self._written = time.monotonic()
        self._took = self._written - started


def identity(parameters: Mapping[str, torch.Tensor], **given: Any) -> str:
    """Sha256 over the values that parameters start from, and over whatever else decides a training."""
    digest = hashlib.sha256(json.dumps(given, sort_keys=True, default=str).encode())
    for name, value in parameters.items():
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
