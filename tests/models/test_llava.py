"""LLaVA as its own code asks it: HuatuoGPT-Vision's two layouts as LLaVA-Med's is tested, and LLaVA-1.5 with padded images."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoProcessor,
    CLIPImageProcessor,
    CLIPImageProcessorPil,
    GenerationConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    SiglipImageProcessor,
)

from medrival import catalog
from medrival.candidate import Claims, entered
from medrival.checks.generator import Library, check_generator
from medrival.errors import BrokenModel
from medrival.models import generator
from medrival.models.llava import padded
from medrival.models.llava_med import huatuogpt_vision
from medrival.weights import locate, settled
from tests.models.miniature_generators import FAMILIES, TEXT, ids, llama_words, pictures, qwen_words, save, spread
from tests.models.test_generator_battery import PROMPTS, library, questions
from tests.models.test_llava_med import IMAGE, OWN, VISION, original, pixels, reloaded, spliced, tokens_told, write


@dataclass(frozen=True)
class Layout:
    """One of HuatuoGPT-Vision's sizes.

    Attributes:
        text: the `model_type` of its language model.
        idle: how many rows its embedding has beyond the tokenizer's tokens.
    """

    text: str
    words: Callable[[], Any]
    idle: int = 0


LAYOUTS = {"llava_qwen2": Layout("qwen2", qwen_words, idle=3), "llava_llama": Layout("llama", llama_words)}


@dataclass(frozen=True)
class Published:
    """A miniature: transformers' own model, its tokenizer, and the folder that HuatuoGPT-Vision's code would have saved."""

    model: Any
    words: Any
    folder: Any


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Layout -> its miniature; each is saved once."""
    known = {}

    def make(layout):
        if layout not in known:
            known[layout] = _published(layout, tmp_path_factory.mktemp(layout))
        return known[layout]

    return make


def _published(layout, folder):
    kind, words = LAYOUTS[layout], LAYOUTS[layout].words()
    text = {**TEXT, **ids(words), "vocab_size": len(words) + kind.idle, "rope_theta": 1000000.0, "rms_norm_eps": 1e-05}
    config = LlavaConfig(
        vision_config={"model_type": "clip_vision_model", **VISION, **IMAGE},
        text_config=AutoConfig.for_model(kind.text, **text),
        image_token_index=len(words) if kind.idle else words.unk_token_id,
    )
    model = spread(LlavaForConditionalGeneration(config)).eval()
    model.generation_config = GenerationConfig(eos_token_id=words.eos_token_id, pad_token_id=words.eos_token_id)
    optional = ("mm_use_im_start_end", "mm_use_im_patch_token", "architectures")
    own = {key: value for key, value in OWN.items() if key not in optional}
    tower = {"mm_vision_tower": "./vit/clip_vit_large_patch14_336"}
    (folder / "config.json").write_text(json.dumps(own | tower | text | {"model_type": layout}))
    words.save_pretrained(folder)
    write(folder, {original(name): value.contiguous() for name, value in model.state_dict().items()})
    return Published(model, words, folder)


@pytest.fixture
def load(rows):
    """Loads a folder by an adapter."""
    return lambda adapter, folder, dtype="float32": adapter(
        replace(rows.models["pocket-llava"], name="mine"), folder, "cpu", dtype
    )


