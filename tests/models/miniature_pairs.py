"""Miniatures of every further architecture of transformers that compares images with texts, as `save_pretrained` writes them.

An image tower and a text tower each: seeded random weights, the architecture's own classes of configuration, network, tokenizer
and processor.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers

from medrival.models import pocket
from tests.models.miniature_dual_encoders import LETTERS, SMALL, SQUARE, VISION, bert_tokenizer, random_weights

LENGTH = 90
"""Positions of a text tower, of which RoBERTa and its kin use the first two for none."""


def clip_words() -> Any:
    return transformers.AutoProcessor.from_pretrained(Path(pocket.__path__[0]) / "clip").tokenizer


def roberta_words() -> Any:
    """XLM-RoBERTa's own class, which says no length; its vocabulary is of single characters, its padding the second token."""
    marks = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = [letter for letter in LETTERS if not letter.startswith("<") or letter == "<"]
    return transformers.XLMRobertaTokenizer(vocab=[(piece, -1.0) for piece in [*marks, *letters]])


def text(words: Any, **settings: Any) -> dict[str, Any]:
    ends = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    return {**SMALL, "vocab_size": len(words), "max_position_embeddings": LENGTH, **ends, **settings}


def save_pair(folder: Path, network: type, config: Any, shown: Any, words: Any, processor: str) -> None:
    random_weights(network(config)).save_pretrained(folder)
    getattr(transformers, processor)(shown, words).save_pretrained(folder)


def save_align(folder: Path, projection: int = 32) -> None:
    words = bert_tokenizer(folder)
    blocks = {"kernel_sizes": [3, 3, 5], "in_channels": [32, 16, 24], "out_channels": [16, 24, 30], "strides": [1, 1, 2]}
    vision = {**blocks, "num_block_repeats": [1, 1, 2], "expand_ratios": [1, 6, 6], "image_size": 32, "hidden_dim": 32}
    sizes = {"width_coefficient": 1.0, "depth_coefficient": 1.0, "depth_divisor": 8}
    config = transformers.AlignConfig(
        text_config=text(words, max_position_embeddings=80),
        vision_config=vision | sizes,
        projection_dim=projection,
        temperature_init_value=0.05,
    )
    shown = transformers.EfficientNetImageProcessor(size=SQUARE)
    save_pair(folder, transformers.AlignModel, config, shown, words, "AlignProcessor")


def save_alt_clip(folder: Path) -> None:
    words = roberta_words()
    config = transformers.AltCLIPConfig(text_config=text(words, project_dim=24), vision_config=VISION, projection_dim=16)
    save_pair(folder, transformers.AltCLIPModel, config, square_clip(), words, "AltCLIPProcessor")


def save_aimv2(folder: Path) -> None:
    """With a learned scale beyond the limit that its configuration sets."""
    words = clip_words()
    config = transformers.Aimv2Config(text_config=text(words), vision_config=VISION, projection_dim=24, max_logit_scale=10.0)
    save_pair(folder, transformers.Aimv2Model, config, square_clip(), words, "CLIPProcessor")


