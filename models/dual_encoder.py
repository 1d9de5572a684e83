"""Contrastive models: an image tower and a text tower whose features are compared by cosine similarity."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PIL

from medrival.catalog import ModelCard
from medrival.contracts import DualEncoder
from medrival.errors import BrokenModel
from medrival.models.checkpoint import linear_layers, load_module, load_processor


def transformers(card: ModelCard, folder: Path, device: str, dtype: str) -> DualEncoder:
    """Any dual encoder of transformers that has `get_image_features` and `get_text_features`: CLIP, SigLIP, ...

    Checkpoints of SigLIP 2 with a fixed image size are of type "siglip" and work; those of native size ("siglip2") do not.

    Raises:
        BrokenModel: the directory does not load, or holds a model that is no dual encoder.
    """
    from transformers import AutoModel

    module = load_module(card, AutoModel, folder, device, dtype)
    if not all(hasattr(module, part) for part in ("get_image_features", "get_text_features", "logit_scale", "vision_model")):
        raise BrokenModel(f"{card.name}: {folder} holds a {type(module).__name__}, which is no dual encoder of transformers")
    if module.config.model_type == "siglip2":
        raise BrokenModel(f"{card.name}: SigLIP 2 of native image size needs an adapter of its own; take one of a fixed size")
    processor = load_processor(card, folder)
    padding = "max_length" if module.config.model_type.startswith("siglip") else True

    def prepare(images: Sequence[PIL.Image]) -> torch.Tensor:
        pixels: torch.Tensor = processor.image_processor(images=list(images), return_tensors="pt")["pixel_values"]
        return pixels

    def image_features(pixels: torch.Tensor) -> torch.Tensor:
        return _pooled(module.get_image_features(pixel_values=pixels.to(device, module.dtype)))

    def text_features(texts: Sequence[str]) -> torch.Tensor:
        # SigLIP pools the last position and was trained with every text padded to full length.
        length = module.config.text_config.max_position_embeddings
        tokens = processor.tokenizer(list(texts), padding=padding, truncation=True, max_length=length, return_tensors="pt")
        known = {name: tokens[name].to(device) for name in ("input_ids", "attention_mask") if name in tokens}
        return _pooled(module.get_text_features(**known))

    return DualEncoder(
        module=module,
        tower=module.vision_model,
        lora=_lora_layers(card, module.vision_model),
        prepare=prepare,
        image_features=image_features,
        text_features=text_features,
        scale=float(module.logit_scale.float().exp()),
    )


def _pooled(output: Any) -> torch.Tensor:
    features: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return features


def _lora_layers(card: ModelCard, tower: torch.nn.Module) -> tuple[str, ...]:
    layers = tuple(name for name in linear_layers(tower) if not card.lora or re.fullmatch(card.lora, name))
    if not layers:
        raise BrokenModel(f"{card.name}: lora = {card.lora!r} names no linear layer of its image tower")
    return layers
