"""Activations that a backward pass computes again instead of keeping them, where memory asks for it (Chen et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable
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
            layer._gradient_checkpointing_func = partial(_again, layer)
        self._set(self.on)
        return begun

    def stop(self) -> None:
        """End it, as before a model that is to answer."""
        self._set(False)

    def _set(self, on: bool) -> None:
        """The library does it in layers in training mode alone: they are while they are called, not while they compute."""
        for layer in self._layers:
            layer.gradient_checkpointing = layer.training = on


def _again(layer: Any, forward: Callable[..., Any], *inputs: Any) -> Any:
    """What a layer makes of its inputs, now and in the backward pass, without the dropouts that some have of their own."""

    def still(*inputs: Any) -> Any:
        before, layer.training = layer.training, False
        try:
            return forward(*inputs)
        finally:
            layer.training = before

    return checkpoint(still, *inputs, use_reentrant=False)
