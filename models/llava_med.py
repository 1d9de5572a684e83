"""LLaVA-Med v1.5 as it is published (`llava_mistral`), read into transformers' LLaVA: the same network under other names.

Facts: the code at github.com/microsoft/LLaVA-Med: the names of the weights (llava_arch.py), the prompt (conversation.py,
`mistral_instruct`), images padded to squares of the mean colour (mm_utils.py; there off the middle by a random pixel, here
never), and an image tower that may lie in a repository of its own (multimodal_encoder/builder.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import isqrt
from pathlib import Path
from typing import Any, Literal

from medrival.catalog import ModelCard
from medrival.contracts import Generator
from medrival.errors import BrokenModel, MissingAsset, first_line
from medrival.models.checkpoint import load_module, read, refuse_missing
from medrival.models.generator import speaking
from medrival.models.placement import shapes
from medrival.weights import locate

NAMES = {
    r"^model\.vision_tower\.vision_tower\.vision_model\.": "model.vision_tower.",
    r"^model\.mm_projector\.0\.": "model.multi_modal_projector.linear_1.",
    r"^model\.mm_projector\.2\.": "model.multi_modal_projector.linear_2.",
    r"^model\.embed_tokens\.": "model.language_model.embed_tokens.",
    r"^model\.layers\.": "model.language_model.layers.",
    r"^model\.norm\.": "model.language_model.norm.",
}
TOWER = "model.vision_tower.vision_tower.vision_model."
CONSTANT = ("position_ids", "inv_freq")
"""Ends of names under which older versions of transformers stored what follows from the config."""
EXPECTED = {"mm_projector_type": "mlp2x_gelu", "mm_use_im_start_end": False, "mm_use_im_patch_token": False}
FEATURES: Mapping[str, Literal["default", "full"]] = {"patch": "default", "cls_patch": "full"}
TEMPLATE = (
    "{% for turn in messages %}"
    "{% if turn.role == 'user' %}[INST] {{ turn.content }} [/INST]{% else %} {{ turn.content }} </s>{% endif %}"
    "{% endfor %}"
)


def llava_med(card: ModelCard, folder: Path, device: str, dtype: str) -> Generator:
    """LLaVA-Med v1.5, or another checkpoint of its layout whose image tower is one of OpenAI's CLIP.

    Its vocabulary has no token for an image, and none is added, as its row of the embedding would be made up: the tokenizer's
    unknown token stands in its place, which a tokenizer that falls back to bytes never writes.

    Raises:
        BrokenModel: another layout; weights that are missing, misshapen or left over; no tokenizer.
        MissingAsset: the image tower lies neither in the checkpoint nor where its name says.
        OutOfMemory: the weights do not fit.
    """
    from transformers import CLIPVisionModel, LlavaForConditionalGeneration, MistralConfig

    own = _own_config(card, folder)
    stored = shapes(folder)
    beside = None if any(name.startswith(TOWER) for name in stored) else _beside(card, folder, own["mm_vision_tower"])
    text = MistralConfig.from_dict({**own, "model_type": "mistral"})
    tokenizer = _tokenizer(card, folder, text)
    config = _config(own, text, _described(beside) if beside else _measured(stored), tokenizer.unk_token_id)
    module, report = read(card, LlavaForConditionalGeneration, folder, device, dtype, config=config, key_mapping=NAMES)
    lacking = {*report["missing_keys"], *report["mismatched_keys"]}
    if beside:
        module.model.vision_tower = load_module(card, CLIPVisionModel, beside, device, dtype)
        lacking = {name for name in lacking if not str(name).startswith("model.vision_tower.")}
    refuse_missing(card, folder, module, lacking)
    _refuse_left_over(card, folder, report["unexpected_keys"])
    return speaking(card, module, _processor(config, tokenizer, pad=own.get("image_aspect_ratio") == "pad"))


def _own_config(card: ModelCard, folder: Path) -> dict[str, Any]:
    try:
        own: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenModel(f"{card.name}: {folder} has no readable config.json: {first_line(error)}") from error
    if own.get("model_type") != "llava_mistral":
        raise BrokenModel(f"{card.name}: the model in {folder} is {own.get('model_type')!r}, not 'llava_mistral'")
    for key, value in EXPECTED.items():
        if own.get(key) != value:
            raise BrokenModel(f"{card.name}: {folder} has {key} = {own.get(key)!r}; only {value!r} can be converted")
    return own


def _config(own: Mapping[str, Any], text: Any, vision: Any, image_token: int) -> Any:
    from transformers import LlavaConfig

    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=image_token,
        vision_feature_layer=own["mm_vision_select_layer"],
        vision_feature_select_strategy=FEATURES[own["mm_vision_select_feature"]],
        tie_word_embeddings=own.get("tie_word_embeddings", False),
    )


def _measured(stored: Mapping[str, Sequence[int]]) -> Any:
    """The config of the image tower in a checkpoint, by the shapes of its weights.

    All of OpenAI's vision transformers have heads of 64 (Radford et al. 2021, table 20), and `CLIPVisionConfig` describes the
    rest of them by default.
    """
    from transformers import CLIPVisionConfig

    width, channels, patch, _ = stored[f"{TOWER}embeddings.patch_embedding.weight"]
    places, _ = stored[f"{TOWER}embeddings.position_embedding.weight"]
    layers = {match[1] for name in stored if (match := re.match(rf"{re.escape(TOWER)}encoder\.layers\.(\d+)\.", name))}
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=stored[f"{TOWER}encoder.layers.0.mlp.fc1.weight"][0],
        num_hidden_layers=len(layers),
        num_attention_heads=width // 64,
        num_channels=channels,
        image_size=patch * isqrt(places - 1),
        patch_size=patch,
    )


def _described(tower: Path) -> Any:
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig.from_pretrained(tower, local_files_only=True)


def _beside(card: ModelCard, folder: Path, name: str) -> Path:
    """Where the image tower lies: in the same ORG/NAME layout as the checkpoint, or where the hub's client keeps it."""
    try:
        return locate(replace(card, weights=name, revision="", folder=str(folder.parent.parent)), None)
    except MissingAsset as error:
        raise MissingAsset(f"{card.name}: {folder} holds no image tower; it needs {name} beside it: {error}") from error


def _tokenizer(card: ModelCard, folder: Path, config: Any) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, config=config, local_files_only=True, trust_remote_code=False)
    except (OSError, ImportError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BrokenModel(f"{card.name}: {folder} has no usable tokenizer: {first_line(error)}") from error
    tokenizer.pad_token = tokenizer.eos_token  # the checkpoint pads with the unknown token, which stands for images here
    return tokenizer


def _processor(config: Any, tokenizer: Any, pad: bool) -> Any:
    from transformers import LlavaImageProcessor, LlavaProcessor

    side = config.vision_config.image_size
    return LlavaProcessor(
        LlavaImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}, do_pad=pad),
        tokenizer,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,  # the class token, which is counted and then left out
        chat_template=TEMPLATE,
        image_token=tokenizer.unk_token,
    )


def _refuse_left_over(card: ModelCard, folder: Path, names: Collection[str]) -> None:
    if strange := sorted(name for name in names if not name.endswith(CONSTANT)):
        raise BrokenModel(f"{card.name}: {folder} has {len(strange)} weights that no layer takes (the first: {strange[0]})")
