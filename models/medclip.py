"""MedCLIP: a Swin transformer and BioClinicalBERT for chest radiographs (Wang et al. 2022), as its package `medclip` saves it.

The directory holds pytorch_model.bin of medclip-vit, and config.json and vocabulary of emilyalsentzer/Bio_ClinicalBERT, which
the package takes from the hub.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PIL

from medrival.catalog import ModelCard
from medrival.contracts import DualEncoder
from medrival.models.checkpoint import precision
from medrival.models.dual_encoder import lora_layers, tokens
from medrival.models.own_layout import Weights, bert, of_transformers, projection, read_weights, require_room, shape, split

SIZE, MEAN, DEVIATION, LENGTH = 224, 0.5862785803043838, 0.27950088968644304, 77
PARTS = (
    *("vision_model.model.", "vision_model.projection_head.weight"),
    *("text_model.model.", "text_model.projection_head.weight"),
    "logit_scale",
)


def medclip(card: ModelCard, folder: Path, device: str, dtype: str) -> DualEncoder:
    """MedCLIP-ViT, computed as the package computes one image and one text.

    For several texts the package averages over padding too, so that the longest of them changes the others' features.

    Raises:
        BrokenModel: a file is missing or damaged, a weight has no place, or the precision is "4bit".
        OutOfMemory: the weights do not fit.
    """
    from transformers import SwinConfig, SwinModel

    kind, file = precision(card, dtype), folder / "pytorch_model.bin"
    require_room(card, [file], device, dtype)
    image, image_head, text, text_head, scale = split(card, read_weights(card, file), *PARTS)
    swin = of_transformers(card, SwinModel, SwinConfig(**shape(card, "Swin", _shape, image)), image)
    words, tokenizer = bert(card, folder, text)
    see, read = projection(image_head[""]), projection(text_head[""])
    module = torch.nn.ModuleDict({"image": swin, "image_head": see, "text": words, "text_head": read})
    module.eval().requires_grad_(False).to(device, kind)

    def prepare(images: Sequence[PIL.Image]) -> torch.Tensor:
        pixels = torch.from_numpy(np.stack([np.asarray(_square(image), dtype=np.float32) for image in images]))
        return ((pixels / 255 - MEAN) / DEVIATION)[:, None].expand(-1, 3, -1, -1)

    def image_features(pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = see(swin(pixels.to(device, swin.dtype)).pooler_output)
        return features

    def text_features(texts: Sequence[str]) -> torch.Tensor:
        inputs = tokens(tokenizer, texts, LENGTH, device)
        layers = words(**inputs, output_hidden_states=True).hidden_states
        mask = inputs["attention_mask"][..., None].to(words.dtype)
        averages = [(layer * mask).sum(dim=1) / mask.sum(dim=1) for layer in (layers[1], layers[2], layers[-1])]
        features: torch.Tensor = read(torch.stack(averages).mean(dim=0))
        return features

    lora = lora_layers(card, swin, prepare, image_features)
    return DualEncoder(
        module, swin, lora, prepare, image_features, text_features, scale=float(scale[""].float().clamp(0, 4.6052).exp())
    )


def _square(image: PIL.Image) -> PIL.Image:
    """In grey, in the middle of a black square; only what is larger than the model's size is made smaller."""
    size = max(SIZE, *image.size)
    square = PIL.new("L", (size, size))
    square.paste(image.convert("L"), ((size - image.width) // 2, (size - image.height) // 2))
    return square.resize((SIZE, SIZE), PIL.Resampling.BICUBIC)


def _shape(weights: Weights) -> dict[str, Any]:
    """Swin's configuration as its weights tell it; the checkpoint has no other."""
    tables = {
        (int(found[1]), int(found[2])): weight.shape
        for name, weight in weights.items()
        if (found := re.search(r"layers\.(\d+)\.blocks\.(\d+)\.attention\..*bias_table$", name))
    }
    stages = range(1 + max((stage for stage, _ in tables), default=-1))
    width, _, patch, _ = weights["embeddings.patch_embeddings.projection.weight"].shape
    return {
        "embed_dim": width,
        "patch_size": patch,
        "depths": [sum(stage == one for one, _ in tables) for stage in stages],
        "num_heads": [tables[stage, 0][1] for stage in stages],
        "window_size": (isqrt(tables[0, 0][0]) + 1) // 2,
    }
