"""LLaVA's own layout, in which its code saves checkpoints, read into transformers' LLaVA: the same network, other names.

Facts: the code at github.com/microsoft/LLaVA-Med and github.com/FreedomIntelligence/HuatuoGPT-Vision, which kept it: names of
weights (llava_arch.py), images padded to squares of the mean colour (mm_utils.py, there off the middle by a random pixel, here
never; cli.py), and an image tower that may lie in a folder or repository of its own (multimodal_encoder/builder.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from math import isqrt
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

from safetensors import SafetensorError

from medrival.catalog import ModelCard
from medrival.contracts import Generator
from medrival.errors import BrokenModel, first_line
from medrival.models.checkpoint import load_tokenizer, read, refuse_left_over, refuse_missing
from medrival.models.files import TOWER, place, weight_files
from medrival.models.generator import speaking
from medrival.models.llava import Spliced
from medrival.models.own_layout import measured, numbered
from medrival.models.placement import refuse_too_large, shapes

NAMES = {
    r"^model\.vision_tower\.vision_tower\.vision_model\.": "model.vision_tower.",
    r"^model\.mm_projector\.0\.": "model.multi_modal_projector.linear_1.",
    r"^model\.mm_projector\.2\.": "model.multi_modal_projector.linear_2.",
    r"^model\.embed_tokens\.": "model.language_model.embed_tokens.",
    r"^model\.layers\.": "model.language_model.layers.",
    r"^model\.norm\.": "model.language_model.norm.",
}
EXPECTED = {"mm_projector_type": "mlp2x_gelu", "mm_use_im_start_end": False, "mm_use_im_patch_token": False}
ABSENT = {
    "mm_projector_type": "linear",
    "mm_use_im_start_end": False,
    "mm_use_im_patch_token": False,
    "mm_vision_select_feature": "patch",
    "mm_vision_tower": "",
}
"""What LLaVA's own code takes for a key that a config does not have."""
READING = ("text_model.", "text_projection.", "visual_projection.", "logit_scale")
"""What a file of CLIP holds beside its image tower."""
LANGUAGES = {"llava_mistral": "mistral", "llava_qwen2": "qwen2", "llava_llama": "llama"}
"""The language models of LLaVA's own layout, by its `model_type`."""
FEATURES: Mapping[str, Literal["default", "full"]] = {"patch": "default", "cls_patch": "full"}


def converted(card: ModelCard, folder: Path, device: str, dtype: str, layouts: Collection[str], template: str) -> Generator:
    """A checkpoint of LLaVA's own layout whose image tower is one of OpenAI's CLIP.

    Args:
        layouts: the `model_type`s of the family's language models.
        template: the family's prompt as a chat template, whose turns are words with `<image>` in them; no file tells it.

    Raises:
        BrokenModel: another layout; weights that are missing, misshapen or left over; no tokenizer.
        OutOfMemory: the weights do not fit.
    """
    from transformers import AutoConfig, LlavaForConditionalGeneration

    own = _own_config(card, folder, layouts)
    stored = _stored(card, folder)
    beside = None if any(name.startswith(TOWER) for name in stored) else _beside(card, folder, own["mm_vision_tower"])
    refuse_too_large(card, stored | (_seeing(beside) if beside else {}), device, dtype, divides=True)
    text = AutoConfig.for_model(**{**own, "model_type": LANGUAGES[own["model_type"]]})
    tokenizer = _tokenizer(card, folder, text)
    vision = _described(card, beside) if beside else measured(card, "CLIP image tower", _clip, stored)
    config = _config(own, text, vision, _image_token(card, tokenizer, text.vocab_size))
    module, report = read(card, LlavaForConditionalGeneration, folder, device, dtype, config=config, key_mapping=NAMES)
    lacking = {*report["missing_keys"], *report["mismatched_keys"]}
    if beside:
        module.model.vision_tower = _tower(card, beside, device, dtype)
        lacking = {name for name in lacking if not str(name).startswith("model.vision_tower.")}
    refuse_missing(card, folder, module, lacking)
    refuse_left_over(card, folder, report["unexpected_keys"])
    return speaking(card, module, _processor(config, tokenizer, template))


def _stored(card: ModelCard, folder: Path) -> dict[str, list[int]]:
    try:
        return shapes(weight_files(folder))
    except (OSError, ValueError, RuntimeError, SafetensorError, UnpicklingError) as error:
        raise BrokenModel(f"{card.name}: weights in {folder} cannot be read ({first_line(error)}); fetch them again") from error


