"""LLaVA-Med's published layout, written from a miniature of transformers' own LLaVA, against that miniature."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, GenerationConfig, LlavaConfig, LlavaForConditionalGeneration

from medrival.checks.generator import Library, check_generator
from medrival.errors import BrokenModel, MissingAsset
from medrival.models.llava_med import llava_med
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
    words = llama_words()
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
    card = replace(rows.models["pocket-llava"], name="llava-med")
    return lambda folder, dtype="float32": llava_med(card, folder, "cpu", dtype)


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


def spliced(model, words, images, prompt):
    """Embeddings of the prompt with the images' features where LLaVA-Med puts them, and no token in their place."""
    chunks = f"[INST] {'<image>' + chr(10) if len(images) == 1 else ''}{prompt} [/INST]".split("<image>")
    first, *others = [words(chunk)["input_ids"] for chunk in chunks]
    embed = model.get_input_embeddings()
    features = model.model.get_image_features(pixels(images)).pooler_output
    parts = [embed(torch.tensor(first))]
    for feature, other in zip(features, others, strict=True):
        parts += [feature, embed(torch.tensor(other[1:]))]  # without a second start token
    return torch.cat(parts)[None]


def test_it_answers_as_the_native_model_into_which_images_are_spliced(native, published, load):
    model, words = native
    adapter, shown = load(published), pictures(4)
    with torch.inference_mode():
        expected = [
            model.generate(inputs_embeds=spliced(model, words, [image], prompt), max_new_tokens=12, do_sample=False)[0]
            for image, prompt in zip(shown, PROMPTS, strict=False)
        ]
    expected = [words.decode(tokens, skip_special_tokens=True).strip() for tokens in expected]
    assert adapter.answer([[image] for image in shown], PROMPTS[:4], 12) == expected
    assert len(set(expected)) > 1


def test_every_weight_finds_its_place(native, published, load):
    found, expected = load(published).module.state_dict(), native[0].state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_it_keeps_what_every_generator_promises(native, published, load):
    model, words = native

    def inputs(images, prompt):
        places = "".join("<unk>" * 4 + "\n" for _ in images)
        return {**words(f"[INST] {places}{prompt} [/INST]", return_tensors="pt"), "pixel_values": pixels(images)}

    library = Library(
        model,
        inputs,
        tokenize=lambda text: words(text, add_special_tokens=False)["input_ids"],
        decode=lambda tokens: words.decode(tokens, skip_special_tokens=True),
        end=words.eos_token_id,
        adapted=("model.language_model", "model.multi_modal_projector"),
    )
    check_generator(lambda dtype: load(published, dtype), library, questions())


def test_an_image_tower_of_its_own_is_found_beside_the_checkpoint(native, copied, load):
    weights = read(copied)
    tower = {name: weights.pop(name) for name in list(weights) if "vision_tower" in name}
    write(copied, weights)
    clip = CLIPModel(CLIPConfig(vision_config={**VISION, **IMAGE}, text_config={**VISION, "num_hidden_layers": 1}))
    start = "model.vision_tower.vision_tower.vision_model."
    clip.vision_model.load_state_dict({name.removeprefix(start): value for name, value in tower.items()})
    clip.save_pretrained(copied.parent.parent / TOWER)
    found, expected = load(copied).module.state_dict(), native[0].state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_without_an_image_tower_it_is_said_what_is_missing_and_where_it_belongs(copied, load, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    write(copied, {name: value for name, value in read(copied).items() if "vision_tower" not in name})
    with pytest.raises(MissingAsset, match=rf"holds no image tower; it needs {TOWER}.*{copied.parent.parent / TOWER}"):
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
        ({"model_type": "llava_llama"}, "'llava_llama', not 'llava_mistral'"),
    ],
)
def test_another_layout_is_refused(copied, load, change, message):
    (copied / "config.json").write_text(json.dumps(json.loads((copied / "config.json").read_text()) | change))
    with pytest.raises(BrokenModel, match=message):
        load(copied)


def test_a_checkpoint_without_tokenizer_is_one_message(copied, load):
    for file in copied.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(BrokenModel, match="no usable tokenizer"):
        load(copied)
