"""Checkpoints in layouts of their own: weights alone are read from a file, never code, and each must find its place."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers.utils import logging

from medrival.catalog import ModelCard
from medrival.errors import BrokenModel, first_line
from medrival.models.checkpoint import refuse_unusable
from medrival.models.placement import refuse_too_large, shapes

T = TypeVar("T")
W = TypeVar("W")
Weights = Mapping[str, torch.Tensor]


def read_weights(card: ModelCard, paths: Sequence[Path], device: str, dtype: str) -> list[Any]:
    """What `torch.save` wrote to each of some files, on the CPU: a tensor, or tensors by name.

    Raises:
        BrokenModel: a file is missing, damaged, or holds anything that would run code.
        OutOfMemory: the device has no room for the weights, with the figures; before they are read.
    """
    stored: dict[str, list[int]] = {}
    for path in paths:
        with _readable(card, path):
            stored |= shapes([path])
    refuse_too_large(card, stored, device, dtype)
    return [_read(card, path) for path in paths]


def _read(card: ModelCard, path: Path) -> Any:
    with _readable(card, path):
        return torch.load(path, map_location="cpu", weights_only=True)


@contextmanager
def _readable(card: ModelCard, path: Path) -> Iterator[None]:
    if not path.is_file():
        raise BrokenModel(f"{card.name}: {path.parent} lacks {path.name}")
    try:
        yield
    except pickle.UnpicklingError as error:
        raise BrokenModel(f"{card.name}: {path} is damaged, or holds more than weights and could run code") from error
    except (OSError, EOFError, RuntimeError) as error:
        raise BrokenModel(f"{card.name}: {path} is cut short or damaged ({first_line(error)}); fetch it again") from error


def split(card: ModelCard, weights: Weights, *parts: str) -> list[dict[str, torch.Tensor]]:
    """The weights of each part, by what follows the part in their names.

    Raises:
        BrokenModel: a part has no weights, or a weight belongs to no part.
    """
    found = [{name.removeprefix(part): weights[name] for name in weights if name.startswith(part)} for part in parts]
    lacking = [part for part, own in zip(parts, found, strict=True) if not own]
    strange = [name for name in weights if not name.startswith(parts)]
    if lacking or strange:
        what = f"has no weights {lacking[0]}" if lacking else f"has weights that belong nowhere, such as {strange[0]}"
        raise BrokenModel(f"{card.name}: the checkpoint {what}; it is of another architecture")
    return found


def measured(card: ModelCard, model: str, told: Callable[[Mapping[str, W]], T], weights: Mapping[str, W]) -> T:
    """What weights, or their shapes, tell of a model whose checkpoint has no configuration.

    Raises:
        BrokenModel: a weight that tells it is missing.
    """
    try:
        return told(weights)
    except (KeyError, ValueError, IndexError) as error:
        raise BrokenModel(f"{card.name}: the weights are not those of a {model}: they lack {error}") from error


def numbered(weights: Mapping[str, W], pattern: str) -> dict[tuple[int, ...], W]:
    """Weights whose whole names are like a pattern, by the numbers that its groups find in them; one for each, in order."""
    found = {tuple(map(int, match.groups())): weights[name] for name in weights if (match := re.fullmatch(pattern, name))}
    return {numbers: found[numbers] for numbers in sorted(found)}


def filled(card: ModelCard, module: torch.nn.Module, weights: Weights) -> torch.nn.Module:
    """The module, with weights whose names are its own.

    Raises:
        BrokenModel: one is missing, misshapen, or unknown to the module.
    """
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        lines = " ".join(line.strip() for line in str(error).splitlines()[1:])
        raise BrokenModel(f"{card.name}: the weights are not those of its {type(module).__name__}: {lines[:200]}") from error
    return module


def of_transformers(card: ModelCard, model_class: Any, config: Any, weights: Weights) -> Any:
    """A model of transformers with these weights, under the names that any version of the library gave them.

    Raises:
        BrokenModel: one is missing, misshapen, or unknown to the model.
    """
    logging.disable_progress_bar()
    name = model_class.__name__
    try:
        module, report = model_class.from_pretrained(
            None, config=config, state_dict=dict(weights), dtype=torch.float32, output_loading_info=True
        )
    except (RuntimeError, ValueError) as error:
        raise BrokenModel(f"{card.name}: the weights are not those of its {name}: {first_line(error)}") from error
    for problem in ("missing", "unexpected"):
        if found := sorted(report[f"{problem}_keys"]):
            raise BrokenModel(f"{card.name}: {len(found)} {problem} weights of its {name}, the first: {found[0]}")
    return module


def bert(card: ModelCard, folder: Path, weights: Weights) -> tuple[Any, Any]:
    """The text tower with these weights, and its tokenizer; config.json and vocabulary lie in the directory.

    Raises:
        BrokenModel: one of them is missing, the vocabulary knows no words, or a weight has no place.
    """
    from transformers import BertConfig, BertModel, BertTokenizer

    for name in ("config.json", "vocab.txt"):  # without them the library makes up those of bert-base
        if not (folder / name).is_file():
            raise BrokenModel(f"{card.name}: {folder} lacks {name} of its BERT")
    try:
        config = BertConfig.from_pretrained(folder, local_files_only=True)
        tokenizer = BertTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise BrokenModel(f"{card.name}: config.json or vocab.txt in {folder} is not a BERT's: {first_line(error)}") from error
    refuse_unusable(card, folder, tokenizer)
    return of_transformers(card, BertModel, config, weights), tokenizer
