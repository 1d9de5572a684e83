"""Miniatures of the generators' true architectures: random weights, true classes, saved in the layout that the hub serves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel

TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
CROP = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}"
    "{% if c.type == 'image' %}PLACE{% else %}{{ c.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """One architecture.

    Attributes:
        build: makes config and processor.
        adapted: the parts that hold its language model and its projector.
        end: the token that closes an answer.
    """

    build: Callable[[], tuple[Any, Any]]
    adapted: tuple[str, ...]
    end: str


def save(family: Family, folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    """Config, weights, tokenizer and processor in a folder; weights so spread that answers depend on what was shown."""
    config, processor = family.build()
    model = spread(hf.AutoModelForImageTextToText.from_config(config))
    end = processor.tokenizer.convert_tokens_to_ids(family.end)
    model.generation_config = hf.GenerationConfig(eos_token_id=[end], do_sample=True, temperature=3.0, repetition_penalty=5.0)
    model.to(dtype).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def spread(model: torch.nn.Module) -> torch.nn.Module:
    """Random weights by a seed, larger than untrained ones."""
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.05 if "embed_tokens" in name else 0.15)
        elif "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return model


def pictures(count: int) -> list[Image.Image]:
    """Pictures of unlike sizes and contents."""
    rng = np.random.default_rng(1)
    sizes = [(24 + 9 * i, 60 - 5 * i) for i in range(count)]
    return [Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in sizes]


def llava() -> tuple[Any, Any]:
    words = llama_words(("<image>",))
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**VISION, image_size=16, patch_size=8),
        text_config=hf.LlamaConfig(**TEXT, **ids(words)),
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    template = (
        "{% for m in messages %}{{ m.role.upper() }}: {% for c in m.content %}"
        "{% if c.type == 'image' %}<image>\n{% endif %}{% endfor %}{% for c in m.content %}"
        "{% if c.type == 'text' %}{{ c.text + ' ' }}{% endif %}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    )
    return config, hf.LlavaProcessor(
        hf.CLIPImageProcessor(**CROP),
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )


def llava_on_a_line() -> tuple[Any, Any]:
    """Its template begins an answer with a line break, which its tokenizer merges with some letters."""
    config, processor = llava()
    vocabulary = byte_fallback(("<unk>", "<s>", "</s>", "<pad>"))
    known = {word: len(vocabulary) + i for i, word in enumerate(("\n", "\nA", "\ny"))}
    named = {"pad_token": "<pad>", "extra_special_tokens": ["<image>"]}
    words = hf.LlamaTokenizer(vocab=vocabulary | known, merges=[("\n", "A"), ("\n", "y")], padding_side="right", **named)
    processor.tokenizer, processor.image_token_id = words, words.convert_tokens_to_ids("<image>")
    processor.chat_template = (
        "{% for m in messages %}{{ m.role.upper() }}:\n{% for c in m.content %}"
        "{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}{% endfor %}</s>{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    )
    config.image_token_index = config.image_token_id = processor.image_token_id
    config.text_config.vocab_size = len(words)
    return config, processor


def llava_next() -> tuple[Any, Any]:
    words, grid = llama_words(("<image>",)), [[16, 32], [32, 16], [32, 32]]
    config = hf.LlavaNextConfig(
        vision_config=hf.CLIPVisionConfig(**VISION, image_size=16, patch_size=8),
        text_config=hf.MistralConfig(**TEXT, **ids(words)),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grid,
    )
    template = (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {% for c in m.content %}"
        "{% if c.type == 'image' %}<image>\n{% else %}{{ c.text }}{% endif %}{% endfor %} [/INST]"
        "{% else %} {{ m.content[0].text }}{{ eos_token }}{% endif %}{% endfor %}"
    )
    return config, hf.LlavaNextProcessor(
        hf.LlavaNextImageProcessor(**CROP, image_grid_pinpoints=grid),
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )


def qwen2_vl() -> tuple[Any, Any]:
    words = qwen_words()
    config = hf.Qwen2VLConfig(
        vision_config={"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2, "patch_size": 4},
        text_config={**TEXT, **ids(words), "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]}},
        **qwen_ids(words),
    )
    return config, hf.Qwen2VLProcessor(
        hf.Qwen2VLImageProcessor(**QWEN_PIXELS), words, hf.Qwen2VLVideoProcessor(), chat_template=chatml(QWEN_PLACE)
    )


def qwen2_5_vl() -> tuple[Any, Any]:
    words = qwen_words()
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 4, "out_hidden_size": 32}
    config = hf.Qwen2_5_VLConfig(
        vision_config={**vision, "window_size": 16, "fullatt_block_indexes": [1]},
        text_config={**TEXT, **ids(words), "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]}},
        **qwen_ids(words),
    )
    return config, hf.Qwen2_5_VLProcessor(
        hf.Qwen2VLImageProcessor(**QWEN_PIXELS), words, hf.Qwen2VLVideoProcessor(), chat_template=chatml(QWEN_PLACE)
    )


def qwen3_vl() -> tuple[Any, Any]:
    words = qwen_words()
    vision = {"depth": 3, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 4, "out_hidden_size": 32}
    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    config = hf.Qwen3VLConfig(
        vision_config={**vision, "num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]},
        text_config={**TEXT, **ids(words), "num_hidden_layers": 3, "head_dim": 16, "rope_parameters": rope},
        **qwen_ids(words),
    )
    return config, hf.Qwen3VLProcessor(
        hf.Qwen2VLImageProcessor(**QWEN_PIXELS), words, hf.Qwen3VLVideoProcessor(), chat_template=chatml(QWEN_PLACE)
    )


def internvl() -> tuple[Any, Any]:
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    words = qwen_words(named)
    config = hf.InternVLConfig(
        vision_config={**VISION, "image_size": 16, "patch_size": 4},
        text_config=hf.Qwen2Config(**TEXT, **ids(words)),
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    return config, hf.InternVLProcessor(
        hf.GotOcr2ImageProcessor(size={"height": 16, "width": 16}, crop_to_patches=True, max_patches=4),
        words,
        hf.InternVLVideoProcessor(),
        image_seq_length=4,
        chat_template=chatml("<IMG_CONTEXT>\n"),
    )


def gemma3() -> tuple[Any, Any]:
    named = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    start = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
    words = hf.GemmaTokenizer(
        vocab=byte_fallback(start),
        extra_special_tokens=["<start_of_turn>", "<end_of_turn>"],
        model_specific_special_tokens=named,
        padding_side="right",
    )
    config = hf.Gemma3Config(
        vision_config=hf.SiglipVisionConfig(**VISION, image_size=16, patch_size=4),
        text_config={**TEXT, **ids(words), "head_dim": 16, "sliding_window": 32, "sliding_window_pattern": 2},
        mm_tokens_per_image=4,
        image_token_index=words.convert_tokens_to_ids(named["image_token"]),
        boi_token_index=words.convert_tokens_to_ids(named["boi_token"]),
        eoi_token_index=words.convert_tokens_to_ids(named["eoi_token"]),
    )
    template = (
        "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
        "{% for c in m.content %}{% if c.type == 'image' %}<start_of_image>{% else %}{{ c.text | trim }}{% endif %}{% endfor %}"
        "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    )
    return config, hf.Gemma3Processor(
        hf.Gemma3ImageProcessor(size={"height": 16, "width": 16}), words, chat_template=template, image_seq_length=4
    )


def paligemma() -> tuple[Any, Any]:
    """It has no chat template; its processor puts the start token behind the images, and marks prompts by types."""
    start = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
    words = hf.GemmaTokenizer(vocab=byte_fallback(start), padding_side="right")
    seen = hf.SiglipImageProcessor(size={"height": 16, "width": 16}, image_seq_length=4)
    processor = hf.PaliGemmaProcessor(seen, words)
    config = hf.PaliGemmaConfig(
        vision_config=hf.SiglipVisionConfig(**VISION, image_size=16, patch_size=8, projection_dim=32),
        text_config=hf.GemmaConfig(**TEXT, **ids(words), head_dim=16),
        image_token_index=processor.image_token_id,
        projection_dim=32,
    )
    return config, processor


def smol(kind: Any) -> tuple[Any, Any]:
    """Idefics3, which the first SmolVLM is, or SmolVLM 2, whose own processor does the same and needs a package for videos."""
    words = gpt2_words()
    config = kind(
        vision_config={**VISION, "image_size": 16, "patch_size": 4},
        text_config=hf.LlamaConfig(**TEXT, **ids(words)),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    return config, hf.Idefics3Processor(
        hf.Idefics3ImageProcessor(**SMOL_PIXELS), words, image_seq_len=4, chat_template=SMOL_TEMPLATE
    )


FAMILIES = {
    "llava": Family(llava, ("model.language_model", "model.multi_modal_projector"), "</s>"),
    "llava-on-a-line": Family(llava_on_a_line, ("model.language_model", "model.multi_modal_projector"), "</s>"),
    "llava-next": Family(llava_next, ("model.language_model", "model.multi_modal_projector"), "</s>"),
    "qwen2-vl": Family(qwen2_vl, ("model.language_model", "model.visual.merger"), "<|im_end|>"),
    "qwen2.5-vl": Family(qwen2_5_vl, ("model.language_model", "model.visual.merger"), "<|im_end|>"),
    "qwen3-vl": Family(
        qwen3_vl, ("model.language_model", "model.visual.merger", "model.visual.deepstack_merger_list"), "<|im_end|>"
    ),
    "internvl3": Family(internvl, ("model.language_model", "model.multi_modal_projector"), "<|im_end|>"),
    "gemma3": Family(gemma3, ("model.language_model",), "<end_of_turn>"),
    "idefics3": Family(partial(smol, hf.Idefics3Config), ("model.text_model", "model.connector"), "<end_of_utterance>"),
    "smolvlm": Family(partial(smol, hf.SmolVLMConfig), ("model.text_model", "model.connector"), "<end_of_utterance>"),
}

QWEN_PLACE = "<|vision_start|><|image_pad|><|vision_end|>"
MERGES = [("Ġ", "A"), ("Ġ", "y")]
"""A reply behind a space begins with another token than one that stands alone."""
QWEN_PIXELS = {"patch_size": 4, "merge_size": 2, "size": {"shortest_edge": 16 * 16, "longest_edge": 32 * 32}}
SMOL_PIXELS = {"size": {"longest_edge": 32}, "max_image_size": {"longest_edge": 16}}
SMOL_TEMPLATE = (
    "<|im_start|>{% for m in messages %}{{ m.role | capitalize }}{% if m.content[0].type == 'image' %}:{% else %}: {% endif %}"
    "{% for c in m.content %}{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def chatml(place: str) -> str:
    return CHATML.replace("PLACE", place)


def byte_fallback(first: tuple[str, ...]) -> dict[str, int]:
    """A vocabulary of single letters, and of bytes for everything else."""
    written = "▁ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:?()[]/"
    return {word: i for i, word in enumerate([*first, *(f"<0x{byte:02X}>" for byte in range(256)), *written])}


def llama_words(special: tuple[str, ...] = (), start: bool = False) -> Any:
    """`start`: whether every text begins with the start token."""
    vocabulary = byte_fallback(("<unk>", "<s>", "</s>", "<pad>"))
    named = {"pad_token": "<pad>", "extra_special_tokens": list(special), "add_bos_token": start}
    return hf.LlamaTokenizer(vocab=vocabulary, padding_side="right", **named)


def qwen_words(named: dict[str, str] | None = None) -> Any:
    special = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    ends = {"eos_token": "<|im_end|>", "extra_special_tokens": special, "model_specific_special_tokens": named or {}}
    return hf.Qwen2Tokenizer(vocab=letters(), merges=MERGES, padding_side="right", **ends)


def gpt2_words() -> Any:
    special = ["<|im_start|>", "<end_of_utterance>", "<fake_token_around_image>", "<image>", "<global-img>"]
    tiles = [f"<row_{i + 1}_col_{j + 1}>" for i in range(6) for j in range(6)]
    ends = {"bos_token": "<|im_start|>", "eos_token": "<end_of_utterance>", "pad_token": "<|im_end|>"}
    return hf.GPT2Tokenizer(
        vocab=letters(), merges=MERGES, padding_side="right", extra_special_tokens=[*special, *tiles], **ends
    )


def letters() -> dict[str, int]:
    """A vocabulary of the letters by which byte-level tokenizers write bytes, and of what is merged of them."""
    return {word: i for i, word in enumerate([*sorted(ByteLevel.alphabet()), *map("".join, MERGES)])}


def ids(words: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(words),
        "max_position_embeddings": 1024,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }


def qwen_ids(words: Any) -> dict[str, int]:
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {key: words.convert_tokens_to_ids(token) for key, token in names.items()}
