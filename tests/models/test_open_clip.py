"""The adapter for open_clip's checkpoints against open_clip itself, and against directories that it must refuse."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import open_clip as library
import pytest
import torch

from medrival.errors import BrokenModel, MissingAsset, OutOfMemory
from medrival.models import placement
from medrival.models.open_clip import open_clip
from medrival.weights import locate, resolved, settled
from tests.models.miniature_dual_encoders import TEXTS, mixed_images, save_biomed_clip, save_open_clip


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A miniature with open_clip's own text tower, and one as BiomedCLIP."""
    folder = tmp_path_factory.mktemp("models")
    for name, save in (("own", save_open_clip), ("biomed", save_biomed_clip)):
        save(folder / "org" / name)
    return folder / "org"


@pytest.fixture
def card(rows):
    return lambda folder, **row: replace(rows.models["openclip-vit-b32"], name="mini", weights=str(folder), **row)


@pytest.fixture
def load(card):
    """Loads a directory as a run does."""

    def load(folder, assets=None, **row):
        return open_clip(settled(card(folder, **row), assets), folder, "cpu", "float32")

    return load


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


def test_a_text_tower_is_found_beside_the_model_or_in_assets(load, saved, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    folder = without_text_config(saved, tmp_path)
    with pytest.raises(MissingAsset, match=r"mini: .*name names bert/tiny as its text tower: .*put its files into .*bert/tiny"):
        load(folder)
    tower = tmp_path / "models" / "bert" / "tiny"
    tower.mkdir(parents=True)
    (tower / "config.json").write_bytes((saved / "biomed" / "config.json").read_bytes())
    elsewhere = shutil.copytree(folder, tmp_path / "runs" / "mine" / "last")
    with torch.inference_mode():
        expected = load(saved / "biomed").text_features(TEXTS)
        for found in (load(folder), load(elsewhere, assets=tmp_path)):
            torch.testing.assert_close(found.text_features(TEXTS), expected)


def test_a_tokenizer_that_the_directory_lacks_is_read_from_the_repository_that_is_named_and_never_made_up(
    card, load, saved, tmp_path, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    folder = copytree(saved / "biomed", tmp_path / "models" / "org" / "name")
    words = tmp_path / "models" / "org" / "bert"
    words.mkdir()
    for file in (*folder.glob("tokenizer*"), folder / "vocab.txt"):
        file.rename(words / file.name)
    (words / "model.safetensors").write_text("not read")
    model = card(folder)
    found = resolved(model, None).beside["org/bert"]
    assert found.bytes == sum(file.stat().st_size for file in words.iterdir() if file.name != "model.safetensors")
    with torch.inference_mode():
        torch.testing.assert_close(load(folder).text_features(TEXTS), load(saved / "biomed").text_features(TEXTS))
    shutil.rmtree(words)
    locate.cache_clear()
    with pytest.raises(MissingAsset, match=r"mini: .*name names org/bert as its tokenizer: .*put its files into"):
        load(folder)


@pytest.mark.parametrize("words", [[], ["[UNK]", "lung", "nodule"]], ids=["empty", "of two words"])
def test_a_vocabulary_that_does_not_tell_texts_apart_is_refused_not_scored_with(load, saved, tmp_path, words):
    folder = copytree(saved / "biomed", tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[CLS]", "[SEP]", "[MASK]", *words]))
    with pytest.raises(BrokenModel, match=r"mini: .* has no usable tokenizer"):
        load(folder)


def test_of_a_text_tower_the_configuration_alone_is_part_of_what_the_model_is(card, saved, tmp_path):
    model, tower = card(without_text_config(saved, tmp_path)), tmp_path / "models" / "bert" / "tiny"
    tower.mkdir(parents=True)
    (tower / "config.json").write_bytes((saved / "biomed" / "config.json").read_bytes())
    before = resolved.__wrapped__(model, None)
    (tower / "pytorch_model.bin").write_text("not read")
    assert resolved.__wrapped__(model, None) == before
    assert before.beside["bert/tiny"].bytes == (tower / "config.json").stat().st_size
    assert resolved(card(saved / "biomed"), None).beside == {}, "it lies in the model's own directory"


def test_a_checkpoint_without_weights_is_refused_not_filled_with_random_numbers(load, saved, tmp_path):
    (tmp_path / "open_clip_config.json").write_bytes((saved / "own" / "open_clip_config.json").read_bytes())
    with pytest.raises(BrokenModel, match=r"mini: .* does not load as a model of open_clip"):
        load(tmp_path)


@pytest.mark.parametrize("settings", [None, "{", "{}", '{"model_cfg": 1}'])
def test_a_directory_without_usable_configuration_is_one_message(load, tmp_path, settings):
    if settings is not None:
        (tmp_path / "open_clip_config.json").write_text(settings)
    with pytest.raises(BrokenModel, match=r"has no usable open_clip_config.json|is no model directory"):
        load(tmp_path)


def test_weights_that_do_not_fit_or_are_cut_short_are_refused(load, saved, tmp_path):
    for file in (saved / "own").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = (tmp_path / "open_clip_config.json").read_text()
    (tmp_path / "open_clip_config.json").write_text(settings.replace('"layers": 2', '"layers": 3'))
    with pytest.raises(BrokenModel, match=r"does not load as a model of open_clip: .*state_dict for .*: Missing key"):
        load(tmp_path)
    (tmp_path / "open_clip_config.json").write_text(settings)
    weights = tmp_path / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BrokenModel, match="cut short or damaged"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("tower", "size", "weight"),
    [
        ("vision_cfg", {"image_size": 64}, "visual.positional_embedding"),
        ("text_cfg", {"context_length": 20}, "positional_embedding"),
    ],
)
def test_positions_are_not_stretched_to_another_image_size_or_context_length(load, saved, tmp_path, tower, size, weight):
    folder = copytree(saved / "own", tmp_path / "model")
    settings = json.loads((folder / "open_clip_config.json").read_text())
    settings["model_cfg"][tower] |= size
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    with pytest.raises(BrokenModel, match=rf"mini: {weight} in .* is \[.*\], and \[.*\] is needed .*open_clip_config.json"):
        load(folder)


class Payload:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_pickled_code_is_not_run(load, saved, tmp_path):
    (tmp_path / "open_clip_config.json").write_bytes((saved / "own" / "open_clip_config.json").read_bytes())
    torch.save({"visual.proj": Payload(tmp_path / "ran")}, tmp_path / "open_clip_pytorch_model.bin")
    with pytest.raises(BrokenModel, match=r"mini: .*open_clip_pytorch_model.bin would run code when read \(getattr\), and is"):
        load(tmp_path)
    assert not (tmp_path / "ran").exists()
    called, arguments = Payload(tmp_path / "ran").__reduce__()
    called(*arguments)
    assert (tmp_path / "ran").exists(), "the payload is a real one"


TOKENIZER = """
from pathlib import Path
from transformers import BertTokenizer
Path({proof!r}).write_text("it ran")
class Own(BertTokenizer):
    pass
"""
CONFIG = """
from pathlib import Path
from transformers import BertConfig
Path({proof!r}).write_text("it ran")
class Own(BertConfig):
    model_type = "own"
"""


@pytest.fixture
def proof(tmp_path, monkeypatch):
    """The file that the code of a checkpoint writes; a user at the terminal would allow whatever is asked."""
    from transformers import dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("builtins.input", lambda _: "y")
    return tmp_path / "proof"


def with_entries(file: Path, entries: dict) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))


