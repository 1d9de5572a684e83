"""PMC-CLIP's three files as its authors extracted them, against the towers that they were written from."""

import pytest
import torch
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

from medrival.errors import BrokenModel, OutOfMemory
from medrival.models import placement
from medrival.models.pmc_clip import pmc_clip
from tests.models.miniature_dual_encoders import TEXTS, bert_tokenizer, bert_tower, mixed_images, resnet_tower, save_pmc_clip


@pytest.fixture
def folder(tmp_path):
    save_pmc_clip(tmp_path)
    return tmp_path


@pytest.fixture
def load(rows, folder):
    return lambda: pmc_clip(rows.models["pocket-clip"], folder, "cpu", "float32")


def test_features_are_those_of_the_towers_that_the_files_hold(load, folder):
    model, projection = load(), torch.load(folder / "text_projection_layer.pth")
    words, resnet, bert = bert_tokenizer(folder), resnet_tower(), bert_tower(bert_tokenizer(folder))
    spread = Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    transform = Compose([Resize(64, interpolation=InterpolationMode.BICUBIC), CenterCrop(64), ToTensor(), spread])
    with torch.inference_mode():
        pixels = torch.stack([transform(image) for image in mixed_images()])
        torch.testing.assert_close(model.image_features(model.prepare(mixed_images())), resnet(pixels))
        ids = words(list(TEXTS), padding="max_length", max_length=77, return_tensors="pt")["input_ids"]
        read = bert(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0] @ projection
        torch.testing.assert_close(model.text_features(TEXTS), read)
    assert model.scale == pytest.approx(83.864, abs=1e-3)


def test_lora_adapts_convolutions_as_no_linear_layer_is_called(load):
    lora = load().lora
    assert {"conv1", "layer2.0.downsample.0", "layer4.0.conv3"} < set(lora)
    assert not any("attnpool" in name for name in lora)


@pytest.mark.parametrize(
    "name", ["image_encoder(resnet50).pth", "text_encoder.pth", "text_projection_layer.pth", "config.json"]
)
def test_a_missing_file_is_named(load, folder, name):
    (folder / name).unlink()
    with pytest.raises(BrokenModel) as error:
        load()
    assert name in str(error.value)


@pytest.mark.parametrize("name", ["bn1.bias", "conv3.weight"])
def test_a_missing_weight_is_named(load, folder, name):
    weights = torch.load(folder / "image_encoder(resnet50).pth")
    weights.pop(name)
    torch.save(weights, folder / "image_encoder(resnet50).pth")
    with pytest.raises(BrokenModel, match=name):
        load()


def test_4_bits_are_refused_before_anything_is_loaded(rows, tmp_path):
    with pytest.raises(BrokenModel, match="4bit is for models that transformers loads"):
        pmc_clip(rows.models["pocket-clip"], tmp_path, "cpu", "4bit")


def test_a_model_for_which_there_is_no_room_says_so_before_it_is_read(load, folder, monkeypatch):
    stored = [torch.load(file) for file in folder.glob("*.pth")]
    needed = 4 * sum(weight.numel() for one in stored for weight in (one.values() if isinstance(one, dict) else [one]))
    monkeypatch.setattr(placement, "free", lambda _: {"cpu": needed})
    assert load()
    monkeypatch.setattr(placement, "free", lambda _: {"cpu": needed - 1})
    monkeypatch.setattr("medrival.models.own_layout._read", None)  # would fail if it were called
    with pytest.raises(
        OutOfMemory, match=r"pocket-clip: its weights take .* GB in float32, and .* GB are free on cpu; .*bfloat16"
    ):
        load()
