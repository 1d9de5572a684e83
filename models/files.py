"""What adapters find in a model's directory and beside it: vocabularies, and parts of other models that its settings name."""

from __future__ import annotations

import json
import mmap
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from medrival.catalog import ModelCard
from medrival.errors import BrokenModel
from medrival.reads import TEXTS, VOCABULARIES, Part, inside

TOWER = "model.vision_tower.vision_tower.vision_model."
"""How LLaVA's own layout names the weights of an image tower that lies in the checkpoint."""


def place(card: ModelCard, folder: Path, name: str) -> Path:
    """Where an adapter finds what its model's configuration names: in the model's directory, or where it was found and hashed.

    Raises:
        BrokenModel: it was not, as the adapter was called with a row that `weights.settled` has not seen.
    """
    if inside(folder, name):
        return folder / name
    if name not in card.places:
        raise BrokenModel(f"{card.name}: {folder} names {name!r}, which was not looked for; medrival.weights.settled does")
    return Path(card.places[name])


def has_tokenizer(folder: Path) -> bool:
    """Whether a directory has a vocabulary: without one, transformers makes up a tokenizer that knows no word."""
    return any(True for pattern in VOCABULARIES for _ in folder.glob(pattern))


def text_side(folder: Path) -> list[Part]:
    """Of an open_clip model: configuration and tokenizer of a text tower of transformers; its weights are open_clip's own."""
    text = folder / "open_clip_config.json"
    tower, words = (_setting(text, "model_cfg", "text_cfg", key) for key in ("hf_model_name", "hf_tokenizer_name"))
    found = {}
    if tower and not (folder / "config.json").is_file():
        found[tower] = Part("text tower", tower, ("config.json",))
    if words and not has_tokenizer(folder):
        found[words] = Part("tokenizer", words, TEXTS)
    return list(found.values())


def image_tower(folder: Path) -> list[Part]:
    """Of a model in LLaVA's own layout: a tower that is not among its weights."""
    name = _setting(folder / "config.json", "mm_vision_tower")
    return [Part("image tower", name)] if name and not _stores_tower(folder) else []


def _setting(file: Path, *keys: str) -> str:
    """The name in a file of settings, or "" where it has none."""
    try:
        value: Any = reduce(getitem, keys, json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return value if isinstance(value, str) else ""


def _stores_tower(folder: Path) -> bool:
    """Names of weights stand as plain text in an index, in a file of safetensors and in a pickle."""
    files = [*folder.glob("*.index.json")] or [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    return any(_mentions(file, TOWER.encode()) for file in files)


def _mentions(file: Path, words: bytes) -> bool:
    if not file.stat().st_size:
        return False
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(words) >= 0
