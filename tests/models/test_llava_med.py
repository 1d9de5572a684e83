"""LLaVA-Med's published layout, written from a miniature of transformers' own LLaVA, against that miniature."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, GenerationConfig, LlavaConfig, LlavaForConditionalGeneration

from medrival import fingerprints
from medrival.checks.generator import Library, check_generator
from medrival.errors import BrokenLock, BrokenModel, MissingAsset, OutOfMemory
from medrival.keys import of_features
from medrival.lock import Lock
from medrival.models import placement
from medrival.models.llava_med import llava_med
from medrival.settings import Settings
from medrival.weights import resolved, settled
from tests.models.miniature_generators import TEXT, ids, llama_words, pictures, spread
from tests.models.test_generator_battery import PROMPTS, questions

VISION = {"hidden_size": 128, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
IMAGE = {"image_size": 16, "patch_size": 8}
TOWER = "openai/clip-vit-large-patch14-336"
OWN = {
    "architectures": ["LlavaMistralForCausalLM"],
    "model_type": "llava_mistral",
    "image_aspect_ratio": "pad",
    "mm_projector_type": "mlp2x_gelu",
    "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False,
    "mm_vision_select_feature": "patch",
    "mm_vision_select_layer": -2,
    "mm_vision_tower": TOWER,
    "rms_norm_eps": 1e-05,
    "rope_theta": 1000000.0,
    "sliding_window": None,
    "tie_word_embeddings": False,
}


@pytest.fixture(scope="module")
def native():
    """Transformers' own LLaVA over Mistral, and the tokenizer of words alone."""
    words = llama_words(start=True)
    config = LlavaConfig(
        vision_config={"model_type": "clip_vision_model", **VISION, **IMAGE},
        text_config={"model_type": "mistral", **TEXT, **ids(words), "rope_theta": 1000000.0, "rms_norm_eps": 1e-05},
        image_token_index=words.unk_token_id,
    )
    model = spread(LlavaForConditionalGeneration(config)).eval()
    model.generation_config = GenerationConfig(eos_token_id=words.eos_token_id, pad_token_id=words.eos_token_id)
    return model, words


def original(name: str) -> str:
    """How LLaVA-Med's own classes name a weight."""
    part, _, rest = name.removeprefix("model.").partition(".")
    if part == "vision_tower":
        return f"model.vision_tower.vision_tower.vision_model.{rest}"
    if part == "multi_modal_projector":
        return f"model.mm_projector.{ {'linear_1': 0, 'linear_2': 2}[rest.partition('.')[0]] }.{rest.partition('.')[2]}"
    return f"model.{rest}" if part == "language_model" else name


@pytest.fixture(scope="module")
def published(native, tmp_path_factory):
    """DIR/models/microsoft/llava-med with the image tower in it, in two shards."""
    model, words = native
    folder = tmp_path_factory.mktemp("models") / "microsoft" / "llava-med"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(OWN | TEXT | ids(words)))
    words.save_pretrained(folder)
    write(folder, {original(name): value.contiguous() for name, value in model.state_dict().items()})
    return folder


def write(folder, weights):
    """As the hub serves large models: numbered files and an index."""
    names = sorted(weights)
    halves = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, half in halves.items():
        save_file({name: weights[name] for name in half}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, half in halves.items() for name in half}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def read(folder):
    return {name: value for file in folder.glob("*.safetensors") for name, value in load_file(file).items()}


