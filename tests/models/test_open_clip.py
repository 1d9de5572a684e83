"""The adapter for open_clip's checkpoints against open_clip itself, and against directories that it must refuse."""

import json
from dataclasses import replace
from pathlib import Path

import open_clip as library
import pytest
import torch

from medrival.errors import BrokenModel
from medrival.models.open_clip import open_clip
from tests.models.miniature_dual_encoders import TEXTS, mixed_images, save_biomed_clip, save_open_clip


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A miniature with open_clip's own text tower, and one as BiomedCLIP."""
    folder = tmp_path_factory.mktemp("models")
    for name, save in (("own", save_open_clip), ("biomed", save_biomed_clip)):
        save(folder / "org" / name)
    return folder / "org"


@pytest.fixture
def load(rows):
    return lambda folder, **row: open_clip(replace(rows.models["pocket-clip"], name="mini", **row), folder, "cpu", "float32")


@pytest.mark.parametrize("name", ["own", "biomed"])
def test_features_equal_those_of_open_clip_with_the_preprocessing_of_the_configuration(load, saved, name):
    model = load(saved / name)
    own, transform = library.create_model_from_pretrained(f"local-dir:{saved / name}")
    words = library.get_tokenizer(f"local-dir:{saved / name}")
    with torch.inference_mode():
        images, texts, scale = own.eval()(torch.stack([transform(image) for image in mixed_images()]), words(list(TEXTS)))[:3]
        seen = torch.nn.functional.normalize(model.image_features(model.prepare(mixed_images())), dim=-1)
        read = torch.nn.functional.normalize(model.text_features(TEXTS), dim=-1)
    torch.testing.assert_close(seen, images)
    torch.testing.assert_close(read, texts)
    assert model.scale == pytest.approx(scale.item())
    assert "mean=(0.5, 0.4, 0.3)" in str(transform).replace("[", "(").replace("]", ")")


def test_lora_adapts_what_is_called(load, saved):
    """`MultiheadAttention` only reads its weights; timm calls its fused projection."""
    assert set(load(saved / "own").lora) == {
        f"transformer.resblocks.{i}.mlp.{part}" for i in (0, 1) for part in ("c_fc", "c_proj")
    }
    named = load(saved / "biomed", lora=r".*\.attn\.(qkv|proj)").lora
    assert named[:2] == ("trunk.blocks.0.attn.qkv", "trunk.blocks.0.attn.proj")
    assert len(named) == len(load(saved / "biomed").lora) // 2 == 12


def without_text_config(saved, tmp_path) -> Path:
    """BiomedCLIP's directory as the hub serves it: the configuration of its text tower is in another repository."""
    folder = tmp_path / "models" / "org" / "name"
    folder.mkdir(parents=True)
    for file in (saved / "biomed").iterdir():
        if file.name != "config.json":
            (folder / file.name).write_bytes(file.read_bytes())
    settings = json.loads((folder / "open_clip_config.json").read_text())
    settings["model_cfg"]["text_cfg"]["hf_model_name"] = "bert/tiny"
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    return folder


def test_a_text_tower_is_found_beside_the_model_and_never_asked_of_the_network(load, saved, tmp_path):
    folder = without_text_config(saved, tmp_path)
    with pytest.raises(BrokenModel, match=r"text tower is bert/tiny, whose config.json is missing; put that file into .*name"):
        load(folder)
    other = tmp_path / "models" / "bert" / "tiny"
    other.mkdir(parents=True)
    (other / "config.json").write_bytes((saved / "biomed" / "config.json").read_bytes())
    with torch.inference_mode():
        torch.testing.assert_close(load(folder).text_features(TEXTS), load(saved / "biomed").text_features(TEXTS))


def test_a_checkpoint_without_weights_is_refused_not_filled_with_random_numbers(load, saved, tmp_path):
    (tmp_path / "open_clip_config.json").write_bytes((saved / "own" / "open_clip_config.json").read_bytes())
    with pytest.raises(BrokenModel, match=r"mini: .* does not load as a model of open_clip"):
        load(tmp_path)


@pytest.mark.parametrize("settings", [None, "{", "{}", '{"model_cfg": 1}'])
def test_a_directory_without_usable_configuration_is_one_message(load, tmp_path, settings):
    if settings is not None:
        (tmp_path / "open_clip_config.json").write_text(settings)
    with pytest.raises(BrokenModel, match=r"has no usable open_clip_config.json"):
        load(tmp_path)


def test_weights_that_do_not_fit_or_are_cut_short_are_refused(load, saved, tmp_path):
    for file in (saved / "own").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = (tmp_path / "open_clip_config.json").read_text()
    (tmp_path / "open_clip_config.json").write_text(settings.replace('"layers": 2', '"layers": 3'))
    with pytest.raises(BrokenModel, match="does not load"):
        load(tmp_path)
    (tmp_path / "open_clip_config.json").write_text(settings)
    weights = tmp_path / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BrokenModel, match="does not load"):
        load(tmp_path)


class Payload:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_pickled_code_is_not_run(load, saved, tmp_path):
    (tmp_path / "open_clip_config.json").write_bytes((saved / "own" / "open_clip_config.json").read_bytes())
    torch.save({"visual.proj": Payload(tmp_path / "ran")}, tmp_path / "open_clip_pytorch_model.bin")
    with pytest.raises(BrokenModel, match=r"mini: .*could run code"):
        load(tmp_path)
    assert not (tmp_path / "ran").exists()
    called, arguments = Payload(tmp_path / "ran").__reduce__()
    called(*arguments)
    assert (tmp_path / "ran").exists(), "the payload is a real one"
