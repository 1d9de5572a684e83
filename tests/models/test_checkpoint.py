"""Reading weights: no code is run, nothing is loaded that cannot fit, and the figures are right."""

import json
import os
import pickle
import shutil
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from medrival.catalog import imported
from medrival.errors import BrokenModel, MedrivalWarning, OutOfMemory
from medrival.models import placement
from medrival.models.checkpoint import linear_layers, load_module, load_processor
from medrival.models.files import weight_files
from tests.models import miniature_dual_encoders
from tests.models.miniature_generators import FAMILIES, save


class Runs:
    """Unpickled by a reader that trusts it, it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def card(rows):
    return replace(rows.models["pocket-llava"], name="miniature")


@pytest.fixture
def folder(tmp_path):
    return save(FAMILIES["llava"], tmp_path / "checkpoint")


def load(card, folder, dtype="float32"):
    return load_module(card, AutoModelForImageTextToText, folder, "cpu", dtype)


def stored_more(folder, **extra):
    """Further weights beside a checkpoint's own, in its one file."""
    file = folder / "model.safetensors"
    save_file({**load_file(file), **extra}, file, metadata={"format": "pt"})


def configured(folder, **settings):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def pickled(folder, extra=()):
    """The same weights as torch.save writes them, instead of safetensors."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({**weights, **dict(extra)}, folder / "pytorch_model.bin")
    return weights


def test_pickled_weights_are_read_where_they_are_nothing_but_weights(card, folder):
    expected = load(card, folder).state_dict()
    pickled(folder)
    found = load(card, folder).state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_pickle_that_wants_to_run_code_is_refused_by_name_and_does_not_run(card, folder, tmp_path):
    mark = tmp_path / "ran"
    pickled(folder, {"extra": Runs(mark)})
    with pytest.raises(BrokenModel, match=r"pytorch_model.bin would run code when read \(.*system\), and is refused"):
        load(card, folder)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Runs(mark)))  # noqa: S301 - the test's own, to show that it would
    assert mark.exists()


def test_a_pickle_that_is_cut_short_is_one_message(card, folder):
    pickled(folder)
    file = folder / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(BrokenModel, match="miniature"):
        load(card, folder)


def test_safetensors_are_read_where_there_are_both(card, folder, tmp_path):
    torch.save({"extra": Runs(tmp_path / "ran")}, folder / "pytorch_model.bin")
    assert load(card, folder)
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_shape_are_refused_by_name_and_shapes(card, folder):
    weights = load_file(folder / "model.safetensors")
    shape = list(weights["language_model.lm_head.weight"].shape)
    save_file({**weights, "language_model.lm_head.weight": torch.zeros(3, 3)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BrokenModel, match=r"1 weights in .* have another shape") as refused:
        load(card, folder)
    assert f"(the first: lm_head.weight is [3, 3] and not {shape})" in str(refused.value)


def test_a_directory_without_weights_is_one_message(card, folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(BrokenModel, match="has no weights: neither"):
        load(card, folder)


def test_weights_under_a_name_that_is_not_read_are_named(card, folder):
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
    with pytest.raises(BrokenModel, match=r"has no weights: .*; model.fp16.safetensors is not read: save it under"):
        load(card, folder)


def test_a_directory_without_an_image_processor_says_what_it_lacks(card, folder):
    for name in ("processor_config.json", "preprocessor_config.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(BrokenModel, match=r"has no image processor: neither processor_config.json nor preproc") as refused:
        load_processor(card, folder)
    assert "huggingface" not in str(refused.value)


def test_a_tokenizer_with_few_of_the_tokens_that_a_model_has_is_warned_of_and_its_own_is_not(card, folder, recwarn):
    known = len(load_processor(card, folder).tokenizer)
    assert not [warning for warning in recwarn if warning.category is MedrivalWarning]
    settings = json.loads((folder / "config.json").read_text())
    configured(folder, text_config={**settings["text_config"], "vocab_size": 2 * known + 1})
    with pytest.warns(
        MedrivalWarning, match=rf"miniature: the tokenizer .* knows {known} tokens, .* embeddings for {2 * known + 1}"
    ):
        load_processor(card, folder)


@pytest.mark.parametrize("shards", [1, 3])
def test_the_figures_are_those_of_the_loaded_weights(card, folder, shards):
    module = load(card, folder)
    size = sum(p.numel() for p in module.parameters())
    module.save_pretrained(folder, max_shard_size="5GB" if shards == 1 else f"{4 * size // 1000 // 2}KB")
    if shards > 1:
        (folder / "model.safetensors").unlink()
    assert (len(weight_files(folder)) > 1) == (shards > 1)
    assert placement.weights(folder, "float32") == 4 * size
    assert placement.weights(folder, "bfloat16") == 2 * size


def test_in_four_bits_are_the_matrices_of_layers_alone(card, folder):
    module = load(card, folder)
    layers = {f"{name}.weight" for name in linear_layers(module)} - {"lm_head.weight"}
    expected = sum(p.numel() * (4.5 / 8 if name in layers else 2) for name, p in module.named_parameters())
    assert placement.weights(folder, "4bit") == pytest.approx(expected)


def test_a_model_that_cannot_fit_says_so_with_the_figures_before_it_is_read(card, folder, monkeypatch):
    needed = placement.weights(folder, "float32")
    monkeypatch.setattr(placement, "free", lambda _: {"cpu": needed - 1})
    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", None)  # would fail if it were called
    with pytest.raises(OutOfMemory, match=r"miniature: its weights take .* GB in float32, and .* GB are free on cpu; .*4bit"):
        load(card, folder)


def test_several_gpus_hold_together_what_one_does_not(card, folder, monkeypatch):
    needed = placement.weights(folder, "bfloat16")
    rooms = {
        "one": {0: needed},
        "two": {1: 0.6 * needed, 0: 0.6 * needed},
        "tight": {0: 0.53 * needed, 1: 0.53 * needed},
        "small": {0: 0.4 * needed, 1: 0.4 * needed},
    }
    monkeypatch.setattr(placement, "free", rooms.get)
    assert placement.placed(card, folder, "one", "bfloat16") == {}
    place = placement.placed(card, folder, "two", "bfloat16")
    assert place["device_map"] == "auto"
    assert list(place["max_memory"].items()) == [(0, int(0.6 * needed)), (1, int(0.6 * needed))]
    for device in ("tight", "small"):
        with pytest.raises(OutOfMemory, match="on all 2 GPUs"):
            placement.placed(card, folder, device, "bfloat16")


@pytest.mark.parametrize(
    ("places", "refused"), [((0, 1), False), (("cpu",), False), ((0, "cpu"), True), ((0, 1, "disk"), True)]
)
def test_layers_that_no_gpu_took_are_refused(card, places, refused):
    module = torch.nn.Module()
    module.hf_device_map = {f"layers.{i}": place for i, place in enumerate(places)}
    with pytest.raises(OutOfMemory, match="do not divide among the GPUs") if refused else nullcontext():
        placement.refuse_offloaded(card, module)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_weights_are_counted_by_their_shapes_in_the_precision_they_are_loaded_in(card, folder, zipped):
    weights = load(card, folder).state_dict()
    expected = placement.weights(folder, "4bit")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert placement.weights(folder, "bfloat16") == 2 * sum(weight.numel() for weight in weights.values())
    assert placement.weights(folder, "4bit") == expected


def test_the_free_memory_of_this_machine_is_known_on_linux_and_is_no_more_than_it_has():
    free = placement.free("cpu")
    if free:
        assert 0 < free["cpu"] <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_four_bits_without_bitsandbytes_say_what_to_install(card, folder, monkeypatch):
    monkeypatch.setattr("medrival.models.checkpoint.find_spec", lambda _: None)
    with pytest.raises(BrokenModel, match="--dtype 4bit needs the package bitsandbytes: python -m pip install bitsandbytes"):
        load(card, folder, "4bit")


def test_layers_in_four_bits_are_linear_layers_and_projections_that_are_never_called_are_not():
    """bitsandbytes' layers are subclasses of `torch.nn.Linear`."""

    class FourBits(torch.nn.Linear):
        pass

    module = torch.nn.ModuleDict({"a": FourBits(2, 2), "b": torch.nn.MultiheadAttention(2, 1), "c": torch.nn.Linear(2, 2)})
    assert linear_layers(module) == ["a", "c"]


