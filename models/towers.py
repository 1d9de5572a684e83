"""Dual encoders put together of two towers that were loaded apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from medrival.catalog import ModelCard
from medrival.contracts import DualEncoder
from medrival.models.dual_encoder import compared, lora_layers


@dataclass(frozen=True)
class Tower:
    """One of the two.

    Attributes:
        module: the network.
        inputs: images or texts -> what `pooled` takes: pixels on the CPU, or tokens by name on the device.
        pooled: its features [n, dim] of them; differentiable.
        head: the weight [out, dim] of the linear projection behind it, which has no bias; None where there is none.
    """

    module: torch.nn.Module
    inputs: Callable[[Sequence[Any]], Any]
    pooled: Callable[..., torch.Tensor]
    head: torch.Tensor | None = None


def joined(card: ModelCard, image: Tower, text: Tower, scale: float, device: str, kind: torch.dtype) -> DualEncoder:
    """Two towers as a dual encoder on the device, in a precision.

    Raises:
        BrokenModel: the row's `lora` names no layer of the image tower.
    """
    parts = {"image": image.module, "image_head": _projection(image), "text": text.module, "text_head": _projection(text)}
    module = torch.nn.ModuleDict(parts).eval().requires_grad_(False).to(device, kind)

    def image_features(pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = module["image_head"](image.pooled(pixels.to(device, kind)))
        return features

    def text_features(texts: Sequence[str]) -> torch.Tensor:
        features: torch.Tensor = module["text_head"](text.pooled(**text.inputs(texts)))  # by name: an adapter may stand there
        return features

    lora = lora_layers(card, image.module, image.inputs, image_features)
    return compared(card, DualEncoder(module, image.module, lora, image.inputs, image_features, text_features, scale))


def _projection(tower: Tower) -> torch.nn.Module:
    if tower.head is None:
        return torch.nn.Identity()
    layer = torch.nn.Linear(tower.head.shape[1], tower.head.shape[0], bias=False)
    layer.load_state_dict({"weight": tower.head})
    return layer
