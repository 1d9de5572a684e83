"""Loading a transformers checkpoint so that nothing is made up: what the file lacks is an error, not random numbers."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from transformers.utils import logging

from medrival.catalog import ModelCard
from medrival.errors import BrokenModel, MedrivalWarning, first_line
from medrival.models.files import has_tokenizer, weight_files
from medrival.models.placement import placed, refuse_offloaded
from medrival.reads import VOCABULARIES

Report = Mapping[str, Collection[Any]]
"""What transformers says of a loading: `missing_keys`, `mismatched_keys`, `unexpected_keys`."""
WORDS = ("a", "the")
"""Known to every vocabulary of English, whole or in letters."""
LIKE_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack")
PROCESSOR = ("processor_config.json", "preprocessor_config.json")
"""Of which one says how images are prepared."""
FEW = 0.5
"""Tokens that a tokenizer knows, of those that a network has embeddings for: below, it may be of another model."""
CONSTANT = ("position_ids", "inv_freq", "masked_bias")
"""Ends of names under which older versions of transformers stored what follows from the config."""


def load_module(card: ModelCard, auto_class: Any, folder: Path, device: str, dtype: str) -> Any:
    """Load the network for inference: evaluation mode, no gradients, on the device, or on all GPUs where one is not enough.

    Raises:
        BrokenModel: see `read`; or weights are missing or left over.
        OutOfMemory: the weights do not fit.
    """
    module, report = read(card, auto_class, folder, device, dtype)
    refuse_missing(card, folder, module, report["missing_keys"])
    refuse_left_over(card, folder, report["unexpected_keys"])
    return module


def read(card: ModelCard, auto_class: Any, folder: Path, device: str, dtype: str, **options: Any) -> tuple[Any, Report]:
    """The network, and what the files lack or have too much.

    Safetensors are read, else pickled weights as far as they are nothing but weights; no code in them is run, and none
    that lies beside them but for a model that the user trusts.
    The precision "4bit" is bitsandbytes' NF4 with computations in bfloat16, in linear layers other than the output head.

    Args:
        options: further arguments of `from_pretrained`.

    Raises:
        BrokenModel: unreadable or truncated files, pickled code, an unknown architecture, no bitsandbytes, weights that were
            stored quantised or are misshapen, or an adapter beside them.
        OutOfMemory: the weights do not fit.
    """
    logging.disable_progress_bar()
    files: list[Path] = []
    try:
        files = weight_files(folder)
        if not files:
            seen = sorted(path.name for path in folder.iterdir() if path.suffix in LIKE_WEIGHTS)
            raise BrokenModel(
                f"{card.name}: {folder} has no weights: neither model.safetensors nor pytorch_model.bin, nor shards"
                + (f"; {', '.join(seen)} is not read: save it under one of these names" if seen else "")
            )
        _refuse_adapter_beside(card, folder)
        _refuse_by_config(card, folder)
        place = placed(card, folder, device, dtype)
        if dtype == "4bit":
            place = {"device_map": {"": device}} | place | {"quantization_config": _four_bits(card)}
        module, report = auto_class.from_pretrained(
            folder,
            dtype=torch.bfloat16 if dtype == "4bit" else getattr(torch, dtype),
            use_safetensors=files[0].suffix == ".safetensors",
            weights_only=True,
            local_files_only=True,
            trust_remote_code=card.trusted,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name and shapes, which transformers prints and does not raise
            **place,
            **options,
        )
    except UnpicklingError as error:
        raise pickled(card, files, error) from error
    except SafetensorError as error:
        raise damaged(card, folder, error) from error
    except (OSError, ImportError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        if "out of memory" in str(error).lower():
            raise
        if "trust_remote_code" in str(error):
            raise needs_trust(card, folder) from error
        if "Unrecognized configuration class" in str(error):
            raise BrokenModel(f"{card.name}: the model in {folder} is not one that {auto_class.__name__} loads") from error
        raise BrokenModel(f"{card.name}: {folder} does not load: {first_line(error)}") from error
    _refuse_misshapen(card, folder, report["mismatched_keys"])
    refuse_offloaded(card, module)
    if dtype == "4bit":
        _as_they_are(module)
    module.eval().requires_grad_(False)
    return (module if place else module.to(device)), report


def needs_trust(card: ModelCard, folder: Path) -> BrokenModel:
    """What to raise where a library refuses a model that does not load without code of its own."""
    return BrokenModel(
        f"{card.name}: {folder} needs code that lies beside its weights; where you trust its authors, run with "
        f"--trust-remote-code {card.name}"
    )


def damaged(card: ModelCard, place: Path, error: SafetensorError) -> BrokenModel:
    """What to raise where a directory's or file's safetensors end too early or have no sound header."""
    return BrokenModel(
        f"{card.name}: weights in {place} are cut short or damaged ({first_line(error)}); save, copy or fetch them once more"
    )


def pickled(card: ModelCard, files: Collection[Path], error: UnpicklingError) -> BrokenModel:
    """What to raise where pickled files hold code, which is named, or cannot be read."""
    wanted = re.search(r"GLOBAL (\S+)", str(error))
    names = ", ".join(map(str, files))
    if not wanted:
        return BrokenModel(
            f"{card.name}: {names} cannot be read as weights alone ({first_line(error)}); save the model as safetensors"
        )
    return BrokenModel(
        f"{card.name}: {names} would run code when read ({wanted[1]}), and is refused; "
        "ask its authors for safetensors, or save it as safetensors yourself where you trust it"
    )


def precision(card: ModelCard, dtype: str) -> torch.dtype:
    """That of a model that another library than transformers loads.

    Raises:
        BrokenModel: "4bit", which transformers alone makes while it loads.
    """
    if dtype == "4bit":
        raise BrokenModel(f"{card.name}: --dtype 4bit is for models that transformers loads; take bfloat16, float16 or float32")
    kind: torch.dtype = getattr(torch, dtype)
    return kind


def refuse_missing(card: ModelCard, folder: Path, module: torch.nn.Module, lacking: Collection[Any]) -> None:
    """Weights that the files lack are an error.

    Raises:
        BrokenModel: naming the first of them.
    """
    if lacking:
        first = min(str(name) for name in lacking)
        raise BrokenModel(
            f"{card.name}: {folder} lacks {len(lacking)} weights of {type(module).__name__} (the first: {first}); "
            "the checkpoint is incomplete or of another architecture"
        )


def refuse_left_over(card: ModelCard, folder: Path, names: Collection[Any]) -> None:
    """Weights that no layer takes are an error: the network would be another than the one that was trained.

    Raises:
        BrokenModel: naming the first of them.
    """
    if strange := sorted(name for name in map(str, names) if not name.endswith(CONSTANT)):
        raise BrokenModel(f"{card.name}: {folder} has {len(strange)} weights that no layer takes (the first: {strange[0]})")


def load_processor(card: ModelCard, folder: Path) -> Any:
    """Load tokenizer and image processor together.

    Raises:
        BrokenModel: one of them is missing or unreadable, or the tokenizer knows no words.
    """
    from transformers import AutoProcessor

    if not card.trusted and not any((folder / name).is_file() for name in PROCESSOR):  # code of its own may read other files
        raise BrokenModel(
            f"{card.name}: {folder} has no image processor: neither {' nor '.join(PROCESSOR)}; save or copy the one that the "
            "model was trained with"
        )
    processor = _of_words(card, folder, "processor", AutoProcessor, trust_remote_code=card.trusted)
    if getattr(processor, "tokenizer", None) is None:
        raise BrokenModel(f"{card.name}: {folder} has no usable processor: it has no tokenizer")
    refuse_unusable(card, folder, processor.tokenizer)
    _warn_of_few_words(card, folder, processor.tokenizer)
    return processor


def load_tokenizer(card: ModelCard, folder: Path, config: Any) -> Any:
    """Load the tokenizer alone, of the kind that belongs to a config; without code of its own.

    Raises:
        BrokenModel: it is missing or unreadable, or knows no words.
    """
    from transformers import AutoTokenizer

    tokenizer = _of_words(card, folder, "tokenizer", AutoTokenizer, config=config, trust_remote_code=False)
    refuse_unusable(card, folder, tokenizer)
    return tokenizer


def refuse_unusable(card: ModelCard, folder: Path, tokenizer: Any) -> None:
    """A tokenizer that does not tell words apart would have a model score noise.

    Raises:
        BrokenModel: it is one, or names no token that could end or fill texts.
    """
    try:
        told = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in WORDS]
    except Exception as error:  # tokenizers raises nothing more exact
        raise BrokenModel(f"{card.name}: {folder} has no usable tokenizer: {first_line(error)}") from error
    if told[0] == told[1] or not all(set(tokens) - {tokenizer.unk_token_id} for tokens in told):
        raise BrokenModel(
            f"{card.name}: {folder} has no usable tokenizer: it does not know the words {' and '.join(map(repr, WORDS))}; "
            "save, copy or fetch its files once more"
        )
    if tokenizer.eos_token is None and tokenizer.pad_token is None:
        raise BrokenModel(
            f"{card.name}: {folder} has no usable tokenizer: it names no token that ends or fills texts, as its "
            "tokenizer_config.json would"
        )


def _warn_of_few_words(card: ModelCard, folder: Path, tokenizer: Any) -> None:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=card.trusted).get_text_config()
    known, embedded = len(tokenizer), getattr(config, "vocab_size", 0)
    if known < FEW * embedded:
        warnings.warn(
            f"{card.name}: the tokenizer in {folder} knows {known:,} tokens, and the model has embeddings for {embedded:,}; it "
            "may be another model's",
            MedrivalWarning,
            stacklevel=2,
        )


def _of_words(card: ModelCard, folder: Path, part: str, auto_class: Any, **options: Any) -> Any:
    """What transformers loads of the files of a tokenizer, where they have a vocabulary."""
    if not card.trusted and not has_tokenizer(folder):  # code of its own may read other files
        raise BrokenModel(f"{card.name}: {folder} has no tokenizer: no file is like {' or '.join(VOCABULARIES)}")
    try:
        return auto_class.from_pretrained(folder, local_files_only=True, **options)
    except Exception as error:  # of several libraries, of which tokenizers raises nothing more exact
        raise BrokenModel(f"{card.name}: {folder} has no usable {part}: {first_line(error)}") from error


def linear_layers(module: torch.nn.Module) -> list[str]:
    """Full names of the linear layers that are called as layers, in order; those in 4 bits are linear layers too.

    `torch.nn.MultiheadAttention` reads the weight of its output projection and never calls it: an adapter there is idle.
    """
    return [
        name
        for name, part in module.named_modules()
        if isinstance(part, torch.nn.Linear) and not isinstance(part, NonDynamicallyQuantizableLinear)
    ]


def _refuse_misshapen(card: ModelCard, folder: Path, unlike: Collection[tuple[str, Sequence[int], Sequence[int]]]) -> None:
    """Weights of another shape than the config makes: transformers has left random numbers in their place."""
    if unlike:
        name, stored, made = min(unlike)
        raise BrokenModel(
            f"{card.name}: {len(unlike)} weights in {folder} have another shape than its config.json makes (the first: "
            f"{name} is {list(stored)} and not {list(made)}); give it the config.json that the model was trained with"
        )


def _refuse_adapter_beside(card: ModelCard, folder: Path) -> None:
    """Transformers would add the adapter to the weights, and a second time where it is merged into them."""
    if (folder / "adapter_config.json").is_file():
        raise BrokenModel(
            f"{card.name}: {folder} has both whole weights and an adapter_config.json; where the adapter is merged into them, "
            "remove its files, else move them into a directory of their own and enter that"
        )


def _refuse_by_config(card: ModelCard, folder: Path) -> None:
    """Weights other than those of the usual files, and such as would stay in few bits whatever precision is reported."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if named := config.get("transformers_weights"):
        raise BrokenModel(
            f"{card.name}: config.json in {folder} names {named} (transformers_weights); rename it model.safetensors"
        )
    if _quantised(config):
        raise BrokenModel(
            f"{card.name}: the weights in {folder} are stored quantised (quantization_config in config.json) and would stay so "
            "whatever --dtype says; take the model as it was before, which --dtype 4bit packs as it is loaded"
        )


def _quantised(config: Any) -> bool:
    """Whether a config, or that of a part of the model, says so."""
    return isinstance(config, dict) and bool(config.get("quantization_config") or any(map(_quantised, config.values())))


def _four_bits(card: ModelCard) -> Any:
    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise BrokenModel(f"{card.name}: --dtype 4bit needs the package bitsandbytes: python -m pip install bitsandbytes")
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)


def _as_they_are(module: torch.nn.Module) -> None:
    """Keep bitsandbytes from packing weights anew at the first inference on a CPU that has AVX512-BF16.

    Its kernel for packed ones passes no gradient on and says nothing of it: LoRA after an inference would learn other things.
    """
    from bitsandbytes.nn.modules import Linear4bit

    for part in module.modules():
        if isinstance(part, Linear4bit):
            part.support_avx512bf16_for_cpu = False