@pytest.mark.parametrize("family", ["CLIP", "SigLIP", "SigLIP 2", "BLIP", "BLIP-2"])
def test_a_dual_encoders_weight_that_no_layer_takes_is_refused_and_constants_are_not(card, tmp_path, family):
    """Adapters that a training left unmerged are such weights."""
    adapter, write = miniature_dual_encoders.FAMILIES[family]
    write(tmp_path)
    stored_more(tmp_path, **{"vision_model.embeddings.position_ids": torch.arange(17)[None]})
    assert imported(adapter)(card, tmp_path, "cpu", "float32")
    layer = "vision_model.encoder.layers.0.self_attn.q_proj.lora_A.default.weight"
    stored_more(tmp_path, **{layer: torch.ones(2, 32)})
    with pytest.raises(BrokenModel, match=rf"miniature: .* has 1 weights that no layer takes \(the first: {layer}\)"):
        imported(adapter)(card, tmp_path, "cpu", "float32")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_generators_weight_that_no_layer_takes_is_refused_and_constants_are_not(card, tmp_path, family):
    save(FAMILIES[family], tmp_path)
    stored_more(tmp_path, **{"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)})
    assert load(card, tmp_path)
    stored_more(tmp_path, **{"model.layers.0.self_attn.q_proj.lora_A.default.weight": torch.ones(2, 32)})
    with pytest.raises(BrokenModel, match=r"miniature: .* has 1 weights that no layer takes \(the first: .*lora_A"):
        load(card, tmp_path)


def test_an_adapter_beside_whole_weights_is_refused_as_it_may_be_merged_into_them(card, folder):
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(BrokenModel, match=r"has both whole weights and an adapter_config.json; where .* merged"):
        load(card, folder)


@pytest.mark.parametrize("dtype", ["float32", "4bit"])
@pytest.mark.parametrize("part", ["the model", "its language model"])
def test_weights_that_were_stored_quantised_are_refused_whatever_the_precision(card, folder, dtype, part):
    settings = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    configured(folder, **(settings if part == "the model" else {"text_config": settings}))
    with pytest.raises(BrokenModel, match=r"are stored quantised \(quantization_config in config.json\)"):
        load(card, folder, dtype)


def test_a_config_that_names_weights_of_its_own_is_refused(card, folder):
    """Transformers would read that file instead of the usual ones, by which room and hash are told."""
    shutil.copy(folder / "model.safetensors", folder / ".other.safetensors")
    configured(folder, transformers_weights=".other.safetensors")
    with pytest.raises(BrokenModel, match=r"names .other.safetensors \(transformers_weights\)"):
        load(card, folder)


def test_a_config_that_leaves_quantisation_open_is_none(card, folder):
    configured(folder, quantization_config=None)
    assert load(card, folder)
