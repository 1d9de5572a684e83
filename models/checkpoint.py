"""Loading a transformers checkpoint so that nothing is made up: what the file lacks is an error, not random numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.utils import logging

from medrival.catalog import ModelCard
from medrival.errors import BrokenModel, first_line


def load_module(card: ModelCard, auto_class: Any, folder: Path, device: str, dtype: str) -> Any:
    """Load the network for inference: evaluation mode, no gradients, on the device.

    Only safetensors are read, and no code that lies beside them is run.

    Raises:
        BrokenModel: unreadable or truncated files, an unknown architecture, missing or misshapen weights.
    """
    logging.disable_progress_bar()
    if not any(folder.glob("*.safetensors")):
        raise BrokenModel(
            f"{card.name}: {folder} has no weights in safetensors; pickled weights (.bin, .pt) can run code and are not read: "
            "save the model once more with transformers' save_pretrained"
        )
    try:
        module, report = auto_class.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except SafetensorError as error:
        raise BrokenModel(f"{card.name}: weights in {folder} are cut short or damaged ({error}); fetch them again") from error
    except (OSError, ImportError, ValueError, KeyError, TypeError, RuntimeError) as error:
        if "out of memory" in str(error).lower():
            raise
        if "Unrecognized configuration class" in str(error):
            raise BrokenModel(f"{card.name}: the model in {folder} is not one that {auto_class.__name__} loads") from error
        raise BrokenModel(f"{card.name}: {folder} does not load: {first_line(error)}") from error
    lacking = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if lacking:
        raise BrokenModel(
            f"{card.name}: {folder} lacks {len(lacking)} weights of {type(module).__name__} (the first: {lacking[0]}); "
            "the checkpoint is incomplete or of another architecture"
        )
    return module.eval().requires_grad_(False).to(device)


def load_processor(card: ModelCard, folder: Path) -> Any:
    """Load tokenizer and image processor together.

    Raises:
        BrokenModel: they are missing or unreadable.
    """
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ImportError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BrokenModel(f"{card.name}: {folder} has no usable processor: {first_line(error)}") from error


def linear_layers(module: torch.nn.Module) -> list[str]:
    """Full names of the linear layers that are called as layers, in order.

    `torch.nn.MultiheadAttention` reads the weight of its output projection and never calls it: an adapter there is idle.
    """
    return [name for name, part in module.named_modules() if type(part) is torch.nn.Linear]
