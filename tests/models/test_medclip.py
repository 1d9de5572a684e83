"""MedCLIP's file as its package writes it, against the towers that it was written from."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor

from medrival.errors import BrokenModel, OutOfMemory
from medrival.models import placement
from medrival.models.medclip import DEVIATION, MEAN, medclip
from tests.models.miniature_dual_encoders import (
    TEXTS,
    bert_tokenizer,
    bert_tower,
    images,
    mixed_images,
    save_medclip,
    swin_tower,
)


@pytest.fixture
def folder(tmp_path):
    save_medclip(tmp_path)
    return tmp_path


@pytest.fixture
def load(rows, folder):
    return lambda: medclip(rows.models["pocket-clip"], folder, "cpu", "float32")


def test_features_are_those_of_the_towers_that_the_file_holds(load, folder):
    model, file = load(), torch.load(folder / "pytorch_model.bin")
    words, swin, bert = bert_tokenizer(folder), swin_tower(), bert_tower(bert_tokenizer(folder))
    with torch.inference_mode():
        pixels = model.prepare(mixed_images())
        seen = swin(pixels).pooler_output @ file["vision_model.projection_head.weight"].T
        torch.testing.assert_close(model.image_features(pixels), seen)
        for text, features in zip(TEXTS, model.text_features(TEXTS), strict=True):
            layers = bert(**words(text, return_tensors="pt"), output_hidden_states=True).hidden_states
            mean = torch.stack([layers[1], layers[2], layers[-1]]).mean(dim=(0, 2))
            torch.testing.assert_close(features, (mean @ file["text_model.projection_head.weight"].T)[0])


def test_the_scale_is_at_most_100_as_in_the_package(load):
    assert load().scale == pytest.approx(100, rel=1e-4)


def test_images_are_grey_in_a_black_square_at_least_as_large_as_the_model_sees(load):
    (pixels,) = load().prepare([Image.new("RGB", (100, 50), "white")])
    white, black = (1 - MEAN) / DEVIATION, -MEAN / DEVIATION
    expected = torch.full((3, 224, 224), black)
    expected[:, 87:137, 62:162] = white
    torch.testing.assert_close(pixels, expected)


def test_larger_images_are_resized_as_transformers_does(load):
    picture = images((300, 260))[0]
    square = Image.new("L", (300, 300))
    square.paste(picture.convert("L"), (0, 20))
    own = CLIPImageProcessor(image_mean=[MEAN] * 3, image_std=[DEVIATION] * 3, size={"shortest_edge": 224})
    expected = own(square.convert("RGB"), return_tensors="pt")["pixel_values"]
    (pixels,) = load().prepare([picture])
    assert (pixels - expected[0]).abs().max() < 2 / 255 / DEVIATION
    assert np.ptp(pixels.numpy()) > 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("vision_model.projection_head.weight"), "has no weights vision_model.projection_head.weight"),
        (lambda w: w.pop("text_model.model.encoder.layer.0.output.dense.bias"), "1 missing weights of its BertModel"),
        (lambda w: w.update({"vision_model.model.extra": torch.ones(2)}), "1 unexpected weights of its SwinModel"),
        (lambda w: w.update({"elsewhere": torch.ones(2)}), "belong nowhere, such as elsewhere"),
        (lambda w: w.pop("vision_model.model.embeddings.patch_embeddings.projection.weight"), "not those of a Swin"),
        (lambda w: w.update({"vision_model.model.layernorm.weight": torch.ones(2)}), "not those of its SwinModel"),
    ],
)
def test_every_weight_has_its_place_and_none_is_made_up(load, folder, change, message):
    weights = torch.load(folder / "pytorch_model.bin")
    change(weights)
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(BrokenModel, match=message):
        load()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "config.json", "vocab.txt"])
def test_a_missing_file_is_named(load, folder, name):
    (folder / name).unlink()
    with pytest.raises(BrokenModel, match=f"lacks {name}"):
        load()


def test_a_vocabulary_that_knows_no_words_is_refused_as_every_text_would_be_the_same(load, folder):
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n404: Not Found\n")
    with pytest.raises(BrokenModel, match="has no usable tokenizer: it does not know the words 'a' and 'the'"):
        load()


def test_a_damaged_file_is_one_message(load, folder):
    file = folder / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(BrokenModel, match=r"pytorch_model.bin is .*damaged"):
        load()


def test_4_bits_are_refused_before_anything_is_loaded(rows, tmp_path):
    with pytest.raises(BrokenModel, match="4bit is for models that transformers loads"):
        medclip(rows.models["pocket-clip"], tmp_path, "cpu", "4bit")


def test_a_model_for_which_there_is_no_room_says_so_before_it_is_read(load, folder, monkeypatch):
    needed = 4 * sum(weight.numel() for weight in torch.load(folder / "pytorch_model.bin").values())
    monkeypatch.setattr(placement, "free", lambda _: {"cpu": needed})
    assert load()
    monkeypatch.setattr(placement, "free", lambda _: {"cpu": needed - 1})
    monkeypatch.setattr("medrival.models.own_layout._read", None)  # would fail if it were called
    with pytest.raises(
        OutOfMemory, match=r"pocket-clip: its weights take .* GB in float32, and .* GB are free on cpu; .*bfloat16"
    ):
        load()
