"""How the pocket models are built: tokenizer, processors and untrained networks, all of them plain transformers."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPVisionModel,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

PAD, START, IMAGE, END = "<pad>", "<s>", "<image>", "</s>"
"""Special tokens in the order of their numbers; CLIPTextModel misreads an end token of number 2, so another has it."""
SIDE, PATCH = 64, 8
PATCHES = (SIDE // PATCH) ** 2
CHAT = (
    "{% for message in messages %}{{ message['role'].upper() }}:"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %} <image>{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}"
    "{{ ('\\n' if message['role'] == 'user' else ' ') + part['text'] }}{% endif %}{% endfor %}"
    "{{ ' ' if message['role'] == 'user' else '</s>' }}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
"""In the style of llava-1.5: USER: <image>, a line with the question, ASSISTANT:"""


def tokenizer(texts: Iterable[str], closing: bool, size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer learned from texts; any text tokenises. `closing` puts the end token after a text."""
    bpe = Tokenizer(models.BPE())
    # With a space before the first word an answer tokenises alone as it does after "ASSISTANT:".
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = [PAD, START, IMAGE, END]
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator(texts, trainer)
    pieces = f"{START} $A {END}" if closing else f"{START} $A"
    marks = [(token, bpe.token_to_id(token)) for token in (START, END)]
    bpe.post_processor = processors.TemplateProcessing(single=pieces, special_tokens=marks)
    length = SIDE if closing else 512
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=PAD, bos_token=START, eos_token=END, model_max_length=length, padding_side="right"
    )


def image_processor() -> CLIPImageProcessor:
    """Shorter side to 64 pixels, the middle square, values from -1 to 1."""
    middle = [0.5, 0.5, 0.5]
    return CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, image_mean=middle, image_std=middle
    )


def clip_processor(words: PreTrainedTokenizerFast) -> CLIPProcessor:
    """Images and texts for a dual encoder."""
    return CLIPProcessor(image_processor(), words)


def llava_processor(words: PreTrainedTokenizerFast) -> LlavaProcessor:
    """Images and dialogues for a generator."""
    return LlavaProcessor(
        image_processor(),
        words,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )


def _numbers(words: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {"pad_token_id": words.pad_token_id, "bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id}


def clip(words: PreTrainedTokenizerFast) -> CLIPModel:
    """An untrained dual encoder of about 1.1 million parameters."""
    vision = {
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": PATCH,
    }
    text = {
        "vocab_size": len(words),
        "hidden_size": 96,
        "intermediate_size": 384,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": words.model_max_length,
        **_numbers(words),
    }
    return CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=64))


def llava(words: PreTrainedTokenizerFast, tower: Path) -> LlavaForConditionalGeneration:
    """A generator with the trained image tower of a CLIP directory, an untrained projector and language model."""
    eyes = CLIPVisionModel.from_pretrained(tower, dtype=torch.float32)
    eyes.config.name_or_path = ""  # where the tower lay is of no use to whoever loads the generator
    speech = LlamaConfig(
        vocab_size=len(words),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=2,
        max_position_embeddings=words.model_max_length,
        initializer_range=128**-0.5,  # the usual 0.02 suits width 2500: a rare word could be neither read nor said
        tie_word_embeddings=True,
        **_numbers(words),
    )
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=eyes.config,
            text_config=speech,
            image_token_index=words.get_vocab()[IMAGE],
            image_seq_length=PATCHES,
            tie_word_embeddings=True,
            **_numbers(words),
        )
    )
    model.model.vision_tower.load_state_dict(eyes.state_dict())
    return model


@torch.no_grad()
def calibrate(model: LlavaForConditionalGeneration, pixels: torch.Tensor) -> None:
    """Start the projector so that the patches of these images reach it with mean 0 and deviation 1 in every direction.

    What all patches have in common then does not drown what tells them apart.
    """
    seen = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[model.config.vision_feature_layer]
    patches, first = seen[:, 1:].flatten(0, 1), model.model.multi_modal_projector.linear_1
    torch.nn.init.normal_(first.weight, std=first.in_features**-0.5)
    first.weight /= patches.std(dim=0)
    first.bias.copy_(-first.weight @ patches.mean(dim=0))


def save(folder: Path, model: Any, processor: Any, card: str) -> None:
    """A directory as `save_pretrained` makes it, in half precision, with its card."""
    shutil.rmtree(folder, ignore_errors=True)
    model.half().save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    (folder / "README.md").write_text(card, encoding="utf-8")
