"""Where weights are looked for, what is read of a repository, and what a missing model says."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest

from medrival import fingerprints
from medrival.catalog import AdapterCard, load
from medrival.errors import BrokenCatalog, BrokenModel, MissingAsset
from medrival.models import pocket
from medrival.reads import TEXTS, files_read, parts
from medrival.weights import locate, place, resolved, settled


@pytest.fixture
def clip(rows):
    return replace(rows.models["pocket-clip"], name="mine", weights="someone/clip")


@pytest.fixture
def offline(monkeypatch):
    """The hub's client as on a machine without network, whatever this one has."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("mark", ["config.json", "open_clip_config.json", "adapter_config.json", "pytorch_model.bin"])
def test_a_directory_is_a_model_where_it_says_what_it_is(clip, tmp_path, mark):
    folder = tmp_path / "models" / "someone" / "clip"
    folder.mkdir(parents=True)
    (folder / mark).write_text("{}")
    assert locate(clip, tmp_path) == folder


def test_a_directory_that_says_nothing_is_no_model(clip, tmp_path):
    (tmp_path / "models" / "someone" / "clip").mkdir(parents=True)
    with pytest.raises(BrokenModel, match=r"it has no config.json, open_clip_config.json or adapter_config.json"):
        locate(clip, tmp_path)


def test_names_as_open_clip_writes_them(clip):
    assert place(replace(clip, weights="hf-hub:microsoft/BiomedCLIP")) == "microsoft/BiomedCLIP"
    assert place(replace(clip, weights="local-dir:/models/mine")) == "/models/mine"
    assert place(replace(clip, weights="open_clip:ViT-B-32/openai")) == "timm/vit_base_patch32_clip_224.openai"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("ViT-B-32/nobody", "of ViT-B-32 it has openai, laion400m_e31,.* datacomp_xl_s13b_b90k"),
        ("ViT-B-32", "of ViT-B-32 it has openai"),
        ("VitB32/openai", "models with like names are .*ViT-B-32"),
    ],
)
def test_a_tag_that_open_clip_has_not_is_an_error_with_those_that_it_has(clip, tmp_path, name, known):
    row = replace(clip, weights=f"open_clip:{name}", file="my.toml")
    with pytest.raises(BrokenModel, match=rf"mine: weights = 'open_clip:{name}' in my.toml: open_clip has no .*; {known}"):
        locate(row, tmp_path)


@pytest.mark.parametrize(
    "weights",
    ["./x", "../x", "/nowhere/x", "~/nowhere/x", "x/y/z", "x/..", "local-dir:x/y", "hf-hub:../x", "x/", "some x/clip"],
)
@pytest.mark.parametrize("assets", [True, False])
def test_a_path_that_is_not_there_can_be_had_from_no_hub_and_is_an_error(clip, tmp_path, weights, assets):
    """Nor is what it would lead to from the folder of assets taken for it."""
    here, there = tmp_path / "rows", tmp_path / "assets"
    (there / "models" / "x" / "y" / "z").mkdir(parents=True)
    row = replace(clip, weights=weights, folder=str(here), file=str(here / "my.toml"))
    said = rf"mine: weights = '{weights}' in {here}/my.toml: it is a path, and there is no directory .*x"
    with pytest.raises(BrokenModel, match=said):
        locate(row, there if assets else None)


def test_a_path_that_is_there_is_taken_from_where_its_row_is(clip, rows, tmp_path):
    folder = copytree(locate(rows.models["pocket-clip"], None), tmp_path / "mine")
    (tmp_path / "rows").mkdir()
    for weights in ("../mine", str(folder), "local-dir:../mine"):
        found = locate(replace(clip, weights=weights, folder=str(tmp_path / "rows")), None)
        assert found.resolve() == folder


def test_a_file_in_place_of_a_directory_is_named_as_one(clip, tmp_path):
    (tmp_path / "x.safetensors").touch()
    with pytest.raises(BrokenModel, match=r"x.safetensors is no model directory: it is a file"):
        locate(replace(clip, weights="./x.safetensors", folder=str(tmp_path)), tmp_path)


@pytest.mark.usefixtures("offline")
def test_a_name_that_the_hub_could_not_have_is_an_error(clip):
    with pytest.raises(BrokenModel, match=r"mine: weights = 'some..one/clip' in .*: it is neither a directory nor a name"):
        locate(replace(clip, weights="some..one/clip"), None)


def test_an_open_clip_name_is_found_in_assets_like_any_other(clip, tmp_path, rows):
    mirror = tmp_path / "models" / "timm" / "vit_base_patch32_clip_224.openai"
    copytree(locate(rows.models["pocket-clip"], None), mirror)
    assert locate(replace(clip, weights="open_clip:ViT-B-32/openai"), tmp_path) == mirror