@pytest.fixture
def copied(published, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(published, tmp_path / "models" / "microsoft" / "llava-med")


@pytest.fixture
def load(rows):
    """Loads a directory as a run does."""

    def load(folder, dtype="float32", assets=None):
        card = replace(rows.models["llava-med-7b"], name="llava-med", weights=str(folder))
        return llava_med(settled(card, assets), folder, "cpu", dtype)

    return load


def pixels(images):
    """Padded to a square of the mean colour, as in LLaVA-Med's mm_utils."""
    squares = []
    for image in images:
        side, mean = max(image.size), tuple(int(255 * part) for part in CLIPImageProcessor().image_mean)
        square = Image.new("RGB", (side, side), mean)
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        squares.append(square)
    sizes = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    return CLIPImageProcessor(**sizes)(images=squares, return_tensors="pt")["pixel_values"]


def stretches(words, text):
    """Tokens around each image, as LLaVA-Med's `tokenizer_image_token` has them: each stretch with a start token, of which the
    first alone is kept."""
    first, *others = [words(chunk)["input_ids"] for chunk in text.split("<image>")]
    start = 1 if first[:1] == [words.bos_token_id] else 0
    return [first, *[other[start:] for other in others]]


def spliced(model, words, images, text):
    """Embeddings of a text with the images' features where LLaVA puts them, and no token in their place."""
    embed = model.get_input_embeddings()
    features = model.model.get_image_features(pixels(images)).pooler_output
    first, *others = [embed(torch.tensor(tokens)) for tokens in stretches(words, text)]
    return torch.cat([first, *(part for pair in zip(features, others, strict=True) for part in pair)])[None]


def instructed(images, prompt):
    """The prompt of LLaVA-Med's conversation `mistral_instruct`."""
    places = "<image>\n" * len(images)
    return f"[INST] {places}{prompt} [/INST]"


def tokens_told(words, image, images, text):
    """The same tokens with those that stand for each image between them."""
    first, *others = stretches(words, text)
    told = [*first, *(token for other in others for token in (*[image] * 4, *other))]
    return {
        "input_ids": torch.tensor([told]),
        "attention_mask": torch.ones(1, len(told), dtype=int),
        "pixel_values": pixels(images),
    }


def reloaded(model, folder):
    """What loads a model of transformers' own in a precision."""
    model.save_pretrained(folder)

    def load(dtype):
        module = LlavaForConditionalGeneration.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
        module.generation_config = model.generation_config
        return module

    return load


def test_it_answers_as_the_native_model_into_which_images_are_spliced(native, published, load):
    model, words = native
    adapter, shown = load(published), [[*pictures(2)], *[[image] for image in pictures(4)[1:]]]
    with torch.inference_mode():
        embedded = [spliced(model, words, seen, instructed(seen, prompt)) for seen, prompt in zip(shown, PROMPTS, strict=False)]
        expected = [model.generate(inputs_embeds=each, max_new_tokens=12, do_sample=False)[0] for each in embedded]
    expected = [words.decode(tokens, skip_special_tokens=True).strip() for tokens in expected]
    assert adapter.answer(shown, PROMPTS[:4], 12) == expected
    assert len(set(expected)) > 1


def test_every_weight_finds_its_place(native, published, load):
    found, expected = load(published).module.state_dict(), native[0].state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_it_keeps_what_every_generator_promises(native, published, load, tmp_path):
    model, words = native

    library = Library(
        reloaded(model, tmp_path),
        lambda images, prompt: tokens_told(words, words.unk_token_id, images, instructed(images, prompt)),
        tokenize=lambda text: words(text, add_special_tokens=False)["input_ids"],
        decode=lambda tokens: words.decode(tokens, skip_special_tokens=True),
        end=words.eos_token_id,
        adapted=("model.language_model", "model.multi_modal_projector"),
    )
    check_generator(lambda dtype: load(published, dtype), library, questions())


@pytest.fixture
def divided(copied):
    """The checkpoint, and the image tower in a directory of its own: DIR/models/openai/NAME."""
    weights = read(copied)
    tower = {name: weights.pop(name) for name in list(weights) if "vision_tower" in name}
    write(copied, weights)
    words = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9}
    clip = CLIPModel(CLIPConfig(vision_config={**VISION, **IMAGE}, text_config=words, projection_dim=8))
    start = "model.vision_tower.vision_tower.vision_model."
    clip.vision_model.load_state_dict({name.removeprefix(start): value for name, value in tower.items()})
    clip.save_pretrained(copied.parent.parent / TOWER)
    return copied, copied.parent.parent / TOWER


@pytest.mark.parametrize("place", ["beside", "in assets"])
def test_an_image_tower_of_its_own_is_found_beside_the_checkpoint_or_in_assets(native, divided, load, tmp_path, place):
    folder = divided[0] if place == "beside" else shutil.copytree(divided[0], tmp_path / "runs" / "mine" / "last")
    found, expected = load(folder, assets=tmp_path).module.state_dict(), native[0].state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_weight_of_the_image_tower_that_no_layer_takes_is_refused(divided, load):
    file = divided[1] / "model.safetensors"
    save_file({**load_file(file), "vision_model.adapter.weight": torch.zeros(2, 2)}, file, metadata={"format": "pt"})
    with pytest.raises(BrokenModel, match=r"1 weights that no layer takes \(the first: adapter.weight\)"):
        load(divided[0])


