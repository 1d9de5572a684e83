"""The rows of the model axis: every model of both papers, in one vocabulary, with figures that agree with the hub's."""

import csv
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from medrival import catalog
from medrival.__main__ import main
from medrival.catalog import ModelCard
from medrival.memory import NF4_BITS
from medrival.tables.models import memory

ROOT = Path(__file__).parents[2]
ROWS = catalog.load()
REAL = {name: model for name, model in ROWS.models.items() if not name.startswith("pocket-")}

PAPERS = {
    "openai/clip-vit-base-patch32",
    "openai/clip-vit-large-patch14",
    "google/siglip-base-patch16-224",
    "google/siglip2-base-patch16-224",
    "Salesforce/blip-itm-base-coco",
    "Salesforce/blip2-itm-vit-g",
    "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
    "flaviagiammarino/pubmed-clip-vit-base-patch32",
    "vinid/plip",
    "medclip-vit",
    "pmc-clip",
    "google/medsiglip-448",
    "llava-hf/llava-1.5-7b-hf",
    "microsoft/llava-med-v1.5-mistral-7b",
    "Qwen/Qwen2-VL-7B-Instruct",
    *(f"Qwen/Qwen2.5-VL-{size}B-Instruct" for size in (3, 7, 32, 72)),
    "Qwen/Qwen3-VL-8B-Instruct",
    *(f"lingshu-medical-mllm/Lingshu-{size}B" for size in (7, 32)),
    *(f"XiaomiMiMo/MiMo-VL-7B-{stage}" for stage in ("SFT", "RL")),
    "FreedomIntelligence/HuatuoGPT-Vision-7B",
    "FreedomIntelligence/HuatuoGPT-Vision-7B-Qwen2.5VL",
    "OpenGVLab/InternVL3-8B-hf",
    "google/gemma-3-4b-it",
    "google/medgemma-4b-it",
    "HuggingFaceTB/SmolVLM-Instruct",
    "Efficient-Large-Model/Llama-3-VILA1.5-8B",
    "Efficient-Large-Model/NVILA-8B",
    "MONAI/Llama3-VILA-M3-8B",
    "xraygpt",
    "o3",
    "gemini-2.5-pro",
}
PAIRS = {
    ("clip-vit-b32", "biomedclip"),
    ("clip-vit-b32", "pubmedclip"),
    ("clip-vit-b32", "plip"),
    ("clip-vit-b32", "medclip"),
    ("blip2", "biomedclip"),
    ("siglip-base", "medsiglip"),
    ("llava-1.5-7b", "llava-med-7b"),
    ("qwen2-vl-7b", "lingshu-7b"),
    ("qwen2.5-vl-7b", "lingshu-7b"),
    ("qwen2.5-vl-32b", "lingshu-32b"),
    ("gemma-3-4b", "medgemma-4b"),
}


