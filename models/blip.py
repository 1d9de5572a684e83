"""BLIP and BLIP-2 for image-text matching, by the contrastive head of each (ITC), which scores image and text apart.

The checkpoints that transformers reads keep no learned temperature: similarities are scaled by the one that training began
with, 1 / 0.07 (Li et al. 2022 and 2023, code). Ranks, and so AUROC of two classes, do not depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image as PIL

from medrival.catalog import ModelCard
from medrival.contracts import DualEncoder
from medrival.models.checkpoint import load_module, load_processor
from medrival.models.dual_encoder import compared, lora_layers, tokens

SCALE = 1 / 0.07


def blip(card: ModelCard, folder: Path, device: str, dtype: str) -> DualEncoder:
    """`BlipForImageTextRetrieval`: the projected first position of either tower.

    Raises:
        BrokenModel: the directory does not load as one.
    """
    from transformers import BlipForImageTextRetrieval

    module = load_module(card, BlipForImageTextRetrieval, folder, device, dtype)
    processor = load_processor(card, folder)
    length = module.config.text_config.max_position_embeddings

    def prepare(images: Sequence[PIL.Image]) -> torch.Tensor:
        pixels: torch.Tensor = processor.image_processor(images=list(images), return_tensors="pt")["pixel_values"]
        return pixels

    def image_features(pixels: torch.Tensor) -> torch.Tensor:
        seen = module.vision_model(pixel_values=pixels.to(device, module.dtype)).last_hidden_state
        features: torch.Tensor = module.vision_proj(seen[:, 0])
        return features

    def text_features(texts: Sequence[str]) -> torch.Tensor:
        read = module.text_encoder(**tokens(processor.tokenizer, texts, length, device)).last_hidden_state
        features: torch.Tensor = module.text_proj(read[:, 0])
        return features

    lora = lora_layers(card, module.vision_model, prepare, image_features)
    return compared(card, DualEncoder(module, module.vision_model, lora, prepare, image_features, text_features, SCALE))


def blip2(card: ModelCard, folder: Path, device: str, dtype: str) -> DualEncoder:
    """`Blip2ForImageTextRetrieval`: an image is as similar to a text as the most similar of its queries (32 in the original).

    A head is trained on the features of all queries side by side. LoRA adapts the vision transformer, not the Q-Former, which
    reads texts too.

    Raises:
        BrokenModel: the directory does not load as one.
    """
    from transformers import Blip2ForImageTextRetrieval

    module = load_module(card, Blip2ForImageTextRetrieval, folder, device, dtype)
    processor = load_processor(card, folder)
    length = module.config.qformer_config.max_position_embeddings
    kind = module.vision_model.dtype  # in float16 the Q-Former alone stays in float32

    def prepare(images: Sequence[PIL.Image]) -> torch.Tensor:
        pixels: torch.Tensor = processor.image_processor(images=list(images), return_tensors="pt")["pixel_values"]
        return pixels

    def image_features(pixels: torch.Tensor) -> torch.Tensor:
        seen = module.vision_model(pixel_values=pixels.to(device, kind)).last_hidden_state
        queries = module.query_tokens.expand(len(pixels), -1, -1)
        asked = module.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
        features: torch.Tensor = module.vision_projection(asked.to(kind)).flatten(1)
        return features

    def text_features(texts: Sequence[str]) -> torch.Tensor:
        inputs = tokens(processor.tokenizer, texts, length, device)
        words = module.embeddings(input_ids=inputs["input_ids"])
        read = module.qformer(query_embeds=words, query_length=0, attention_mask=inputs["attention_mask"]).last_hidden_state
        features: torch.Tensor = module.text_projection(read[:, 0].to(kind))
        return features

    lora = lora_layers(card, module.vision_model, prepare, image_features)
    queries = module.config.num_query_tokens
    return compared(
        card, DualEncoder(module, module.vision_model, lora, prepare, image_features, text_features, SCALE, queries)
    )