@pytest.mark.usefixtures("offline")
def test_a_missing_model_says_how_to_get_it_and_a_gated_one_where_to_ask(clip, tmp_path):
    with pytest.raises(MissingAsset) as missing:
        locate(clip, tmp_path)
    assert f"put its files into {tmp_path}/models/someone/clip" in str(missing.value)
    assert f"python -m medrival fetch --models mine --assets {tmp_path}" in str(missing.value)
    assert "gated" not in str(missing.value)
    with pytest.raises(MissingAsset, match=r"gated: ask for access at https://huggingface.co/someone/clip, then set HF_TOKEN"):
        locate(replace(clip, gated=True), tmp_path)


def test_a_hub_that_cannot_be_reached_is_asked_once_and_not_again_for_every_model(clip, monkeypatch, caplog):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    for name in ("someone/clip", "someone/other"):
        with pytest.raises(MissingAsset, match=r"http://127.0.0.1:9 cannot be reached: .*put its files into"):
            locate(replace(clip, weights=name), None)
    assert "Retrying" not in caplog.text


def test_a_model_of_pieces_says_how_to_fetch_it_like_any_other_also_where_a_fetch_was_killed(rows, tmp_path):
    said = rf"python -m medrival fetch --models medclip --assets {tmp_path}\) and pass --assets {tmp_path}"
    with pytest.raises(MissingAsset, match=rf"medclip: medclip-vit is not on this machine; looked in .*{said}"):
        locate(rows.models["medclip"], tmp_path)
    folder = tmp_path / "models" / "medclip-vit"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    with pytest.raises(MissingAsset, match=rf"has no pytorch_model.bin and no vocab.txt; .*{said}"):
        locate(rows.models["medclip"], tmp_path)
    for name in ("pytorch_model.bin", "vocab.txt"):
        (folder / name).touch()
    assert locate(rows.models["medclip"], tmp_path) == folder


def test_a_model_that_is_not_on_the_hub_says_what_its_row_notes(clip, tmp_path):
    with pytest.raises(MissingAsset, match=r"its files go into DIR/models/mine by hand \(ask its authors\)"):
        locate(replace(clip, weights="mine", notes="ask its authors"), None)


@pytest.mark.parametrize(
    ("names", "weights"),
    [
        (["model.safetensors", "pytorch_model.bin", "tf_model.h5"], ["model.safetensors"]),
        (
            ["model-1.safetensors", "model.safetensors.index.json", "m.onnx"],
            ["model.safetensors.index.json", "model-1.safetensors"],
        ),
        (["pytorch_model-1.bin", "pytorch_model-2.bin", "training_args.bin"], ["pytorch_model-1.bin", "pytorch_model-2.bin"]),
        (["original/consolidated.pth", "onnx/config.json", "onnx/model.safetensors"], []),
    ],
)
def test_only_files_that_are_read_are_fetched_and_pickles_only_where_there_is_nothing_else(clip, names, weights):
    assert files_read(clip, ["README.md", "config.json", "vocab.txt", "modeling.py", *names]) == [
        "config.json",
        "vocab.txt",
        *weights,
    ]


BOTH = ("open_clip_pytorch_model.bin", "open_clip_model.safetensors", "model.safetensors", "pytorch_model.bin")


@pytest.mark.parametrize(
    ("adapter", "names", "weights"),
    [
        ("medrival.models.open_clip:open_clip", BOTH, ["open_clip_model.safetensors"]),
        ("medrival.models.open_clip:open_clip", ("model.safetensors", BOTH[0]), ["open_clip_pytorch_model.bin"]),
        ("medrival.models.open_clip:open_clip", ("pytorch_model.bin",), ["pytorch_model.bin"]),
        ("medrival.models.dual_encoder:transformers", BOTH, ["model.safetensors"]),
        ("medrival.models.dual_encoder:transformers", (BOTH[0], BOTH[3]), ["pytorch_model.bin"]),
        ("theirs:load", BOTH[:3], ["open_clip_model.safetensors", "model.safetensors"]),
    ],
)
def test_of_a_repository_in_two_forms_the_one_that_the_adapter_reads_is_fetched(clip, rows, adapter, names, weights):
    assert files_read(replace(clip, reads=rows.reads(adapter)), names) == weights


def test_of_a_kind_of_several_files_all_must_be_there(clip):
    pair = AdapterCard(weights=(("image.pth", "text.pth"), ("*.bin",)))
    card = replace(clip, reads=pair)
    assert files_read(card, ["image.pth", "text.pth", "both.bin"]) == ["image.pth", "text.pth"]
    assert files_read(card, ["image.pth", "both.bin"]) == ["both.bin"]


