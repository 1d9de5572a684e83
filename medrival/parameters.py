"""How many parameters a model has, counted where its weights lie on this machine: no weight is read, torch is not imported."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from medrival.cards import ModelCard
from medrival.weights import local, mirrored, on_hub, place

WHOLE = ("model.safetensors", "open_clip_model.safetensors")
INDEX = "model.safetensors.index.json"
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
        stored = {name: about for file in _files(folder) for name, about in _header(file).items() if name != "__metadata__"}
        weights = [about for about in stored.values() if about["dtype"] not in NO_WEIGHTS]
        return sum(prod(about["shape"]) for about in weights) if all(about["dtype"] in REAL for about in weights) else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _folder(card: ModelCard, assets: Path | None) -> Path | None:
    if card.type == "served" or card.weights.startswith("open_clip:"):  # to know what that names imports torch
        return None
    if (folder := local(card)) is not None:
        return folder
    if assets is not None and (folder := mirrored(card, assets)).is_dir():
        return folder
    return _cached(card) if on_hub(card) else None


def _cached(card: ModelCard) -> Path | None:
    """Where the hub's client keeps the model, if it does."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    with suppress(HFValidationError):  # no name that the hub could have
        for name in (*WHOLE, INDEX):
            found = try_to_load_from_cache(place(card.weights), name, revision=card.revision or None)
            if isinstance(found, str):
                return Path(found).parent
    return None


def _files(folder: Path) -> Iterable[Path]:
    """The files that hold the weights: one before shards, of which another may be a copy."""
    whole = [folder / name for name in WHOLE if (folder / name).is_file()]
    if whole or not (folder / INDEX).is_file():
        return whole[:1]
    return [folder / name for name in sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))]


def _header(file: Path) -> dict[str, Any]:
    """What a safetensors file says of its tensors: 8 bytes with the length of the JSON that follows (its format's page)."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length)) if length <= file.stat().st_size else None
    if not isinstance(header, dict):
        raise ValueError(f"{file} is no safetensors file")
    return header
