"""Which files an adapter reads, of a model's own directory and of others; asked before it is imported, and so without torch."""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from medrival.catalog import ModelCard
from medrival.errors import BrokenModel

TEXTS = ("*.json", "*.jinja", "*.txt", "*.model")
"""What is read of a repository besides weights: configuration and tokenizer."""
VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model")

KINDS: Mapping[str, Sequence[str]] = {
    "medrival.models.open_clip:*": (
        *("open_clip_*.safetensors", "open_clip_*.bin"),
        *("*.safetensors", "*pytorch_model*.bin"),
    ),
    "medrival.models.*": ("model*.safetensors", "pytorch_model*.bin"),
    "*": ("*.safetensors", "*pytorch_model*.bin"),
}
"""The weight files of a repository that adapters read, by globs of adapters, of which the first that fits counts: of the kinds,
the first that is there. What can carry code comes after what cannot."""

_PROCESSOR = (VOCABULARIES, ("tokenizer_config.json",), ("processor_config.json", "preprocessor_config.json"))
_ASKED = (*_PROCESSOR, ("chat_template.jinja", "chat_template.json"))

NEEDED: Mapping[str, Sequence[Sequence[str]]] = {
    "medrival.models.blip:*": _PROCESSOR,
    "medrival.models.dual_encoder:*": _PROCESSOR,
    "medrival.models.generator:*": _ASKED,
    "medrival.models.llava:*": _ASKED,
}
"""What a model's repository has besides weights, by globs of adapters: of each group of globs one, if not known otherwise."""

FOLDERS: Mapping[str, str] = {"medrival.models.llava_med:*": "vit/*"}
"""Folders inside a repository that adapters read too, by globs of adapters."""

TOWER = "model.vision_tower.vision_tower.vision_model."
"""How LLaVA's own layout names the weights of an image tower that lies in the checkpoint."""


@dataclass(frozen=True)
class Part:
    """What an adapter reads of another repository or directory.

    Attributes:
        role: what it is to the model.
        name: as the model's configuration has it.
        files: globs of the files that are read; none for all that are read of a model.
    """

    role: str
    name: str
    files: tuple[str, ...] = ()


def kinds(adapter: str) -> Sequence[str]:
    """Globs of the weight files that an adapter reads: those of the first kind that is there."""
    return next(globs for pattern, globs in KINDS.items() if fnmatchcase(adapter, pattern))


def needed(adapter: str, only: tuple[str, ...] = ()) -> Sequence[Sequence[str]]:
    """Groups of globs of which one each must be there, so that what an adapter reads, or `only` some of it, is not made up."""
    if only:
        return [VOCABULARIES if only == TEXTS else only]
    return next((groups for pattern, groups in NEEDED.items() if fnmatchcase(adapter, pattern)), ())


def inner(adapter: str) -> Sequence[str]:
    """Globs of the folders inside a repository that an adapter reads too."""
    return [folder for pattern, folder in FOLDERS.items() if fnmatchcase(adapter, pattern)]


def parts(adapter: str, folder: Path) -> tuple[Part, ...]:
    """What an adapter reads of other places than a model's directory."""
    found = [part for pattern, told in PARTS.items() if fnmatchcase(adapter, pattern) for part in told(folder)]
    return tuple(part for part in found if not _inside(folder, part.name))


def place(card: ModelCard, folder: Path, name: str) -> Path:
    """Where an adapter finds what its model's configuration names: in the model's directory, or where it was found and hashed.

    Raises:
        BrokenModel: it was not, as the adapter was called with a row that `weights.settled` has not seen.
    """
    if _inside(folder, name):
        return folder / name
    if name not in card.places:
        raise BrokenModel(f"{card.name}: {folder} names {name!r}, which was not looked for; medrival.weights.settled does")
    return Path(card.places[name])


def has_tokenizer(folder: Path) -> bool:
    """Whether a directory has a vocabulary: without one, transformers makes up a tokenizer that knows no word."""
    return any(True for pattern in VOCABULARIES for _ in folder.glob(pattern))


def _text_side(folder: Path) -> list[Part]:
    """Of an open_clip model: configuration and tokenizer of a text tower of transformers; its weights are open_clip's own."""
    text = folder / "open_clip_config.json"
    tower, words = (_setting(text, "model_cfg", "text_cfg", key) for key in ("hf_model_name", "hf_tokenizer_name"))
    found = {}
    if tower and not (folder / "config.json").is_file():
        found[tower] = Part("text tower", tower, ("config.json",))
    if words and not has_tokenizer(folder):
        found[words] = Part("tokenizer", words, TEXTS)
    return list(found.values())


def _image_tower(folder: Path) -> list[Part]:
    """Of a model in LLaVA's own layout: a tower that is not among its weights."""
    name = _setting(folder / "config.json", "mm_vision_tower")
    return [Part("image tower", name)] if name and not _stores_tower(folder) else []


PARTS: Mapping[str, Callable[[Path], list[Part]]] = {
    "medrival.models.open_clip:*": _text_side,
    "medrival.models.llava_med:*": _image_tower,
}
"""What of other places adapters read, by globs of adapters."""


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


def _inside(folder: Path, name: str) -> bool:
    """Whether a name is of a directory inside another, whose files are hashed: hidden ones are not."""
    found, root = (folder / name).resolve(), folder.resolve()
    if not found.is_dir() or not found.is_relative_to(root):
        return False
    return not any(part.startswith(".") for part in found.relative_to(root).parts)
