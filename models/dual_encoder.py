"""Contrastive models: an image tower and a text tower whose features are compared by cosine similarity."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PIL

from medrival.catalog import ModelCard
from medrival.contracts import DualEncoder
from medrival.errors import BrokenModel
from medrival.models.checkpoint import load_module, load_processor


def transformers(card: ModelCard, folder: Path, device: str, dtype: str) -> DualEncoder:
    """Any dual encoder of transformers that has `get_image_features` and `get_text_features`: CLIP, SigLIP, SigLIP 2, ...

    Raises:
        BrokenModel: the directory does not load, holds a model that is no dual encoder, or one that cannot be in 4 bits.
    """
    from transformers import AutoModel

    module = load_module(card, AutoModel, folder, device, dtype)
    if not all(hasattr(module, part) for part in ("get_image_features", "get_text_features", "logit_scale", "vision_model")):
        raise BrokenModel(f"{card.name}: {folder} holds a {type(module).__name__}, which is no dual encoder of transformers")
    processor = load_processor(card, folder)
    kind, length = module.config.model_type, module.config.text_config.max_position_embeddings
    siglip, native_size = kind.startswith("siglip"), kind == "siglip2"
    if native_size and dtype == "4bit":  # transformers would turn pixels into the integers that hold the weights
        raise BrokenModel(f"{card.name}: SigLIP 2 of native image size cannot be in 4 bits; take bfloat16, float16 or float32")

    def prepare(images: Sequence[PIL.Image]) -> torch.Tensor:
        inputs = processor.image_processor(images=list(images), return_tensors="pt")
        pixels: torch.Tensor = _packed(inputs) if native_size else inputs["pixel_values"]
        return pixels

    def image_features(pixels: torch.Tensor) -> torch.Tensor:
        inputs = _unpacked(pixels) if native_size else {"pixel_values": pixels.to(module.dtype)}
        return _pooled(module.get_image_features(**{name: value.to(device) for name, value in inputs.items()}))

    def text_features(texts: Sequence[str]) -> torch.Tensor:
        if not siglip:
            return _pooled(module.get_text_features(**tokens(processor.tokenizer, texts, length, device)))
        # SigLIP pools the last position; it was trained on lower-cased texts, each padded to full length, without a mask.
        padded = tokens(processor.tokenizer, [text.lower() for text in texts], length, device, "max_length")
        return _pooled(module.get_text_features(input_ids=padded["input_ids"]))

    return DualEncoder(
        module=module,
        tower=module.vision_model,
        lora=lora_layers(card, module.vision_model, prepare, image_features),
        prepare=prepare,
        image_features=image_features,
        text_features=text_features,
        scale=float(module.logit_scale.float().exp()),
    )


def tokens(
    tokenizer: Any, texts: Sequence[str], length: int, device: str, padding: bool | str = True
) -> dict[str, torch.Tensor]:
    """What a text tower is given: `input_ids` [n, tokens] and, where the tokenizer makes one, their `attention_mask`.

    Texts of more than `length` tokens are cut.
    """
    made = tokenizer(list(texts), padding=padding, truncation=True, max_length=length, return_tensors="pt")
    return {name: made[name].to(device) for name in ("input_ids", "attention_mask") if name in made}


def lora_layers(
    card: ModelCard,
    tower: torch.nn.Module,
    prepare: Callable[[Sequence[PIL.Image]], torch.Tensor],
    image_features: Callable[[torch.Tensor], torch.Tensor],
) -> tuple[str, ...]:
    """Full names of the layers that LoRA adapts: the linear ones that the row names, or all; in a tower without, convolutions.

    An image is sent through, because only layers that are called count. The weights of others are merely read, as
    `torch.nn.MultiheadAttention` reads its projections: an adapter there would be idle.

    Raises:
        BrokenModel: the row names none of them.
    """
    called: dict[str, torch.nn.Module] = {}
    hooks = [
        part.register_forward_hook(lambda part, *_, name=name: called.update({name: part}))
        for name, part in tower.named_modules()
        if isinstance(part, torch.nn.Linear) or (isinstance(part, torch.nn.Conv2d) and part.groups == 1)
    ]
    with torch.no_grad():  # what a model keeps from an inference mode could not be trained with
        image_features(prepare([PIL.new("RGB", (32, 32))]))
    for hook in hooks:
        hook.remove()
    linear = [name for name, part in called.items() if isinstance(part, torch.nn.Linear)]
    layers = tuple(name for name in linear or called if not card.lora or re.fullmatch(card.lora, name))
    if not layers:
        raise BrokenModel(f"{card.name}: lora = {card.lora!r} names no linear layer of its image tower")
    return layers


def _pooled(output: Any) -> torch.Tensor:
    features: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return features


def _packed(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Images of native size as one tensor [n, patches, values + 3]; beside each patch: whether it is one, the image's grid."""
    patches, mask, grid = (inputs[name] for name in ("pixel_values", "pixel_attention_mask", "spatial_shapes"))
    grids = torch.as_tensor(grid)[:, None].expand(-1, patches.shape[1], -1)
    return torch.cat([patches, mask[..., None].to(patches), grids.to(patches)], dim=-1)


def _unpacked(packed: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "pixel_values": packed[..., :-3],
        "pixel_attention_mask": packed[..., -3].int(),
        "spatial_shapes": packed[:, 0, -2:].long(),
    }
