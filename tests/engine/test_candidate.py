"""Local checkpoints as rows of a run: recognised, named, paired with a rival, and measured."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import CLIPModel

from medrival import catalog
from medrival.candidate import Claims, entered, introduced
from medrival.errors import BrokenModel, MedrivalError, MedrivalWarning, MissingAsset, UnknownName
from medrival.keys import of_features
from medrival.plan import Plan, Selection
from medrival.settings import Settings
from medrival.weights import locate, resolved


def directory(folder: Path, file: str = "config.json", **content) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("file", "content", "loaded"),
    [
        ("config.json", {"architectures": ["CLIPModel"]}, ("dual-encoder", "medrival.models.dual_encoder:transformers")),
        ("config.json", {"architectures": ["SiglipModel"]}, ("dual-encoder", "medrival.models.dual_encoder:transformers")),
        ("config.json", {"architectures": ["BlipForImageTextRetrieval"]}, ("dual-encoder", "medrival.models.blip:blip")),
        ("open_clip_config.json", {"model_cfg": {}}, ("dual-encoder", "medrival.models.open_clip:open_clip")),
        (
            "config.json",
            {"architectures": ["LlavaForConditionalGeneration"]},
            ("generator", "medrival.models.llava:padded"),
        ),
        ("config.json", {"model_type": "llava_mistral"}, ("generator", "medrival.models.llava_med:llava_med")),
        (
            "config.json",
            {"architectures": ["Qwen2_5_VLForConditionalGeneration"]},
            ("generator", "medrival.models.generator:transformers"),
        ),
    ],
)
def test_the_architecture_decides_what_loads_it(rows, tmp_path, file, content, loaded):
    (card,) = entered(rows, [directory(tmp_path / "mine", file, **content)], Claims(), None)
    assert (card.type, card.adapter) == loaded


def test_it_takes_the_rivals_family_and_budget_and_nothing_that_nobody_said(rows, tmp_path):
    (card,) = entered(rows, [directory(tmp_path / "mine", architectures=["CLIPModel"])], Claims(rival="pocket-clip"), None)
    assert (card.partner, card.family, card.budget, card.kind) == ("pocket-clip", "pocket-clip", "pocket", "medical")
    assert (card.saw, card.licence, card.published, card.revision) == (None, "", "", "")
    assert "what its pretraining saw is unknown" in introduced(card)


def test_names_come_from_folders_safe_and_unique(rows, tmp_path):
    folders = [tmp_path / "a" / "best run [2]", tmp_path / "b" / "best run [2]", tmp_path / "pocket-clip", tmp_path / "***"]
    for folder in folders:
        directory(folder, architectures=["CLIPModel"])
    names = [card.name for card in entered(rows, folders, Claims(), None)]
    assert names == ["best-run-2", "best-run-2-2", "pocket-clip-2", "candidate"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, r"nothing here loads a LlamaForCausalLM or llama"),
        ({"tie_word_embeddings": True}, r"nothing here loads a model that does not say what it is"),
    ],
)
def test_what_nothing_loads_is_refused_by_name(rows, tmp_path, content, complaint):
    with pytest.raises(BrokenModel, match=complaint):
        entered(rows, [directory(tmp_path / "mine", **content)], Claims(), None)


def test_a_path_without_a_checkpoint_is_refused(rows, tmp_path):
    with pytest.raises(BrokenModel, match="there is no such directory"):
        entered(rows, [tmp_path / "nowhere"], Claims(), None)
    directory(tmp_path / "trainer" / "checkpoint-100", **{"adapter_config.json": {}})
    with pytest.raises(BrokenModel, match=r"name a directory in it that has \(checkpoint-100\)"):
        entered(rows, [tmp_path / "trainer"], Claims(), None)
    with pytest.raises(BrokenModel, match=r"it has no config.json"):
        entered(rows, [tmp_path], Claims(), None)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BrokenModel, match=r"config.json cannot be read"):
        entered(rows, [tmp_path], Claims(), None)


def test_an_unknown_rival_is_answered_with_the_nearest(rows, tmp_path):
    with pytest.raises(UnknownName, match=r"unknown model 'pocketclip'. Did you mean 'pocket-clip'"):
        entered(rows, [directory(tmp_path / "mine", architectures=["CLIPModel"])], Claims(rival="pocketclip"), None)


@pytest.mark.parametrize(
    ("rival", "advice"), [("pocket-medclip", "say --candidate-kind general"), ("pocket-llava", "name a dual-encoder")]
)
def test_a_rival_of_its_own_kind_or_another_type_is_refused(rows, tmp_path, rival, advice):
    with pytest.raises(MedrivalError, match=rf"^--rival {rival}: .*{advice}"):
        entered(rows, [directory(tmp_path / "mine", architectures=["CLIPModel"])], Claims(rival=rival), None)


def test_a_directory_named_twice_is_taken_once_and_that_is_said(rows, tmp_path):
    folder = directory(tmp_path / "mine", architectures=["CLIPModel"])
    with pytest.warns(MedrivalWarning, match=r"--candidate .*/mine: named 2 times, and taken once"):
        (card,) = entered(rows, [folder, tmp_path / "." / "mine"], Claims(), None)
    assert card.name == "mine"


def test_a_name_that_ends_like_a_known_one_is_refused_where_transformers_has_no_such_type(rows, tmp_path):
    content = {"architectures": ["FooForConditionalGeneration"], "model_type": "foo"}
    with pytest.raises(BrokenModel, match=r"nothing here loads a FooForConditionalGeneration: .*no model_type 'foo'"):
        entered(rows, [directory(tmp_path / "foo", **content)], Claims(), None)
    trusted = directory(tmp_path / "own", **content, auto_map={"AutoConfig": "configuration_foo.FooConfig"})
    blip2 = directory(tmp_path / "blip", architectures=["Blip2ForConditionalGeneration"], model_type="blip-2")
    assert [card.type for card in entered(rows, [trusted, blip2], Claims(), None)] == ["generator"] * 2


def planned(rows, cards, **selection) -> Plan:
    joining = tuple(name for card in cards for name in (card.name, card.partner) if name)
    return Plan.of(rows.joined_by(cards), Selection("pocket", joining=joining, **selection))


def test_it_joins_the_suite_and_whatever_models_names(rows, tmp_path):
    cards = entered(rows, [directory(tmp_path / "mine", architectures=["CLIPModel"])], Claims(rival="pocket-clip"), None)
    assert {case.model.name for case in planned(rows, cards).cases.values()} == {
        *("mine", "pocket-clip", "pocket-medclip", "pocket-llava", "pocket-medllava")
    }
    few = planned(rows, cards, models=("pocket-llava",), tasks=("phantom-chest",)).cases.values()
    assert {case.model.name for case in few} == {"mine", "pocket-clip", "pocket-llava"}


def test_of_unknown_domain_it_meets_its_rival_regime_for_regime_and_belongs_to_no_question(rows, tmp_path):
    cards = entered(rows, [directory(tmp_path / "mine", architectures=["CLIPModel"])], Claims(rival="pocket-clip"), None)
    pairs = planned(rows, cards, models=(), tasks=("phantom-chest",)).pairs.values()
    assert {(p.general[0].regime.name, p.medical[0].regime.name) for p in pairs} == {
        ("zero-shot", "zero-shot"),
        ("linear-probe", "linear-probe"),
        ("lora", "lora"),
    }
    assert {(p.domain, p.question) for p in pairs} == {("unknown", None)}


def test_with_what_it_saw_its_pairs_answer_the_questions(rows, tmp_path):
    claims = Claims(rival="pocket-clip", saw=("phantom chest radiograph",))
    cards = entered(rows, [directory(tmp_path / "mine", architectures=["CLIPModel"])], claims, None)
    pairs = planned(rows, cards, models=(), tasks=("phantom-chest", "phantom-fundus")).pairs.values()
    assert {(p.task.name, p.question) for p in pairs} == {("phantom-chest", 1), ("phantom-chest", 2), ("phantom-fundus", 3)}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    """A LoRA of pocket-clip's image tower, as peft saves it, with weights that do something."""
    rows = catalog.load()
    torch.manual_seed(0)
    base = CLIPModel.from_pretrained(locate(rows.models["pocket-clip"], None), dtype=torch.float32)
    tuned = get_peft_model(base, LoraConfig(r=2, target_modules=r"vision_model.*\.(q|v)_proj", init_lora_weights=False))
    folder = tmp_path_factory.mktemp("runs") / "tuned"
    tuned.save_pretrained(folder)
    return folder


