"""Models of open_clip, as the hub serves them: open_clip_config.json, weights, and a tokenizer where it is not CLIP's."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PIL
from safetensors import SafetensorError

from medrival.catalog import ModelCard
from medrival.contracts import DualEncoder
from medrival.errors import BrokenModel, first_line
from medrival.models.checkpoint import damaged, needs_trust, pickled, precision, refuse_unusable
from medrival.models.dual_encoder import compared, lora_layers
from medrival.models.files import OPEN_CLIP, has_tokenizer, place, weight_files
from medrival.models.placement import Shapes, refuse_too_large, shapes


def open_clip(card: ModelCard, folder: Path, device: str, dtype: str) -> DualEncoder:
    """Any checkpoint of open_clip, such as BiomedCLIP, with the preprocessing that its configuration asks for.

    Raises:
        BrokenModel: the directory does not load, or not without weights that are made up; the configuration of a text tower of
            transformers is not to be found, the tokenizer needs code and the user does not trust the model, or the precision
            is "4bit".
        OutOfMemory: the weights do not fit.
    """
    from open_clip import create_model
    from open_clip.transform import PreprocessCfg, image_transform_v2

    kind, text = precision(card, dtype), _text_config(card, folder)
    tower = _text_tower(card, folder, text)
    try:
        stored = shapes(weight_files(folder, OPEN_CLIP))
        refuse_too_large(card, stored, device, dtype)
        module = create_model(f"local-dir:{folder}", require_pretrained=True, **tower)
        tokenizer = _tokenizer(card, folder, text)
    except pickle.UnpicklingError as error:
        raise pickled(card, weight_files(folder, OPEN_CLIP), error) from error
    except SafetensorError as error:
        raise damaged(card, folder, error) from error
    except (OSError, ImportError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        if "trust_remote_code" in str(error):
            raise needs_trust(card, folder) from error
        raise BrokenModel(f"{card.name}: {folder} does not load as a model of open_clip: {first_line(error)}") from error
    _refuse_interpolated(card, folder, stored, module)
    module.eval().requires_grad_(False).to(device, kind)
    transform = image_transform_v2(PreprocessCfg(**module.visual.preprocess_cfg), is_train=False)

    def prepare(images: Sequence[PIL.Image]) -> torch.Tensor:
        return torch.stack([transform(image) for image in images])

    def image_features(pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = module.encode_image(pixels.to(device, kind))
        return features

    def text_features(texts: Sequence[str]) -> torch.Tensor:
        features: torch.Tensor = module.encode_text(tokenizer(list(texts)).to(device))
        return features

    lora, scale = lora_layers(card, module.visual, prepare, image_features), float(module.logit_scale.float().exp())
    return compared(card, DualEncoder(module, module.visual, lora, prepare, image_features, text_features, scale))


def _refuse_interpolated(card: ModelCard, folder: Path, stored: Shapes, module: torch.nn.Module) -> None:
    """open_clip stretches positions to the configuration's image size and context length, and says nothing of it."""
    loaded = {name: list(weight.shape) for name, weight in module.state_dict().items()}
    for name, shape in stored.items():
        own = name.removeprefix("module.")
        made = loaded.get(own, loaded.get(f"text.{own}", shape))  # a text tower of its own has what older files have outside
        if prod(made) != prod(shape):
            raise BrokenModel(
                f"{card.name}: {own} in {folder} is {list(shape)}, and {made} is needed for the image size and context length "
                "that its open_clip_config.json names; give it the ones that the model was trained with"
            )


def _text_config(card: ModelCard, folder: Path) -> dict[str, Any]:
    try:
        settings = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
        return dict(settings["model_cfg"]["text_cfg"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenModel(f"{card.name}: {folder} has no usable open_clip_config.json: {first_line(error)}") from error


def _tokenizer(card: ModelCard, folder: Path, text: Mapping[str, Any]) -> Any:
    """As open_clip's `get_tokenizer` makes it for a directory; it would look in no other for that of transformers."""
    from open_clip import get_tokenizer
    from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer

    name = text.get("hf_tokenizer_name")
    if not name:
        return get_tokenizer(f"local-dir:{folder}")
    where = folder if has_tokenizer(folder) else place(card, folder, name)
    # Said in any case: the checkpoint's own configuration could say that its code is trusted.
    options = {**text.get("tokenizer_kwargs", {}), "trust_remote_code": card.trusted and where == folder}
    length = text.get("context_length", DEFAULT_CONTEXT_LENGTH)
    words = HFTokenizer(str(where), length, tokenizer_mode=text.get("tokenizer_mode"), **options)
    refuse_unusable(card, where, words.tokenizer)
    return words


def _text_tower(card: ModelCard, folder: Path, text: Mapping[str, Any]) -> dict[str, Any]:
    """What to tell open_clip where the text tower is one of transformers: the directory that has its config.json.

    The weights are in open_clip's own file; the configuration may lie in a directory of its own.

    Raises:
        BrokenModel: it lies nowhere, or needs code of its own.
    """
    from transformers import AutoConfig

    name = text.get("hf_model_name")
    if not name:
        return {}
    where = folder if (folder / "config.json").is_file() else place(card, folder, name)
    try:  # open_clip would ask at the terminal whether to run code that lies beside it
        AutoConfig.from_pretrained(where, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise BrokenModel(f"{card.name}: {where}/config.json is not of a model of transformers: {first_line(error)}") from error
    return {"text_cfg": {**text, "hf_model_name": str(where), "hf_model_pretrained": False}}
