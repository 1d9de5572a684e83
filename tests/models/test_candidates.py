"""Candidates of every kind that a directory can be, entered and loaded as a run does it."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForImageTextToText, AutoProcessor

from medrival import catalog
from medrival.candidate import Claims, entered
from medrival.checks.generator import check_answers_are_the_librarys, check_likelihoods_are_the_librarys
from medrival.errors import BrokenModel
from medrival.weights import locate, settled
from tests.models.miniature_dual_encoders import FAMILIES as DUAL_ENCODERS
from tests.models.miniature_dual_encoders import TEXTS, mixed_images
from tests.models.miniature_generators import CHATML, QWEN_PLACE, pictures, save
from tests.models.miniature_generators import FAMILIES as GENERATORS
from tests.models.test_generator_battery import library, questions
from tests.models.test_llava_med import native, published  # noqa: F401 - fixtures


def candidate(rows, folder: Path, assets: Path | None = None, dtype: str = "float32"):
    """The directory as a run enters and loads it."""
    (card,) = entered(rows, [folder], Claims(), assets)
    return catalog.imported(card.adapter)(settled(card, assets), locate(card, assets), "cpu", dtype)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory) -> Path:
    return save(GENERATORS["qwen2.5-vl"], tmp_path_factory.mktemp("assets") / "models" / "org" / "qwen")


@pytest.fixture(scope="module")
def tuned(qwen, tmp_path_factory) -> Path:
    """A LoRA of the language model as peft saves it, with weights that do something."""
    torch.manual_seed(0)
    base = AutoModelForImageTextToText.from_pretrained(qwen, dtype=torch.float32)
    config = LoraConfig(r=2, target_modules=r".*language_model.*\.(q|v)_proj", init_lora_weights=False)
    folder = tmp_path_factory.mktemp("runs") / "tuned"
    get_peft_model(base, config).save_pretrained(folder)
    return folder


def based_on(adapter: Path, folder: Path, base: str) -> Path:
    """A copy of an adapter that names another base model."""
    shutil.copytree(adapter, folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": base}))
    return folder


def peft_library(qwen, tuned):
    own = library(qwen, "qwen2.5-vl")
    return replace(own, load=lambda dtype: PeftModel.from_pretrained(own.load(dtype), tuned).eval())


def test_a_whole_generator_answers_as_its_library(rows, qwen):
    check_answers_are_the_librarys(lambda _: candidate(rows, qwen), library(qwen, "qwen2.5-vl"), questions())


@pytest.mark.parametrize("check", [check_answers_are_the_librarys, check_likelihoods_are_the_librarys])
@pytest.mark.parametrize("named", ["directory", "in assets", "row in assets"])
def test_an_adapter_of_a_generator_answers_as_peft_does(rows, qwen, tuned, tmp_path, named, check):
    if named != "directory":
        tuned = based_on(tuned, tmp_path / "tuned", "org/qwen")
    if named == "row in assets":
        row = replace(rows.models["pocket-llava"], name="qwen", weights="org/qwen")
        rows = replace(rows, models={**rows.models, "qwen": row})
    assets = None if named == "directory" else qwen.parents[2]
    check(lambda _: candidate(rows, tuned, assets), peft_library(qwen, tuned), questions())


def spoken(tuned: Path, qwen: Path, folder: Path) -> tuple[Path, Any]:
    """A copy of an adapter, and the processor that is to be saved beside it: the base model's."""
    return shutil.copytree(tuned, folder), AutoProcessor.from_pretrained(qwen)


def told(folder: Path, change: Callable[[dict], dict], file: str = "tokenizer_config.json") -> None:
    (folder / file).write_text(json.dumps(change(json.loads((folder / file).read_text()))))


OWN_TEMPLATE = CHATML.replace("PLACE", QWEN_PLACE).replace("{% for m in messages %}", "{% for m in messages %}Doctor: ", 1)


@pytest.mark.parametrize("saved", ["with its processor", "with its tokenizer", "as older versions saved it"])
def test_an_adapter_with_a_chat_template_of_its_own_is_asked_in_it(rows, qwen, tuned, tmp_path, saved):
    folder, processor = spoken(tuned, qwen, tmp_path / "tuned")
    processor.chat_template = processor.tokenizer.chat_template = OWN_TEMPLATE
    (processor if saved == "with its processor" else processor.tokenizer).save_pretrained(folder)
    if saved == "as older versions saved it":
        (folder / "chat_template.jinja").unlink()
        told(folder, lambda settings: {**settings, "chat_template": [{"name": "default", "template": OWN_TEMPLATE}]})
    whole = shutil.copytree(qwen, tmp_path / "whole")
    processor.save_pretrained(whole)
    own = replace(library(whole, "qwen2.5-vl"), load=peft_library(qwen, tuned).load)
    check_answers_are_the_librarys(lambda _: candidate(rows, folder), own, questions())
    (plain, dressed) = (candidate(rows, one).teach([[pictures(1)[0]]], ["What?"], ["yes"]) for one in (tuned, folder))
    added = processor.tokenizer("Doctor: ")["input_ids"]
    assert dressed["input_ids"][0, : len(added)].tolist() == added
    assert dressed["input_ids"].shape[1] == plain["input_ids"].shape[1] + len(added)