def with_base(adapter: Path, folder: Path, base: str) -> Path:
    shutil.copytree(adapter, folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    return directory(folder, "adapter_config.json", **{**config, "base_model_name_or_path": base})


def test_an_adapter_directory_answers_as_peft_does(rows, adapter, pocket_clip):
    (card,) = entered(rows, [adapter], Claims(rival="pocket-clip"), None)
    merged = catalog.imported(card.adapter)(card, locate(card, None), "cpu", "float32")
    base = CLIPModel.from_pretrained(locate(rows.models["pocket-clip"], None), dtype=torch.float32)
    own = PeftModel.from_pretrained(base, adapter).eval()
    pixels = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        expected = own.get_image_features(pixel_values=pixels).pooler_output
        torch.testing.assert_close(merged.image_features(pixels), expected, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(expected, pocket_clip.image_features(pixels), atol=1e-2), "the adapter does something"
    assert merged.lora == pocket_clip.lora
    assert [name for name, _ in merged.module.named_parameters()] == [name for name, _ in pocket_clip.module.named_parameters()]
    assert not any(parameter.requires_grad for parameter in merged.module.parameters())


def test_the_base_of_an_adapter_is_a_directory_a_rows_weights_or_one_in_assets(rows, adapter, tmp_path):
    weights = locate(rows.models["pocket-clip"], None)
    (by_path,) = entered(rows, [adapter], Claims(), None)
    assert locate(by_path.base, None) == weights
    (by_row,) = entered(rows, [with_base(adapter, tmp_path / "row", rows.models["pocket-clip"].weights)], Claims(), None)
    assert by_row.base == rows.models["pocket-clip"]
    (by_rows_name,) = entered(rows, [with_base(adapter, tmp_path / "by-name", "pocket-clip")], Claims(), None)
    assert by_rows_name.base == rows.models["pocket-clip"]
    mirror = shutil.copytree(weights, tmp_path / "assets" / "models" / "someone" / "clip")
    named = with_base(adapter, tmp_path / "named", "someone/clip")
    (by_name,) = entered(rows, [named], Claims(), tmp_path / "assets")
    assert locate(by_name.base, None) == mirror
    assert by_name.type == "dual-encoder"
    with pytest.raises(MissingAsset, match=r"base model 'someone/clip'.*put its files into DIR/models/someone/clip"):
        entered(rows, [named], Claims(), None)


def test_a_base_that_is_no_whole_model_or_nowhere_is_refused_with_what_to_do(rows, adapter, tmp_path):
    with pytest.raises(BrokenModel, match=rf"its base model {adapter} is an adapter itself; merge that one"):
        entered(rows, [with_base(adapter, tmp_path / "chain", str(adapter))], Claims(), None)
    with pytest.raises(MissingAsset, match=r"base model '/nowhere/base', .*; put its files there"):
        entered(rows, [with_base(adapter, tmp_path / "lost", "/nowhere/base")], Claims(), None)


@pytest.mark.parametrize("damage", ["cut short or damaged", "1 weights in .* are not finite numbers"])
def test_a_damaged_adapter_is_told_from_one_of_another_base(rows, adapter, tmp_path, damage):
    file = shutil.copytree(adapter, tmp_path / "odd") / "adapter_model.safetensors"
    if damage.startswith("cut"):
        file.write_bytes(file.read_bytes()[:-100])
    else:
        weights = load_file(file)
        next(iter(weights.values())).fill_(torch.nan)
        save_file(weights, file)
    (card,) = entered(rows, [file.parent], Claims(), None)
    with pytest.raises(BrokenModel, match=damage):
        catalog.imported(card.adapter)(card, locate(card, None), "cpu", "float32")


def test_an_adapter_on_a_model_that_thinks_may_think_as_long(rows, adapter, tmp_path):
    (card,) = entered(rows, [with_base(adapter, tmp_path / "row", "XiaomiMiMo/MiMo-VL-7B-RL")], Claims(), None)
    assert card.thinking == rows.models["mimo-vl-7b-rl"].thinking > 0


def test_a_merged_model_may_think_as_long_as_its_rival_unless_the_user_says_how_long(rows, tmp_path):
    folder = directory(tmp_path / "mine", architectures=["Qwen2_5_VLForConditionalGeneration"])
    thinker, silent = Claims(rival="mimo-vl-7b-rl"), Claims(rival="qwen2.5-vl-7b")
    told = [replace(thinker, thinking=0), replace(silent, thinking=500)]
    cards = [entered(rows, [folder], claims, None)[0] for claims in (thinker, silent, *told)]
    assert [card.thinking for card in cards] == [rows.models["mimo-vl-7b-rl"].thinking, 0, 0, 500]
    assert "with 500 tokens to think" in introduced(cards[-1])
    assert "tokens to think" not in introduced(cards[1])


def test_what_gives_no_words_thinks_no_tokens(rows, tmp_path):
    (card,) = entered(rows, [directory(tmp_path / "mine", architectures=["CLIPModel"])], Claims(thinking=9), None)
    assert card.thinking == 0


@pytest.mark.parametrize(
    ("rival", "adapter"),
    [
        ("pocket-llava", "medrival.models.generator:transformers"),
        ("llava-1.5-7b", "medrival.models.llava:padded"),
        ("qwen2.5-vl-7b", "medrival.models.llava:padded"),
        ("", "medrival.models.llava:padded"),
    ],
)
def test_it_is_shown_images_as_its_rival_of_the_same_architecture_is(rows, tmp_path, rival, adapter):
    """A rival of another architecture says nothing of it, though the same adapter loads it."""
    folder = directory(tmp_path / "mine", architectures=["LlavaForConditionalGeneration"])
    mirror = directory(tmp_path / "models" / "Qwen" / "Qwen2.5-VL-7B-Instruct", model_type="qwen2_5_vl")
    assert rows.models["qwen2.5-vl-7b"].weights == "/".join(mirror.parts[-2:])
    (card,) = entered(rows, [folder], Claims(rival=rival), tmp_path)
    assert card.adapter == adapter
    assert f"loaded by {adapter.removeprefix('medrival.models.')}" in introduced(card)


def test_a_rival_that_lies_in_assets_decides_as_well_and_so_it_does_for_the_base_of_an_adapter(rows, adapter, tmp_path):
    mirror = directory(tmp_path / "models" / "org" / "cropping", architectures=["LlavaForConditionalGeneration"])
    row = replace(rows.models["pocket-llava"], name="cropping", weights="org/cropping", partner="")
    base = directory(tmp_path / "base", architectures=["LlavaForConditionalGeneration"])
    merged = directory(tmp_path / "merged", architectures=["LlavaForConditionalGeneration"])
    tuned = with_base(adapter, tmp_path / "tuned", str(base))
    cards = entered(rows.joined_by([row]), [merged, tuned], Claims(rival="cropping"), tmp_path)
    assert [cards[0].adapter, cards[1].base.adapter] == ["medrival.models.generator:transformers"] * 2
    shutil.rmtree(mirror)
    (card,) = entered(rows.joined_by([row]), [merged], Claims(rival="cropping"), tmp_path)
    assert card.adapter == "medrival.models.llava:padded"


@pytest.mark.parametrize("weights", ["model.safetensors", "model-00001-of-00002.safetensors", "pytorch_model.bin"])
def test_a_whole_model_with_an_adapter_beside_it_is_refused_for_one_would_be_ignored(rows, adapter, tmp_path, weights):
    folder = shutil.copytree(adapter, tmp_path / "both")
    directory(folder, architectures=["CLIPModel"])
    (folder / weights).touch()
    with pytest.raises(BrokenModel, match=rf"both a whole model \({weights}\) and an adapter .*move one of the two"):
        entered(rows, [folder], Claims(), None)


def test_the_revision_that_an_adapter_was_trained_on_is_that_of_its_base_model_whatever_the_row_says(rows, adapter, tmp_path):
    named = with_base(adapter, tmp_path / "named", "openai/clip-vit-base-patch32")
    config = json.loads((named / "adapter_config.json").read_text())
    directory(named, "adapter_config.json", **{**config, "revision": "c" * 40})
    (card,) = entered(rows, [named], Claims(), None)
    assert card.base == replace(rows.models["clip-vit-b32"], revision="c" * 40)
    weights = locate(rows.models["pocket-clip"], None)
    mirror = shutil.copytree(weights, tmp_path / "models" / "openai" / "clip-vit-base-patch32")
    notes = mirror / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    (notes / "config.json.metadata").write_text(f"{'d' * 40}\netag\n1.0\n")
    (card,) = entered(rows, [named], Claims(), tmp_path)
    assert (card.base.weights, card.base.revision) == (str(mirror), "c" * 40)
    with pytest.raises(BrokenModel, match=r"clip-vit-b32: .* is of revision dddddddddddd, and cccccccccccc is asked for"):
        locate(card.base, tmp_path)


def test_an_adapter_on_a_base_model_that_lies_in_assets_alone_is_loaded(rows, adapter, tmp_path, new_lab):
    """Whether it is named by a row or not, and though adapters are not told where --assets is."""
    weights = locate(rows.models["pocket-clip"], None)
    for name in ("someone/clip", "openai/clip-vit-base-patch32"):
        shutil.copytree(weights, tmp_path / "models" / name)
        (card,) = entered(rows, [with_base(adapter, tmp_path / name / "tuned", name)], Claims(), tmp_path)
        assert new_lab(assets=tmp_path)._load(card).module


def test_an_adapters_outcome_depends_on_its_base_too(rows, adapter):
    (card,) = entered(rows, [adapter], Claims(), None)
    other = replace(card, base=rows.models["pocket-medclip"])
    assert resolved(card, None).known["base"]["sha256"] == resolved(rows.models["pocket-clip"], None).sha256
    assert of_features(card, (), Settings()) != of_features(other, (), Settings())


def test_pickled_adapters_are_not_read(rows, adapter, tmp_path):
    folder = shutil.copytree(adapter, tmp_path / "pickled")
    (folder / "adapter_model.safetensors").unlink()
    torch.save({}, folder / "adapter_model.bin")
    (card,) = entered(rows, [folder], Claims(), None)
    with pytest.raises(BrokenModel, match=r"has no adapter_model.safetensors; pickled adapters"):
        catalog.imported(card.adapter)(card, folder, "cpu", "float32")


@pytest.mark.parametrize(("change", "complaint"), [("lacks", "lacks 1 weights"), ("too much", "has no layer for 1 weights")])
def test_an_adapter_that_does_not_fit_its_base_is_refused(rows, adapter, tmp_path, change, complaint):
    folder = shutil.copytree(adapter, tmp_path / "odd")
    weights = load_file(folder / "adapter_model.safetensors")
    name = next(iter(weights))
    if change == "lacks":
        del weights[name]
    else:
        weights[name.replace(".layers.0.", ".layers.99.")] = weights[name].clone()
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (card,) = entered(rows, [folder], Claims(), None)
    with pytest.raises(BrokenModel, match=complaint):
        catalog.imported(card.adapter)(card, folder, "cpu", "float32")


def test_a_release_is_gated_by_its_verdict_under_workers(study, rows, tmp_path, adapter):
    gates = tmp_path / "gates.toml"
    gates.write_text('[[gate]]\nname = "better"\npairs = "pocket-clip~tuned-*"\nverdict = ["medical wins"]\n')
    arguments = ("--candidate", str(adapter), "--rival", "pocket-clip", "--models", "tuned", "--gate", str(gates), "-n", "2")
    done = study(*arguments, "--tasks", "phantom-chest", "--regimes", "zero-shot", "--limit", "24")
    assert done.status == 1, done.output
    (pair,) = done.report["pairs"]
    assert (pair["id"], pair["question"], pair["domain"]) == ("pocket-clip~tuned-phantom-chest-zero-shot", None, "unknown")
    assert pair["verdict"]
    assert [gate["pair"] for gate in done.report["gates"]] == [pair["id"]]
    assert "candidate tuned: medical dual-encoder" in done.output
    assert "Domain unknown" in done.output
    notes = next(case["notes"] for case in done.report["cases"] if case["model"] == "tuned")
    assert set(notes["weights"]) == {"sha256", "bytes", "base"}
    assert notes["loaded_by"] == "medrival.models.peft_adapter:merged on medrival.models.dual_encoder:transformers"
    page = (done.folder / "report" / "report.html").read_text()
    assert "Same regime, domain unknown" in page
    assert f"loaded by: {notes['loaded_by']}" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--candidate", "nowhere", "--rival", "pocket-clip"), "there is no such directory"),
        (("--rival", "pocket-clip"), "--rival, --candidate-saw, --candidate-thinking are about candidates"),
        (("--candidate-thinking", "-1"), "'-1' is not a whole number of tokens"),
        (("--trust-remote-code", "pocketclip"), "unknown model 'pocketclip'. Did you mean 'pocket-clip'"),
        (("--update-lock",), "--update-lock needs --lock FILE"),
    ],
)
def test_a_wrong_option_is_one_clear_error(study, arguments, message):
    done = study(*arguments, "--collect-only", "-q")
    assert done.status == pytest.ExitCode.USAGE_ERROR
    assert message in done.output
    assert "Traceback" not in done.output
