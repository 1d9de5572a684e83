"""PMC-CLIP: CLIP's modified ResNet-50 and PubMedBERT on figures of PubMed Central (Lin et al. 2023), in its authors' files.

The directory holds the three extracted encoders, and config.json and vocabulary of
microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract, which the authors take from the hub.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import exp, isqrt
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PIL

from medrival.catalog import ModelCard
from medrival.contracts import DualEncoder
from medrival.models.checkpoint import precision
from medrival.models.dual_encoder import lora_layers, tokens
from medrival.models.own_layout import Weights, bert, filled, projection, read_weights, require_room, shape

FILES = ("image_encoder(resnet50).pth", "text_encoder.pth", "text_projection_layer.pth")
HEADS, LENGTH, SCALE = 8, 77, exp(4.4292)
"""What the weights do not tell: heads of the attention pooling, tokens of a text, learned logit scale (the authors' demo)."""


def pmc_clip(card: ModelCard, folder: Path, device: str, dtype: str) -> DualEncoder:
    """PMC-CLIP. LoRA adapts its convolutions: the linear layers of its attention pooling are read and never called.

    Raises:
        BrokenModel: a file is missing or damaged, a weight has no place, or the precision is "4bit".
        OutOfMemory: the weights do not fit.
    """
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.transform import PreprocessCfg, image_transform_v2

    kind = precision(card, dtype)
    seeing, reading, projecting = (folder / name for name in FILES)
    require_room(card, (seeing, reading, projecting), device, dtype)
    weights = read_weights(card, seeing)
    resnet = filled(card, ModifiedResNet(**shape(card, "ResNet", _shape, weights), heads=HEADS), weights)
    words, tokenizer = bert(card, folder, read_weights(card, reading))
    head = projection(read_weights(card, projecting).T)
    module = torch.nn.ModuleDict({"image": resnet, "text": words, "text_head": head})
    module.eval().requires_grad_(False).to(device, kind)
    transform = image_transform_v2(PreprocessCfg(size=resnet.image_size), is_train=False)

    def prepare(images: Sequence[PIL.Image]) -> torch.Tensor:
        return torch.stack([transform(image) for image in images])

    def image_features(pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = resnet(pixels.to(device, words.dtype))
        return features

    def text_features(texts: Sequence[str]) -> torch.Tensor:
        # In training every text was padded to full length, and the padding was attended to.
        ids = tokens(tokenizer, texts, LENGTH, device, "max_length")["input_ids"]
        features: torch.Tensor = head(words(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0])
        return features

    lora = lora_layers(card, resnet, prepare, image_features)
    return DualEncoder(module, resnet, lora, prepare, image_features, text_features, SCALE)


def _shape(weights: Weights) -> dict[str, Any]:
    """The ResNet's shape as its weights tell it."""
    blocks = {(int(found[1]), found[2]) for name in weights if (found := re.match(r"layer(\d)\.(\d+)\.", name))}
    return {
        "layers": [sum(stage == one for one, _ in blocks) for stage in range(1, 5)],
        "width": len(weights["conv3.weight"]),
        "image_size": 32 * isqrt(len(weights["attnpool.positional_embedding"]) - 1),
        "output_dim": len(weights["attnpool.c_proj.weight"]),
    }
