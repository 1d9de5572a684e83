"""PMC-CLIP: CLIP's modified ResNet-50 and PubMedBERT on figures of PubMed Central (Lin et al. 2023), in its authors' files.

The directory holds the three extracted encoders, and config.json and vocabulary of
microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract, which the authors take from the hub.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import exp, isqrt
from pathlib import Path

import torch
from PIL import Image as PIL

from medrival.catalog import ModelCard
from medrival.contracts import DualEncoder
from medrival.models.checkpoint import precision
from medrival.models.dual_encoder import tokens
from medrival.models.own_layout import Weights, bert, filled, measured, numbered, read_weights
from medrival.models.towers import Tower, joined

FILES = ("image_encoder(resnet50).pth", "text_encoder.pth", "text_projection_layer.pth")
HEADS, LENGTH, SCALE = 8, 77, exp(4.4292)
"""What the weights do not tell: heads of the attention pooling, tokens of a text, learned logit scale (the authors' demo)."""


def pmc_clip(card: ModelCard, folder: Path, device: str, dtype: str) -> DualEncoder:
    """PMC-CLIP. LoRA adapts its convolutions: the linear layers of its attention pooling are read and never called.

    Raises:
        BrokenModel: a file is missing or damaged, a weight has no place, or the precision is "4bit".
        OutOfMemory: the weights do not fit.
    """
    from open_clip.transform import PreprocessCfg, image_transform_v2

    kind = precision(card, dtype)
    image, text, head = read_weights(card, [folder / name for name in FILES], device, dtype)
    resnet = filled(card, measured(card, "ResNet", _resnet, image), image)
    words, tokenizer = bert(card, folder, text)
    transform = image_transform_v2(PreprocessCfg(size=resnet.image_size), is_train=False)

    def prepare(images: Sequence[PIL.Image]) -> torch.Tensor:
        return torch.stack([transform(image) for image in images])

    def first(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        # In training every text was padded to full length, and the padding was attended to.
        return words(input_ids, torch.ones_like(attention_mask)).last_hidden_state[:, 0]

    reading = Tower(words, lambda texts: tokens(tokenizer, texts, LENGTH, device, "max_length"), first, head.T)
    return joined(card, Tower(resnet, prepare, resnet), reading, SCALE, device, kind)


def _resnet(weights: Weights) -> torch.nn.Module:
    """The ResNet that its weights tell of."""
    from open_clip.modified_resnet import ModifiedResNet

    blocks = Counter(stage for stage, _ in numbered(weights, r"layer(\d)\.(\d+)\..*"))
    width, dim = len(weights["conv3.weight"]), len(weights["attnpool.c_proj.weight"])
    size = 32 * isqrt(len(weights["attnpool.positional_embedding"]) - 1)
    return ModifiedResNet([blocks[stage] for stage in range(1, 5)], dim, HEADS, size, width)
