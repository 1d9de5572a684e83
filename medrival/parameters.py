"""How many parameters a model has, counted where its weights lie on this machine: no weight is read, torch is not imported."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from math import prod
from pathlib import Path

from safetensors import SafetensorError

from medrival.cards import ModelCard
from medrival.errors import BrokenModel
from medrival.models.files import OPEN_CLIP, TRANSFORMERS, header, weight_files
from medrival.weights import is_path, local, mirrored, on_hub, place

NAMES = tuple(name for name in (*TRANSFORMERS, *OPEN_CLIP) if "safetensors" in name)
REAL = frozenset({"F64", "F32", "F16", "BF16"})
NO_WEIGHTS = frozenset({"I64", "I32", "BOOL"})
"""Positions and masks, which older checkpoints keep beside their weights."""


def known_here(card: ModelCard, assets: Path | None) -> ModelCard:
    """The row, with the true number of parameters where its weights lie on this machine and can be counted."""
    folder = _folder(card, assets)
    count = counted(folder) if folder else 0
    if not count:
        return card
    sources = {**card.sources, "parameters": "counted in its files on this machine"}
    return replace(card, parameters=float(f"{count / 1e9:.4g}"), sources=sources)


def counted(folder: Path) -> int:
    """Parameters in a directory's safetensors files; 0 where there are none, or they are packed as in 4 bits, or damaged."""
    try:
        stored = {name: about for file in weight_files(folder, NAMES) for name, about in header(file).items()}
        weights = [(kind, shape) for kind, shape in stored.values() if kind not in NO_WEIGHTS]
        return sum(prod(shape) for _, shape in weights) if all(kind in REAL for kind, _ in weights) else 0
    except (OSError, ValueError, KeyError, TypeError, BrokenModel, SafetensorError):
        return 0


def _folder(card: ModelCard, assets: Path | None) -> Path | None:
    if card.type == "served" or card.weights.startswith("open_clip:"):  # to know what that names imports torch
        return None
    if (folder := local(card)) is not None:
        return folder
    if assets is not None and not is_path(card) and (folder := mirrored(card, assets)).is_dir():
        return folder
    return _cached(card) if on_hub(card) else None


def _cached(card: ModelCard) -> Path | None:
    """Where the hub's client keeps the model, if it does."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    with suppress(HFValidationError):  # no name that the hub could have
        for name in NAMES:
            found = try_to_load_from_cache(place(card), name, revision=card.revision or None)
            if isinstance(found, str):
                return Path(found).parent
    return None