def words() -> set[str]:
    """The modality words that docs/models.md explains."""
    section = (ROOT / "docs" / "models.md").read_text().split("## Modalities")[1].split("\n## ")[0]
    return {line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")} - {"word", "---"}


def test_every_model_of_both_papers_has_a_row():
    assert {model.weights for model in REAL.values()} >= PAPERS


def test_models_are_paired_as_the_papers_pair_them():
    assert [pair for pair in PAIRS if not catalog.partners(*(ROWS.models[name] for name in pair))] == []


@pytest.mark.parametrize("place", sorted({model.adapter for model in ROWS.models.values()}))
def test_every_adapter_is_there(place):
    assert callable(catalog.imported(place))


def test_what_models_saw_and_what_tasks_show_is_said_in_the_same_documented_words():
    saw = {word for model in REAL.values() for word in model.saw or ()}
    shown = {task.modality for task in ROWS.tasks.values() if not task.modality.startswith("phantom ")}
    assert saw | shown <= words()


def test_every_row_has_a_source_and_sources_are_of_claims_that_it_makes():
    keys = {field.name for field in fields(ModelCard)}
    for model in REAL.values():
        assert model.source, model.name
        assert set(model.sources) <= keys, model.name
        assert all(getattr(model, key) for key in model.sources), model.name


def test_published_names_are_among_the_published_figures_and_every_published_model_but_one_is_claimed_once():
    with (ROOT / "reports" / "published.csv").open(newline="") as stream:
        published = {row["model"] for row in csv.DictReader(stream)}
    claimed = [model.published for model in REAL.values() if model.published]
    assert len(claimed) == len(set(claimed))
    # Paper A's names of two models that paper B names, too; and one that no checkpoint could be told to be.
    assert published - set(claimed) == {"Qwen25-VL", "Lingshu", "Huatuo-GPT-Vision-32B"}
    assert set(claimed) <= published


def test_gated_rows_are_those_whose_owners_ask_for_consent():
    assert {name for name, model in REAL.items() if model.gated} == {"medsiglip", "gemma-3-4b", "medgemma-4b"}


def test_the_siglip_family_pads_texts_to_full_length():
    assert {model.padding for model in REAL.values() if model.family == "siglip"} == {"max_length"}


def test_models_without_weights_here_say_who_can_run_them():
    served = [model for model in REAL.values() if model.type == "served"]
    assert all(model.url or "only its own code runs it" in model.notes for model in served)


def test_weights_that_are_no_hub_model_are_put_together_from_pieces():
    homeless = [model for model in REAL.values() if model.type != "served" and "/" not in model.weights]
    assert [model.name for model in homeless if not model.pieces] == []


@pytest.mark.parametrize(("suite", "types"), [("clip", {"dual-encoder"}), ("vqa", {"generator"}), ("reasoning", {"generator"})])
def test_a_suite_of_real_models_holds_pairs_of_its_type_and_no_pocket_model(suite, types):
    card = ROWS.suites[suite]
    models = ROWS.select("models", card.models)
    assert {model.type for model in models} == types
    assert all(model.name in REAL for model in models)
    assert any(catalog.partners(one, other) for one in models for other in models)
    assert ROWS.select("tasks", card.tasks)
    assert ROWS.select("regimes", card.regimes)


def test_memory_is_that_of_the_weights_and_a_fifth():
    assert memory(1.0, 16) == pytest.approx(2e9 * 1.2 / 2**30)
    assert memory(72.0, NF4_BITS) == pytest.approx(memory(72.0, 16) * 4.5 / 16)


def test_a_row_is_shown_claim_by_claim_with_its_source(capsys):
    assert main(["models", "medsiglip"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for claim in ("weights google/medsiglip-448 [paper A]", "gated yes [hub]", "0.878 [counted]", "1.96 GiB in bfloat16"):
        assert claim in shown
    assert "held against siglip-base, siglip2-base, siglip2-so400m" in shown


def test_where_the_files_of_a_model_of_pieces_come_from_is_shown(capsys):
    assert main(["models", "medclip"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "pytorch_model.bin of https://storage.googleapis.com/pytrial/medclip-vit-pretrained.zip" in shown
    assert "config.json, vocab.txt of emilyalsentzer/Bio_ClinicalBERT" in shown
    assert "AdapterCard" not in shown


def test_a_claim_that_is_not_known_is_not_shown(capsys):
    assert main(["models", "plip"]) == 0
    assert not re.search(r"^ +(licence|gated|revision|url) ", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clip-vit-b32", "every linear layer of the image tower that is called"),
        ("lingshu-7b", "every linear layer of the language model and the projector"),
        ("mine", r"layers\.\d+\.qkv"),
        ("o3", ""),
    ],
)
def test_the_layers_that_lora_adapts_are_said_whether_the_row_names_them_or_not(tmp_path, capsys, name, words):
    path = tmp_path / "my.toml"
    path.write_text(
        '[models.mine]\nkind = "medical"\ntype = "generator"\nfamily = "x"\nadapter = "x:y"\nweights = "w"\n'
        "lora = 'layers\\.\\d+\\.qkv'\n"
    )
    assert main(["models", name, "--catalog", str(path)]) == 0
    said = re.search(r"^ +lora +(.*)", capsys.readouterr().out, re.MULTILINE)
    assert (said[1] if said else "").startswith(words)
    assert bool(said) == bool(words)


def test_a_row_is_about_ten_lines():
    tables = re.split(r"^(?=\[)", (ROOT / "models" / "catalog.toml").read_text(), flags=re.MULTILINE)[1:]
    rows = [table for table in tables if not table.startswith(("[families.", "[adapters."))]
    lines = [sum(bool(line) and not line.startswith("#") for line in row.splitlines()) for row in rows]
    assert len(lines) == len(ROWS.models)
    assert sum(lines) / len(lines) < 11
    assert max(lines) <= 16


def test_every_row_that_is_loaded_here_says_how_it_sees_images_and_how_texts_reach_it():
    loaded = [model for model in REAL.values() if model.type != "served"]
    assert [model.name for model in loaded if not (model.image_size and model.resolution and model.prompt)] == []


def test_the_parameters_of_models_on_this_machine_are_counted(capsys):
    assert main(["models", "pocket-llava"]) == 0
    assert "parameters    0.001932 [counted in its files on this machine]" in capsys.readouterr().out
    assert main(["models"]) == 0
    assert re.search(r"^pocket-llava .* 1\.93M +4\.42M +1\.24M ", capsys.readouterr().out, re.MULTILINE)


def test_the_table_fits_100_columns_and_shows_what_each_model_saw(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    table = "\n".join(lines)
    assert re.search(r"^plip .*\n    vinid/plip; images 224; saw pathology$", table, re.MULTILINE)
    assert re.search(r"^gemma-3-4b .*\n    google/gemma-3-4b-it; gated; images 896; saw everyday scene$", table, re.MULTILINE)
    assert re.search(r"^smolvlm .*\n    HuggingFaceTB/SmolVLM-Instruct; images 384 a tile$", table, re.MULTILINE)  # not known


def test_where_cases_are_only_listed_their_models_are_listed_too_unless_quietly(study):
    chosen = ("--collect-only", "--models", "pocket-clip", "--tasks", "phantom-chest")
    loud, quiet = study(*chosen), study(*chosen, "-q")
    assert re.search(r"^pocket-clip +general .*\n    package:medrival.models.pocket/clip; saw", loud.output, re.MULTILINE)
    assert "pocket-medclip  medical" not in loud.output
    assert "saw everyday scene" not in quiet.output


def test_an_unknown_model_is_answered_with_the_nearest(capsys):
    assert main(["models", "medsiglop"]) == 2
    assert "Did you mean 'medsiglip'" in capsys.readouterr().err


def test_listing_models_imports_no_torch():
    code = "import sys; from medrival.__main__ import main; main(['models']); raise SystemExit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