def test_an_adapter_with_a_tokenizer_but_no_template_keeps_that_of_its_base(rows, qwen, tuned, tmp_path):
    base = shutil.copytree(qwen, tmp_path / "base")
    template = (base / "chat_template.jinja").read_text()
    (base / "chat_template.jinja").unlink()
    told(base, lambda settings: {**settings, "chat_template": template})
    folder, processor = spoken(based_on(tuned, tmp_path / "plain", str(base)), qwen, tmp_path / "tuned")
    processor.tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    assert candidate(rows, folder).asked_by == "chat template"
    check_answers_are_the_librarys(lambda _: candidate(rows, folder), peft_library(qwen, tuned), questions())


def test_an_adapter_sees_images_as_the_processor_beside_it_shows_them(rows, qwen, tuned, tmp_path):
    folder, processor = spoken(tuned, qwen, tmp_path / "tuned")
    processor.image_processor.size = {"shortest_edge": 64, "longest_edge": 128}
    processor.save_pretrained(folder)
    (plain, dressed) = (candidate(rows, one).teach([[pictures(1)[0]]], ["What?"], ["yes"]) for one in (tuned, folder))
    assert len(dressed["pixel_values"]) < len(plain["pixel_values"])


def test_an_adapter_whose_tokenizer_has_more_tokens_than_its_base_is_refused(rows, qwen, tuned, tmp_path):
    folder, processor = spoken(tuned, qwen, tmp_path / "tuned")
    processor.tokenizer.add_tokens(["<finding>"])
    processor.tokenizer.save_pretrained(folder)
    with pytest.raises(BrokenModel, match=r"tuned: its tokenizer has 1 tokens that .* does not know, such as '<finding>'"):
        candidate(rows, folder)


def test_what_is_wrong_with_the_base_is_said_of_its_own_directory(rows, qwen, tuned, tmp_path):
    base = shutil.copytree(qwen, tmp_path / "base")
    (base / "model.safetensors").write_bytes(b"cut short")
    folder, processor = spoken(based_on(tuned, tmp_path / "plain", str(base)), qwen, tmp_path / "tuned")
    processor.save_pretrained(folder)
    with pytest.raises(BrokenModel, match=re.escape(str(base))):
        candidate(rows, folder)


def test_an_image_tower_that_an_adapter_directory_replaces_is_the_one_that_looks(rows, tmp_path):
    whole = save(GENERATORS["llava"], tmp_path / "whole")
    config = LoraConfig(r=2, target_modules=r".*language_model.*\.q_proj", modules_to_save=["vision_tower"])
    tuned = get_peft_model(AutoModelForImageTextToText.from_pretrained(whole), config)
    with torch.no_grad():
        for parameter in tuned.model.model.vision_tower.modules_to_save.parameters():
            parameter.mul_(1.7).add_(0.3)
    tuned.save_pretrained(tmp_path / "tuned")
    library = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(whole), tmp_path / "tuned")
    size = library.config.vision_config.image_size
    pixels = torch.rand(1, 3, size, size, generator=torch.manual_seed(0))
    modules = candidate(rows, tmp_path / "tuned").module, library.base_model.model
    with torch.inference_mode():
        (seen,), (expected,) = (module.get_image_features(pixel_values=pixels).pooler_output for module in modules)
    torch.testing.assert_close(seen, expected)


def test_a_merged_generator_answers_as_the_adapter_that_went_into_it(rows, qwen, tuned, tmp_path):
    own = peft_library(qwen, tuned)
    folder = shutil.copytree(qwen, tmp_path / "merged")
    own.load("float32").merge_and_unload().save_pretrained(folder)
    check_answers_are_the_librarys(lambda _: candidate(rows, folder), own, questions())
    images = [question.images for question in questions()]
    merged, base = (candidate(rows, one).answer(images, ["What?"] * len(images), 8) for one in (folder, qwen))
    assert merged != base


