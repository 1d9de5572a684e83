"""Which of a generator's layers and parameters are its language model's, its projector's and its image tower's."""

from __future__ import annotations

import re

import torch

from medrival.catalog import ModelCard
from medrival.contracts import Parts
from medrival.errors import BrokenModel
from medrival.models.checkpoint import linear_layers

IMAGE_TOWER = r"(^|\.)(vision|visual|image|vit)(_?(tower|model|encoder))?(\.|$)"
PROJECTOR = r"(^|\.)(\w*merger\w*|\w*projector|\w*connector|\w*mm_projection\w*|language_projection|qformer)(\.|$)"
"""How the families of transformers name their parts: a projector may lie inside the image tower, as Qwen-VL's merger, or have
layers of attention itself, as BLIP-2's Q-Former."""


def adapted(card: ModelCard, module: torch.nn.Module) -> tuple[str, ...]:
    """The linear layers that LoRA adapts: those of language model and projector, or those that the row names.

    Raises:
        BrokenModel: there is none.
    """
    if card.lora:
        layers = tuple(name for name in linear_layers(module) if re.fullmatch(card.lora, name))
    else:
        head = module.get_output_embeddings()  # type: ignore[operator]  # transformers adds it to the class by mixin
        layers = tuple(name for name in linear_layers(module) if not _sees(name) and module.get_submodule(name) is not head)
    if not layers:
        raise BrokenModel(f"{card.name}: lora = {card.lora!r} names no linear layer of its language model or projector")
    return layers


def parts(module: torch.nn.Module, lora: tuple[str, ...]) -> Parts:
    """The parts of a network of which LoRA adapts these layers."""
    return Parts(
        language=tuple(name for name in lora if not _sees(name) and not re.search(PROJECTOR, name)),
        projector=tuple(name for name, _ in module.named_parameters() if re.search(PROJECTOR, name)),
        vision=tuple(name for name in linear_layers(module) if _sees(name)),
    )


def _sees(name: str) -> bool:
    """Whether this is of the image tower itself."""
    return bool(re.search(IMAGE_TOWER, name)) and not re.search(PROJECTOR, name)