def asked(images, prompt):
    """The prompt of HuatuoGPT-Vision's cli.py."""
    places = "<image>\n" * len(images)
    return f"<|user|>\n{places}{prompt}\n<|assistant|>\n"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_huatuogpt_answers_as_the_native_model_into_which_images_are_spliced(published, load, layout):
    mine = published(layout)
    shown = [[*pictures(2)], *[[image] for image in pictures(4)[1:]]]
    with torch.inference_mode():
        embedded = [
            spliced(mine.model, mine.words, seen, asked(seen, prompt)) for seen, prompt in zip(shown, PROMPTS, strict=False)
        ]
        expected = [mine.model.generate(inputs_embeds=each, max_new_tokens=12, do_sample=False)[0] for each in embedded]
    expected = [mine.words.decode(tokens, skip_special_tokens=True).strip() for tokens in expected]
    assert load(huatuogpt_vision, mine.folder).answer(shown, PROMPTS[:4], 12) == expected
    assert len(set(expected)) > 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_huatuogpt_keeps_what_every_generator_promises(published, load, layout, tmp_path):
    mine = published(layout)

    def tokenize(reply):
        """Behind the line break that ends a prompt, where no space is put before a word."""
        before, whole = (mine.words(f"<|assistant|>\n{text}", add_special_tokens=False)["input_ids"] for text in ("", reply))
        return whole[len(before) :]

    own = Library(
        reloaded(mine.model, tmp_path),
        lambda images, prompt: tokens_told(mine.words, mine.model.config.image_token_id, images, asked(images, prompt)),
        tokenize=tokenize,
        decode=lambda tokens: mine.words.decode(tokens, skip_special_tokens=True),
        end=mine.words.eos_token_id,
        adapted=("model.language_model", "model.multi_modal_projector"),
    )
    check_generator(lambda dtype: load(huatuogpt_vision, mine.folder, dtype), own, questions())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_marks_in_a_question_show_no_image_and_end_nothing(published, load, layout):
    """Nor does the unknown token, which stands in the places of images where the vocabulary has no other."""
    mine = published(layout)
    model, shown = load(huatuogpt_vision, mine.folder), [[picture] for picture in pictures(2)]
    marks = ["<image>", mine.words.eos_token, mine.words.unk_token or "<image>"]
    hostile, broken = ([" ".join(said), "What?"] for said in (marks, [f"{mark[0]} {mark[1:]}" for mark in marks]))
    found, expected = (model.teach(shown, prompts, ["yes", "no"])["input_ids"] for prompts in (hostile, broken))
    assert torch.equal(found, expected)
    places = (found == mine.model.config.image_token_id).sum(dim=1)
    assert places[0] == places[1] > 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_weight_of_huatuogpt_finds_its_place(published, load, layout):
    mine = published(layout)
    found, expected = load(huatuogpt_vision, mine.folder).module.state_dict(), mine.model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize("rival", ["", "huatuogpt-vision-7b"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_candidate_of_the_layout_is_asked_in_no_prompt_by_guess(rows, published, layout, rival):
    """Nor in its rival's: a LLaVA of the same layout may be held against HuatuoGPT-Vision."""
    claims = Claims(kind="general", rival=rival)
    with pytest.raises(BrokenModel, match=f"each family of {layout} has a prompt of its own, and no file tells which it is"):
        entered(rows, [published(layout).folder], claims, None)


def test_the_row_that_the_refusal_asks_for_loads_such_a_candidate_in_its_prompt(rows, published, tmp_path):
    mine = published("llava_qwen2")
    with pytest.raises(BrokenModel) as refused:
        entered(rows, [mine.folder], Claims(), None)
    (adapter,) = re.findall(r"'(\S+)' where it is HuatuoGPT-Vision's", str(refused.value))
    row = {"kind": "medical", "type": "generator", "family": "mine", "adapter": adapter, "weights": str(mine.folder)}
    (tmp_path / "my.toml").write_text("\n".join(["[models.mine]", *(f'{key} = "{value}"' for key, value in row.items())]))
    card = catalog.load([tmp_path / "my.toml"]).models["mine"]
    model = catalog.imported(card.adapter)(settled(card, None), locate(card, None), "cpu", "float32")
    shown = pictures(1)
    told = tokens_told(mine.words, mine.model.config.image_token_id, shown, asked(shown, "What?"))["input_ids"][0]
    assert torch.equal(model.teach([shown], ["What?"], ["yes"])["input_ids"][0, : len(told)], told)


def squared(images, processor):
    """Images in the middle of squares of the mean colour, as LLaVA's `expand2square` has them."""
    squares = []
    for image in images:
        square = Image.new("RGB", (max(image.size),) * 2, tuple(int(255 * part) for part in processor.image_mean))
        square.paste(image, ((square.width - image.width) // 2, (square.height - image.height) // 2))
        squares.append(square)
    return squares


def test_llava_1_5_sees_what_pad_to_square_and_clips_processor_make_of_an_image(load, tmp_path):
    adapter, shown = load(padded, save(FAMILIES["llava"], tmp_path)), pictures(4)
    found = torch.cat([adapter.teach([[image]], ["What?"], ["yes"])["pixel_values"] for image in shown])
    clip = CLIPImageProcessorPil.from_pretrained(tmp_path)
    step = 1 / 255 / min(clip.image_std)  # Pillow and torch may round to neighbouring ones of 256 values
    expected, cropped = (clip(images=images, return_tensors="pt")["pixel_values"] for images in (squared(shown, clip), shown))
    torch.testing.assert_close(found, expected, rtol=0, atol=1.01 * step)
    assert (found - cropped).abs().max() > 10 * step


def test_llava_1_5_keeps_what_every_generator_promises_with_padded_images(load, tmp_path):
    cropping = library(save(FAMILIES["llava"], tmp_path), "llava")
    clip = CLIPImageProcessor.from_pretrained(tmp_path)
    padding = replace(cropping, inputs=lambda images, prompt: cropping.inputs(squared(images, clip), prompt))
    check_generator(lambda dtype: load(padded, tmp_path, dtype), padding, questions())


def test_a_llava_whose_processor_cuts_nothing_out_sees_what_that_shows(load, tmp_path):
    folder = save(FAMILIES["llava"], tmp_path)
    side = CLIPImageProcessor.from_pretrained(folder).crop_size["height"]
    processor = AutoProcessor.from_pretrained(folder)
    processor.image_processor = SiglipImageProcessor(size={"height": side, "width": side})
    processor.save_pretrained(folder)
    images = [[image] for image in pictures(4)]
    found = load(padded, folder).teach(images, ["What?"] * 4, ["yes"] * 4)["pixel_values"]
    expected = processor.image_processor([image for (image,) in images], return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_llava_1_5_and_llava_med_see_the_same_pixels(load, tmp_path):
    adapter, shown = load(padded, save(FAMILIES["llava"], tmp_path)), pictures(4)
    found = torch.cat([adapter.teach([[image]], ["What?"], ["yes"])["pixel_values"] for image in shown])
    torch.testing.assert_close(found, pixels(shown), rtol=0, atol=1e-6)


def test_padding_changes_nothing_but_the_pixels(load, tmp_path):
    save(FAMILIES["llava"], tmp_path)
    (one, other) = (
        load(adapter, tmp_path).teach([pictures(2)], ["What?"], ["yes"]) for adapter in (padded, generator.transformers)
    )
    assert all(torch.equal(one[name], other[name]) for name in ("input_ids", "attention_mask", "labels"))
    assert not torch.equal(one["pixel_values"], other["pixel_values"])