def test_of_folders_those_that_the_adapter_reads_are_fetched(clip, rows):
    """As HuatuoGPT-Vision's repositories hold their image tower."""
    tower = ["vit/clip/config.json", "vit/clip/pytorch_model.bin"]
    own = ["config.json", "model-1.safetensors"]
    names = [*own, *tower, "vit/clip/tf_model.h5", "onnx/config.json"]
    assert files_read(replace(clip, reads=rows.models["llava-med-7b"].reads), names) == [*own, *tower]
    assert files_read(clip, names) == own


def test_of_a_repository_that_a_part_is_read_of_that_part_is_fetched(clip):
    names = ["config.json", "vocab.txt", "model.safetensors", "onnx/config.json"]
    assert files_read(clip, names, ("*.json", "*.txt")) == ["config.json", "vocab.txt"]


def test_code_is_fetched_only_for_a_model_that_is_trusted(clip):
    assert files_read(replace(clip, trusted=True), ["a.py", "config.json"]) == ["a.py", "config.json"]


def test_another_revision_than_the_row_names_is_refused_where_it_is_known(clip, rows, tmp_path):
    folder = copytree(locate(rows.models["pocket-clip"], None), tmp_path / "models" / "someone" / "clip")
    pinned = replace(clip, revision="d" * 40)
    assert locate(replace(pinned, name="of no known revision"), tmp_path) == folder
    notes = folder / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    (notes / "config.json.metadata").write_text(f"{'c' * 40}\netag\n1.0\n")
    with pytest.raises(BrokenModel, match=r"mine: .* is of revision cccccccccccc, and dddddddddddd is asked for"):
        locate(pinned, tmp_path)
    assert locate(replace(pinned, revision="c" * 40), tmp_path) == folder


def test_a_directory_with_weights_that_its_adapter_reads_is_a_model_without_a_configuration(clip, tmp_path):
    folder = tmp_path / "models" / "someone" / "clip"
    folder.mkdir(parents=True)
    (folder / "theirs.npz").touch()
    assert locate(replace(clip, reads=AdapterCard(weights=(("*.npz",),))), tmp_path) == folder


