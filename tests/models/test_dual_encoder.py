"""The dual encoder adapter against transformers' own forward pass, and against directories that hold no such model."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoProcessor, CLIPModel, SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

from medrival.errors import BrokenModel
from medrival.models import dual_encoder
from medrival.regimes.adapters import insert
from medrival.regimes.training import train
from medrival.weights import locate
from tests.models.miniature_dual_encoders import TEXTS as MIXED_TEXTS
from tests.models.miniature_dual_encoders import mixed_images, save_siglip, save_siglip2, save_siglip2_of_fixed_size

TEXTS = ["a chest radiograph showing clear lungs", "a red square", "x"]


def images(*sizes: tuple[int, int]) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in sizes]


@pytest.fixture
def checkpoint(rows, tmp_path):
    """A copy of pocket-clip that a test may damage."""
    return shutil.copytree(locate(rows.models["pocket-clip"], None), tmp_path / "checkpoint")


def load(rows, folder, dtype="float32"):
    return dual_encoder.transformers(rows.models["pocket-clip"], folder, "cpu", dtype)


def test_features_and_similarities_equal_the_librarys_own_forward(rows, pocket_clip):
    folder = locate(rows.models["pocket-clip"], None)
    own, processor = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval(), AutoProcessor.from_pretrained(folder)
    pictures = images((64, 64), (300, 100), (17, 90))
    with torch.inference_mode():
        expected = own(**processor(images=pictures, text=TEXTS, padding=True, return_tensors="pt"))
        image = pocket_clip.image_features(pocket_clip.prepare(pictures))
        text = pocket_clip.text_features(TEXTS)
    unit = torch.nn.functional.normalize
    torch.testing.assert_close(unit(image, dim=-1), expected.image_embeds)
    torch.testing.assert_close(unit(text, dim=-1), expected.text_embeds)
    torch.testing.assert_close(
        pocket_clip.scale * unit(image, dim=-1) @ unit(text, dim=-1).T, expected.logits_per_image, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("part", ["", "text_model."])
def test_weights_of_zero_give_every_text_the_same_features_and_are_refused(rows, checkpoint, part):
    file = checkpoint / "model.safetensors"
    weights = {name: torch.zeros_like(w) if name.startswith(part) else w for name, w in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(
        BrokenModel, match=r"pocket-clip: it gives every text the same features, such as 'a' and 'the'; weights"
    ):
        load(rows, checkpoint)


def test_a_batch_changes_no_sample_beyond_float_noise(pocket_clip):
    pictures = images(*[(64 + 9 * i, 80) for i in range(7)])
    with torch.inference_mode():
        together = pocket_clip.image_features(pocket_clip.prepare(pictures))
        alone = torch.cat([pocket_clip.image_features(pocket_clip.prepare([picture])) for picture in pictures])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_texts_longer_than_the_model_reads_are_cut(pocket_clip):
    with torch.inference_mode():
        assert torch.isfinite(pocket_clip.text_features(["lung " * 500, "lung"])).all()


def test_bfloat16_is_close_to_float32(rows):
    pictures = images((64, 64), (100, 64))
    features = []
    for dtype in ("float32", "bfloat16"):
        model = load(rows, locate(rows.models["pocket-clip"], None), dtype)
        with torch.inference_mode():
            features.append(model.image_features(model.prepare(pictures)).float())
    assert torch.nn.functional.cosine_similarity(*features).min() > 0.99


def test_a_loaded_model_is_in_evaluation_mode_and_frozen(pocket_clip):
    assert not any(module.training for module in pocket_clip.module.modules())
    assert not any(parameter.requires_grad for parameter in pocket_clip.module.parameters())


def test_lora_layers_are_all_linear_layers_of_the_image_tower_or_those_the_row_names(rows):
    folder = locate(rows.models["pocket-clip"], None)
    everything = load(rows, folder).lora
    assert len(everything) == 4 * 6
    named = dual_encoder.transformers(replace(rows.models["pocket-clip"], lora=r".*\.(q|v)_proj"), folder, "cpu", "float32")
    assert set(named.lora) == {name for name in everything if name.endswith(("q_proj", "v_proj"))}
    with pytest.raises(BrokenModel, match="lora = 'nothing' names no linear layer"):
        dual_encoder.transformers(replace(rows.models["pocket-clip"], lora="nothing"), folder, "cpu", "float32")


@pytest.fixture
def siglip(rows, tmp_path):
    """A miniature SigLIP with random weights, as a directory."""
    words = AutoProcessor.from_pretrained(locate(rows.models["pocket-clip"], None)).tokenizer
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = SiglipConfig(
        text_config={**shape, "vocab_size": len(words), "max_position_embeddings": 16, "projection_size": 32},
        vision_config={**shape, "image_size": 32, "patch_size": 8},
    )
    torch.manual_seed(0)
    SiglipModel(config).save_pretrained(tmp_path)
    SiglipProcessor(SiglipImageProcessor(size={"height": 32, "width": 32}), words).save_pretrained(tmp_path)
    return tmp_path, words


def test_lora_trains_every_adapter_of_siglip_whose_attention_pooling_has_none(rows, siglip, tmp_path):
    """`MultiheadAttention` never calls its output projection: an adapter there would receive no gradient."""
    model = load(rows, siglip[0])
    pixels = model.prepare(images(*[(40, 40)] * 16))
    adapters = insert(model.tower, model.lora, {"rank": 2, "alpha": 4}, seed=0)
    budget = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "weight_decay": 0.0, "warmup": 0.1, "max_grad_norm": 1.0}
    bench = SimpleNamespace(seed=0, device="cpu", checkpoints=tmp_path, progress=lambda items, _: items)
    train(adapters.parameters, 16, lambda b: model.image_features(pixels[b]).pow(2).mean(), lambda: 0.0, budget, bench)
    assert len(model.lora) == 2 * 6 + 2


def test_siglip_texts_are_padded_to_full_length_and_the_padding_is_attended_to_as_in_its_training(rows, siglip):
    tmp_path, words = siglip
    model = load(rows, tmp_path)
    own = SiglipModel.from_pretrained(tmp_path).eval()
    tokens = words(TEXTS[1:], padding="max_length", truncation=True, max_length=16, return_tensors="pt")
    with torch.inference_mode():
        assert not tokens["attention_mask"].all(), "the tokenizer makes a mask"
        expected = own.get_text_features(input_ids=tokens["input_ids"]).pooler_output
        torch.testing.assert_close(model.text_features(TEXTS[1:]), expected)
        torch.testing.assert_close(model.text_features(["x"])[0], model.text_features(TEXTS[1:])[1])
        assert model.image_features(model.prepare(images((40, 50)))).shape == (1, 32)


@pytest.mark.parametrize("save", [save_siglip, save_siglip2, save_siglip2_of_fixed_size])
def test_siglip_of_every_kind_equals_the_librarys_own_forward_of_lower_cased_texts(rows, tmp_path, save):
    save(tmp_path)
    model, own, processor = load(rows, tmp_path), AutoModel.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)
    words = processor.tokenizer([text.lower() for text in MIXED_TEXTS], padding="max_length", max_length=64, truncation=True)
    shown = processor.image_processor(images=mixed_images(), return_tensors="pt")
    with torch.inference_mode():
        expected = own.eval()(**shown, input_ids=torch.tensor(words["input_ids"]))
        image = torch.nn.functional.normalize(model.image_features(model.prepare(mixed_images())), dim=-1)
        text = torch.nn.functional.normalize(model.text_features(MIXED_TEXTS), dim=-1)
    torch.testing.assert_close(image, expected.image_embeds)
    torch.testing.assert_close(text, expected.text_embeds)


def test_siglip_2_of_native_size_sees_the_shape_of_an_image(rows, tmp_path):
    save_siglip2(tmp_path)
    model = load(rows, tmp_path)
    wide, high = images((64, 32), (32, 64))
    packed = model.prepare([wide, high])
    assert packed.shape == (2, 16, 8 * 8 * 3 + 3)
    assert packed[0, 0, -2] < packed[0, 0, -1]
    assert packed[1, 0, -2] > packed[1, 0, -1]


def test_a_checkpoint_without_some_weights_is_refused_not_filled_with_random_numbers(rows, checkpoint):
    weights = load_file(checkpoint / "model.safetensors")
    weights.pop("visual_projection.weight")
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BrokenModel, match=r"lacks 1 weights of CLIPModel.*visual_projection.weight"):
        load(rows, checkpoint)


def test_a_truncated_checkpoint_is_one_message(rows, checkpoint):
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(BrokenModel, match=r"pocket-clip: weights in .* are cut short or damaged"):
        load(rows, checkpoint)


def test_a_checkpoint_of_another_shape_is_refused(rows, checkpoint):
    config = checkpoint / "config.json"
    config.write_text(config.read_text().replace('"projection_dim": 64', '"projection_dim": 32'))
    with pytest.raises(BrokenModel):
        load(rows, checkpoint)


def test_a_model_that_is_no_dual_encoder_is_named(rows):
    with pytest.raises(BrokenModel, match=r"Llava.*no dual encoder"):
        load(rows, locate(rows.models["pocket-llava"], None))


@pytest.mark.parametrize("content", [{}, {"config.json": "{"}, {"config.json": '{"model_type": "unheard-of"}'}])
def test_a_directory_that_holds_no_model_is_one_message(rows, tmp_path, content):
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(BrokenModel, match=str(tmp_path)):
        load(rows, tmp_path)