def _own_config(card: ModelCard, folder: Path, layouts: Collection[str]) -> dict[str, Any]:
    try:
        own: dict[str, Any] = ABSENT | json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError) as error:
        raise BrokenModel(f"{card.name}: {folder} has no readable config.json: {first_line(error)}") from error
    if own.get("model_type") not in layouts:
        wanted = " or ".join(map(repr, sorted(layouts)))
        raise BrokenModel(f"{card.name}: the model in {folder} is {own.get('model_type')!r}, not {wanted}")
    for key, value in EXPECTED.items():
        if own[key] != value:
            raise BrokenModel(f"{card.name}: {folder} has {key} = {own[key]!r}; only {value!r} can be converted")
    if (feature := own["mm_vision_select_feature"]) not in FEATURES:
        known = " or ".join(map(repr, FEATURES))
        raise BrokenModel(f"{card.name}: {folder} has mm_vision_select_feature = {feature!r}; only {known} can be converted")
    if "mm_vision_select_layer" not in own:
        raise BrokenModel(
            f"{card.name}: config.json in {folder} does not say which layer of the image tower is read (mm_vision_select_layer)"
        )
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


def _clip(stored: Mapping[str, Sequence[int]]) -> Any:
    """The config of the image tower in a checkpoint, by the shapes of its weights.

    All of OpenAI's vision transformers have heads of 64 (Radford et al. 2021, table 20), and `CLIPVisionConfig` describes the
    rest of them by default.
    """
    from transformers import CLIPVisionConfig

    width, channels, patch, _ = stored[f"{TOWER}embeddings.patch_embedding.weight"]
    places, _ = stored[f"{TOWER}embeddings.position_embedding.weight"]
    layers = numbered(stored, rf"{re.escape(TOWER)}encoder\.layers\.(\d+)\..*")
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=stored[f"{TOWER}encoder.layers.0.mlp.fc1.weight"][0],
        num_hidden_layers=len(layers),
        num_attention_heads=width // 64,
        num_channels=channels,
        image_size=patch * isqrt(places - 1),
        patch_size=patch,
    )


def _beside(card: ModelCard, folder: Path, name: str) -> Path:
    if not name:
        raise BrokenModel(
            f"{card.name}: {folder} has no image tower among its weights, and its config.json names none (mm_vision_tower)"
        )
    return place(card, folder, name)


def _described(card: ModelCard, tower: Path) -> Any:
    """As its own config.json says; where it is none, or another model's, the library would make up what shapes do not tell."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(tower, local_files_only=True)
    except Exception as error:  # transformers raises errors of several libraries; each means it cannot read it
        raise BrokenModel(f"{card.name}: its image tower in {tower} has no usable config.json: {first_line(error)}") from error
    vision = getattr(config, "vision_config", config)
    if vision.model_type != "clip_vision_model":
        raise BrokenModel(f"{card.name}: its image tower in {tower} is a {config.model_type}; only CLIP's can be converted")
    return vision


def _seeing(tower: Path) -> dict[str, list[int]]:
    """Shapes of the image tower's weights, of a file that may hold CLIP's text tower too."""
    return {name: shape for name, shape in shapes(weight_files(tower)).items() if name.startswith("vision_model.")}


def _tower(card: ModelCard, folder: Path, device: str, dtype: str) -> Any:
    """The image tower of a directory that may hold CLIP's text tower too."""
    from transformers import CLIPVisionModel

    module, report = read(card, CLIPVisionModel, folder, device, dtype)
    refuse_missing(card, folder, module, [*report["missing_keys"], *report["mismatched_keys"]])
    refuse_left_over(card, folder, [name for name in report["unexpected_keys"] if not name.startswith(READING)])
    return module


def _tokenizer(card: ModelCard, folder: Path, config: Any) -> Any:
    tokenizer = load_tokenizer(card, folder, config)
    tokenizer.pad_token = tokenizer.eos_token  # as their own code has it; the unknown token may stand for images here
    return tokenizer


def _image_token(card: ModelCard, tokenizer: Any, rows: int) -> int:
    """A token that the tokenizer never writes and that can stand for an image, whose embedding is never read.

    None is added to the vocabulary, as its rows of the embedding and the output would be made up. Where the embedding has rows
    without a token, the first of them is free, else the unknown token of a tokenizer that falls back to bytes.

    Raises:
        BrokenModel: no token is free.
    """
    free: int | None = len(tokenizer) if len(tokenizer) < rows else tokenizer.unk_token_id
    if free is None or free in (tokenizer.eos_token_id, tokenizer.bos_token_id):
        raise BrokenModel(f"{card.name}: its vocabulary of {rows} has no token that could stand for an image")
    return free


def _processor(config: Any, tokenizer: Any, template: str) -> Spliced:
    """Pads images whatever `image_aspect_ratio` says, as HuatuoGPT-Vision's code does; LLaVA-Med's says it."""
    from transformers import LlavaImageProcessor

    side, patch = config.vision_config.image_size, config.vision_config.patch_size
    places = (side // patch) ** 2 + (config.vision_feature_select_strategy == "full")
    squares = LlavaImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}, do_pad=True)
    return Spliced(tokenizer, squares, template, config.image_token_index, places)
