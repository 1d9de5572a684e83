"""Activations that a backward pass computes again instead of keeping them, where memory asks for it (Chen et al. 2016)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


class Recomputing:
    """Has the layers of a network of transformers keep their inputs alone, from `start` to `stop`."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._layers: list[Any] = [part for part in module.modules() if isinstance(part, GradientCheckpointingLayer)]
        self.on = False

    def start(self) -> bool:
        """Begin with it; whether that makes any difference."""
        begun, self.on = not self.on and bool(self._layers), self.on or bool(self._layers)
        for layer in self._layers:
            layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
        self._set(self.on)
        return begun

    def stop(self) -> None:
        """End it, as before a model that is to answer."""
        self._set(False)

    def _set(self, on: bool) -> None:
        """The library does it in layers in training mode alone: they are, and the dropouts in them are not."""
        for layer in self._layers:
            layer.gradient_checkpointing = layer.training = on