def test_one_changed_byte_of_the_image_tower_is_another_model_and_the_lock_refuses_it(rows, divided):
    folder, tower = divided
    card = replace(rows.models["llava-med-7b"], name="llava-med", weights=str(folder))
    key, lock = of_features(card, (), Settings()), Lock(Path("models.lock"), {"llava-med": resolved(card, None).known}, {})
    lock.check("llava-med", resolved(card, None))
    content = bytearray((tower / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (tower / "model.safetensors").write_bytes(content)
    for known in (resolved, fingerprints.weights):  # a run reads files once
        known.cache_clear()
    assert of_features(card, (), Settings()) != key
    with pytest.raises(BrokenLock, match=rf"llava-med's {TOWER}: its weights are not those"):
        lock.check("llava-med", resolved(card, None))


def test_an_image_tower_in_the_checkpoint_leaves_one_beside_it_out_of_account(rows, published, tmp_path):
    card = replace(rows.models["llava-med-7b"], weights=str(published))
    assert resolved(card, tmp_path).beside == {}


def test_an_image_tower_in_a_hidden_folder_is_none_as_it_would_not_be_hashed(divided, load):
    folder, tower = divided
    shutil.move(tower, folder / ".vit")
    (folder / "config.json").write_text(
        json.dumps(json.loads((folder / "config.json").read_text()) | {"mm_vision_tower": ".vit"})
    )
    with pytest.raises(BrokenModel, match=r"llava-med names .vit as its image tower: .* there is no directory"):
        load(folder)


def test_without_an_image_tower_it_is_said_what_is_missing_and_where_it_belongs(copied, load, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    write(copied, {name: value for name, value in read(copied).items() if "vision_tower" not in name})
    with pytest.raises(
        MissingAsset, match=rf"names {TOWER} as its image tower: .*put its files into {tmp_path}/models/{TOWER}"
    ):
        load(copied, assets=tmp_path)


def test_room_is_needed_for_the_image_tower_too_and_is_asked_for_before_anything_is_read(native, divided, load, monkeypatch):
    needed = 4 * sum(weight.numel() for weight in native[0].state_dict().values())
    monkeypatch.setattr(placement, "free", lambda _: {"cpu": needed})
    assert load(divided[0])
    monkeypatch.setattr(placement, "free", lambda _: {"cpu": needed - 1})
    monkeypatch.setattr(LlavaForConditionalGeneration, "from_pretrained", None)  # would fail if it were called
    with pytest.raises(OutOfMemory, match=r"llava-med: its weights take .* GB in float32, and .* free on cpu; .*4bit"):
        load(divided[0])


def test_weights_that_are_cut_short_or_gone_are_one_message(copied, load):
    file = copied / "model-00001-of-00002.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(BrokenModel, match=r"weights in .* cannot be read"):
        load(copied)
    file.unlink()
    with pytest.raises(BrokenModel, match=r"index.json names model-00001-of-00002.safetensors, which is none of the files"):
        load(copied)


def test_a_missing_weight_is_refused(copied, load):
    weights = read(copied)
    del weights["model.layers.1.mlp.up_proj.weight"]
    write(copied, weights)
    with pytest.raises(BrokenModel, match=r"lacks 1 weights .*model.language_model.layers.1.mlp.up_proj.weight"):
        load(copied)


def test_a_weight_that_no_layer_takes_is_refused(copied, load):
    write(copied, read(copied) | {"model.mm_resampler.weight": torch.zeros(2, 2)})
    with pytest.raises(BrokenModel, match=r"1 weights that no layer takes \(the first: model.mm_resampler.weight\)"):
        load(copied)


def test_constants_that_older_versions_stored_are_no_weights(copied, load):
    start = "model.vision_tower.vision_tower.vision_model.embeddings"
    write(copied, read(copied) | {f"{start}.position_ids": torch.arange(5)[None]})
    assert load(copied)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mm_projector_type": "linear"}, "mm_projector_type = 'linear'; only 'mlp2x_gelu'"),
        ({"mm_use_im_start_end": True}, "mm_use_im_start_end = True"),
        ({"mm_vision_select_feature": "odd"}, "mm_vision_select_feature = 'odd'; only 'patch' or 'cls_patch'"),
        ({"model_type": "llava_llama"}, "'llava_llama', not 'llava_mistral'"),
    ],
)
def test_another_layout_is_refused(copied, load, change, message):
    (copied / "config.json").write_text(json.dumps(json.loads((copied / "config.json").read_text()) | change))
    with pytest.raises(BrokenModel, match=message):
        load(copied)


def without(folder, key):
    config = json.loads((folder / "config.json").read_text())
    del config[key]
    (folder / "config.json").write_text(json.dumps(config))


def test_a_layer_of_the_image_tower_that_nobody_names_is_not_guessed_and_its_patches_are_read_where_nobody_says(copied, load):
    without(copied, "mm_vision_select_feature")
    assert load(copied).module.config.vision_feature_select_strategy == "default"
    without(copied, "mm_vision_select_layer")
    with pytest.raises(BrokenModel, match=r"does not say which layer of the image tower is read \(mm_vision_select_layer\)"):
        load(copied)


def test_without_any_image_tower_it_is_said_that_there_is_none(divided, load):
    without(divided[0], "mm_vision_tower")
    with pytest.raises(BrokenModel, match=r"has no image tower among its weights, and its config.json names none"):
        load(divided[0])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "has no usable config.json"),
        ({"model_type": "siglip_vision_model", **VISION, **IMAGE}, "is a siglip_vision_model; only CLIP's can be converted"),
        ({"model_type": "siglip", "vision_config": {**VISION, **IMAGE}}, "is a siglip; only CLIP's can be converted"),
    ],
)
def test_of_an_image_tower_beside_the_checkpoint_nothing_is_made_up(divided, load, config, message):
    file = divided[1] / "config.json"
    file.write_text(json.dumps(config)) if config else file.unlink()
    with pytest.raises(BrokenModel, match=rf"llava-med: its image tower in {divided[1]} {message}"):
        load(divided[0])


def test_a_checkpoint_without_tokenizer_is_one_message(copied, load):
    for file in copied.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(BrokenModel, match="has no tokenizer: no file is like"):
        load(copied)
