"""Checkpoints in layouts of their own: weights alone are read from a file, never code, and each must find its place."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from medrival.catalog import ModelCard
from medrival.errors import BrokenModel, first_line
from medrival.models.placement import refuse_too_large, shapes

Weights = Mapping[str, torch.Tensor]


def require_room(card: ModelCard, paths: Iterable[Path], device: str, dtype: str) -> None:
    """Refuse weights for which there is no room, before they are read.

    Raises:
        BrokenModel: as `read_weights`.
        OutOfMemory: with the figures.
    """
    stored: dict[str, list[int]] = {}
    for path in paths:
        with _readable(card, path):
            stored |= shapes([path])
    refuse_too_large(card, stored, device, dtype)


def read_weights(card: ModelCard, path: Path) -> Any:
    """What `torch.save` wrote, on the CPU: a tensor, or tensors by name.

    Raises:
        BrokenModel: the file is missing, damaged, or holds anything that would run code.
    """
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


def shape(card: ModelCard, model: str, told: Callable[[Weights], dict[str, Any]], weights: Weights) -> dict[str, Any]:
    """A model's configuration as its weights tell it, where the checkpoint has no other.

    Raises:
        BrokenModel: a weight that tells it is missing.
    """
    try:
        return told(weights)
    except (KeyError, ValueError, IndexError) as error:
        raise BrokenModel(f"{card.name}: the weights are not those of a {model}: they lack {error}") from error


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


def projection(weight: torch.Tensor) -> torch.nn.Linear:
    """A linear layer without bias, from its weight [out, in]."""
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.load_state_dict({"weight": weight})
    return layer


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
        BrokenModel: one of them is missing, or a weight has no place.
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
    return of_transformers(card, BertModel, config, weights), tokenizer