def save_blip_pair(folder: Path) -> None:
    words = bert_tokenizer(folder)
    ends = {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
    config = transformers.BlipConfig(text_config=text(words, **ends), vision_config=VISION, projection_dim=24)
    shown = transformers.BlipImageProcessor(size=SQUARE)
    save_pair(folder, transformers.BlipModel, config, shown, words, "BlipProcessor")


def save_chinese_clip(folder: Path) -> None:
    words = bert_tokenizer(folder)
    config = transformers.ChineseCLIPConfig(text_config=text(words), vision_config=VISION, projection_dim=24)
    shown = transformers.ChineseCLIPImageProcessor(size=SQUARE, crop_size=SQUARE)
    save_pair(folder, transformers.ChineseCLIPModel, config, shown, words, "ChineseCLIPProcessor")


def save_clipseg(folder: Path) -> None:
    words = clip_words()
    config = transformers.CLIPSegConfig(text_config=text(words), vision_config=VISION, projection_dim=24)
    shown = transformers.ViTImageProcessor(size=SQUARE)
    save_pair(folder, transformers.CLIPSegModel, config, shown, words, "CLIPSegProcessor")


def flava_config(words: Any) -> Any:
    return transformers.FlavaConfig(
        text_config=text(words),
        image_config={**VISION, "vocab_size": 16},
        multimodal_config={**SMALL, "num_hidden_layers": 1},
        image_codebook_config={"hidden_size": 8, "num_groups": 1, "vocab_size": 16},
        hidden_size=32,
        projection_dim=24,
    )


def save_flava(folder: Path, network: str = "FlavaForPreTraining") -> None:
    """With the heads and the codebook of its pretraining, as facebook/flava-full."""
    words = bert_tokenizer(folder)
    shown = transformers.FlavaImageProcessor(size=SQUARE, crop_size=SQUARE)
    save_pair(folder, getattr(transformers, network), flava_config(words), shown, words, "FlavaProcessor")


def save_flava_alone(folder: Path) -> None:
    save_flava(folder, "FlavaModel")


def save_group_vit(folder: Path) -> None:
    words = clip_words()
    groups = {"depths": [1, 1, 1], "num_group_tokens": [6, 4, 0], "num_output_groups": [6, 4, 4]}
    config = transformers.GroupViTConfig(
        text_config=text(words), vision_config={**VISION, **groups}, projection_dim=24, projection_intermediate_dim=32
    )
    save_pair(folder, transformers.GroupViTModel, config, square_clip(), words, "CLIPProcessor")


def save_metaclip2(folder: Path) -> None:
    words = roberta_words()
    config = transformers.MetaClip2Config(text_config=text(words), vision_config=VISION, projection_dim=24)
    save_pair(folder, transformers.MetaClip2Model, config, square_clip(), words, "CLIPProcessor")


def save_owl(folder: Path, kind: str) -> None:
    """OWL-ViT or OWLv2 without a detector, whose texts have 16 tokens."""
    words = clip_words()
    words.model_max_length = 16
    config = getattr(transformers, f"{kind}Config")(
        text_config=text(words, max_position_embeddings=16), vision_config=VISION, projection_dim=24
    )
    shown = getattr(transformers, f"{kind}ImageProcessor")(size=SQUARE)
    save_pair(folder, getattr(transformers, f"{kind}Model"), config, shown, words, f"{kind}Processor")


def save_tipsv2(folder: Path) -> None:
    """Without its temperature, which the published checkpoints lack: it is in the configuration."""
    words = transformers.Tipsv2Tokenizer(vocab={letter: i for i, letter in enumerate(["<pad>", "<unk>", *list(LETTERS)[5:]])})
    config = transformers.Tipsv2Config(
        text_config=text(words, max_position_embeddings=64),
        vision_config={**SMALL, "image_size": 32, "patch_size": 8, "mlp_ratio": 2},
        temperature_init_value=0.02,
    )
    network = random_weights(transformers.Tipsv2Model(config))
    kept = {name: weight for name, weight in network.state_dict().items() if name != "temperature"}
    network.save_pretrained(folder, state_dict=kept)
    transformers.Tipsv2Processor(transformers.Tipsv2ImageProcessor(size=SQUARE), words).save_pretrained(folder)


def save_vision_text(folder: Path, words: Any, reading: Any) -> None:
    """A vision transformer beside the text tower of a configuration."""
    config = transformers.VisionTextDualEncoderConfig.from_vision_text_configs(
        transformers.ViTConfig(**VISION), reading, projection_dim=24
    )
    shown = transformers.ViTImageProcessor(size=SQUARE)
    save_pair(folder, transformers.VisionTextDualEncoderModel, config, shown, words, "VisionTextDualEncoderProcessor")


def save_roberta(folder: Path) -> None:
    words = roberta_words()
    save_vision_text(folder, words, transformers.XLMRobertaConfig(**text(words)))


def square_clip() -> Any:
    return transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE)


PAIRS: dict[str, Callable[[Path], None]] = {
    "AIMv2": save_aimv2,
    "ALIGN": save_align,
    "AltCLIP": save_alt_clip,
    "BLIP without a head": save_blip_pair,
    "Chinese-CLIP": save_chinese_clip,
    "CLIPSeg": save_clipseg,
    "FLAVA": save_flava,
    "FLAVA without heads": save_flava_alone,
    "GroupViT": save_group_vit,
    "MetaCLIP 2": save_metaclip2,
    "OWL-ViT": lambda folder: save_owl(folder, "OwlViT"),
    "OWLv2": lambda folder: save_owl(folder, "Owlv2"),
    "TIPSv2": save_tipsv2,
    "ViT and RoBERTa": save_roberta,
}
"""What saves a miniature into a directory, by architecture."""
