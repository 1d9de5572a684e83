"""MedCLIP: a Swin transformer and BioClinicalBERT for chest radiographs (Wang et al. 2022), as its package `medclip` saves it.

The directory holds pytorch_model.bin of medclip-vit, and config.json and vocabulary of emilyalsentzer/Bio_ClinicalBERT, which
the package takes from the hub.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PIL
from torchvision.transforms.functional import center_crop, to_tensor

from medrival.catalog import ModelCard
from medrival.contracts import DualEncoder
from medrival.models.checkpoint import precision
from medrival.models.dual_encoder import tokens
from medrival.models.own_layout import Weights, bert, measured, numbered, of_transformers, read_weights, split
from medrival.models.towers import Tower, joined

SIZE, MEAN, DEVIATION, LENGTH = 224, 0.5862785803043838, 0.27950088968644304, 77
PARTS = [f"{side}_model.{part}" for side in ("vision", "text") for part in ("model.", "projection_head.weight")]


def medclip(card: ModelCard, folder: Path, device: str, dtype: str) -> DualEncoder:
    """MedCLIP-ViT, computed as the package computes one image and one text.

    For several texts the package averages over padding too, so that the longest of them changes the others' features.

    Raises:
        BrokenModel: a file is missing or damaged, a weight has no place, or the precision is "4bit".
        OutOfMemory: the weights do not fit.
    """
    from transformers import SwinModel

    kind = precision(card, dtype)
    (weights,) = read_weights(card, [folder / "pytorch_model.bin"], device, dtype)
    image, image_head, text, text_head, scale = split(card, weights, *PARTS, "logit_scale")
    swin = of_transformers(card, SwinModel, measured(card, "Swin", _swin, image), image)
    words, tokenizer = bert(card, folder, text)

    def averaged(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        layers = words(input_ids, attention_mask, output_hidden_states=True).hidden_states
        mask = attention_mask[..., None].to(words.dtype)
        averages = [(layer * mask).sum(dim=1) / mask.sum(dim=1) for layer in (layers[1], layers[2], layers[-1])]
        return torch.stack(averages).mean(dim=0)

    seeing = Tower(swin, _prepared, lambda pixels: swin(pixels).pooler_output, image_head[""])
    reading = Tower(words, lambda texts: tokens(tokenizer, texts, LENGTH, device), averaged, text_head[""])
    return joined(card, seeing, reading, float(scale[""].float().clamp(0, 4.6052).exp()), device, kind)


def _prepared(images: Sequence[PIL.Image]) -> torch.Tensor:
    pixels = torch.stack([to_tensor(_square(image)) for image in images])
    return ((pixels - MEAN) / DEVIATION).expand(-1, 3, -1, -1)


def _square(image: PIL.Image) -> PIL.Image:
    """In grey, in the middle of a black square; only what is larger than the model's size is made smaller."""
    size = max(SIZE, *image.size)
    return center_crop(image.convert("L"), [size, size]).resize((SIZE, SIZE), PIL.Resampling.BICUBIC)


def _swin(weights: Weights) -> Any:
    """Swin's configuration as its weights tell it; the checkpoint has no other."""
    from transformers import SwinConfig

    width, _, patch, _ = weights["embeddings.patch_embeddings.projection.weight"].shape
    tables = numbered(weights, r".*layers\.(\d+)\.blocks\.(\d+)\.attention\..*bias_table")
    depths = Counter(stage for stage, _ in tables)
    heads = [tables[stage, 0].shape[1] for stage in depths]
    window = (isqrt(len(tables[0, 0])) + 1) // 2
    return SwinConfig(embed_dim=width, patch_size=patch, depths=[*depths.values()], num_heads=heads, window_size=window)