def test_what_an_adapter_reads_of_other_places_is_told_without_torch():
    code = (
        "import sys, pathlib; from medrival import catalog, reads\n"
        "for card in catalog.load().models.values():\n    reads.parts(card, pathlib.Path())\n"
        "raise SystemExit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_third_partys_function_tells_what_its_adapter_reads_of_others(clip, rows, tmp_path, monkeypatch):
    (tmp_path / "theirs_parts.py").write_text(
        "from medrival.reads import Part\ndef told(folder):\n    return [Part('words', 'org/words', ('*.txt',))]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    models = tmp_path / "models"
    copytree(locate(rows.models["pocket-clip"], None), models / "someone" / "clip")
    (models / "org" / "words").mkdir(parents=True)
    (models / "org" / "words" / "all.txt").write_text("a the")
    card = replace(clip, reads=AdapterCard(parts="theirs_parts:told"))
    assert resolved(card, tmp_path).beside["org/words"].bytes == len("a the")
    assert settled(card, tmp_path).places == {"org/words": str(models / "org" / "words")}
    with pytest.raises(BrokenCatalog, match=r"'theirs_parts:tolled' cannot be imported"):
        parts(replace(clip, reads=AdapterCard(parts="theirs_parts:tolled")), tmp_path)


def test_a_directory_inside_the_models_own_is_part_of_it_and_one_that_is_hidden_or_outside_is_not(rows, tmp_path):
    folder = tmp_path / "model"
    for inside in (folder / "vit", folder / ".vit", tmp_path / "other"):
        inside.mkdir(parents=True)
    told = {}
    for name in ("./vit", ".vit", "../other", "org/name"):
        (folder / "config.json").write_text(json.dumps({"mm_vision_tower": name}))
        told[name] = [part.name for part in parts(rows.models["llava-med-7b"], folder)]
    assert told == {"./vit": [], ".vit": [".vit"], "../other": ["../other"], "org/name": ["org/name"]}


def test_no_catalog_row_can_trust_itself(tmp_path):
    row = '[models.m]\nkind = "medical"\ntype = "generator"\nfamily = "f"\nadapter = "a:b"\nweights = "w"\n'
    (tmp_path / "my.toml").write_text(row + "trusted = true\n")
    with pytest.raises(BrokenCatalog, match="unknown key 'trusted'"):
        load([tmp_path / "my.toml"])


def test_what_the_hubs_client_notes_for_itself_changes_no_fingerprint_and_tells_the_revision(clip, rows, tmp_path):
    plain = resolved(rows.models["pocket-clip"], None)
    folder = copytree(locate(rows.models["pocket-clip"], None), tmp_path / "models" / "someone" / "clip")
    notes = folder / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (notes / f"{name}.metadata").write_text(f"{'c' * 40}\netag\n1.0\n")
    found = resolved(clip, tmp_path)
    assert (found.sha256, found.bytes) == (plain.sha256, plain.bytes)
    assert found.bytes == sum(path.stat().st_size for path in Path(folder).iterdir() if path.is_file() and path.suffix != ".md")
    assert (plain.revision, found.revision) == ("", "c" * 40)


@pytest.fixture
def cache(monkeypatch, tmp_path, offline):
    """What fills the hub client's cache of someone/NAME with a pocket model, as a program that reads file by file does."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    def fill(name, lacking=()):
        locate.cache_clear()
        folder = tmp_path / f"models--someone--{name}"
        snapshot = copytree(Path(pocket.__path__[0]) / name, folder / "snapshots" / ("c" * 40))
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("c" * 40)
        for path in [path for pattern in lacking for path in snapshot.glob(pattern)]:
            path.unlink()
        return snapshot

    return fill


def cached(rows, name, **changed):
    return replace(rows.models[f"pocket-{name}"], name="mine", weights=f"someone/{name}", **changed)


@pytest.mark.parametrize("name", ["clip", "llava"])
def test_a_cache_that_has_all_that_is_read_is_taken(rows, cache, name):
    snapshot = cache(name)
    assert locate(cached(rows, name), None) == snapshot


@pytest.mark.parametrize(
    ("name", "lacking"),
    [
        *[("clip", one) for one in ("model.safetensors", "tokenizer.json", "tokenizer_config.json", "processor_config.json")],
        ("llava", "tokenizer*"),
        ("llava", "chat_template.jinja"),
    ],
)
def test_a_cache_without_something_that_is_read_is_not_taken_for_the_model(rows, cache, name, lacking):
    cache(name, [lacking])
    with pytest.raises(MissingAsset, match=rf"mine: someone/{name} is not on this machine .*fetch --models mine"):
        locate(cached(rows, name), None)


def test_a_chat_template_that_the_hub_has_not_is_not_missed(rows, cache):
    """As the hub's client notes it where a program asks for a file in vain."""
    snapshot = cache("llava", ["chat_template.jinja"])
    noted = snapshot.parents[1] / ".no_exist" / snapshot.name
    noted.mkdir(parents=True)
    (noted / "chat_template.json").touch()
    with pytest.raises(MissingAsset):
        locate(cached(rows, "llava"), None)
    locate.cache_clear()
    (noted / "chat_template.jinja").touch()
    assert locate(cached(rows, "llava"), None) == snapshot


def test_where_the_hubs_client_has_the_list_of_files_it_knows_what_is_lacking(rows, cache):
    snapshot = cache("llava", ["chat_template.jinja"])
    listed = snapshot.parents[1] / "trees" / f"{snapshot.name}.json"
    listed.parent.mkdir()
    files = {path.name: {"size": path.stat().st_size, "blob_id": "0" * 40} for path in snapshot.iterdir()}
    listed.write_text(json.dumps({"format_version": 1, "files": files}))
    assert locate(cached(rows, "llava"), None) == snapshot
    (snapshot / "tokenizer.json").unlink()
    locate.cache_clear()
    with pytest.raises(MissingAsset, match="mine"):
        locate(cached(rows, "llava"), None)


def test_an_adapter_that_makes_its_own_processor_needs_none(rows, cache):
    snapshot = cache("clip", ["tokenizer*", "processor_config.json"])
    assert locate(cached(rows, "clip", reads=rows.reads("theirs:load")), None) == snapshot


def test_of_a_tokenizers_repository_the_cache_needs_its_vocabulary(rows, cache):
    snapshot = cache("clip")
    card = cached(rows, "clip")
    assert locate(card, None, ("config.json",)) == locate(card, None, TEXTS) == snapshot
    (snapshot / "tokenizer.json").unlink()
    locate.cache_clear()
    assert locate(card, None, ("config.json",)) == snapshot
    with pytest.raises(MissingAsset):
        locate(card, None, TEXTS)


def test_one_changed_byte_changes_the_fingerprint(rows, tmp_path):
    folder = copytree(locate(rows.models["pocket-clip"], None), tmp_path / "clip")
    before = fingerprints.weights.__wrapped__(folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    assert fingerprints.weights.__wrapped__(folder) != before
