"""Contrastive models: an image tower and a text tower whose features are compared by cosine similarity."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PIL

from medrival.catalog import ModelCard
from medrival.contracts import DualEncoder
from medrival.errors import BrokenModel, first_line
from medrival.models.checkpoint import WORDS, load_module, load_processor

TOWERS = ("vision_model", "image_model")
FEATURES = ("get_image_features", "get_text_features")
PARTS = (TOWERS, ("text_model",), *((name,) for name in FEATURES), ("logit_scale", "temperature"))
"""What a dual encoder of transformers has, by the names that its models give to each."""


def transformers(card: ModelCard, folder: Path, device: str, dtype: str) -> DualEncoder:
    """Any dual encoder of transformers that has `get_image_features` and `get_text_features`: CLIP, SigLIP, ALIGN, FLAVA, ...

    Raises:
        BrokenModel: the directory does not load, holds a model that is no dual encoder, or one that cannot be in 4 bits.
    """
    module = _network(card, folder, device, dtype)
    tower = next(getattr(module, name) for name in TOWERS if hasattr(module, name))
    processor = load_processor(card, folder)
    kind, (padding, length) = module.config.model_type, _filled(processor, _places(module))
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
            return _pooled(module.get_text_features(**tokens(processor.tokenizer, texts, length, device, padding)))
        # SigLIP pools the last position; it was trained on lower-cased texts, each padded to full length, without a mask.
        padded = tokens(processor.tokenizer, [text.lower() for text in texts], length, device, "max_length")
        return _pooled(module.get_text_features(input_ids=padded["input_ids"]))

    model = DualEncoder(
        module=module,
        tower=tower,
        lora=lora_layers(card, tower, prepare, image_features),
        prepare=prepare,
        image_features=image_features,
        text_features=text_features,
        scale=_scale(module),
    )
    return compared(card, model)


def compared(card: ModelCard, model: DualEncoder) -> DualEncoder:
    """The model, after an image and two texts were sent through.

    Raises:
        BrokenModel: features of images and texts cannot be compared, as its text tower gives none or others are as wide, or
            those of all texts are the same.
    """
    with torch.no_grad():
        image = model.image_features(model.prepare([PIL.new("RGB", (32, 32))]))
        try:
            one, other = model.text_features(WORDS)
        except (AttributeError, OverflowError, TypeError, ValueError, LookupError) as error:
            tower = type(getattr(model.module, "text_model", model.module)).__name__
            raise BrokenModel(
                f"{card.name}: its {tower} gives no features of texts that this adapter could compare: {first_line(error)}"
            ) from error
    if image.shape[-1] != model.queries * len(one):
        raise BrokenModel(
            f"{card.name}: features of its images have {image.shape[-1] // model.queries} numbers and those of its texts "
            f"{len(one)}: they cannot be compared"
        )
    if bool((one == other).all()):
        raise BrokenModel(
            f"{card.name}: it gives every text the same features, such as {' and '.join(map(repr, WORDS))}; weights of its "
            "text tower are zero or damaged: save, copy or fetch them once more"
        )
    return model


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


def _network(card: ModelCard, folder: Path, device: str, dtype: str) -> Any:
    """The module that has both towers; of a model as it was pretrained (FLAVA), without the heads of its other tasks."""
    import transformers as library

    said = _architecture(folder)
    known, pretrained = getattr(library, said, None), said.endswith("ForPreTraining")
    if known and not pretrained and not all(hasattr(known, name) for name in FEATURES):
        raise _no_dual_encoder(card, folder, said)
    loader = library.AutoModelForPreTraining if pretrained else library.AutoModel
    whole = load_module(card, loader, folder, device, dtype)
    module = whole.base_model if pretrained else whole
    if not all(any(hasattr(module, name) for name in names) for names in PARTS):
        raise _no_dual_encoder(card, folder, said or type(whole).__name__)
    if hasattr(module, "image_model"):
        # FLAVA compares the first positions of its towers: what pools them besides is idle, and so would be adapters in it.
        module.image_model.pooler = module.text_model.pooler = None
    if module.config.model_type == "aimv2":
        # Its text tower is causal in the authors' code (apple/ml-aim); transformers' fused attention is so only beside padding.
        module.text_model.set_attn_implementation("eager")
    return module


def _architecture(folder: Path) -> str:
    """What config.json says that the weights are of, or "": that it says nothing or is broken is told as they are read."""
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"][0])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _no_dual_encoder(card: ModelCard, folder: Path, found: str) -> BrokenModel:
    return BrokenModel(
        f"{card.name}: {folder} holds a {found}, which is no dual encoder of images and texts that this adapter loads"
    )


def _scale(module: Any) -> float:
    """What the library's forward multiplies cosine similarities with: ALIGN and TIPSv2 divide, AIMv2 has an upper limit."""
    if hasattr(module, "temperature"):
        return 1 / float(module.temperature)
    return math.exp(min(float(module.logit_scale), getattr(module, "max_log_logit_scale", math.inf)))


def _places(module: Any) -> int:
    """How many tokens a text tower has positions for. RoBERTa and its kin count them from behind that of padding."""
    positions = [part for name, part in module.text_model.named_modules() if name.endswith("position_embeddings")]
    before = [part.padding_idx + 1 for part in positions if getattr(part, "padding_idx", None) is not None]
    return int(module.config.text_config.max_position_embeddings) - max(before, default=0)


def _filled(processor: Any, places: int) -> tuple[bool | str, int]:
    """How a processor pads texts if it is not told, and how many tokens of a text are read."""
    plain, filled = (len(read(text=["a"])["input_ids"][0]) for read in (processor.tokenizer, processor))
    length = min(places, processor.tokenizer.model_max_length)
    return ("max_length", min(length, filled)) if filled > plain else (True, length)


def _pooled(output: Any) -> torch.Tensor:
    """FLAVA projects every position; the first is the one that its contrastive head compares."""
    features: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return features[:, 0] if features.ndim == 3 else features


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