@pytest.mark.parametrize("family", DUAL_ENCODERS)
def test_a_dual_encoder_is_loaded_by_the_adapter_of_its_family(rows, tmp_path, family):
    adapter, saves = DUAL_ENCODERS[family]
    folder = tmp_path / "org" / "mine"
    saves(folder)
    (card,) = entered(rows, [folder], Claims(), None)
    assert (card.type, card.adapter) == ("dual-encoder", adapter)
    model = candidate(rows, folder)
    with torch.inference_mode():
        seen, read = model.image_features(model.prepare(mixed_images())), model.text_features(TEXTS)
    assert seen.shape == (len(mixed_images()), model.queries * read.shape[1])
    assert bool(torch.isfinite(seen).all() and torch.isfinite(read).all())


def test_llava_meds_own_layout_is_a_generator(rows, published):  # noqa: F811 - the fixture
    (question, *_) = questions()
    assert candidate(rows, published).answer([question.images[:1]], [question.prompt], 8) != [""]


def test_an_adapter_over_an_open_clip_model_is_merged_into_it(rows, tmp_path):
    base = tmp_path / "org" / "base"
    DUAL_ENCODERS["open_clip"][1](base)
    torch.manual_seed(0)
    plain = candidate(rows, base)
    own = get_peft_model(candidate(rows, base).module, LoraConfig(r=2, target_modules=["c_fc"], init_lora_weights=False))
    own.save_pretrained(tmp_path / "made")
    with pytest.raises(BrokenModel, match="does not say what model it changes"):
        candidate(rows, tmp_path / "made")
    model = candidate(rows, based_on(tmp_path / "made", tmp_path / "tuned", str(base)))
    pixels = plain.prepare(mixed_images())
    with torch.inference_mode():
        expected = own.eval().encode_image(pixels)
        torch.testing.assert_close(model.image_features(pixels), expected, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(plain.image_features(pixels), expected, atol=1e-2)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"config.json": {"architectures": ["LlavaPhiForCausalLM"]}}, "nothing here loads a LlavaPhiForCausalLM"),
        ({}, "it has no config.json, open_clip_config.json or adapter_config.json"),
    ],
)
def test_what_cannot_be_loaded_is_refused_by_name(rows, tmp_path, content, complaint):
    for name, settings in content.items():
        (tmp_path / name).write_text(json.dumps(settings))
    with pytest.raises(BrokenModel, match=complaint):
        candidate(rows, tmp_path)


def test_a_layout_of_its_own_without_its_bert_is_told_what_it_lacks(rows, tmp_path):
    DUAL_ENCODERS["PMC-CLIP"][1](tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(BrokenModel, match=r"lacks config.json of its BERT"):
        candidate(rows, tmp_path)


@pytest.mark.parametrize("family", ["MedCLIP", "PMC-CLIP"])
def test_a_layout_of_its_own_that_lacks_a_tower_is_none(rows, tmp_path, family):
    DUAL_ENCODERS[family][1](tmp_path)
    if family == "PMC-CLIP":
        (tmp_path / "text_encoder.pth").unlink()
    else:
        weights = torch.load(tmp_path / "pytorch_model.bin")
        kept = {name: weight for name, weight in weights.items() if not name.startswith("vision")}
        torch.save(kept, tmp_path / "pytorch_model.bin")
    with pytest.raises(BrokenModel, match="nothing here loads a bert"):
        candidate(rows, tmp_path)


def test_a_file_is_refused_as_one(rows, tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(BrokenModel, match=r"model.safetensors: it is a file; name the directory that it lies in"):
        candidate(rows, tmp_path / "model.safetensors")


def test_a_generator_is_measured_against_its_rival(study, rows, tmp_path):
    folder = shutil.copytree(locate(rows.models["pocket-llava"], None), tmp_path / "mine")
    arguments = ("--candidate", str(folder), "--candidate-kind", "general", "--rival", "pocket-medllava", "--models", "mine")
    done = study(*arguments, "--tasks", "phantom-chest-vqa", "--regimes", "zero-shot", "--limit", "8")
    assert done.status == 0, done.output
    assert "candidate mine: general generator" in done.output
    assert {case["status"] for case in done.report["cases"]} == {"measured"}
    assert [pair["id"] for pair in done.report["pairs"]]


def test_a_candidate_that_the_user_named_is_not_skipped_where_its_base_is_missing(study, rows, tmp_path):
    (tmp_path / "lora").mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": rows.models["clip-vit-b32"].weights, "target_modules": ["q_proj"]}
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps(config))
    arguments = ("--candidate", str(tmp_path / "lora"), "--models", "clip-vit-b32", "--tasks", "phantom-chest", "--limit", "8")
    done = study(*arguments, "--regimes", "zero-shot")
    found = {case["model"]: (case["status"], case["reason"]) for case in done.report["cases"]}
    assert found["clip-vit-b32"][0] == "skipped"
    assert found["lora"][0] == "failed"
    assert found["lora"][1].startswith("candidate lora: clip-vit-b32: openai/clip-vit-base-patch32 is not on this machine")
    assert done.status == 1
