"""Checkpoints that hold only what fine-tuning changed: a peft adapter directory, applied to its base model."""

from __future__ import annotations

import warnings
from pathlib import Path

from safetensors import SafetensorError

from medrival.catalog import ModelCard, imported
from medrival.contracts import DualEncoder, Generator
from medrival.errors import BrokenModel, first_line
from medrival.weights import locate


def merged(card: ModelCard, folder: Path, device: str, dtype: str) -> DualEncoder | Generator:
    """The base model as its own adapter loads it, with the adapter's weights merged into it by peft.

    Merged, so that regimes find the same layers as in the base model. Below float32 merging rounds: what is measured is what
    peft's `merge_and_unload` would save.

    Raises:
        BrokenModel: no safetensors, an adapter that cannot be merged, one that does not fit the base model, or the precision
            "4bit", in which merging would round the base model's weights a second time.
    """
    from peft import PeftModel

    if card.base is None:
        raise BrokenModel(f"{card.name}: an adapter directory needs a base model; enter it with --candidate {folder}")
    if not (folder / "adapter_model.safetensors").is_file():
        raise BrokenModel(
            f"{card.name}: {folder} has no adapter_model.safetensors; pickled adapters (.bin) are not read: save it once more "
            "with peft's save_pretrained"
        )
    if dtype == "4bit":
        raise BrokenModel(
            f"{card.name}: merging an adapter into weights in 4 bits would round them a second time; take --dtype bfloat16, or "
            "save the merged model with peft's merge_and_unload and enter that"
        )
    base: DualEncoder | Generator = imported(card.base.adapter)(card.base, locate(card.base, None), device, dtype)
    try:
        with warnings.catch_warnings():
            # peft only warns where weights of an adapter are missing, and goes on with an adapter that does nothing.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            adapted = PeftModel.from_pretrained(base.module, folder, is_trainable=False)
        unread = adapted.load_adapter(str(folder), adapted.active_adapter, torch_device=device).unexpected_keys
        if unread:
            raise BrokenModel(f"{card.name}: {card.base.name} has no layer for {len(unread)} weights, the first: {unread[0]}")
        adapted.merge_and_unload(safe_merge=True)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, UserWarning) as error:
        if "out of memory" in str(error).lower():
            raise
        raise BrokenModel(
            f"{card.name}: the adapter in {folder} does not fit its base model {card.base.name}: {first_line(error)}"
        ) from error
    base.module.eval().requires_grad_(False)
    return base
