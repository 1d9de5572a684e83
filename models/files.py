"""What adapters find in a model's directory and beside it: weights, vocabularies, and parts of other models."""

from __future__ import annotations

import json
import mmap
from collections.abc import Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from safetensors import safe_open

from medrival.catalog import ModelCard
from medrival.errors import BrokenModel
from medrival.fingerprints import files_of
from medrival.reads import TEXTS, VOCABULARIES, Part, inside

TRANSFORMERS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Files of weights in the order in which transformers looks for them: one before shards."""
OPEN_CLIP = (
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin"),
    *("open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth"),
)
"""The same of open_clip (open_clip_torch 3.3, factory.py)."""
TOWER = "model.vision_tower.vision_tower.vision_model."
"""How LLaVA's own layout names the weights of an image tower that lies in the checkpoint."""
AGAIN = "save, copy or fetch the model once more"


def weight_files(folder: Path, names: Sequence[str] = TRANSFORMERS) -> list[Path]:
    """The files that hold the weights, as a library chooses them: the first that is there, or the shards that it names.

    Raises:
        BrokenModel: an index is damaged, or names a file that is missing or not among those that a model's fingerprint is of;
            there is one file and all shards besides; or there are shards without the index that says what is in them.
    """
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        if shard := next(folder.glob("*-00001-of-*"), None):
            raise BrokenModel(f"{folder} has shards of weights ({shard.name}) without the index that lists them; copy it, too")
        return []
    index = found.with_name(f"{found.name}.index.json")
    if index.name in names and index.is_file():
        shards = [folder / name for name in _named(index) if name != found.name]
        if shards and all(shard.is_file() for shard in shards):
            raise BrokenModel(
                f"{folder} holds weights twice, in {found.name} and in the shards that {index.name} names; "
                "one of the two would be ignored: move it away"
            )
    return _shards(found) if found.suffix == ".json" else [found]


def header(file: Path) -> dict[str, tuple[str, list[int]]]:
    """What a safetensors file says of its tensors, by their names: type, such as "BF16", and shape. None of them is read.

    Raises:
        SafetensorError: it is cut short or damaged.
    """
    with safe_open(file, framework="numpy") as stored:
        slices = {name: stored.get_slice(name) for name in stored.keys()}  # noqa: SIM118 - keys() is all it has
        return {name: (one.get_dtype(), one.get_shape()) for name, one in slices.items()}


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


def mentions(file: Path, name: str) -> bool:
    """Whether a file has a name of weights: they stand as plain text in an index, in safetensors and in a pickle."""
    if not file.stat().st_size:
        return False
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(name.encode()) >= 0


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


def _shards(index: Path) -> list[Path]:
    hashed, files = set(files_of(index.parent)), {index.parent / name: name for name in _named(index)}
    for file, name in files.items():
        if file not in hashed:
            raise BrokenModel(f"{index} names {name}, which is none of the files that are read with it; {AGAIN}")
    return list(files)


def _named(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenModel(f"{index} is damaged ({type(error).__name__}: {error}); {AGAIN}") from error


def _setting(file: Path, *keys: str) -> str:
    """The name in a file of settings, or "" where it has none."""
    try:
        value: Any = reduce(getitem, keys, json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return value if isinstance(value, str) else ""


def _stores_tower(folder: Path) -> bool:
    files = [*folder.glob("*.index.json")] or [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    return any(mentions(file, TOWER) for file in files)