@pytest.fixture
def own_tokenizer(saved, tmp_path, proof):
    """A checkpoint with a tokenizer of its own, whose configuration says that it is trusted."""
    folder = copytree(saved / "own", tmp_path / "checkpoint")
    for name in ("tokenizer_config.json", "tokenizer.json"):
        (folder / name).write_bytes((saved / "biomed" / name).read_bytes())
    with_entries(folder / "tokenizer_config.json", {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": [None, "own.Own"]}})
    settings = json.loads((folder / "open_clip_config.json").read_text())
    settings["model_cfg"]["text_cfg"] |= {"hf_tokenizer_name": "x/y", "tokenizer_kwargs": {"trust_remote_code": True}}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    (folder / "own.py").write_text(TOKENIZER.format(proof=str(proof)))
    return folder


def test_a_checkpoint_cannot_trust_itself(load, own_tokenizer, proof):
    with pytest.raises(BrokenModel, match=r"needs code that lies beside its weights.*--trust-remote-code mini"):
        load(own_tokenizer)
    assert not proof.exists()


def test_the_tokenizer_of_a_model_that_the_user_trusts_runs(load, own_tokenizer, proof):
    load(own_tokenizer, trusted=True)
    assert proof.exists()


def test_the_code_of_a_text_tower_is_not_run_and_not_asked_about(load, saved, tmp_path, proof):
    folder = without_text_config(saved, tmp_path)
    (folder / "config.json").write_bytes((saved / "biomed" / "config.json").read_bytes())
    with_entries(folder / "config.json", {"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}})
    (folder / "own.py").write_text(CONFIG.format(proof=str(proof)))
    with pytest.raises(BrokenModel, match=r"mini: .*config.json is not of a model of transformers"):
        load(folder)
    assert not proof.exists()


def test_4_bits_are_refused_before_anything_is_loaded(rows, tmp_path):
    with pytest.raises(BrokenModel, match=r"pocket-clip: --dtype 4bit is for models that transformers loads"):
        open_clip(rows.models["pocket-clip"], tmp_path, "cpu", "4bit")


@pytest.mark.parametrize("name", ["own", "biomed"])
def test_a_model_for_which_there_is_no_room_says_so_before_it_is_read(load, saved, monkeypatch, name):
    needed = 4 * sum(weight.numel() for weight in library.create_model(f"local-dir:{saved / name}").state_dict().values())
    monkeypatch.setattr(placement, "free", lambda _: {"cpu": needed})
    assert load(saved / name)
    monkeypatch.setattr(placement, "free", lambda _: {"cpu": needed - 1})
    monkeypatch.setattr(library, "create_model", None)  # would fail if it were called
    with pytest.raises(OutOfMemory, match=r"mini: its weights take .* GB in float32, and .* GB are free on cpu; .*bfloat16"):
        load(saved / name)
